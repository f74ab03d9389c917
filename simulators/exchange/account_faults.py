"""Ways in which an account can be told wrongly, or treated roughly.

Updates lost, twice or out of order, fills in slices, things left out of an answer, keys that expire, a symbol that goes away,
rules that change.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from simulators.exchange.events import Event
from simulators.exchange.faults import Count, Seconds
from simulators.exchange.random_faults import Chance, Slip

_MAX_HELD = 10_000
_MAX_RULES = 1_000
_OUT_OF_ORDER_SECONDS = 1.0
_Positive = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]


class Thing(StrEnum):
    """What can be left out of an answer."""

    ORDER = "order"
    BALANCE = "balance"
    TRADE = "trade"


@dataclass(frozen=True, slots=True)
class UserStall:
    """Private streams stay open and say nothing; what happens meanwhile is never told. `seconds` None: until `Clear`."""

    seconds: Seconds | None = None
    fault: Literal["user_stall"] = "user_stall"


@dataclass(frozen=True, slots=True)
class UserLoss:
    """The next `count` private updates are lost."""

    count: Count = 1
    fault: Literal["user_loss"] = "user_loss"


@dataclass(frozen=True, slots=True)
class UserRepeat:
    """The next `count` private updates are told twice."""

    count: Count = 1
    fault: Literal["user_repeat"] = "user_repeat"


@dataclass(frozen=True, slots=True)
class UserReorder:
    """The next `count` private updates are held back and then told in reverse; after `seconds` those that came by then."""

    count: Annotated[int, Field(ge=2, le=_MAX_HELD)] = 2
    seconds: Seconds = 2.0
    fault: Literal["user_reorder"] = "user_reorder"


@dataclass(frozen=True, slots=True)
class PartialFill:
    """The next `count` new orders fill by at most `fraction` of their amount at a time; a market order's remainder expires."""

    fraction: Annotated[Decimal, Field(gt=0, lt=1)] = Decimal("0.4")
    count: Count = 1
    fault: Literal["partial_fill"] = "partial_fill"


@dataclass(frozen=True, slots=True)
class Omitted:
    """The next `count` answers that hold the thing leave it out: an order by client id, a balance by asset, a trade by its id.

    `name` None: the newest order or trade, the first balance. Lists get shorter; a question for that very order says that it
    does not exist.
    """

    thing: Thing
    name: str | None = None
    count: Count = 1
    fault: Literal["omitted"] = "omitted"


@dataclass(frozen=True, slots=True)
class ListenKeyExpiry:
    """Every listen key expires now, and private subscriptions end with `eventStreamTerminated`."""

    fault: Literal["listen_key_expiry"] = "listen_key_expiry"


@dataclass(frozen=True, slots=True)
class Delist:
    """Trading of a symbol ends: its orders are cancelled and its status is BREAK."""

    symbol: str
    fault: Literal["delist"] = "delist"


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Other rules for a symbol from now on; what is None stays. It is for good: `Clear` does not bring the old ones back."""

    symbol: str
    price_step: _Positive | None = None
    amount_step: _Positive | None = None
    min_amount: _Positive | None = None
    min_cost: _Positive | None = None
    fault: Literal["change_filter"] = "change_filter"


AccountFault = UserStall | UserLoss | UserRepeat | UserReorder | PartialFill | Omitted | ListenKeyExpiry | Delist | ChangeFilter
TellingFault = UserStall | UserLoss | UserRepeat | UserReorder | Omitted


@dataclass(slots=True)
class _Left:
    fault: UserLoss | UserRepeat | UserReorder | Omitted
    left: int


@dataclass(slots=True)
class Telling:
    """What is on, of the faults that change what accounts are told. `counts` tells what they did."""

    clock: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=Counter)
    chance: Chance = field(default_factory=Chance)
    _stalled_until: float = -1.0
    _rules: list[_Left] = field(default_factory=list)
    _held: deque[Event] = field(default_factory=lambda: deque(maxlen=_MAX_HELD))

    def apply(self, fault: TellingFault) -> None:
        """Switch one on; `ValueError` when there are too many."""
        if isinstance(fault, UserStall):
            self._stalled_until = math.inf if fault.seconds is None else self.clock() + fault.seconds
            return
        if len(self._rules) >= _MAX_RULES:
            message = f"{_MAX_RULES} faults are on already; send a clear first"
            raise ValueError(message)
        self._rules.append(_Left(fault, fault.count))

    def clear(self) -> None:
        """Everything goes off; what is held back is for `release`."""
        self._stalled_until = -1.0
        self._rules.clear()

    def active(self) -> list[str]:
        """What is on, in words."""
        words = [f"{rule.fault!r} ({rule.left} left)" for rule in self._rules]
        return words + (["UserStall()"] if self.stalled else [])

    @property
    def stalled(self) -> bool:
        """Whether private streams are silent."""
        return self.clock() < self._stalled_until

    @property
    def holding(self) -> bool:
        """Whether updates are held back."""
        return bool(self._held)

    @property
    def patience(self) -> float:
        """Seconds for which updates are held back at most."""
        held_for = (rule.fault.seconds for rule in self._rules if isinstance(rule.fault, UserReorder))
        return max(held_for, default=_OUT_OF_ORDER_SECONDS)

    def told(self, event: Event) -> list[Event]:
        """What is told now, instead of an event."""
        if self.stalled:
            self.counts["user_stalled"] += 1
            return []
        for rule in self._rules:
            if isinstance(rule.fault, Omitted):
                continue
            self._use(rule)
            if isinstance(rule.fault, UserLoss):
                return []
            if isinstance(rule.fault, UserRepeat):
                return [event, event]
            self._held.append(event)
            return self.release() if rule.left <= 0 else []
        return self._by_chance(event)

    def _by_chance(self, event: Event) -> list[Event]:
        match self.chance.update():
            case Slip.LOST:
                return []
            case Slip.REPEATED:
                return [event, event, *self.release()]
            case Slip.REORDERED:
                self._held.append(event)
                return []
            case None:
                return [event, *self.release()]

    def release(self) -> list[Event]:
        """What was held back, newest first."""
        held = list(reversed(self._held))
        self._held.clear()
        self._rules = [rule for rule in self._rules if not isinstance(rule.fault, UserReorder)]
        return held

    def omitted(self, thing: Thing, names: list[str]) -> str | None:
        """Which of the names an answer leaves out, used up by asking; the last of them stands for the newest."""
        for rule in self._rules:
            if isinstance(rule.fault, Omitted) and rule.fault.thing is thing and names:
                name = rule.fault.name or (names[0] if thing is Thing.BALANCE else names[-1])
                if name in names:
                    self._use(rule)
                    return name
        return None

    def _use(self, rule: _Left) -> None:
        rule.left -= 1
        self.counts[rule.fault.fault] += 1
        if rule.left <= 0:
            self._rules = [other for other in self._rules if other is not rule]
