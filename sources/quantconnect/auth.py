"""Who asks: a digest of token and time in the headers of every request, and what a wrong clock does to it.

The service refuses a time that is more than two hours behind its own. Its answers carry its own time; where ours turns out to be
far off, the signer goes by the service's until ours is right again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

import structlog

_log = structlog.get_logger(__name__)

LONGEST_LIFE_S = 7_000.0
"""How long one digest may serve: the service's own limit is 7,200 s."""
_SKEW_S = 300.0
"""A difference of clocks below this is nobody's trouble."""


class Signer:
    """Makes the headers of a request. `now` is in Unix seconds; one digest serves for `life_s`, by default for its second."""

    def __init__(self, user_id: str, token: str, now: Callable[[], float], life_s: float = 0.0) -> None:
        user_id, token = user_id.strip(), token.strip()  # pasted secrets end in line breaks, and a hash of those matches nothing
        if not user_id or not user_id.isascii() or not user_id.isdigit():
            message = "the user id of QuantConnect must be a number such as 123456: set QUANTCONNECT_USER_ID"
            raise ValueError(message)
        if not token:
            message = "the API token of QuantConnect is empty: set QUANTCONNECT_API_TOKEN"
            raise ValueError(message)
        if not 0 <= life_s <= LONGEST_LIFE_S:
            message = f"a digest may live for 0 to {LONGEST_LIFE_S:g} s, not {life_s}"
            raise ValueError(message)
        self.user_id = user_id
        self.offset_s = 0.0
        self.measured_s = 0.0
        self._token = token
        self._now = now
        self._life_s = life_s
        self._stamp = -1
        self._headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Signer(user_id={self.user_id!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be seen by nobody."""
        return self._token, self._headers.get("Authorization", "").removeprefix("Basic ")

    def headers(self) -> Mapping[str, str]:
        """`Authorization` and `Timestamp` for a request that is sent now."""
        stamp = int(self._now() + self.offset_s)
        if not 0 <= stamp - self._stamp <= self._life_s:
            self._headers = headers_at(self.user_id, self._token, stamp)
            self._stamp = stamp
        return self._headers

    def observe(self, date: str | None) -> None:
        """Take note of the service's own time, from the `Date` of an answer."""
        if date is None:
            return
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self.measured_s = theirs - self._now()

    def correct(self) -> bool:
        """After a refusal: go by the service's clock if ours is far from it. False if that changes nothing."""
        offset = self.measured_s if abs(self.measured_s) > _SKEW_S else 0.0
        if abs(offset - self.offset_s) <= _SKEW_S:
            return False
        self.offset_s = offset
        self._stamp = -1
        _log.warning("quantconnect_clock_skew", offset_s=round(offset), remedy="set this machine's clock")
        return True

    def skew(self) -> str | None:
        """What to say of the clocks where they differ much."""
        if abs(self.measured_s) <= _SKEW_S:
            return None
        side = "behind" if self.measured_s > 0 else "ahead of"
        return f"this machine's clock is {abs(self.measured_s):.0f} s {side} the service's: set it"


def headers_at(user_id: str, token: str, stamp: int) -> dict[str, str]:
    """The two headers for a time in whole Unix seconds: SHA-256 of `token:stamp`, in hex, is the password of the user."""
    digest = hashlib.sha256(f"{token}:{stamp}".encode()).hexdigest()
    basic = base64.b64encode(f"{user_id}:{digest}".encode()).decode()
    return {"Authorization": f"Basic {basic}", "Timestamp": str(stamp)}
