"""What decisions would have earned on the market of a recorded run: every source's shadow ledger, driven by what was recorded.

A desk with the run's own rules (sizing, fills, fees) is shown the quotes and candles of the run and hears the decisions at the
moments at which the run asked; nobody trades, and each source's shadow ledger follows its own decisions alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from bot.core.decision import Action, Decision, SourceSpec, Tier, derive_id
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.effects import Record
from bot.core.facts import ShadowClosed
from bot.core.inputs import Input, InstrumentChanged, Proposed, SourceJoined
from bot.core.market import Candle, Instrument, Quote
from bot.journal.errors import JournalCorrupt
from bot.journal.reading import SegmentReader
from bot.services.llm.eval_asking import Moment, Opinion
from bot.services.use_case import UseCaseError

HOLD_MS = 365 * 86_400_000
BUY_AND_HOLD = "baseline:buy-and-hold"
CASH = "baseline:hold"


@dataclass(frozen=True, slots=True)
class Earning:
    """What a source's shadow ledger came to, in the accounting currency; fees are in it."""

    pnl: float
    fees: float
    fills: int
    trades: int
    wins: int
    closed: tuple[ShadowClosed, ...] = ()


@dataclass(slots=True)
class Stage:
    """The market of a run: the rules of its desk, its files and what was listed when it began."""

    config: DeskConfig
    paths: Sequence[Path]
    instruments: Sequence[Instrument] = ()
    quotes: int = field(default=0, init=False)

    def earnings(self, scripts: Mapping[str, Sequence[Decision]]) -> Mapping[str, Earning]:
        """What each source would have earned by its decisions. `UseCaseError` where the recorded market cannot be read."""
        desk = TradingDesk(replace(self.config, sample_ms=0))
        closed: dict[str, list[ShadowClosed]] = {name: [] for name in scripts}
        for name in scripts:
            desk.handle(SourceJoined(0, SourceSpec(name, Tier.LLM, capital=Decimal(1), settle_ms=0), "evaluation"))
        for instrument in self.instruments:
            desk.handle(InstrumentChanged(0, instrument))
        waiting = sorted((one for each in scripts.values() for one in each), key=lambda one: (one.created, one.source, one.id))
        place = 0
        try:
            for event in self._market():
                # What closed at the moment of a decision was known to it; what comes with the next event was not.
                while place < len(waiting) and waiting[place].created < event.at:
                    _hear(desk, Proposed(waiting[place].created, waiting[place]), closed)
                    place += 1
                _hear(desk, event, closed)
        except JournalCorrupt as error:
            raise UseCaseError(str(error)) from error
        return {name: _earning(desk, name, closed[name], self.config.balance) for name in scripts}

    def _market(self) -> Iterator[Input]:
        """The market's part of what was recorded."""
        self.quotes = 0
        for recorded in SegmentReader(self.paths):
            event = recorded.event
            if isinstance(event, Quote | Candle | InstrumentChanged):
                self.quotes += isinstance(event, Quote)
                yield event


def _hear(desk: TradingDesk, event: Input, closed: Mapping[str, list[ShadowClosed]]) -> None:
    for effect in desk.handle(event):
        if isinstance(effect, Record) and isinstance(effect.fact, ShadowClosed):
            closed[effect.fact.source].append(effect.fact)


def _earning(desk: TradingDesk, name: str, closed: Sequence[ShadowClosed], balance: Decimal) -> Earning:
    ledger = desk.state.shadows.get(name)
    if ledger is None:
        return Earning(0.0, 0.0, 0, 0, 0)
    books = ledger.portfolio
    return Earning(books.equity - float(balance), float(books.fees), ledger.fills, ledger.trades, ledger.wins, tuple(closed))


def script_of(name: str, opinions: Sequence[Opinion]) -> list[Decision]:
    """A model's opinions as decisions of a source of this name, at the moments at which they were asked for."""
    return [_decision(name, one, one.moment) for one in opinions if one.trades]


def shuffled(name: str, opinions: Sequence[Opinion], moments: Sequence[Moment], dice: random.Random) -> list[Decision]:
    """The same decisions at moments drawn by chance among those of their symbol: equal turnover, no opinion about the time.

    Stops and targets keep their distance from the price.
    """
    found = []
    by_symbol: dict[str, list[Moment]] = {}
    for moment in moments:
        by_symbol.setdefault(moment.seen.snapshot.symbol, []).append(moment)
    wanted: dict[str, list[Opinion]] = {}
    for one in opinions:
        if one.trades:
            wanted.setdefault(one.moment.seen.snapshot.symbol, []).append(one)
    for symbol in sorted(wanted):
        drawn = dice.sample(by_symbol[symbol], len(wanted[symbol]))
        found += [_decision(name, one, moment) for one, moment in zip(wanted[symbol], drawn, strict=True)]
    return found


def bought_and_held(moments: Sequence[Moment]) -> list[Decision]:
    """Everything bought in equal parts at the first moment of each symbol, and kept."""
    first: dict[str, Moment] = {}
    for moment in moments:
        first.setdefault(moment.seen.snapshot.symbol, moment)
    part = 1.0 / len(first)
    return [
        Decision(
            derive_id(BUY_AND_HOLD, symbol),
            BUY_AND_HOLD,
            Tier.LLM,
            symbol,
            Action.BUY,
            1.0,
            moment.at,
            moment.at + HOLD_MS,
            _price(moment),
            target=part,
        )
        for symbol, moment in first.items()
    ]


def _decision(name: str, one: Opinion, moment: Moment) -> Decision:
    wanted = one.wanted
    assert wanted is not None
    ratio = _price(moment) / _price(one.moment)
    return Decision(
        id=derive_id(name, moment.seen.snapshot.symbol, moment.seen.snapshot.hash, moment.at, wanted.action),
        source=name,
        tier=Tier.LLM,
        symbol=moment.seen.snapshot.symbol,
        action=wanted.action,
        confidence=wanted.confidence,
        created=moment.at,
        expires=moment.at + wanted.stands_ms,
        price=_price(moment),
        stop_loss=None if wanted.stop_loss is None else wanted.stop_loss * ratio,
        take_profit=None if wanted.take_profit is None else wanted.take_profit * ratio,
        size_fraction=wanted.size,
    )


def _price(moment: Moment) -> float:
    return moment.seen.snapshot.price or moment.seen.bid
