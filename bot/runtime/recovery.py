"""Recovery: one path for the first start, a restart and a crash.

The newest snapshot of the book, and every input that was recorded after it, give back the desk as it was at the last line on
the disk. The inputs are only handled, nothing is performed again. Orders and fills that reached the journal's tables and not the
recorded inputs (they are written by another thread) are adopted by their id, and booked by their trade id like any other. The
steps of the sources go on from their own snapshot and see the candles that came since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Protocol, cast

import structlog

from bot.core.desk import DeskConfig, TradingDesk
from bot.core.effects import Record
from bot.core.facts import Fact
from bot.core.inputs import Filled, OrderAdopted
from bot.core.market import Candle
from bot.core.orders import Fill, OrderRequest
from bot.core.state import DeskState
from bot.journal.errors import JournalCorrupt
from bot.journal.queries import Queries
from bot.journal.reading import Recorded, SegmentReader, segment_paths
from bot.journal.records import JournaledFill, JournaledOrder, Snapshot
from bot.journal.run import BookKey
from bot.journal.untold import untold

log = structlog.get_logger(__name__)

_FILLS_LOOKED_AT = 1_000
_FACTS_LOOKED_AT = 50_000


@dataclass(slots=True)
class Recovered:
    """What an earlier run left.

    `candles` came after the snapshot, `replayed` counts the inputs that did, `adopted` the orders and `fills` the fills that only
    the tables held; `untold` are facts that the tables lack; `account` is what reconciliation remembered of the venue's account,
    `balance` the cash that the books began with; `strays` are fills in the journal whose orders nobody remembers: the books
    cannot be trusted until somebody looks.
    """

    state: DeskState | None = None
    sources: dict[str, object] = field(default_factory=dict)
    candles: list[Candle] = field(default_factory=list)
    replayed: int = 0
    run: str | None = None
    adopted: int = 0
    fills: int = 0
    account: object = None
    balance: Decimal | None = None
    untold: list[Fact] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)

    def desk(self, config: DeskConfig) -> TradingDesk:
        """The desk that goes on, or a new one."""
        return TradingDesk(config) if self.state is None else TradingDesk.restore(config, self.state)


class Remains(Protocol):
    """What is left of a book, wherever it was kept."""

    def snapshot(self) -> Snapshot | None:
        """The newest state of the book, None for new books."""
        ...

    def inputs(self, run: str) -> Iterable[Recorded]:
        """The recorded inputs of a run, in order."""
        ...

    def untold(self, run: str, replayed: Sequence[Fact]) -> list[Fact]:
        """The facts of the replay that never reached the tables."""
        ...

    def open_orders(self) -> Sequence[JournaledOrder]:
        """The orders of the book that the tables do not hold as ended, and the newest that traded."""
        ...

    def fills(self, run: str) -> Sequence[JournaledFill]:
        """The newest journaled fills of a run, the newest first."""
        ...


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is left in the database and in the segment files."""

    queries: Queries
    data_dir: Path
    book: BookKey

    def snapshot(self) -> Snapshot | None:
        return self.queries.last_snapshot(self.book)

    def inputs(self, run: str) -> Iterator[Recorded]:
        reader = SegmentReader(segment_paths(self.data_dir, run))
        yield from reader
        if reader.torn:
            log.warning("torn_input", run=run, lines=reader.torn)

    def untold(self, run: str, replayed: Sequence[Fact]) -> list[Fact]:
        return untold(self.queries, run, replayed)

    def open_orders(self) -> Sequence[JournaledOrder]:
        newest_run = self.queries.latest_run(self.book)
        run = None if newest_run is None else newest_run.id
        traded = {fill.order_id for fill in self.queries.fills(run=run, book=self.book, limit=_FILLS_LOOKED_AT)}
        newest = self.queries.orders(run=run, book=self.book, limit=_FILLS_LOOKED_AT)
        return [*self.queries.open_orders(self.book), *(order for order in newest if order.id in traded)]

    def fills(self, run: str) -> Sequence[JournaledFill]:
        return self.queries.fills(run=run, limit=_FILLS_LOOKED_AT)


