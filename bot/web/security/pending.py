"""Confirmations: a short-lived token that is worth one action, with these parameters, by this principal.

The key lives and dies with the process, so that a restart voids what was pending.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping

from bot.web.security.keys import bound, canonical, same

CONFIRM_MS = 60_000
_MOST = 1_024


class Pending:
    """Issues and redeems confirmations. At most 1,024 wait; the oldest give way."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._key = secrets.token_bytes(32)
        self._waiting: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def issue(self, principal: str, action: str, params: Mapping[str, object]) -> tuple[str, int]:
        """A token and until when it is good (ms UTC)."""
        now = self._now()
        nonce, expires = secrets.token_urlsafe(12), now + CONFIRM_MS
        while self._waiting and (next(iter(self._waiting.values())) <= now or len(self._waiting) >= _MOST):
            self._waiting.popitem(last=False)
        self._waiting[nonce] = expires
        return f"{nonce}.{self._seal(nonce, expires, principal, action, params)}", expires

    def redeem(self, token: str, principal: str, action: str, params: Mapping[str, object]) -> bool:
        """Whether the token is good for exactly this, now; it is not afterwards. A token for something else stays what it is."""
        nonce, _, seal = token.partition(".")
        expires = self._waiting.get(nonce)
        if expires is None or self._now() >= expires:
            return False
        if not same(self._seal(nonce, expires, principal, action, params), seal):
            return False
        del self._waiting[nonce]
        return True

    def _seal(self, nonce: str, expires: int, principal: str, action: str, params: Mapping[str, object]) -> str:
        return bound(self._key, nonce, str(expires), principal, action, canonical(params))
