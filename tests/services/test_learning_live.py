"""Calibration of a running bot: it answers at once, sees no future, keeps what closes, and survives restarts and a store away."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any
from uuid import uuid4

import pytest

from bot.core.decision import Action, Decision, Fate
from bot.core.facts import DecisionFate, DecisionSeen, Fact, FillBooked, ShadowClosed
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.runtime.hosting import Port
from bot.services.learning.beginning import begin_learning
from bot.services.learning.chain import chained
from bot.services.learning.live import CALIBRATION, LiveCalibration
from bot.services.learning.telling import journaled
from bot.settings.learning import Calibrate
from research.calibration.errors import CalibrationUnavailable
from research.calibration.evidence import Part
from research.calibration.feedback import Feedback, Opined
from research.calibration.maps import Fit
from research.calibration.policy import CalibrationPolicy
from research.calibration.sql import SqlCalibration
from research.calibration.states import SourceState
from tests.factories import BTC, LLM, QC, RULE, T0, a_decision
from tests.journal.journal_databases import another_database, change, on_server, rows
from tests.runtime.shell_rig import running
from tests.servers import postgres_url
from tests.services.learning_life import BOOK, NOW, QUICK, a_calibration, a_ground, a_recorded_run, journal

RUN = a_recorded_run()
KEY = (RULE, "", "buy")
SIMULATED = BookKey("main", "paper", "test", "simulated")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database to be, on either engine."""
    (tmp_path / "data").mkdir()
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'data' / 'arbiter.db'}"
        return
    server: str = request.getfixturevalue("server")
    name = f"arbiter_{uuid4().hex[:12]}"
    on_server(server, f"CREATE DATABASE {name}")
    try:
        yield another_database(server, name)
    finally:
        on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'arbiter.db'}"


class Shaky(SqlCalibration):
    """A store that may be away; `asked` is set whenever it is to keep something."""

    away = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked = asyncio.Event()
        self.batches: list[int] = []

    async def keep(self, parts: Sequence[Part]) -> int:
        self.asked.set()
        if self.away:
            raise CalibrationUnavailable("it is away")
        self.batches.append(len(parts))
        return await super().keep(parts)


@asynccontextmanager
async def at_work(live: LiveCalibration) -> AsyncIterator[None]:
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
            await asyncio.sleep(0.001)


async def taught(url: str, facts: Sequence[Fact] = RUN, **options: Any) -> LiveCalibration:
    live = await a_calibration(url, **options)
    for fact in facts:
        live.saw(fact)
    await live.refit()
    return live


def asked(**changed: Any) -> Decision:
    return a_decision(at=NOW, **({"confidence": 0.8} | changed))


async def test_a_boaster_is_lowered_within_bounds_and_the_decision_says_by_what(file: str) -> None:
    live = await taught(file)
    given = asked()
    found = live.adjust(given)
    [record] = [each for each in live.records if each.key == KEY]
    [shown] = [each for each in live.state() if each["action"] == "buy"]
    assert (shown["source"], shown["closed"], shown["map"], shown["frozen"], shown["as_of"]) == (RULE, 60, "beta", False, NOW)
    assert shown["brier"] == pytest.approx(0.25 * 0.04 + 0.75 * 0.64)
    assert record.map.fit is Fit.BETA
    assert found.confidence == found.calibrated_confidence == record.map(0.8)
    assert 0.3 <= found.confidence < 0.6
    assert found.raw_confidence == 0.8
    assert found.evidence[CALIBRATION] == f"beta {record.map.version}"
    assert await live.store.map(record.map.version) == record.map
    assert replace(found, confidence=0.8, raw_confidence=None, calibrated_confidence=None, evidence={}) == given
    await live.close(1.0)
    bound = await taught(file, policy=CalibrationPolicy(max_shift=0.05))
    assert bound.adjust(asked()).confidence == pytest.approx(0.75)
    await bound.close(1.0)


async def test_outranked_decisions_teach_as_much_as_those_that_won(file: str) -> None:
    fates = {fact.decision_id: fact.fate for fact in RUN if isinstance(fact, DecisionFate) and fact.decision_id.startswith("buy")}
    assert list(fates.values()).count(Fate.OUTRANKED) == list(fates.values()).count(Fate.EXECUTED) == 30
    live = await taught(file)
    assert {each.key: each.closed for each in live.records} == {KEY: 60, (RULE, "", "sell"): 60}
    await live.close(1.0)


@pytest.mark.parametrize("calibrate", [Calibrate.OFF, Calibrate.WATCH])
async def test_where_it_is_not_on_the_very_decision_is_given_back(file: str, calibrate: Calibrate) -> None:
    live = await taught(file, calibrate=calibrate)
    decision = asked()
    assert live.adjust(decision) is decision
    assert live.records  # it is measured all the same
    await live.close(1.0)


