"""Ways in which an answer can go wrong: lost, late for ever, unreadable, or an error that leaves open what happened.

They match by HTTP method and path (`POST`, `/api/v3/order`); a websocket request matches as method `WS` and path
`/ws-api/v3/order.place`. `when` says on which side of the venue's acting the fault strikes: after it, the order is live.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from simulators.exchange.faults import Count, Seconds

_MAX_RULES = 1_000
_HANG = 60.0


class When(StrEnum):
    """Before the venue acts on the request, or after."""

    BEFORE = "before"
    AFTER = "after"


class Garbage(StrEnum):
    """What stands in the body of an HTTP 200."""

    HTML = "html"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    BRACES = "braces"


@dataclass(frozen=True, slots=True)
class Dropped:
    """The next `count` matching requests end without an answer: the connection breaks."""

    when: When = When.AFTER
    path: str = "*"
    method: str = "*"
    count: Count = 1
    fault: Literal["dropped"] = "dropped"


@dataclass(frozen=True, slots=True)
class Hung:
    """The next `count` matching requests get no answer for `seconds` (or until `Clear`), then the connection breaks."""

    when: When = When.AFTER
    path: str = "*"
    method: str = "*"
    count: Count = 1
    seconds: Seconds = _HANG
    fault: Literal["hung"] = "hung"


@dataclass(frozen=True, slots=True)
class Garbled:
    """The next `count` matching requests are answered with HTTP 200 and nonsense."""

    body: Garbage = Garbage.HTML
    when: When = When.AFTER
    path: str = "*"
    method: str = "*"
    count: Count = 1
    fault: Literal["garbled"] = "garbled"


@dataclass(frozen=True, slots=True)
class Coded:
    """The next `count` matching requests are answered with this error code; with `when: after` they are obeyed all the same."""

    code: int
    message: str = "simulated"
    status: Annotated[int, Field(ge=400, le=599)] = 400
    when: When = When.BEFORE
    path: str = "*"
    method: str = "*"
    count: Count = 1
    fault: Literal["coded"] = "coded"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Every request is answered with 503 and Retry-After, and the system status says so; `seconds` None: until `Clear`."""

    seconds: Seconds | None = None
    retry_after: Annotated[int, Field(ge=0)] = 5
    fault: Literal["maintenance"] = "maintenance"


AnswerFault = Dropped | Hung | Garbled | Coded | Maintenance
Strike = Dropped | Hung | Garbled | Coded


@dataclass(slots=True)
class _Rule:
    fault: Strike
    left: int


@dataclass(slots=True)
class Answers:
    """What is on. `counts` tells what it did, by the name of the fault."""

    clock: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=Counter)
    _rules: list[_Rule] = field(default_factory=list)
    _maintenance: Maintenance | None = None
    _maintained_until: float = -1.0
    _release: asyncio.Event = field(default_factory=asyncio.Event)

    def apply(self, fault: AnswerFault) -> None:
        """Switch one on; `ValueError` when there are too many."""
        if isinstance(fault, Maintenance):
            self._maintenance = fault
            self._maintained_until = math.inf if fault.seconds is None else self.clock() + fault.seconds
            return
        if len(self._rules) >= _MAX_RULES:
            message = f"{_MAX_RULES} faults are on already; send a clear first"
            raise ValueError(message)
        self._rules.append(_Rule(fault, fault.count))

    def clear(self) -> None:
        """Everything goes off, and what hangs breaks."""
        self._rules.clear()
        self._maintained_until = -1.0
        self._release.set()
        self._release = asyncio.Event()

    def active(self) -> list[str]:
        """What is on, in words."""
        words = [f"{rule.fault!r} ({rule.left} left)" for rule in self._rules]
        return words + ([repr(self._maintenance)] if self.maintenance() is not None else [])

    def maintenance(self) -> Maintenance | None:
        """The maintenance that goes on."""
        return self._maintenance if self.clock() < self._maintained_until else None

    def strike(self, when: When, method: str, path: str) -> Strike | None:
        """The fault that strikes this request on this side of acting, used up by asking."""
        for rule in self._rules:
            fault = rule.fault
            if fault.when is when and fnmatchcase(method, fault.method) and fnmatchcase(path, fault.path):
                rule.left -= 1
                if rule.left <= 0:
                    self._rules.remove(rule)
                self.counts[fault.fault] += 1
                return fault
        return None

    async def hang(self, seconds: float) -> None:
        """Wait until that time is over or everything is cleared."""
        try:
            await asyncio.wait_for(self._release.wait(), seconds)
        except TimeoutError:
            return


def garbage(body: Garbage, answer: bytes) -> bytes:
    """What is sent instead of an answer."""
    match body:
        case Garbage.HTML:
            return b"<html><body>Just a moment...</body></html>"
        case Garbage.TRUNCATED:
            return answer[: len(answer) * 2 // 3] or b'{"sym'
        case Garbage.EMPTY:
            return b""
        case Garbage.BRACES:
            return b"{}"
