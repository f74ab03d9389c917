"""Every fault there is, and the one place that makes them happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated

import structlog
from pydantic import Field, TypeAdapter

from bot.market.simulated import SimulatedMarket, UnknownSymbol
from simulators.exchange.account_faults import (
    ChangeFilter,
    Delist,
    ListenKeyExpiry,
    Omitted,
    PartialFill,
    Telling,
    UserLoss,
    UserReorder,
    UserRepeat,
    UserStall,
)
from simulators.exchange.answer_faults import Answers, Coded, Dropped, Garbled, Hung, Maintenance
from simulators.exchange.faults import (
    Absurd,
    Burst,
    Clear,
    ClockSkew,
    Disconnect,
    Gap,
    Latency,
    Poison,
    Shock,
    Stall,
    Status,
    Switchboard,
)
from simulators.exchange.hub import Hub
from simulators.exchange.listen_keys import ListenKeys
from simulators.exchange.matching import Engine, Slicing
from simulators.exchange.random_faults import Chance, RandomFaults
from simulators.exchange.user_streams import UserStreams

log = structlog.get_logger(__name__)

Fault = (
    Stall | Gap | Poison | Disconnect | Burst | Shock | Latency | Status | ClockSkew | Absurd | Clear
    | Dropped | Hung | Garbled | Coded | Maintenance
    | UserStall | UserLoss | UserRepeat | UserReorder | PartialFill | Omitted | ListenKeyExpiry | Delist | ChangeFilter
    | RandomFaults
)  # fmt: skip


def fault_reader() -> TypeAdapter[Fault]:
    """Reads a fault from JSON or from a mapping, by its `fault`."""
    return TypeAdapter(Annotated[Fault, Field(discriminator="fault")])


@dataclass(frozen=True, slots=True)
class Mischief:
    """Makes faults happen. `next_index` is the first step of the market of which nothing has been told yet."""

    market: SimulatedMarket
    engine: Engine
    hub: Hub
    streams: UserStreams
    keys: ListenKeys
    faults: Switchboard
    answers: Answers
    telling: Telling
    now: Callable[[], int]
    next_index: Callable[[], int]
    chance: Chance = field(default_factory=Chance)

    def inject(self, fault: Fault) -> None:
        """Make a fault happen, or switch it on; `ValueError` or `LookupError` when it cannot be."""
        match fault:
            case Dropped() | Hung() | Garbled() | Coded() | Maintenance():
                self.answers.apply(fault)
            case UserStall() | UserLoss() | UserRepeat() | UserReorder() | Omitted():
                self.telling.apply(fault)
            case PartialFill() | ListenKeyExpiry() | Delist() | ChangeFilter():
                self._treat(fault)
            case RandomFaults():
                self.chance.apply(fault)
            case Burst() | Shock() | Poison() | Disconnect():
                self._once(fault)
            case Clear():
                self.clear()
            case _:
                self.faults.apply(fault)
        log.info("fault_injected", fault=fault.fault)

    def clear(self) -> None:
        """Everything that is on goes off."""
        self.faults.apply(Clear())
        self.answers.clear()
        self.telling.clear()
        self.chance.clear()
        self.streams.release()
        self.engine.slicing = None

    def active(self) -> list[str]:
        """What is on, in words."""
        slicing = self.engine.slicing
        words = [f"PartialFill({slicing.fraction}) ({slicing.left} left)"] if slicing is not None else []
        return self.faults.active() + self.answers.active() + self.telling.active() + self.chance.active() + words

    def counts(self) -> Mapping[str, int]:
        """What the faults did."""
        return self.faults.counts + self.answers.counts + self.telling.counts + self.chance.counts

    def _once(self, fault: Burst | Shock | Poison | Disconnect) -> None:
        match fault:
            case Burst():
                self.market.burst(fault.symbol, self.next_index(), fault.trades)
            case Shock():
                self.market.shock(fault.symbol, self.next_index(), fault.factor)
            case Poison():
                self.hub.poison(fault.frames, lambda name: fnmatchcase(name, fault.streams))
            case Disconnect():
                if fault.sockets != "user":
                    self.hub.disconnect(fault.how)
                if fault.sockets != "market":
                    self.streams.disconnect(fault.how)

    def _treat(self, fault: PartialFill | ListenKeyExpiry | Delist | ChangeFilter) -> None:
        match fault:
            case PartialFill():
                self.engine.slicing = Slicing(fault.fraction, fault.count)
            case ListenKeyExpiry():
                self.keys.expire_all()
                self.streams.terminate()
            case Delist():
                self._known(fault.symbol)
                self.engine.delist(fault.symbol, self.now())
            case ChangeFilter():
                self._change(fault)

    def _change(self, fault: ChangeFilter) -> None:
        self._known(fault.symbol)
        given: dict[str, Decimal | None] = {
            "price_step": fault.price_step,
            "amount_step": fault.amount_step,
            "min_amount": fault.min_amount or fault.amount_step,
            "min_cost": fault.min_cost,
        }
        rules = self.engine.rules[fault.symbol]
        for name, value in given.items():
            if value is not None:
                rules = replace(rules, **{name: value})  # type: ignore[arg-type]  # the fields named above are decimals
        self.engine.change(rules)

    def _known(self, symbol: str) -> None:
        if symbol not in self.engine.rules:
            message = f"{symbol!r} is not listed here; one of {', '.join(self.engine.rules)} is"
            raise UnknownSymbol(message)
