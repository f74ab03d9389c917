"""Recovery: one path for the first start, a restart and a crash.

The newest snapshot of the book, and every input that was recorded after it, give back the desk as it was at the last line on
the disk. The inputs are only handled, nothing is performed again. Fills that reached the journal's tables and not the recorded
inputs (they are written by another thread) are booked by their trade id like any other. The steps of the
sources go on from their own snapshot and see the candles that came since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import structlog

from bot.core.desk import DeskConfig, TradingDesk
from bot.core.effects import Record
from bot.core.facts import Fact
from bot.core.inputs import Filled
from bot.core.market import Candle
from bot.core.orders import Fill
from bot.core.state import DeskState
from bot.journal.errors import JournalCorrupt
from bot.journal.queries import Queries
from bot.journal.reading import SegmentReader, segment_paths
from bot.journal.records import JournaledFill, Snapshot
from bot.journal.run import BookKey
from bot.journal.untold import untold

log = structlog.get_logger(__name__)

_FILLS_LOOKED_AT = 1_000
_FACTS_LOOKED_AT = 50_000


@dataclass(slots=True)
class Recovered:
    """What an earlier run left.

    `candles` came after the snapshot, `replayed` counts the inputs that did, `fills` those booked from the tables; `untold` are
    facts that the tables lack; `strays` are fills in the journal whose orders nobody remembers: the books cannot be trusted
    until somebody looks.
    """

    state: DeskState | None = None
    sources: dict[str, object] = field(default_factory=dict)
    candles: list[Candle] = field(default_factory=list)
    replayed: int = 0
    run: str | None = None
    fills: int = 0
    untold: list[Fact] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)

    def desk(self, config: DeskConfig) -> TradingDesk:
        """The desk that goes on, or a new one."""
        return TradingDesk(config) if self.state is None else TradingDesk.restore(config, self.state)


def recover(url: str, data_dir: Path, book: BookKey) -> Recovered:
    """What is left of the book's last run; nothing at a first start. Raises `JournalCorrupt` when it cannot be read."""
    with Queries(url) as queries:
        kept = queries.last_snapshot(book)
        if kept is None:
            return Recovered()
        desk, sources = _restored(kept)
        recovered = Recovered(desk.state, sources, run=kept.run)
        if kept.seq is not None:
            facts = _replay(recovered, desk, kept.seq, segment_paths(data_dir, kept.run))
            recovered.untold = untold(queries, kept.run, facts)
            _book_fills(recovered, desk, queries.fills(run=kept.run, limit=_FILLS_LOOKED_AT))
    told = {"fills": recovered.fills, "untold": len(recovered.untold), "strays": len(recovered.strays)}
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


def _replay(recovered: Recovered, desk: TradingDesk, after: int, paths: Sequence[Path]) -> Sequence[Fact]:
    """Bring the desk forward by the inputs recorded after the snapshot; the newest facts that this gave again."""
    reader = SegmentReader(paths)
    facts: deque[Fact] = deque(maxlen=_FACTS_LOOKED_AT)
    for recorded in reader:
        if recorded.n <= after:
            continue
        facts.extend(effect.fact for effect in desk.handle(recorded.event) if isinstance(effect, Record))
        recovered.replayed += 1
        if isinstance(recorded.event, Candle):
            recovered.candles.append(recorded.event)
    if reader.torn:
        log.warning("torn_input", run=recovered.run, lines=reader.torn)
    return list(facts)


def _book_fills(recovered: Recovered, desk: TradingDesk, journaled: Sequence[JournaledFill]) -> None:
    """Book the fills that the crash kept out of the recorded inputs. Their rows are there, so they are not told again."""
    for row in reversed(journaled):
        order = desk.state.orders.get(row.order_id)
        if order is None:
            recovered.strays.append(row.id)
        elif row.id not in order.fill_ids:
            desk.handle(Filled(row.at, _as_fill(row)))
            recovered.fills += 1


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
