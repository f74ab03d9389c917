"""A run as the journal has it, gathered into a tear sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Connection, Select, select

from bot.backtest.statistics import Statistics, statistics_of
from bot.core.decision import Fate
from bot.core.desk import DeskConfig
from bot.core.inputs import TradingState
from bot.core.state import DeskState
from bot.journal import tables as t
from bot.journal.codec import decode_snapshot
from bot.journal.errors import JournalCorrupt
from bot.journal.queries import Queries
from bot.journal.records import EquityPoint, JournaledFill, JournaledOrder, Run
from bot.services.tearsheet.recorded import Progress, read_inputs
from bot.services.tearsheet.sheet import (
    ClosedTrade,
    Mark,
    OverrideFigures,
    Slippage,
    SourceFigures,
    StopLevel,
    TearSheet,
    World,
)
from bot.services.tearsheet.slippage import PaperModel, slippage_by_leg
from bot.services.tearsheet.tables import moment

_ALL = 2**31 - 1
"""A page of this size holds every row of a run."""

_PAPER_LATENCY_MS = 50
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a snapshot holds: with what the books once began, and all that the desk remembered."""

    balance: float
    desk: DeskState


@dataclass(frozen=True, slots=True)
class JournaledRun:
    """One run and where its rows are."""

    queries: Queries
    run: Run

    def sheet(self, data_dir: Path, progress: Progress) -> TearSheet:
        """Everything about it."""
        queries, run = self.queries, self.run
        moved = self._moved()
        points = _without(moved, [point for point in queries.equity(run=run.id, limit=_ALL) if point.equity is not None])
        fills = queries.fills(run=run.id, limit=_ALL)[::-1]
        orders = self._orders(fills)
        trades = self._trades()
        before = self._kept(t.runs.c.initial_snapshot)
        model = self._paper_model()
        model.follow(orders.values())
        inputs = max((segment.last_input for segment in queries.segments(run.id)), default=0)
        candles, fault = read_inputs(data_dir, run.id, inputs, model, progress)
        slipped = slippage_by_leg(fills, orders, model.expected)
        return TearSheet(
            world=_world_of(run),
            title=f"{run.bot} on {run.venue}, {run.mode}",
            start=run.started,
            end=run.ended or max([run.started, *(point.at for point in points[-1:])]),
            currency=self._currency(before),
            statistics=self._statistics(before, points, trades, fills),
            at=np.asarray([point.at for point in points], np.int64),
            equity=np.asarray([point.equity for point in points], np.float64),
            about=self._about(),
            candles=candles,
            marks=tuple(_mark(fill, orders.get(fill.order_id)) for fill in fills),
            stops=self._stops(),
            trades=trades,
            sources=self._sources(before, trades),
            overrides=self._overrides(),
            slippage=slipped,
            slippage_note=_slippage_note(model, slipped),
            notices=tuple(self._notices(moved, fault)),
            run=run.id,
        )

    def _statistics(
        self,
        before: _Kept | None,
        points: Sequence[EquityPoint],
        trades: Sequence[ClosedTrade],
        fills: Sequence[JournaledFill],
    ) -> Statistics:
        worth = [point.equity or 0.0 for point in points]
        return statistics_of(
            [point.at for point in points],
            worth,
            [point.exposure or 0.0 for point in points],
            [trade.pnl for trade in trades],
            start=self._opening(before, worth),
            began=self.run.started,
            fees=float(sum((fill.fee_value for fill in fills), start=Decimal(0))),
        )

    def _orders(self, fills: Sequence[JournaledFill]) -> dict[str, JournaledOrder]:
        """The orders of the run, and those of an earlier one that filled in this."""
        found = {order.id: order for order in self.queries.orders(run=self.run.id, limit=_ALL)}
        missing = sorted({fill.order_id for fill in fills} - found.keys())
        if missing:
            book = {order.id: order for order in self.queries.orders(limit=_ALL)}
            found |= {name: book[name] for name in missing if name in book}
        return found

    def _kept(self, column: Any) -> _Kept | None:
        """The desk's memory in a snapshot of the run; None if there is none that this version can read."""
        rows = self._rows(select(column).where(t.runs.c.id == self.run.id))
        if not rows or rows[0][0] is None:
            return None
        try:
            snapshot = decode_snapshot(rows[0][0])
        except JournalCorrupt:
            return None  # of another version: what the tables say is enough
        match snapshot:
            case {"config": DeskConfig() as config, "desk": DeskState() as desk}:
                return _Kept(float(config.balance), desk)
        return None

    def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        def read(connection: Connection) -> Sequence[Any]:
            return connection.execute(statement).all()

        return self.queries.read(read)

    def _config(self) -> dict[str, object]:
        found = orjson.loads(self.run.config)
        return found if isinstance(found, dict) else {}

    def _paper(self) -> dict[str, object]:
        found = self._config().get("paper")
        return found if isinstance(found, dict) else {}

    def _paper_model(self) -> PaperModel:
        paper = self._paper()
        latency, slippage = paper.get("latency_ms", _PAPER_LATENCY_MS), paper.get("slippage", 0.0)
        return PaperModel(int(str(latency)), float(str(slippage)))

    def _currency(self, before: _Kept | None) -> str:
        return before.desk.portfolio.currency if before is not None else str(self._paper().get("currency", "USDT"))

    def _opening(self, before: _Kept | None, equity: Sequence[float]) -> float:
        """The worth at the start: what the desk remembered, else the first sample."""
        if before is not None:
            return before.desk.portfolio.equity
        return equity[0] if equity else self._starting_balance()

    def _starting_balance(self) -> float:
        """What the books began with, as far as the settings say: of a live account they do not."""
        return float(str(self._paper().get("starting_balance", 10_000)))

    def _sources(self, before: _Kept | None, trades: Sequence[ClosedTrade]) -> tuple[SourceFigures, ...]:
        counts, shadows = self.queries.counts(run=self.run.id), self.queries.shadow(run=self.run.id)
        decided: Counter[str] = Counter()
        executed: Counter[str] = Counter()
        for each in counts:
            decided[each.source] += each.count
            executed[each.source] += each.count if each.fate is Fate.EXECUTED else 0
        earned, tiers = self._earned(before, trades), self._tiers()
        alone: dict[str, float] = {}
        for point in shadows:
            tiers[point.source] = point.tier.label
            if point.equity is not None:
                alone[point.source] = point.equity - self._shadow_opening(before, point.source)
        names = sorted({*decided, *earned, *alone}, key=lambda name: (-earned.get(name, 0.0), name))
        return tuple(
            SourceFigures(
                name,
                tiers.get(name, "-"),
                decided[name],
                executed[name],
                sum(trade.opener == name for trade in trades),
                sum(trade.opener == name and trade.pnl > 0 for trade in trades),
                earned.get(name, 0.0),
                alone.get(name),
            )
            for name in names
        )

    def _earned(self, before: _Kept | None, trades: Sequence[ClosedTrade]) -> dict[str, float]:
        """P&L by opener: between the desk's states at both ends, else of the closed lots and the positions still open."""
        after = self._kept(t.runs.c.final_snapshot)
        if before is not None and after is not None:
            start = before.desk.portfolio.attribution()
            return {name: worth - start.get(name, 0.0) for name, worth in after.desk.portfolio.attribution().items()}
        earned: dict[str, float] = {}
        for trade in trades:
            earned[trade.opener] = earned.get(trade.opener, 0.0) + trade.pnl
        c = t.positions.c
        rows = self._rows(select(c.symbol, c.amount, c.unrealised, c.opener).where(c.run == self.run.id).order_by(c.row))
        for position in {row.symbol: row for row in rows}.values():
            if position.opener is not None and Decimal(position.amount):
                earned[position.opener] = earned.get(position.opener, 0.0) + (position.unrealised or 0.0)
        return earned

    def _shadow_opening(self, before: _Kept | None, source: str) -> float:
        """What the source's shadow was worth as the run began; a new one begins with what the books began with."""
        if before is None:
            return self._starting_balance()
        ledger = before.desk.shadows.get(source)
        return before.balance if ledger is None else ledger.portfolio.equity

    def _tiers(self) -> dict[str, str]:
        """Who speaks for which tier, as the fills and lots of the run say."""
        lots = self.queries.lots(run=self.run.id, limit=_ALL)
        return {lot.opener: lot.opener_tier.label for lot in lots}

    def _trades(self) -> tuple[ClosedTrade, ...]:
        """Closed lots, the oldest first, each with the reasoning of the decision that opened it."""
        lots, d = self.queries.lots(run=self.run.id, limit=_ALL), t.decisions.c
        opened = select(t.lots_closed.c.opening_decision).where(t.lots_closed.c.run == self.run.id)
        reasons = {row.id: row.reasoning for row in self._rows(select(d.id, d.reasoning).where(d.id.in_(opened)))}
        return tuple(replace(ClosedTrade.of(lot), reason=_short(reasons.get(lot.opening_decision, ""))) for lot in reversed(lots))

    def _overrides(self) -> tuple[OverrideFigures, ...]:
        found, v = self.queries.overrides(run=self.run.id, limit=_ALL), t.verdicts.c
        given = select(t.overrides.c.verdict_id).where(t.overrides.c.run == self.run.id)
        reasons = {row.id: row.reason for row in self._rows(select(v.id, v.reason).where(v.id.in_(given)))}
        return tuple(
            OverrideFigures(
                each.at,
                each.since,
                each.symbol,
                each.loser,
                each.winner,
                each.shadow_pnl,
                each.book_pnl,
                each.cost,
                _short(reasons.get(each.verdict_id, "")),
            )
            for each in reversed(found)
        )

    def _stops(self) -> tuple[StopLevel, ...]:
        """The level that would have been hit first, at every change of a position."""
        c = t.positions.c
        wanted = select(c.at, c.symbol, c.amount, c.stop_loss, c.trailing_stop).where(c.run == self.run.id).order_by(c.row)
        return tuple(StopLevel(row.at, row.symbol, _nearest_stop(row)) for row in self._rows(wanted))

    def _about(self) -> tuple[tuple[str, str], ...]:
        run = self.run
        seed = () if run.seed is None else (("seed", str(run.seed)),)
        return (("run", run.id), *seed, ("version", run.code_version), ("configuration", run.config_hash[:12]))

    def _moved(self) -> list[tuple[int, float]]:
        """When which cash came into the books or left them, without being earned or lost."""
        commands = self.queries.commands(run=self.run.id, limit=_ALL)
        told = [(each.at, each.detail.partition(" ")[0]) for each in reversed(commands) if each.command == "cash-moved"]
        return [(at, float(amount)) for at, amount in told]

    def _notices(self, moved: Sequence[tuple[int, float]], fault: str | None) -> list[str]:
        found = []
        if moved:
            total = sum(amount for _, amount in moved)
            found.append(
                f"Deposits and withdrawals during the run ({total:+,.2f} together) are left out of every figure and curve."
            )
        if self.run.ended is None:
            found.append("The run was not closed: it goes on, or it was killed. These are its figures so far.")
        elif not self.run.closed_cleanly:
            found.append("The run ended without a last snapshot: open positions are valued as they were last journaled.")
        if fault is not None:
            found.append(f"The run's recorded inputs {fault}.")
        halts = [each for each in self.queries.risk_states(run=self.run.id, limit=20) if each.state is not TradingState.ACTIVE]
        if halts:
            found.append(f"Trading was {halts[0].state.value} from {moment(halts[0].at)} UTC on: {_short(halts[0].reason)}")
        return found


