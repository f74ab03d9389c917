"""The memory of a running bot: it answers at once, keeps what closes, and a store that fails costs nobody a trade."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import pytest

from bot.core.facts import LotClosed
from bot.core.market import Side
from bot.services.memory.live import FACTOR, LiveLimits, LiveMemory
from bot.services.memory.subjects import subject_of
from research.memory.confidence import Confidence, adjusted
from research.memory.errors import MemoryUnavailable
from research.memory.evidence import Evidence, Subject, TradeEvidence
from research.memory.files import MemoryFiles, MirroredMemory
from research.memory.policy import DEFAULT_POLICY
from research.memory.sql import SqlMemory
from research.memory.store import InMemoryStore
from tests.factories import BTC, ETH, QC, RULE, a_decision
from tests.services.memory_life import DAY, NOW, SUBJECT, T0, a_backtest, a_lot, a_position

QUICK = LiveLimits(retry=0.001, retry_longest=0.01, refresh=0.02)
FLAT: dict[str, tuple[Decimal, str | None]] = {}


class Shaky(InMemoryStore):
    """A store that may be away; `changed` is set whenever it was asked to remember."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.calls: list[int] = []
        self.changed = asyncio.Event()

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        self.calls.append(len(evidence))
        self.changed.set()
        if self.away:
            raise MemoryUnavailable("it is away")
        return await super().remember(evidence)

    async def evidence(self, subject: Subject, as_of: int) -> Sequence[Evidence]:
        if self.away:
            raise MemoryUnavailable("it is away")
        return await super().evidence(subject, as_of)


def a_memory(store: Any = None, now: Callable[[], int] = lambda: NOW, **options: Any) -> LiveMemory:
    given: dict[str, Any] = {"limits": QUICK, "book": "main"} | options
    live = LiveMemory(store or InMemoryStore(), DEFAULT_POLICY, now, **given)
    live.know(RULE, "1h", [BTC])
    return live


