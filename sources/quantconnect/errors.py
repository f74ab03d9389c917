"""What can go wrong with a call to QuantConnect, sorted by what is to be done about it.

The service answers nearly every failure with status 200 and a sentence, so the sentence is what is sorted. A 5xx is never a
matter of credentials: the service answers so for many things, and calling it a bad token sends people the wrong way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

_LONGEST_REASON = 300
_DIGEST = re.compile(r"\b[0-9a-fA-F]{64}\b")
_COMPILE_UNKNOWN = "compile id not found"


class Kind(StrEnum):
    """Whose trouble it is."""

    AUTHENTICATION = "authentication"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    CAPACITY = "capacity"
    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    TRANSPORT = "transport"
    UNREADABLE = "unreadable"


REMEDIES: Mapping[Kind, str] = {
    Kind.AUTHENTICATION: "check QUANTCONNECT_USER_ID, QUANTCONNECT_API_TOKEN and this machine's clock",
    Kind.BAD_REQUEST: "correct the request: the service will refuse it again as it is",
    Kind.NOT_FOUND: "check the id: it may have been deleted, or belong to another account",
    Kind.CAPACITY: "wait for a node, stop or delete a running backtest, or add a node",
    Kind.RATE_LIMIT: "wait, and lower the request budget if it happens often",
    Kind.SERVER: "try again later: the trouble is at QuantConnect",
    Kind.TRANSPORT: "check the network, the proxy and the base URL; try again later",
    Kind.UNREADABLE: "try again later; if it stays so, check the base URL, for the interface may have changed",
}


class QcError(Exception):
    """A call that came to nothing, or of which nobody knows what it came to.

    `may_have_happened` is True where the request may have reached the service and no answer of its own came back: if it was to
    change something there, look before you do it again. `transient` says that the same call may work later.
    """

    def __init__(
        self,
        kind: Kind,
        endpoint: str,
        reason: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        may_have_happened: bool = False,
        transient: bool | None = None,
        remedy: str | None = None,
    ) -> None:
        self.kind = kind
        self.endpoint = endpoint
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s
        self.may_have_happened = may_have_happened
        self.transient = kind in _TRANSIENT if transient is None else transient
        self.remedy = REMEDIES[kind] if remedy is None else remedy
        super().__init__(f"QuantConnect {endpoint}: {kind}: {reason}; {self.remedy}")

    @property
    def compile_unknown(self) -> bool:
        """Whether it does not know the compile's id, which is also what it says in the first seconds after a compile."""
        return _COMPILE_UNKNOWN in self.reason.lower()


_TRANSIENT = frozenset({Kind.CAPACITY, Kind.RATE_LIMIT, Kind.SERVER, Kind.TRANSPORT, Kind.UNREADABLE})

_SENTENCES: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (Kind.CAPACITY, ("no spare nodes",)),
    (Kind.RATE_LIMIT, ("slow down", "too many requests", "too many backtest requests", "rate limit")),
    (Kind.SERVER, ("internal error", "internal server error")),
    (Kind.BAD_REQUEST, (_COMPILE_UNKNOWN,)),  # before "not found": the id is part of the request
    (Kind.NOT_FOUND, ("no live deployment found", "not found", "does not exist", "doesn't exist")),
)
_CREDENTIALS = ("hash doesn't match", "userid not valid")


def kind_of_sentence(text: str) -> Kind:
    """What kind of failure a sentence of the service tells of; a sentence nobody knows is a bad request."""
    lowered = text.strip().lower()
    if lowered.startswith(_CREDENTIALS):
        return Kind.AUTHENTICATION
    return next((kind for kind, marks in _SENTENCES if any(mark in lowered for mark in marks)), Kind.BAD_REQUEST)


def kind_of_status(status: int) -> Kind | None:
    """What kind of failure an HTTP status is by itself; None where it is none, or where the body must tell."""
    if status >= 500:
        return Kind.SERVER
    if status in {401, 403}:
        return Kind.AUTHENTICATION
    return {404: Kind.NOT_FOUND, 408: Kind.TRANSPORT, 413: Kind.BAD_REQUEST, 429: Kind.RATE_LIMIT}.get(status)


def cleaned(text: str, secrets: Iterable[str] = ()) -> str:
    """A text of the service that may be shown: one line, of bounded length, without secrets and digests.

    An old form of the refusal repeats the hash it was sent, and a hash opens the account for two hours.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = " ".join(_DIGEST.sub("***", text).split())
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