async def test_where_nothing_is_learnt_the_very_decision_is_given_back(file: str) -> None:
    live = await taught(file)
    for decision in (asked(source=QC), asked(confidence=math.nan), asked(confidence=1.1), asked(action=Action.HOLD)):
        assert live.adjust(decision) is decision
    once = live.adjust(asked())
    assert live.adjust(once) is once
    await live.close(1.0)


async def test_a_confidence_that_the_source_lowered_itself_moves_as_far_as_the_map_moves_its_raw_one(file: str) -> None:
    live = await taught(file)
    shift = live.adjust(asked()).confidence - 0.8
    found = live.adjust(asked(confidence=0.5, raw_confidence=0.8))
    assert found.confidence == found.calibrated_confidence == pytest.approx(0.5 + shift)
    assert found.raw_confidence == 0.8
    await live.close(1.0)


async def test_a_decision_sees_only_maps_that_were_learnt_before_it_was_made(file: str) -> None:
    clock = [NOW]
    live = await a_calibration(file, lambda: clock[0])
    for fact in RUN:
        live.saw(fact)
    await live.refit()
    early = a_decision(at=NOW - 1, confidence=0.8)
    assert live.adjust(early) is early
    then = live.adjust(asked())
    for fact in a_recorded_run(61, win_every=61):
        live.saw(_later(fact))
    clock[0] = NOW + 500
    await live.refit()
    assert live.adjust(asked()) == then
    now = live.adjust(a_decision(at=NOW + 500, confidence=0.8))
    assert now.confidence < then.confidence
    await live.close(1.0)


def _later(fact: Fact) -> Fact:
    """The same decisions, by other names."""
    if isinstance(fact, DecisionSeen):
        return replace(fact, decision=replace(fact.decision, id=f"later-{fact.decision.id}"))
    return replace(fact, decision_id=f"later-{fact.decision_id}") if isinstance(fact, ShadowClosed) else fact


async def test_outcomes_of_the_future_change_nothing(file: str) -> None:
    at = [fact.at for fact in RUN if isinstance(fact, ShadowClosed)][39]
    knowing = await taught(file, now=lambda: at)
    innocent = await taught(f"{file}.b", [fact for fact in RUN if fact.at <= at], now=lambda: at)
    assert knowing.records == innocent.records
    assert [each.closed for each in knowing.records if each.key == KEY] == [40]
    await knowing.close(1.0)
    await innocent.close(1.0)


async def test_its_task_keeps_what_closes_and_learns_from_it(file: str) -> None:
    live = await a_calibration(file, store=Shaky)
    async with at_work(live):
        for fact in RUN:
            live.saw(fact)
        await until(lambda: live.waiting == 0 and any(each.closed == 60 for each in live.records))
    assert rows(file, "SELECT count(*) FROM calibration_outcomes") == [(120,)]
    assert isinstance(live.store, Shaky)
    assert max(live.store.batches) > 1
    await live.close(1.0)


async def test_what_is_told_twice_is_kept_once(file: str) -> None:
    live = await taught(file, [*RUN, *[fact for fact in RUN if isinstance(fact, ShadowClosed)]])
    assert live.waiting == 120
    await live.close(1.0)


async def test_a_store_that_is_away_gets_everything_when_it_is_back(file: str) -> None:
    live = await a_calibration(file, store=Shaky)
    assert isinstance(live.store, Shaky)
    live.store.away = True
    async with at_work(live):
        for fact in RUN:
            live.saw(fact)
        await until(lambda: live.failures >= 3)
        await until(lambda: live.adjust(asked()).confidence < 0.8)  # what it holds is used all the same
        live.store.away = False
        await until(lambda: live.waiting == 0)
    assert rows(file, "SELECT count(*) FROM calibration_outcomes") == [(120,)]
    await live.close(1.0)


async def test_what_finds_no_room_is_counted_and_closing_a_store_that_hangs_ends_in_time(file: str) -> None:
    class Hanging(SqlCalibration):
        async def keep(self, parts: Sequence[Part]) -> int:
            await asyncio.Event().wait()
            return 0

    live = await taught(file, store=Hanging, limits=replace(QUICK, waiting=10))
    assert (live.waiting, live.dropped) == (10, 110)
    began = perf_counter()
    await live.close(0.05)
    assert perf_counter() - began < 2.0


async def test_sources_beyond_the_bound_are_counted(file: str) -> None:
    live = await taught(file, limits=replace(QUICK, sources=0))
    assert live.unfollowed == 120
    assert live.waiting == 0
    await live.close(1.0)


