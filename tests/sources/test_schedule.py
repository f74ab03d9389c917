"""Slots are arithmetic, the same for candles and for APScheduler; what goes wrong in a job is counted, and closing waits."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.core.decision import Decision, SourceSpec, Tier
from bot.core.inputs import Proposed
from bot.core.market import MarketView
from sources.loading import load_source
from sources.schedule import Schedule, ScheduledSource, Scheduler
from tests.sources.source_factories import BTC, START, Port, candle


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


MONDAY = ms("2026-01-05T00:00:00")


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        (Schedule(every="1d"), "2026-01-05T00:00:00", "2026-01-06T00:00:00"),
        (Schedule(every="1d", offset="9h"), "2026-01-05T08:59:59.999", "2026-01-05T09:00:00"),
        (Schedule(every="1d", offset="9h"), "2026-01-05T09:00:00", "2026-01-06T09:00:00"),
        (Schedule(every="15m"), "2026-01-05T00:07:03", "2026-01-05T00:15:00"),
        (Schedule(cron="0 9 * * mon"), "2026-01-05T00:00:00", "2026-01-05T09:00:00"),
        (Schedule(cron="0 9 * * mon"), "2026-01-05T09:00:00", "2026-01-12T09:00:00"),
        (Schedule(cron="0 9 * * mon"), "2026-01-05T08:59:59.999", "2026-01-05T09:00:00"),
    ],
)
def test_the_next_slot_is_the_first_after_a_time(schedule: Schedule, after: str, due: str) -> None:
    assert schedule.next_after(ms(after)) == ms(due)


@given(
    st.integers(0, 2_000_000_000_000),
    st.integers(0, 10**7),
    st.sampled_from([Schedule(every="7m", offset="2m"), Schedule(cron="*/9 * * * *")]),
)
def test_the_latest_slot_is_not_after_now_and_the_next_one_is(begin: int, later: int, schedule: Schedule) -> None:
    slot = schedule.next_after(begin)
    now = slot + later
    latest = schedule.latest(slot, now)
    assert slot <= latest <= now < schedule.next_after(now)
    assert schedule.next_after(latest) == schedule.next_after(now)


@given(st.integers(10**12, 2 * 10**12), st.sampled_from([Schedule(every="7m", offset="2m"), Schedule(cron="5 4 * * tue-fri")]))
def test_apscheduler_fires_at_the_same_slots(now: int, schedule: Schedule) -> None:
    due = schedule.trigger().get_next_fire_time(None, datetime.fromtimestamp((now + 1) / 1000, UTC))
    assert round(due.timestamp() * 1000) == schedule.next_after(now)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "give either every"),
        ({"every": "1d", "cron": "0 9 * * *"}, "give either every"),
        ({"every": "1d", "offset": "2d"}, "shorter than it"),
        ({"cron": "0 9 * * *", "offset": "1h"}, "offset goes with every"),
        ({"every": "often"}, "not a timeframe"),
        ({"cron": "0 9 * *"}, "Wrong number of fields"),
        ({"cron": "0 9 * * 1"}, "write mon, tue"),
        ({"at": "noon"}, "Extra inputs"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(settings: dict[str, str], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Schedule.model_validate(settings)


async def test_a_job_runs_at_its_slot_and_is_told_which_it_is() -> None:
    slots: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    async def job(slot: int) -> None:
        await slots.put((slot, time.time_ns() // 1_000_000))

    async with asyncio.timeout(10), Scheduler() as scheduler:
        scheduler.add("tick", Schedule(every="1s"), job)
        (first, began), (second, _) = await slots.get(), await slots.get()
        scheduler.remove("tick")
    assert first % 1000 == 0
    assert 0 <= began - first < 1000
    assert second > first
    with pytest.raises(KeyError):
        Scheduler.remove(scheduler, "tick")


async def test_a_job_that_fails_is_counted_and_runs_again() -> None:
    ran: asyncio.Queue[int] = asyncio.Queue()

    async def job(slot: int) -> None:
        await ran.put(slot)
        raise ZeroDivisionError

    async with asyncio.timeout(10), Scheduler() as scheduler:
        scheduler.add("fails", Schedule(every="1s"), job)
        await ran.get()
        await ran.get()
        assert scheduler.errors >= 1


async def test_a_job_that_still_runs_is_not_started_again_and_closing_waits_for_it() -> None:
    began, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def job(slot: int) -> None:
        began.set()
        await may_end.wait()
        ended.set()

    async with asyncio.timeout(10):
        async with Scheduler() as scheduler:
            scheduler.add("slow", Schedule(every="1s"), job)
            await began.wait()
            while not scheduler.overlaps:
                await asyncio.sleep(0.02)
            asyncio.get_running_loop().call_later(0.05, may_end.set)
        assert ended.is_set()


async def test_closing_cancels_a_job_that_will_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.schedule.CLOSE_TIMEOUT_S", 0.05)
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def job(slot: int) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asyncio.timeout(10):
        async with Scheduler() as scheduler:
            scheduler.add("stuck", Schedule(every="1s"), job)
            await began.wait()
        assert cancelled.is_set()


class Listening(Port):
    """A port that tells when it has heard something."""

    def __init__(self, prices: dict[str, float]) -> None:
        super().__init__(prices=prices)
        self.said = asyncio.Event()

    async def propose(self, decision: Decision) -> None:
        await super().propose(decision)
        self.said.set()


async def test_a_scheduled_source_proposes_at_its_slot_and_ends_when_cancelled(tmp_path: Path) -> None:
    file = tmp_path / "dca.yaml"
    text = "source: rules:dca\nkind: dca\nadds: true\nsymbols: [BTC/USDT, ETH/USDT]\nparams: {schedule: {every: 1s}, size: 0.1}\n"
    file.write_text(text, encoding="utf-8")
    loaded = load_source(file)
    source, step = loaded.live([]), loaded.step([])
    assert isinstance(source, ScheduledSource)
    assert step is not None
    port = Listening({BTC: 10.0})
    async with asyncio.timeout(10):
        task = asyncio.create_task(source.run(port))
        await port.said.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    said = port.heard[0]
    assert isinstance(said, Proposed)
    made = said.decision
    assert (made.symbol, made.price, made.size_fraction, made.created) == (BTC, 10.0, 0.1, START)
    assert made.expires == START + 5 * 60_000


def test_a_slot_names_the_same_decision_live_and_in_a_backtest(tmp_path: Path) -> None:
    file = tmp_path / "dca.yaml"
    file.write_text("source: rules:dca\nkind: dca\nparams: {schedule: {every: 10m}}\n", encoding="utf-8")
    loaded = load_source(file)
    step = loaded.step([BTC])
    assert step is not None
    view = MarketView(prices={BTC: 100.0})
    made = [decision for at in range(30) if (decision := step.on_candle(candle(at, 100.0), view))]
    slots = [int(decision.evidence["slot"] or 0) for decision in made]
    live = [loaded._scheduled_buy(BTC, slot, slot + 3, view) for slot in slots]
    assert [decision.id for decision in made] == [decision.id for decision in live if decision]


def test_a_source_spec_of_a_schedule_is_its_own() -> None:
    spec = SourceSpec("rules:x", Tier.TRADITIONAL)
    assert ScheduledSource(spec, Schedule(every="1d"), [BTC], lambda *_: None).spec is spec
