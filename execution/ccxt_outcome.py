"""What a failed call to a venue means: the fault matrix, as functions of ccxt's exception and what was seen of the exchange.

ccxt raises one class for a connection that broke before the venue acted and for one that broke after it; it calls a bad key a
rate limit once it was a good one, and an unreadable answer an order without an id. So a class alone decides little: whether a
request left at all, the HTTP status and the venue's own code decide with it. What is not certain is `UNKNOWN`.

ccxt's classes are told by their names, so that this module needs no ccxt.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from execution.account import AccountError, NotFound, NotSent, ReadFailed, Refused, Unknown
from execution.budget import BudgetSpent, Lane

_LONGEST_REASON = 160
_RETRY_MS = 1_000
_RATE_LIMITED = frozenset({418, 429})
# Binance's codes that leave open what happened; every other four-digit code of a 4xx answer is a refusal.
_OPEN_CODES = frozenset({-1000, -1001, -1006, -1007, -1008, -1016, -1034})
_BAD_KEY = -2015
_TAKEN_ID = frozenset({51016})
_NEVER_CONNECTED = frozenset({"ClientConnectorError", "ConnectionTimeoutError"})
_CODE = re.compile(r'"(?:sCode|code)"\s*:\s*"?(-?\d+)')
_INNER = re.compile(r'"sMsg"\s*:\s*"([^"]+)"')
_SECRET = re.compile(
    r"(?i)((?:signature|api-?key|listen-?key|secret|passphrase|ok-access-\w+)[\"']?\s*[=:]\s*[\"']?)[^&\s\"',}]+",
)


class Unreadable(Exception):  # noqa: N818 - it names what happened
    """The venue answered with something that is not an answer."""


@dataclass(slots=True)
class Call:
    """One call as it goes: who is asking, and what was seen so far.

    `status` and `retry_after_ms` are the last HTTP answer's, 0 while there is none; `answer` is its JSON. `seconds` bounds each
    request, not the wait for its turn.
    """

    lane: Lane
    seconds: float = 10.0
    sent: bool = False
    status: int = 0
    retry_after_ms: int = 0
    answer: object = None
    scope: asyncio.Timeout | None = None


CALL: ContextVar[Call | None] = ContextVar("ccxt_call", default=None)
"""The call that the running task makes."""


class Verdict(StrEnum):
    """What is known after a call failed."""

    NOT_SENT = "not-sent"
    RATE_LIMITED = "rate-limited"
    CLOCK = "clock"
    REFUSED = "refused"
    NOT_FOUND = "not-found"
    UNKNOWN = "unknown"


def judge(error: BaseException, call: Call) -> Verdict:
    """What a failure says of the thing that was asked for."""
    kinds = _kinds(error)
    if not call.sent or "ExchangeClosedByUser" in kinds or isinstance(error, BudgetSpent):
        return Verdict.NOT_SENT
    if "InvalidNonce" in kinds and "ChecksumError" not in kinds:
        return Verdict.CLOCK
    if call.status in _RATE_LIMITED or "RateLimitExceeded" in kinds:
        return Verdict.RATE_LIMITED
    if "DDoSProtection" in kinds:
        # ccxt takes a bad key for a rate limit once a private call has succeeded.
        return Verdict.REFUSED if venue_code(error) == _BAD_KEY else Verdict.UNKNOWN
    if call.status >= 500 or "ExchangeError" not in kinds:
        return Verdict.UNKNOWN
    if "OrderNotFound" in kinds:
        return Verdict.NOT_FOUND
    return Verdict.REFUSED if _definite(error, call.status, kinds) else Verdict.UNKNOWN


def venue_code(error: BaseException) -> int | None:
    """The venue's own code, as ccxt quotes it; the innermost one where there are several."""
    found = _CODE.findall(str(error))
    return int(found[-1]) if found else None