async def test_a_start_learns_from_the_journal_what_the_last_run_did_not_keep(url: str, tmp_path: Path) -> None:
    await journal(url, tmp_path / "data", RUN)
    settings = a_ground(tmp_path, calibrate="on", url=url).loaded.settings
    live = await begin_learning(settings, BOOK, lambda: NOW)
    assert live is not None
    heard = await taught(f"sqlite:///{tmp_path / 'b.db'}", book="main/paper/test/real")
    assert live.records == heard.records
    assert live.adjust(asked()) == heard.adjust(asked())
    await live.close(1.0)
    await heard.close(1.0)
    again = await begin_learning(settings, BOOK, lambda: NOW + 1)
    assert again is not None
    assert again.records == heard.records
    assert rows(url, "SELECT count(*) FROM calibration_outcomes") == [(120,)]
    await again.close(1.0)
    other = await begin_learning(settings, BookKey("main", "paper", "test", "simulated"), lambda: NOW)
    assert other is not None
    assert other.records == ()
    await other.close(1.0)


async def test_a_trade_that_was_open_at_the_restart_is_learnt_from_after_it(url: str, tmp_path: Path) -> None:
    cut = next(place for place, fact in enumerate(RUN) if isinstance(fact, ShadowClosed) and fact.decision_id == "buy-40")
    await journal(url, tmp_path / "data", RUN[:cut])
    settings = a_ground(tmp_path, url=url).loaded.settings
    live = await begin_learning(settings, BOOK, lambda: NOW)
    assert live is not None
    for fact in RUN[cut:]:
        live.saw(fact)
    await live.refit()
    assert {each.key: each.closed for each in live.records} == {KEY: 60, (RULE, "", "sell"): 60}
    assert live.outcomes.unknown == 0
    await live.close(1.0)


async def test_frozen_and_reset_survive_a_restart(url: str, tmp_path: Path) -> None:
    await journal(url, tmp_path / "data", RUN)
    settings = a_ground(tmp_path, calibrate="on", url=url).loaded.settings
    live = await begin_learning(settings, BOOK, lambda: NOW)
    assert live is not None
    before = live.adjust(asked())
    maps = {each.key: each.map for each in live.records}
    await live.store.put_state(RULE, SourceState(frozen=True, maps=maps, at=NOW))
    await live.close(1.0)
    # More losses, which it must not learn from.
    frozen = await begin_learning(settings, BOOK, lambda: NOW)
    assert frozen is not None
    for fact in a_recorded_run(61, win_every=61):
        frozen.saw(_later(fact))
    await frozen.refit()
    assert frozen.adjust(asked()) == before
    assert all(each.frozen for each in frozen.records)
    for state in (SourceState(frozen=True), SourceState(since=NOW - 1)):
        await frozen.store.put_state(RULE, state)
        await frozen.recall()
        assert frozen.adjust(asked()).confidence == 0.8
    await frozen.close(1.0)
    again = await begin_learning(settings, BOOK, lambda: NOW)
    assert again is not None
    assert again.adjust(asked()).confidence == 0.8
    assert again.records == ()
    await again.close(1.0)


async def test_feedback_weighs_what_is_learnt(file: str) -> None:
    live = await taught(file)
    before = live.adjust(asked()).confidence
    for number in range(60):
        if number % 4:
            await live.store.say(Feedback(f"buy-{number}", Opined.USEFUL, NOW - 1, "ann", "bad luck"))
    await live.recall()
    assert before < live.adjust(asked()).confidence < 0.8
    await live.close(1.0)


async def test_a_simulated_world_teaches_the_real_one_nothing(file: str) -> None:
    live = await taught(file, simulated=True)
    assert {each.key[0] for each in live.records} == {f"simulated/{RULE}"}
    assert live.adjust(asked()).confidence < 0.8
    await live.close(1.0)
    real = await a_calibration(file)
    await real.recall()
    assert real.records == ()
    assert real.adjust(asked()).confidence == 0.8
    await real.close(1.0)
    again = await a_calibration(file, simulated=True)
    await again.recall()
    assert again.adjust(asked()).confidence < 0.8
    await again.close(1.0)


async def test_thresholds_are_told_once_and_only_when_they_change(file: str) -> None:
    told: list[tuple[str, float]] = []
    policy = CalibrationPolicy(threshold_low=0.3, threshold_high=0.85)
    losing = a_recorded_run(40, win_every=100)
    live = await taught(file, losing, heed=lambda source, least: told.append((source, least)), policy=policy, simulated=True)
    await live.refit()
    assert told == [(RULE, 0.85)]
    await live.store.put_state(f"simulated/{RULE}", SourceState(frozen=True))
    for fact in a_recorded_run(60, win_every=1):
        live.saw(_later(fact))
    await live.recall()
    assert told == [(RULE, 0.85)]  # a frozen source keeps its threshold
    await live.store.put_state(f"simulated/{RULE}", SourceState())
    await live.recall()
    assert told == [(RULE, 0.85), (RULE, 0.8)]
    await live.close(1.0)


