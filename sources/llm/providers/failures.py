"""What the SDKs raise, sorted by what is to be done about it.

Both SDKs name their exceptions alike, so they are known by name and neither is imported here. What a provider wrote is shown, for
it often names the remedy, but without anything that looks like a key or an account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from sources.llm.asking import LlmError, Trouble
from sources.llm.providers.http import ReplyTooLarge

_LONGEST = 300
_SECRET = re.compile(
    r"(?i)\b(?:sk|pk|rk|xai|gsk|org|proj|user|acct|account|wrkspc|key)[-_][A-Za-z0-9*_.-]{6,}|\bAIza[\w-]{6,}|bearer\s+\S+"
    r"|\b[A-Za-z0-9_-]{32,}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|[\w.+-]+@[\w.-]+"
)
_NO_CREDIT = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached", "insufficient_credits"})
_BY_TYPE: Mapping[str, Trouble] = {
    "authentication_error": Trouble.AUTHENTICATION,
    "invalid_api_key": Trouble.AUTHENTICATION,
    "permission_error": Trouble.AUTHENTICATION,
    "rate_limit_error": Trouble.RATE_LIMIT,
    "rate_limit_exceeded": Trouble.RATE_LIMIT,
    "overloaded_error": Trouble.OVERLOAD,
    "server_overloaded": Trouble.OVERLOAD,
    "slow_down": Trouble.OVERLOAD,
    "service_unavailable": Trouble.OVERLOAD,
    "timeout_error": Trouble.TIMEOUT,
    "invalid_request_error": Trouble.BAD_REQUEST,
    "invalid_prompt": Trouble.BAD_REQUEST,
    "not_found_error": Trouble.BAD_REQUEST,
    "request_too_large": Trouble.BAD_REQUEST,
    **dict.fromkeys(_NO_CREDIT, Trouble.CREDIT),
}
_BY_STATUS: Mapping[int, Trouble] = {
    401: Trouble.AUTHENTICATION,
    402: Trouble.CREDIT,
    403: Trouble.AUTHENTICATION,
    408: Trouble.TIMEOUT,
    409: Trouble.SERVER,
    425: Trouble.OVERLOAD,
    429: Trouble.RATE_LIMIT,
    503: Trouble.OVERLOAD,
    504: Trouble.TIMEOUT,
    524: Trouble.TIMEOUT,
    529: Trouble.OVERLOAD,
}
_GOOGLE_KEY = ("api key not valid", "api_key_invalid", "api key expired")  # Gemini says so with 400
_UNSENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})
_LATE = frozenset({"TimeoutException", "APITimeoutError"})
_LONGEST_WAIT = 7 * 86_400.0


def plain(text: object, secrets: tuple[str, ...] = ()) -> str:
    """One short line of what somebody else wrote, without keys, ids and control characters."""
    line = str(text)[: 4 * _LONGEST]
    for secret in secrets:
        if secret:
            line = line.replace(secret, "[secret]")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in _SECRET.sub("[hidden]", line)).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def failure(error: Exception, provider: str, model: str, secrets: tuple[str, ...]) -> LlmError:
    """The `LlmError` of what an SDK or its HTTP client raised."""
    if any(isinstance(cause, ReplyTooLarge) for cause in _causes(error)):
        reason = "the reply was larger than its cap and was cut off"
        return LlmError(Trouble.TOO_LARGE, reason, provider=provider, model=model, may_have_been_billed=True)
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return _refused(error, status, provider, model, secrets)
    if isinstance(error, TypeError | ValueError) and error.__cause__ is None:
        reason = f"the request could not be made: {plain(_innermost(error), secrets)}"
        return LlmError(Trouble.BAD_REQUEST, reason, provider=provider, model=model)
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    sent = not names & _UNSENT
    trouble = Trouble.TIMEOUT if names & _LATE and sent else Trouble.TRANSPORT
    reason = f"{'the connection broke' if sent else 'no connection'}: {plain(_innermost(error), secrets)}"
    return LlmError(trouble, reason, provider=provider, model=model, may_have_been_billed=sent)


def _refused(error: Exception, status: int, provider: str, model: str, secrets: tuple[str, ...]) -> LlmError:
    response = getattr(error, "response", None)
    headers: Mapping[str, str] = getattr(response, "headers", None) or {}
    kind, said = told(getattr(error, "body", None))
    trouble = trouble_of(status, kind, said)
    return LlmError(
        trouble,
        f"HTTP {status}{f' ({plain(kind, secrets)})' if kind else ''}: {plain(said or 'no reason given', secrets)}",
        provider=provider,
        model=model,
        may_have_been_billed=trouble is Trouble.TIMEOUT,
        retry_after_s=retry_after(headers),
        status=status,
        request_id=plain_id(headers.get("x-request-id") or headers.get("request-id")),
    )


def in_stream(body: object, provider: str, model: str, secrets: tuple[str, ...]) -> LlmError:
    """The `LlmError` of an error event in a stream that had begun well; the prompt may have been billed."""
    kind, said = told(body)
    trouble = _BY_TYPE.get(kind, Trouble.SERVER)
    reason = f"the stream broke off ({plain(kind, secrets) or 'no kind'}): {plain(said, secrets)}"
    return LlmError(trouble, reason, provider=provider, model=model, may_have_been_billed=True, status=200)


def trouble_of(status: int, kind: str, said: str = "") -> Trouble:
    """What a status and the error's own kind mean together."""
    if kind in _NO_CREDIT and status in {400, 402, 403, 429}:
        return Trouble.CREDIT
    if status == 400 and any(words in f"{kind} {said}".lower() for words in _GOOGLE_KEY):
        return Trouble.AUTHENTICATION
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Trouble.SERVER if status >= 500 else Trouble.BAD_REQUEST


def told(body: object) -> tuple[str, str]:
    """The kind of an error and its message, from a body in any of the dialects; Gemini wraps it in a list."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return "", "" if body is None else str(body)
    inner = body.get("error", body)
    if not isinstance(inner, Mapping):
        return "", str(inner)
    kinds = [inner.get("code"), inner.get("type"), inner.get("status")]
    words = [kind for kind in kinds if isinstance(kind, str)]
    known = [word for word in words if word in _BY_TYPE]
    return (known or words or [""])[0], str(inner.get("message", ""))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait; None where it does not say, at most a week."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _until(text)
        if 0 <= seconds < float("inf"):
            return min(seconds, _LONGEST_WAIT)
    return None


def _until(text: str) -> float:
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return -1.0


def plain_id(text: object) -> str:
    """A request id, if it is one."""
    return text if isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_.:-]{1,128}", text) else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _innermost(error: BaseException) -> Any:
    last = list(_causes(error))[-1]
    return f"{type(last).__name__} {last}"