def failed_create(error: BaseException, call: Call, secrets: Sequence[str] = ()) -> AccountError:
    """`NotSent`, `Refused` or `Unknown` for an order that was sent once."""
    verdict, reason = judge(error, call), reason_of(error, secrets)
    if verdict is Verdict.UNKNOWN and _never_connected(error):
        return NotSent(reason, _RETRY_MS)
    match verdict:
        case Verdict.NOT_SENT:
            return NotSent(reason, _retry_ms(error, call))
        case Verdict.RATE_LIMITED | Verdict.CLOCK:
            return NotSent(reason, call.retry_after_ms or _RETRY_MS)
        case Verdict.REFUSED:
            return Refused(reason)
        case Verdict.NOT_FOUND | Verdict.UNKNOWN:
            return Unknown(reason)


def failed_cancel(error: BaseException, call: Call, secrets: Sequence[str] = ()) -> AccountError:
    """`NotSent`, `NotFound`, `Refused` or `Unknown` for a cancel.

    aiohttp repeats a DELETE by itself when a kept-alive connection breaks, so `NotFound` may stand for a cancel that worked, and
    a connection that never came about may have been the second try.
    """
    verdict, reason = judge(error, call), reason_of(error, secrets)
    match verdict:
        case Verdict.NOT_SENT:
            return NotSent(reason, _retry_ms(error, call))
        case Verdict.RATE_LIMITED | Verdict.CLOCK:
            return NotSent(reason, call.retry_after_ms or _RETRY_MS)
        case Verdict.REFUSED:
            return Refused(reason)
        case Verdict.NOT_FOUND:
            return NotFound(reason)
        case Verdict.UNKNOWN:
            return Unknown(reason)


def failed_read(error: BaseException, call: Call, secrets: Sequence[str] = ()) -> AccountError:
    """`ReadFailed`, or `NotFound` where the venue says that it has no such order."""
    verdict, reason = judge(error, call), reason_of(error, secrets)
    match verdict:
        case Verdict.NOT_FOUND:
            return NotFound(reason)
        case Verdict.REFUSED:
            return ReadFailed(reason, transient=False)
        case Verdict.NOT_SENT:
            retry = _retry_ms(error, call)
            return ReadFailed(reason, transient=retry > 0, retry_after_ms=retry)
        case Verdict.RATE_LIMITED:
            return ReadFailed(reason, retry_after_ms=call.retry_after_ms or _RETRY_MS)
        case Verdict.CLOCK | Verdict.UNKNOWN:
            return ReadFailed(reason, retry_after_ms=call.retry_after_ms)


def reason_of(error: BaseException, secrets: Sequence[str] = ()) -> str:
    """One short line that holds no key, signature or listen key; `secrets` are masked wherever they stand.

    What a venue says of the order itself stands deep in OKX's answer and is told first, lest it be cut off.
    """
    text = " ".join(str(error).split())
    inner = _INNER.search(text)
    if inner is not None:
        text = f"{text.partition('{')[0]}{venue_code(error)} {inner[1]}"
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _SECRET.sub(r"\1***", text)
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:_LONGEST_REASON]


def _kinds(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _definite(error: BaseException, status: int, kinds: frozenset[str]) -> bool:
    """Whether an error of the venue says for certain that the order never lived."""
    code = venue_code(error)
    if "DuplicateOrderId" in kinds or code in _TAKEN_ID or "duplicate" in str(error).lower():
        return False  # one with our id is there
    if type(error).__name__ != "ExchangeError":
        return True
    if code is None or code in _OPEN_CODES:
        return False
    # Codes that ccxt has no class for: Binance's come with 4xx, OKX says 51000 and above of orders.
    return (400 <= status < 500 and -10_000 < code < 0) or 51_000 <= code < 60_000


def _never_connected(error: BaseException) -> bool:
    """Whether no connection came about. aiohttp never repeats a POST, so then nothing was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if _kinds(cause) & _NEVER_CONNECTED:
            return True
        cause = cause.__cause__
    return False


def _retry_ms(error: BaseException, call: Call) -> int:
    """When another try may help, in ms; 0 where it will not."""
    if isinstance(error, BudgetSpent):
        return max(error.retry_after_ms, 1)
    helps = isinstance(error, TimeoutError) or "OperationFailed" in _kinds(error)
    return (call.retry_after_ms or _RETRY_MS) if helps else 0
