"""Listen keys: names of user data streams, of the older of the two generations of clients. They expire unless prolonged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

_LIFE_MS = 60 * 60 * 1_000


@dataclass(slots=True)
class _Key:
    owner: str
    until: int


class ListenKeys:
    """The keys of all accounts, one each at a time; `now` in milliseconds. `ended` is called with a key when it ends."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._keys: dict[str, _Key] = {}
        self._made = 0
        self.ended: Callable[[str], None] = lambda _: None

    def create(self, owner: str) -> str:
        """The account's key, a new one if it has none; an hour from now it expires."""
        self.sweep()
        for name, key in self._keys.items():
            if key.owner == owner:
                key.until = self._now() + _LIFE_MS
                return name
        self._made += 1
        name = hashlib.sha256(f"{owner}/{self._made}".encode()).hexdigest()[:60]
        self._keys[name] = _Key(owner, self._now() + _LIFE_MS)
        return name

    def prolong(self, name: str, owner: str) -> bool:
        """Another hour; False when there is no such key of this account."""
        self.sweep()
        key = self._keys.get(name)
        if key is None or key.owner != owner:
            return False
        key.until = self._now() + _LIFE_MS
        return True

    def end(self, name: str, owner: str) -> bool:
        """It ends now; False when there is no such key of this account."""
        key = self._keys.get(name)
        if key is None or key.owner != owner:
            return False
        self._expire(name)
        return True

    def owner(self, name: str) -> str | None:
        """The API key of the account that a listen key belongs to, None when there is none such."""
        self.sweep()
        key = self._keys.get(name)
        return None if key is None else key.owner

    def expire_all(self) -> None:
        """All of them end now."""
        for name in list(self._keys):
            self._expire(name)

    def sweep(self) -> None:
        """End those whose time is over."""
        now = self._now()
        for name in [name for name, key in self._keys.items() if key.until <= now]:
            self._expire(name)

    def _expire(self, name: str) -> None:
        del self._keys[name]
        self.ended(name)
