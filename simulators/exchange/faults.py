"""The ways in which the exchange can go wrong, as values, and what is switched on at the moment.

A fault is a value with units in its fields; `Switchboard.apply` turns on those that change what is sent or answered, the server
does those that happen once. Patterns are shell-like (`btcusdt@*`, `/api/v3/klines`). Times are seconds from now, by a clock that
only moves forward.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sized
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import orjson
from pydantic import Field

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, le=100_000)]
_FOREVER = math.inf
_MAX_RULES = 1_000
_PRICES = frozenset({"p", "a", "b", "c", "o", "h", "l"})


@dataclass(frozen=True, slots=True)
class Stall:
    """Sockets stay open and say nothing, acknowledgements included. `seconds` None: until `Clear`."""

    seconds: Seconds | None = None
    fault: Literal["stall"] = "stall"


@dataclass(frozen=True, slots=True)
class Gap:
    """Events of matching streams are lost for `seconds`, or until `count` of them are; of candles only closed ones count.

    With neither, until `Clear`.
    """

    streams: str = "*"
    seconds: Seconds | None = None
    count: Count | None = None
    fault: Literal["gap"] = "gap"


@dataclass(frozen=True, slots=True)
class Poison:
    """Send these texts as they are to every socket that has a matching stream."""

    frames: tuple[str, ...] = ("{bad json", "[]", '{"e":"trade","s":null,"p":null}', "null", "garbage")
    streams: str = "*"
    fault: Literal["poison"] = "poison"


class Ending(StrEnum):
    """How a connection ends: with a close frame, or without a word."""

    CLOSE = "close"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End every socket, or only those of market data or of accounts."""

    how: Ending = Ending.CLOSE
    sockets: Literal["all", "market", "user"] = "all"
    fault: Literal["disconnect"] = "disconnect"


@dataclass(frozen=True, slots=True)
class Burst:
    """Print this many trades of a symbol at once, with consecutive ids, within the next second. They count in its candles."""

    symbol: str
    trades: Count
    fault: Literal["burst"] = "burst"


@dataclass(frozen=True, slots=True)
class Shock:
    """Multiply the price of a symbol for good, from the next second on."""

    symbol: str
    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    fault: Literal["shock"] = "shock"


@dataclass(frozen=True, slots=True)
class Latency:
    """Requests of matching REST paths and HTTP methods are answered this much later. `delay` 0 ends it."""

    delay: Annotated[float, Field(ge=0, le=120)]
    path: str = "*"
    method: str = "*"
    fault: Literal["latency"] = "latency"


@dataclass(frozen=True, slots=True)
class Status:
    """The next `count` requests of matching REST paths and HTTP methods are answered with this HTTP status."""

    code: Annotated[int, Field(ge=400, le=599)]
    path: str = "*"
    method: str = "*"
    count: Count = 1
    retry_after: Annotated[int, Field(ge=0)] | None = None
    fault: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """The venue's clock (server time and event times `E`) is this many milliseconds ahead; candles and trades are not moved."""

    milliseconds: int
    fault: Literal["clock_skew"] = "clock_skew"


@dataclass(frozen=True, slots=True)
class Absurd:
    """The prices of the next `count` events of matching streams are multiplied, or replaced by a text such as `NaN`."""

    streams: str = "*@bookTicker"
    factor: float = 100.0
    text: str | None = None
    count: Count = 1
    fault: Literal["absurd"] = "absurd"


@dataclass(frozen=True, slots=True)
class Clear:
    """Everything that is on goes off."""

    fault: Literal["clear"] = "clear"


Fault = Stall | Gap | Poison | Disconnect | Burst | Shock | Latency | Status | ClockSkew | Absurd | Clear


@dataclass(slots=True)
class _Rule:
    """A fault that is on until a time or until it has been used `left` times."""

    fault: Gap | Absurd | Status
    pattern: str
    until: float = _FOREVER
    left: float = _FOREVER