def recover(url: str, data_dir: Path, book: BookKey) -> Recovered:
    """What is left of the book's last run; nothing at a first start. Raises `JournalCorrupt` when it cannot be read."""
    with Queries(url) as queries:
        return recover_from(_Stored(queries, data_dir, book))


def recover_from(remains: Remains) -> Recovered:
    """The same, wherever the remains are."""
    kept = remains.snapshot()
    if kept is None:
        return Recovered()
    desk, sources = _restored(kept)
    recovered = Recovered(desk.state, sources, run=kept.run, balance=desk.config.balance)
    recovered.account = cast("Mapping[str, object]", kept.state).get("account")
    if kept.seq is not None:
        facts = _replay(recovered, desk, kept.seq, remains.inputs(kept.run))
        recovered.untold = remains.untold(kept.run, facts)
        _adopt_orders(recovered, desk, remains.open_orders())
        _book_fills(recovered, desk, remains.fills(kept.run))
    told = {
        "adopted": recovered.adopted,
        "fills": recovered.fills,
        "untold": len(recovered.untold),
        "strays": len(recovered.strays),
    }
    log.info("recovered", run=kept.run, replayed=recovered.replayed, **told)
    return recovered


def _restored(kept: Snapshot) -> tuple[TradingDesk, dict[str, object]]:
    """The desk of the snapshot, under the configuration of its run, and the states of its sources."""
    state = cast("Mapping[str, object]", kept.state)
    config, remembered, sources = state.get("config"), state.get("desk"), state.get("sources")
    if not (isinstance(config, DeskConfig) and isinstance(remembered, DeskState) and isinstance(sources, dict)):
        message = f"run {kept.run}: its snapshot is not one of a desk; restore a backup, or move the journal away"
        raise JournalCorrupt(message)
    return TradingDesk.restore(config, remembered), sources


def _replay(recovered: Recovered, desk: TradingDesk, after: int, inputs: Iterable[Recorded]) -> Sequence[Fact]:
    """Bring the desk forward by the inputs recorded after the snapshot; the newest facts that this gave again."""
    facts: deque[Fact] = deque(maxlen=_FACTS_LOOKED_AT)
    for recorded in inputs:
        if recorded.n <= after:
            continue
        facts.extend(effect.fact for effect in desk.handle(recorded.event) if isinstance(effect, Record))
        recovered.replayed += 1
        if isinstance(recorded.event, Candle):
            recovered.candles.append(recorded.event)
    return list(facts)


def _adopt_orders(recovered: Recovered, desk: TradingDesk, journaled: Sequence[JournaledOrder]) -> None:
    """Take up the orders that may live, or that traded, and whose causes the crash kept out of the recorded inputs."""
    for row in journaled:
        if row.id not in desk.state.orders:
            desk.handle(OrderAdopted(row.at, _as_request(row)))
            recovered.adopted += 1


def _book_fills(recovered: Recovered, desk: TradingDesk, journaled: Sequence[JournaledFill]) -> None:
    """Book the fills that the crash kept out of the recorded inputs. Their rows are there, so they are not told again."""
    for row in reversed(journaled):
        order = desk.state.orders.get(row.order_id)
        if order is None:
            recovered.strays.append(row.id)
        elif row.id not in order.fill_ids:
            desk.handle(Filled(row.at, _as_fill(row)))
            recovered.fills += 1


def _as_request(row: JournaledOrder) -> OrderRequest:
    return OrderRequest(
        row.id,
        row.symbol,
        row.side,
        row.type,
        row.amount,
        row.leg,
        row.cause,
        row.attempt,
        row.source,
        row.tier,
        row.confidence or 0.0,
        row.reference or 0.0,
        row.created,
        row.price,
        row.trigger_price,
        row.time_in_force,
        row.post_only,
        row.reduce_only,
        row.decision_id,
    )


def _as_fill(row: JournaledFill) -> Fill:
    return Fill(
        row.id,
        row.order_id,
        row.symbol,
        row.side,
        row.amount,
        row.price,
        row.fee,
        row.fee_currency,
        row.ts,
        row.maker,
        row.evidence,
    )
