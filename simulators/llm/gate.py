"""Who may ask, and how often: keys, requests a minute and a quota of tokens."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulators.llm.mischief import no_credit
from simulators.llm.prompt import Dialect, Refusal

KEY = "demo-llm-key"


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the service is used. `per_minute` and `quota` (tokens in and out, in total) are per key, None without end.

    `latency` is how many seconds every answer takes, `pause` how many pass between the events of a stream.
    """

    keys: tuple[str, ...] = (KEY,)
    per_minute: int | None = None
    quota: int | None = None
    latency: float = 0.0
    pause: float = 0.0


class Gate:
    """Lets requests in; `clock` is in seconds."""

    def __init__(self, terms: Terms, clock: Callable[[], float]) -> None:
        self._terms, self._clock = terms, clock
        self._recent: dict[str, deque[float]] = {key: deque(maxlen=max(1, terms.per_minute or 1)) for key in terms.keys}
        self._spent = dict.fromkeys(terms.keys, 0)

    def admit(self, headers: Mapping[str, str], dialect: Dialect) -> tuple[str, dict[str, str]]:
        """The key, and headers that tell what is left; `Refusal` 401, 402 or 429."""
        key = self.known(headers)
        self._credit(key, dialect)
        most, now = self._terms.per_minute, self._clock()
        if most is None:
            return key, {}
        recent = self._recent[key]
        while recent and recent[0] <= now - 60:
            recent.popleft()
        if len(recent) >= most:
            wait = max(1, math.ceil(recent[0] + 60 - now))
            text = f"Rate limit reached: {most} requests per minute. Please try again in {wait}s."
            limits = {**_left(dialect, most, 0), "retry-after": str(wait)}
            raise Refusal(429, text, "requests", "rate_limit_exceeded", headers=limits)
        recent.append(now)
        return key, _left(dialect, most, most - len(recent))

    def known(self, headers: Mapping[str, str]) -> str:
        """The key of a request, in either of its headers; `Refusal` 401 when it is none of ours."""
        key = key_in(headers)
        if key not in self._terms.keys:
            text = "You didn't provide an API key." if not key else f"Incorrect API key provided: {redacted(key)}."
            raise Refusal(401, text, "invalid_request_error", "invalid_api_key")
        return key

    def spend(self, key: str, tokens: int) -> None:
        """Tokens were used."""
        self._spent[key] += tokens

    def _credit(self, key: str, dialect: Dialect) -> None:
        if self._terms.quota is not None and self._spent[key] >= self._terms.quota:
            raise no_credit(dialect, {})


def key_in(headers: Mapping[str, str]) -> str:
    """What stands where a key belongs."""
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def redacted(key: str) -> str:
    """A key as it may be shown: a hash by which it can be recognised."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:8]}" if key else ""


def _left(dialect: Dialect, most: int, left: int) -> dict[str, str]:
    stem = "anthropic-ratelimit-requests-{}" if dialect is Dialect.MESSAGES else "x-ratelimit-{}-requests"
    return {stem.format("limit"): str(most), stem.format("remaining"): str(left)}
