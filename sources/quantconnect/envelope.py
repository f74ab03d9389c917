"""What an answer says before anybody looks at what is in it: whether it is one, and whether it is a yes.

Pure. The status is 200 for nearly everything; `success` is the only word to trust, and a page that is not JSON is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from sources.quantconnect.errors import Kind, QcError, cleaned, kind_of_sentence, kind_of_status

_TOO_LARGE = "send less: the size of files and requests is limited by your tier"
_YES = frozenset({"true", "1"})


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def opened(
    endpoint: str, reply: Reply, now: Callable[[], float], secrets: Iterable[str] = (), pending: str | None = None
) -> dict[str, Any]:
    """The payload of an answer that says yes; everything else is a `QcError`.

    `pending` is a key that, where it is true, makes an answer of what says neither yes nor why not.
    """
    answer, status, body, headers = _parsed(reply.body), reply.status, reply.body, reply.headers
    kind = kind_of_status(status)
    if kind is None and 200 <= status < 300:
        if answer is None:
            raise QcError(Kind.UNREADABLE, endpoint, _no_answer(body), status=status, may_have_happened=True)
        if says_yes(answer) or (pending is not None and answer.get(pending) is True):
            return answer
    reason = cleaned(sentence(answer) or f"HTTP {status}: {_no_answer(body)}", secrets)
    if kind is None:
        silent = answer is None or (sentence(answer) is None and not ("success" in answer or "Success" in answer))
        kind = Kind.UNREADABLE if silent else kind_of_sentence(reason)
    raise QcError(
        kind,
        endpoint,
        _without_credentials(reason) if kind is Kind.AUTHENTICATION else reason,
        status=status,
        retry_after_s=retry_after(headers.get("Retry-After"), now) if status in {429, 503} else None,
        may_have_happened=answer is None and kind in {Kind.SERVER, Kind.UNREADABLE, Kind.TRANSPORT},
        remedy=_TOO_LARGE if status == 413 else None,
    )


def says_yes(answer: Mapping[str, Any]) -> bool:
    """Whether it is a success. One that says nothing of it is not."""
    return str(answer.get("success", answer.get("Success"))).lower() in _YES


def sentence(answer: Mapping[str, Any] | None) -> str | None:
    """The service's own words for a failure; it has kept them in three places over the years."""
    for key in ("errors", "messages", "Message", "message", "error"):
        found = (answer or {}).get(key)
        if isinstance(found, dict):
            found = list(found.values())
        if isinstance(found, list):
            found = "; ".join(str(entry) for entry in found if entry)
        if isinstance(found, str) and found.strip():
            return found
    return None


def retry_after(header: str | None, now: Callable[[], float]) -> float | None:
    """Seconds from now, from a number of seconds or a date."""
    if header is None:
        return None
    text = header.strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except ValueError:
        return None


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _no_answer(body: bytes) -> str:
    start = body[:200].lstrip().lower()
    if not start:
        return "an empty page"
    if start.startswith(b"<"):
        return "a web page instead of an answer"
    return "an answer without success or a reason" if start.startswith(b"{") else "no JSON object"


def _without_credentials(reason: str) -> str:
    """The older refusal goes on with the user's id, hash and timestamp."""
    return reason.split(" UID:", maxsplit=1)[0].rstrip()