async def test_thresholds_are_heeded_only_where_the_settings_say_so(file: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    url = f"sqlite:///{tmp_path / 'data' / 'arbiter.db'}"
    await journal(url, tmp_path / "data", RUN)
    for wanted in (False, True):
        told: list[tuple[str, float]] = []
        settings = a_ground(tmp_path, adjust_threshold=wanted).loaded.settings
        live = await begin_learning(settings, BOOK, lambda: NOW, lambda source, least: told.append((source, least)))  # noqa: B023
        assert live is not None
        assert told == ([(RULE, 0.9)] if wanted else [])
        await live.close(1.0)


async def test_off_is_none(tmp_path: Path) -> None:
    settings = a_ground(tmp_path, enabled=False).loaded.settings
    assert await begin_learning(settings, BOOK, lambda: NOW) is None


async def test_a_row_that_is_no_outcome_takes_no_calibration_away(file: str) -> None:
    live = await taught(file)
    await live.close(1.0)
    change(file, "UPDATE calibration_outcomes SET body = '{}'")
    again = await a_calibration(file)
    await again.recall()
    for fact in RUN:
        again.saw(fact)
    await again.refit()
    assert again.adjust(asked()).confidence < 0.8
    await again.close(1.0)


async def test_calibration_comes_before_the_memory() -> None:
    def twice(decision: Decision) -> Decision:
        return replace(decision, confidence=decision.confidence * 2)

    def less(decision: Decision) -> Decision:
        return replace(decision, confidence=decision.confidence - 0.1)

    both = chained(less, None, twice)
    assert both is not None
    assert both(asked(confidence=0.5)).confidence == pytest.approx(0.8)
    assert chained(None, None) is None


async def test_what_is_learnt_weighs_the_decision_the_order_and_the_fill(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        live = await taught(f"sqlite:///{tmp_path / 'beside.db'}", now=lambda: rig.now, simulated=True)
        port = Port(rig.inbox, rig.shell.desk, rig.shell.clock.now, chained(live.adjust))
        rig.quote(100.0)
        await port.propose(a_decision(Action.BUY, RULE, rig.now, confidence=0.8))
        [fill] = await rig.facts.count(FillBooked)
        [seen] = rig.facts.of(DecisionSeen)
        assert seen.decision.confidence == fill.confidence < 0.75
        await rig.shell.journal.flush()
        with Queries(f"sqlite:///{tmp_path / 'arbiter.db'}") as queries:
            [kept] = queries.decisions()
        assert (kept.confidence, kept.raw_confidence) == (seen.decision.confidence, 0.8)
        assert kept.calibrated_confidence == kept.confidence
        assert str(kept.evidence[CALIBRATION]).startswith("beta ")
        [row] = [row for row in journaled(f"sqlite:///{tmp_path / 'arbiter.db'}", SIMULATED) if hasattr(row, "raw_confidence")]
        assert row.raw_confidence == 0.8
        await live.close(1.0)


async def test_models_are_calibrated_apart(file: str) -> None:
    def by_model(fact: Fact) -> Fact:
        if not isinstance(fact, DecisionSeen) or fact.decision.source != RULE:
            return fact
        number = int(fact.decision.id.partition("-")[2])
        return replace(fact, decision=replace(fact.decision, evidence={"model": "lucky" if number % 4 == 0 else "unlucky"}))

    live = await taught(file, [by_model(fact) for fact in a_recorded_run(120)])
    lucky, unlucky, new = (live.adjust(asked(evidence={"model": name})).confidence for name in ("lucky", "unlucky", "new"))
    assert unlucky < new < 0.8 < lucky
    assert live.adjust(asked(source=LLM, evidence={"model": "lucky"})).confidence == 0.8
    live.calibrate = Calibrate.WATCH
    assert live.calibrated(RULE, "unlucky", "buy", 0.8, NOW) == unlucky
    assert live.calibrated(RULE, "unlucky", "buy", 0.8, NOW - 1) == 0.8
    await live.close(1.0)


async def test_it_answers_within_a_fraction_of_a_millisecond(file: str) -> None:
    live = await taught(file, a_recorded_run(300))
    decision = asked(symbol=BTC)
    took = []
    for _ in range(200):
        began = thread_time()
        live.adjust(decision)
        took.append(thread_time() - began)
    assert sorted(took)[100] < 0.0005
    assert live.adjust(decision).evidence[CALIBRATION].startswith("isotonic")  # type: ignore[union-attr]
    await live.close(1.0)


def test_the_run_is_what_it_says() -> None:
    assert sum(isinstance(fact, ShadowClosed) for fact in RUN) == 60
    assert RUN[0].at >= T0