@dataclass(slots=True)
class Switchboard:
    """What is on. `counts` tells what it did: events stalled, dropped and made absurd, requests delayed and refused."""

    clock: Callable[[], float] = time.monotonic
    skew_ms: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _stalled_until: float = -1.0
    _latencies: dict[tuple[str, str], Latency] = field(default_factory=dict)
    _rules: list[_Rule] = field(default_factory=list)

    def apply(self, fault: Stall | Gap | Latency | Status | ClockSkew | Absurd | Clear) -> None:
        """Switch a lasting fault on; `ValueError` when there are too many."""
        match fault:
            case Stall():
                self._stalled_until = self._until(fault.seconds)
            case Gap():
                self._add(_Rule(fault, fault.streams, self._until(fault.seconds), fault.count or _FOREVER))
            case Absurd():
                self._add(_Rule(fault, fault.streams, left=fault.count))
            case Status():
                self._add(_Rule(fault, fault.path, left=fault.count))
            case Latency():
                self._delay(fault)
            case ClockSkew():
                self.skew_ms = fault.milliseconds
            case Clear():
                self._stalled_until, self.skew_ms = -1.0, 0
                self._latencies.clear()
                self._rules.clear()

    def active(self) -> list[str]:
        """What is on, in words."""
        words = [repr(rule.fault) for rule in self._live()]
        words += [repr(fault) for fault in self._latencies.values()]
        words += ["Stall()"] if self.stalled else []
        return words + ([f"ClockSkew(milliseconds={self.skew_ms})"] if self.skew_ms else [])

    @property
    def stalled(self) -> bool:
        """Whether sockets are silent."""
        return self.clock() < self._stalled_until

    @property
    def quiet(self) -> bool:
        """Whether nothing touches what is sent (the usual case, asked for every event)."""
        return not self._rules and self._stalled_until < 0

    def passes(self, stream: str, payload: bytes, counts: bool) -> bytes | None:
        """What becomes of an event: None when it is lost. `counts` is False for an unfinished candle."""
        if self.stalled:
            self.counts["stalled"] += 1
            return None
        for rule in self._live():
            if isinstance(rule.fault, Gap) and fnmatchcase(stream, rule.pattern):
                rule.left -= counts
                self.counts["dropped"] += 1
                return None
            if isinstance(rule.fault, Absurd) and fnmatchcase(stream, rule.pattern):
                rule.left -= 1
                self.counts["absurd"] += 1
                return _absurd(payload, rule.fault)
        return payload

    def refusal(self, path: str, method: str = "GET") -> Status | None:
        """The status that a request shall get instead of an answer, used up by asking."""
        for rule in self._live():
            fault = rule.fault
            if isinstance(fault, Status) and fnmatchcase(path, rule.pattern) and fnmatchcase(method, fault.method):
                rule.left -= 1
                self.counts["refused"] += 1
                return fault
        return None

    def delay(self, path: str, method: str = "GET") -> float:
        """Seconds by which the answer comes later."""
        slow = self._latencies.values()
        delay = max((one.delay for one in slow if fnmatchcase(path, one.path) and fnmatchcase(method, one.method)), default=0.0)
        if delay:
            self.counts["delayed"] += 1
        return delay

    def _until(self, seconds: float | None) -> float:
        return _FOREVER if seconds is None else self.clock() + seconds

    def _delay(self, fault: Latency) -> None:
        self._latencies.pop((fault.method, fault.path), None)
        if fault.delay:
            self._room(self._latencies)
            self._latencies[(fault.method, fault.path)] = fault

    def _add(self, rule: _Rule) -> None:
        self._room(self._live())
        self._rules.append(rule)

    def _room(self, switched: Sized) -> None:
        if len(switched) >= _MAX_RULES:
            message = f"{_MAX_RULES} faults are on already; send a clear first"
            raise ValueError(message)

    def _live(self) -> list[_Rule]:
        now = self.clock()
        if any(rule.left <= 0 or rule.until <= now for rule in self._rules):
            self._rules = [rule for rule in self._rules if rule.left > 0 and rule.until > now]
        return self._rules


def _absurd(payload: bytes, fault: Absurd) -> bytes:
    """The event with its price fields (and those of its candle) replaced."""
    event = orjson.loads(payload)
    if isinstance(event, dict):
        for body in (event, event.get("k", {})):
            for key in sorted(_PRICES & body.keys()):
                if isinstance(body[key], str):
                    body[key] = fault.text if fault.text is not None else f"{float(body[key]) * fault.factor:.8f}"
    return orjson.dumps(event)