def _without(moved: Sequence[tuple[int, float]], points: Sequence[EquityPoint]) -> list[EquityPoint]:
    """The curve as it would have been without deposits and withdrawals: what moved is no gain and no loss."""
    waiting, total, found = list(reversed(moved)), 0.0, []
    for point in points:
        while waiting and waiting[-1][0] <= point.at:
            total += waiting.pop()[1]
        found.append(replace(point, equity=(point.equity or 0.0) - total) if total else point)
    return found


def _world_of(run: Run) -> World:
    if run.simulated:
        return World.SIMULATED
    return World.LIVE if run.mode == "live" else World.PAPER


def _mark(fill: JournaledFill, order: JournaledOrder | None) -> Mark:
    leg = "fill" if order is None else order.leg.value
    return Mark(fill.at, fill.symbol, fill.side.value, leg, fill.source, float(fill.price), str(fill.amount))


def _nearest_stop(row: Any) -> float | None:
    """Of a stop and a trailing stop, the one the price would reach first."""
    amount = Decimal(row.amount)
    levels = [level for level in (row.stop_loss, row.trailing_stop) if level is not None]
    if not levels or not amount:
        return None
    return float(max(levels) if amount > 0 else min(levels))


def _slippage_note(model: PaperModel, rows: Sequence[Slippage]) -> str:
    if not rows:
        return ""
    compared, fills = sum(row.compared for row in rows), sum(row.fills for row in rows)
    if not compared:
        return "Against the price the desk saw. The run's quotes are not recorded, so there is no paper model to compare with."
    return (
        f"The paper model fills a taker at the touch {model.latency} ms after the order, {model.slippage:.2%} worse, and a limit "
        f"order at its limit; depth is left out. {compared:,} of {fills:,} fills could be compared with recorded quotes."
    )


def _short(text: str) -> str:
    """What a cell holds of a text from outside."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