@asynccontextmanager
async def at_work(live: LiveMemory) -> AsyncIterator[None]:
    """With its task running."""
    task = asyncio.create_task(live.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def kept_in(store: InMemoryStore, subject: Subject = SUBJECT) -> list[TradeEvidence]:
    return [each for each in await store.evidence(subject, NOW) if isinstance(each, TradeEvidence)]


def closings(number: int, profit: float = 10.0) -> list[LotClosed]:
    return [a_lot(T0 + (each + 1) * DAY, profit, decision=f"d{each}", opened=T0 + each * DAY) for each in range(number)]


async def test_a_good_record_raises_a_decision_and_says_so() -> None:
    live = a_memory()
    await live.store.remember([a_backtest()])
    given = a_decision(at=NOW)
    found = live.adjust(given)
    known = await live.store.confidence(SUBJECT, NOW)
    made = adjusted(known, 0.6)
    assert found.confidence == made.value > 0.6
    assert found.raw_confidence == 0.6
    assert found.evidence[FACTOR] == made.factor
    assert replace(found, confidence=0.6, raw_confidence=None, evidence={}) == given


async def test_the_raw_and_the_calibrated_confidence_stay_as_they_are() -> None:
    live = a_memory()
    await live.store.remember([a_backtest()])
    found = live.adjust(a_decision(at=NOW, raw_confidence=0.9, calibrated_confidence=0.6))
    assert (found.raw_confidence, found.calibrated_confidence) == (0.9, 0.6)
    assert found.confidence > 0.6


async def test_where_nothing_is_known_the_very_decision_is_given_back() -> None:
    live = a_memory()
    await live.store.remember([a_backtest()])
    for decision in (a_decision(source=QC, at=NOW), a_decision(at=NOW, symbol=ETH), a_decision(at=NOW, symbol="\n")):
        assert live.adjust(decision) is decision


@pytest.mark.parametrize("confidence", [math.nan, -0.1, 1.1, math.inf])
async def test_a_confidence_that_is_none_is_the_desks_to_refuse(confidence: float) -> None:
    live = a_memory()
    await live.store.remember([a_backtest()])
    decision = a_decision(at=NOW, confidence=confidence)
    assert live.adjust(decision) is decision


async def test_a_decision_is_adjusted_once() -> None:
    live = a_memory()
    await live.store.remember([a_backtest()])
    once = live.adjust(a_decision(at=NOW))
    assert live.adjust(once) is once


async def test_a_decision_never_sees_what_was_learnt_after_it() -> None:
    live = a_memory()
    await live.store.remember([a_backtest(known_at=NOW)])
    before = a_decision(at=NOW - 1)
    assert live.adjust(before) is before
    for lot in closings(60, -10):
        live.saw(lot)
        live.saw(a_position(lot.at))
    early, late = live.adjust(a_decision(at=T0 + 10 * DAY)), live.adjust(a_decision(at=T0 + 59 * DAY))
    blind = InMemoryStore()
    await blind.remember([trade for trade in await _trades(closings(60, -10)) if trade.known_at <= T0 + 10 * DAY])
    assert early.evidence[FACTOR] == adjusted(await blind.confidence(SUBJECT, NOW), 0.6).factor
    assert late.evidence[FACTOR] != early.evidence[FACTOR]


async def _trades(lots: list[LotClosed]) -> list[TradeEvidence]:
    """What a memory of its own makes of these lots."""
    store = InMemoryStore()
    live = a_memory(store)
    await live.catch_up(lots, FLAT, whole=True)
    return await kept_in(store)


async def test_closed_trades_are_known_at_once_and_written_by_its_task() -> None:
    store = Shaky()
    live = a_memory(store)
    async with at_work(live):
        for lot in closings(40, -10):
            live.saw(lot)
            live.saw(a_position(lot.at))
        assert live.adjust(a_decision(at=NOW)).confidence < 0.6
        await until(lambda: live.waiting == 0)
    kept = await kept_in(store)
    assert len(kept) == 40
    assert {each.profit for each in kept} == {-0.1}
    assert {each.reference for each in kept} == {f"main d{number}" for number in range(40)}
    assert max(store.calls) > 1  # in batches


async def test_a_store_that_is_away_gets_everything_when_it_is_back() -> None:
    store = Shaky()
    store.away = True
    live = a_memory(store)
    async with at_work(live):
        for lot in closings(5):
            live.saw(lot)
            live.saw(a_position(lot.at))
        await until(lambda: live.failures >= 3)
        assert live.waiting == 5
        store.away = False
        await until(lambda: live.waiting == 0)
    assert len(await kept_in(store)) == 5


async def test_what_finds_no_room_is_counted_and_found_again_in_the_journal() -> None:
    store = Shaky()
    live = a_memory(store, limits=replace(QUICK, waiting=3))
    lots = closings(5)
    for lot in lots:
        live.saw(lot)
        live.saw(a_position(lot.at))
    assert (live.waiting, live.dropped) == (3, 2)
    await live.close(1.0)
    assert len(await kept_in(store)) == 3
    await a_memory(store).catch_up(lots, FLAT, whole=True)
    assert len(await kept_in(store)) == 5


async def test_closing_writes_what_waits_and_ends_in_time() -> None:
    store = Shaky()
    live = a_memory(store)
    live.saw(a_lot())
    live.saw(a_position(T0 + DAY))
    await live.close(1.0)
    assert len(await kept_in(store)) == 1


async def test_closing_a_store_that_hangs_ends_in_time() -> None:
    class Hanging(InMemoryStore):
        async def remember(self, evidence: Sequence[Evidence]) -> int:
            await asyncio.Event().wait()
            return 0

    live = a_memory(Hanging())
    live.saw(a_lot())
    live.saw(a_position(T0 + DAY))
    began = perf_counter()
    await live.close(0.05)
    assert perf_counter() - began < 2.0
    assert live.waiting == 1


async def test_a_task_that_is_cancelled_while_it_writes_loses_nothing() -> None:
    class Slow(Shaky):
        async def remember(self, evidence: Sequence[Evidence]) -> int:
            self.changed.set()
            if len(self.calls) == 0:
                self.calls.append(0)
                await asyncio.Event().wait()
            return await super().remember(evidence)

    store = Slow()
    live = a_memory(store)
    live.saw(a_lot())
    live.saw(a_position(T0 + DAY))
    async with at_work(live):
        async with asyncio.timeout(20):
            await store.changed.wait()
    assert live.waiting == 1
    await live.close(1.0)
    assert len(await kept_in(store)) == 1


async def test_a_trade_half_closed_before_a_restart_is_one_trade_after_it() -> None:
    store = InMemoryStore()
    first, second = a_lot(T0 + DAY, 10, 1), a_lot(T0 + 2 * DAY, 20, 1)
    before = a_memory(store)
    before.saw(first)
    before.saw(a_position(first.at, 1, RULE))
    await before.close(1.0)
    assert await kept_in(store) == []
    after = a_memory(store)
    await after.catch_up([first], {BTC: (Decimal(1), RULE)}, whole=True)
    after.saw(second)
    after.saw(a_position(second.at))
    await after.close(1.0)
    [trade] = await kept_in(store)
    assert (trade.profit, trade.closed) == (0.15, second.at)


async def test_reading_the_journal_again_remembers_nothing_twice() -> None:
    store = InMemoryStore()
    live = a_memory(store)
    lots = [*closings(5), a_lot(T0 + 6 * DAY, 3, "0.001", "d4", opened=T0 + 4 * DAY)]
    for lot in lots:
        live.saw(lot)
        live.saw(a_position(lot.at))
    await live.close(1.0)
    once = await kept_in(store)
    assert len(once) == 5
    for _ in range(2):
        await a_memory(store).catch_up(lots, FLAT, whole=True)
    assert await kept_in(store) == once


async def test_a_source_whose_timeframe_changed_takes_no_old_trades_along() -> None:
    store = InMemoryStore()
    await a_memory(store).catch_up(closings(5), FLAT, whole=True)
    later = a_memory(store)
    later.know(RULE, "4h", [BTC])
    await later.catch_up(closings(5), FLAT, whole=True)
    assert await store.subjects(NOW) == [SUBJECT]


async def test_a_journal_read_from_its_middle_makes_no_half_trades() -> None:
    store = InMemoryStore()
    lots = [a_lot(T0 + DAY, 10, 1), a_lot(T0 + 2 * DAY, 20, 1), a_lot(T0 + 3 * DAY, 5, decision="d2", opened=T0 + DAY)]
    await a_memory(store).catch_up(lots[1:], FLAT, whole=False)
    assert [trade.reference for trade in await kept_in(store)] == ["main d2"]


async def test_a_simulated_world_has_a_memory_of_its_own() -> None:
    store = InMemoryStore()
    await store.remember([a_backtest()])
    live = a_memory(store, simulated=True)
    await live.recall()
    decision = a_decision(at=NOW)
    assert live.adjust(decision) is decision
    live.saw(a_lot())
    live.saw(a_position(T0 + DAY))
    await live.close(1.0)
    assert await kept_in(store) == []
    assert len(await kept_in(store, subject_of(RULE, BTC, "1h", simulated=True))) == 1


async def test_a_subject_nobody_announced_is_looked_up_after_its_first_decision() -> None:
    store = InMemoryStore()
    await store.remember([a_backtest(strategy=QC, timeframe="-")])
    live = a_memory(store)
    first = a_decision(source=QC, at=NOW)
    assert live.adjust(first) is first
    async with at_work(live):
        await until(lambda: live.adjust(first) is not first)


async def test_names_from_outside_do_not_grow_it_without_bound() -> None:
    live = a_memory(limits=replace(QUICK, subjects=10))
    for number in range(50):
        live.adjust(a_decision(at=NOW, symbol=f"X{number}/USDT"))
    assert len(live._subjects) == 10
    assert live.unfollowed == 41  # one of the ten is the rule's


async def test_a_trade_that_cannot_be_kept_is_counted() -> None:
    live = a_memory()
    live.saw(a_lot(pnl=-50_000, side=Side.SELL))
    live.saw(a_position(T0 + DAY))
    assert (live.refused, live.waiting) == (1, 0)


class Outside:
    """An agent memory: it gives back answers, and no evidence."""

    def __init__(self) -> None:
        self.answer: Confidence | None = Confidence(0.8, 0.9, 0.9, 100.0, proven=True)
        self.told: list[Evidence] = []
        self.closed = False

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        self.told += evidence
        return len(evidence)

    async def subjects(self, as_of: int) -> Sequence[Subject]:
        return [SUBJECT]

    async def lessons(self, subject: Subject, as_of: int, limit: int = 100) -> Sequence[Any]:
        return []

    async def confidence(self, subject: Subject, as_of: int) -> Confidence | None:
        return self.answer

    async def parameters(self, subject: Subject, as_of: int) -> None:
        return None

    async def close(self) -> None:
        self.closed = True


async def test_an_outside_memory_has_its_say_and_is_asked_again() -> None:
    outside, clock = Outside(), [NOW]
    live = a_memory(outside, now=lambda: clock[0])
    await live.recall()
    early = a_decision(at=NOW - 1)
    assert live.adjust(early) is early  # it was asked later than that
    assert live.adjust(a_decision(at=NOW)).confidence > 0.6
    outside.answer = Confidence(0.1, 0.1, 0.9, 100.0, proven=True)
    clock[0] = NOW + 1_000
    async with at_work(live):
        await until(lambda: live.adjust(a_decision(at=NOW + 1_000)).confidence < 0.6)
    assert live.adjust(a_decision(at=NOW)).confidence > 0.6  # as was known then
    await live.catch_up(closings(2), FLAT, whole=True)
    assert len(outside.told) == 2
    await live.close(1.0)
    assert outside.closed


async def test_a_database_and_its_files_outlive_the_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'arbiter.db'}"
    live = a_memory(MirroredMemory(await SqlMemory.open(url), MemoryFiles(tmp_path / "mem")))
    async with at_work(live):
        for lot in closings(40, -10):
            live.saw(lot)
            live.saw(a_position(lot.at))
        doubted = live.adjust(a_decision(at=NOW)).confidence
        await until(lambda: live.waiting == 0)
    await live.close(1.0)
    again = a_memory(MirroredMemory(await SqlMemory.open(url), MemoryFiles(tmp_path / "mem")))
    await again.recall()
    assert again.adjust(a_decision(at=NOW)).confidence == doubted < 0.6
    await again.close(1.0)
    assert (tmp_path / "mem" / "core_memory_updates.txt").exists()


async def test_a_full_memory_answers_within_a_fraction_of_a_millisecond() -> None:
    live = a_memory()
    for lot in closings(1_000):
        live.saw(lot)
        live.saw(a_position(lot.at))
    await live.store.remember([a_backtest(reference=str(number)) for number in range(500)])
    decision = a_decision(at=NOW)
    live.adjust(decision)
    took = []
    for _ in range(200):
        began = thread_time()
        live.adjust(decision)
        took.append(thread_time() - began)
    assert sorted(took)[100] < 0.001
