"""What would change something: a proposal of exact parameters, which a person confirms once, before it expires, or nobody does.

The text that a person reads is rendered from the parameters by code, none of it by a model. The token is bound to the hash of
the parameters, and no model ever sees it: a proposal that is changed afterwards can no longer be confirmed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from bot.services.use_case import UseCaseError

LASTS_MS = 300_000
_TOKEN_LETTERS = 12
_REASON = "proposed in chat and confirmed by a person"


class Kind(StrEnum):
    """What can be proposed, and nothing else."""

    KILL = "kill"
    REDUCE = "reduce"
    RESUME = "resume"
    PAUSE = "pause"
    UNPAUSE = "unpause"


class State(StrEnum):
    """How a proposal stands."""

    PENDING = "pending"
    CONFIRMED = "confirmed"  # and being carried out
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


_WITH_SOURCE = frozenset({Kind.PAUSE, Kind.UNPAUSE})
_FLATTENING = frozenset({Kind.KILL, Kind.REDUCE})
_RENDERED: Mapping[Kind, str] = {
    Kind.KILL: "HALT trading: no order is sent until somebody resumes",
    Kind.REDUCE: "Trade only to REDUCE positions: no new entries until somebody resumes",
    Kind.RESUME: "RESUME trading: entries are admitted again",
    Kind.PAUSE: "PAUSE the source {source}: it is not heard until somebody unpauses it",
    Kind.UNPAUSE: "UNPAUSE the source {source}: it is heard again",
}
_CLOSING = {True: ", and CLOSE EVERY POSITION at the market", False: "; positions stay as they are"}


class ProposalRefused(UseCaseError):  # noqa: N818 - what happened to it
    """It cannot be proposed or confirmed; the text is one line with the reason."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a person may confirm. `parameters` are exactly what will be carried out; `hash` is theirs; `expires` in ms UTC."""

    id: str
    session: str
    ts: int
    kind: Kind
    parameters: Mapping[str, Any]
    rendered: str
    hash: str
    nonce: str
    expires: int
    state: State = State.PENDING
    at: int = 0
    outcome: str = ""

    @property
    def token(self) -> str:
        """What confirms it; told to the person only."""
        said = f"{self.id}|{self.session}|{hash_of(self.kind, self.parameters)}|{self.expires}"
        return hmac.new(bytes.fromhex(self.nonce), said.encode(), hashlib.sha256).hexdigest()[:_TOKEN_LETTERS]

    @property
    def command(self) -> tuple[str, dict[str, object]]:
        """The desk's command and its arguments."""
        if self.kind in _WITH_SOURCE:
            return self.kind.value, dict(self.parameters)
        return self.kind.value, {**self.parameters, "reason": _REASON}

    def told(self) -> dict[str, object]:
        """As anybody may read it: without the token."""
        return {
            "id": self.id,
            "session": self.session,
            "ts": self.ts,
            "kind": self.kind.value,
            "parameters": dict(self.parameters),
            "rendered": self.rendered,
            "hash": self.hash,
            "expires": self.expires,
            "state": self.state.value,
            "outcome": self.outcome,
        }

    def check(self, token: str, now: int) -> None:
        """`ProposalRefused` unless this token may confirm it now."""
        if self.state is not State.PENDING:
            message = f"proposal {self.id} is {self.state.value}: each is carried out once at most; ask for another"
            raise ProposalRefused(message)
        if now >= self.expires:
            message = f"proposal {self.id} has expired: ask for another"
            raise ProposalRefused(message)
        intact = hmac.compare_digest(self.hash, hash_of(self.kind, self.parameters)) and self.rendered == rendered(
            self.kind, self.parameters
        )
        if not intact:
            message = f"proposal {self.id} is not as it was proposed: nothing is done"
            raise ProposalRefused(message)
        if not hmac.compare_digest(self.token.encode(), token.strip().lower().encode()):
            message = f"that token does not confirm proposal {self.id}: nothing is done"
            raise ProposalRefused(message)


def propose(session: str, given: Mapping[str, Any], sources: Mapping[str, str], now: int) -> Proposal:
    """A proposal from a model's arguments; `sources` are those of the running bot and how they are (`on`, `paused`).

    `ProposalRefused` for what is none, or would change nothing.
    """
    kind = _kind(given.get("kind"))
    parameters: dict[str, Any] = {}
    if kind in _WITH_SOURCE:
        parameters["source"] = _source(given.get("source"), kind, sources)
    elif kind in _FLATTENING:
        flatten = given.get("flatten")
        if not isinstance(flatten, bool):
            message = "flatten must be true or false"
            raise ProposalRefused(message)
        parameters["flatten"] = flatten
    return Proposal(
        id=secrets.token_hex(4),
        session=session,
        ts=now,
        kind=kind,
        parameters=parameters,
        rendered=rendered(kind, parameters),
        hash=hash_of(kind, parameters),
        nonce=secrets.token_hex(32),
        expires=now + LASTS_MS,
    )


def rendered(kind: Kind, parameters: Mapping[str, Any]) -> str:
    """What a person reads before confirming."""
    text = _RENDERED[kind].format(source=parameters.get("source", ""))
    return text + (_CLOSING[bool(parameters["flatten"])] if kind in _FLATTENING else "")


def hash_of(kind: Kind, parameters: Mapping[str, Any]) -> str:
    """SHA-256 of the kind and the exact parameters."""
    return hashlib.sha256(orjson.dumps([kind.value, dict(parameters)], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _kind(given: object) -> Kind:
    found = next((kind for kind in Kind if kind.value == given), None)
    if found is None:
        message = f"there is nothing of that kind to propose; there are {', '.join(Kind)}"
        raise ProposalRefused(message)
    return found


def _source(given: object, kind: Kind, sources: Mapping[str, str]) -> str:
    if not isinstance(given, str) or given not in sources:
        message = f"no source of the running bot has that name; there are {_few(sources)}"
        raise ProposalRefused(message)
    already = "paused" if kind is Kind.PAUSE else "on"
    if sources[given] == already:
        message = f"{given} is {already} already"
        raise ProposalRefused(message)
    return given


def _few(names: Collection[str]) -> str:
    return ", ".join(list(names)[:20]) or "none"
