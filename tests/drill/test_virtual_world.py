"""The randomised drill: a seed always gives the same, nothing is found, and what is sabotaged is found and shrunk."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

import pytest
import structlog

from bot.core.decision import Action
from bot.core.market import Side
from bot.drill.virtual.draw import drawn
from bot.drill.virtual.run import Outcome, one, run
from bot.drill.virtual.sabotage import Sabotage
from bot.drill.virtual.schedule import (
    Crash,
    CrashOn,
    Decide,
    Disk,
    Event,
    Fail,
    How,
    Leak,
    Moment,
    Move,
    Omit,
    Op,
    Other,
    Outage,
    Schedule,
    Slice,
    Tell,
    Telling,
    Thing,
    Who,
)
from bot.drill.virtual.world import Result, play

SEEDS = 12
BUY = Decide(3_000, "BTC/USDT", Action.BUY)
SELL = Decide(20_000, "BTC/USDT", Action.SELL)


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module")
def guarding() -> int:
    """A seed whose bot rests a stop at the venue, so that there is something to cancel before it can sell."""
    buy = Decide(3_000, "BTC/USDT", Action.BUY, stop_loss=0.05)
    return next(seed for seed in range(100) if played(buy, SELL, seed=seed).counts.get("cancelled"))


def played(*events: Event, seed: int = 1) -> Result:
    return play(Schedule(seed, tuple(sorted(events, key=lambda event: event.at))))


def test_the_drawn_schedules_break_nothing() -> None:
    told: list[int] = []
    outcomes = run(SEEDS, stop_at=1, progress=lambda outcome: told.append(outcome.seed))
    assert [str(outcome) for outcome in outcomes if not outcome.kept] == []
    assert told == list(range(SEEDS))
    happened = {name: sum(dict(outcome.counts).get(name, 0) for outcome in outcomes) for name, _ in outcomes[0].counts}
    assert happened["orders"] > 5 * SEEDS
    assert happened["kills"] > SEEDS
    assert happened["faults"] > 2 * SEEDS


def test_a_seed_gives_the_same_in_every_process() -> None:
    program = "from bot.drill.virtual.run import one; import sys; sys.stdout.write(repr([one(seed) for seed in (7,)]))"
    said = []
    for salt in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, timeout=120, check=True)
        said.append(done.stdout.splitlines()[-1])
    assert said[0] == said[1]
    assert said[0].decode().endswith(repr([one(7)]))


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("delay", [0, 30])
def test_a_kill_at_any_step_of_an_order_loses_and_doubles_nothing(guarding: int, moment: Moment, delay: int) -> None:
    events = (
        Decide(3_000, "BTC/USDT", Action.BUY, stop_loss=0.05),
        SELL,
        CrashOn(0, moment, delay),
        CrashOn(10_000, moment, delay, down=20),
    )
    result = played(*events, seed=guarding)
    assert result.findings == ()
    assert result.counts["kills"] >= 1


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("op", [Op.CREATE, Op.ORDER, Op.ANY])
def test_a_failing_call_loses_and_doubles_nothing(how: How, op: Op) -> None:
    result = played(BUY, SELL, Fail(2_900, op, how, count=3, lasting=30_000))
    assert result.findings == ()
    assert result.counts["orders"] >= 1
    assert result.counts["intent-asked"] >= 2


@pytest.mark.parametrize(
    "trouble",
    [
        *(Tell(2_900, how, 10_000) for how in Telling),
        *(Omit(2_900, thing, 30_000) for thing in Thing),
        Outage(3_020, 8_000),
        Disk(2_900, 5_000),
        Slice(2_900, Decimal("0.3"), 5),
        Other(2_950, Who.PERSON, "BTC/USDT", Side.BUY),
        Other(2_950, Who.SISTER, "BTC/USDT", Side.BUY, rests=True),
        Move(8_000, "USDT", Decimal(500)),
        Move(8_000, "USDT", Decimal(-500)),
        Crash(3_030),
    ],
    ids=lambda trouble: f"{type(trouble).__name__}-{getattr(trouble, 'how', getattr(trouble, 'thing', ''))}",
)
def test_trouble_of_any_kind_breaks_nothing(trouble: Event) -> None:
    assert played(BUY, SELL, trouble).findings == ()


def test_a_difference_that_nothing_explains_halts_entries_also_after_a_crash() -> None:
    result = played(BUY, Leak(20_000, Decimal("12.34")), Decide(40_000, "ETH/USDT", Action.BUY), Crash(45_000))
    assert result.findings == ()
    assert result.counts["alarms"] >= 1
    assert result.counts["orders"] == 2  # the first entry and the exit of the end: neither the second entry nor the last


@pytest.mark.parametrize(
    ("sabotage", "word", "first", "most"),
    [
        (Sabotage.RESENDS, "times", 11, 3),
        (Sabotage.FORGETS, "never meant", 0, 1),
        (Sabotage.EMPTIES, "", 20, 8),
    ],
)
def test_a_broken_promise_is_found_and_shrunk(sabotage: Sabotage, word: str, first: int, most: int) -> None:
    # `first` only saves time: any sixty seeds will do.
    outcomes = run(range(first, first + 60), sabotage=sabotage, shrink=False, stop_at=1)
    failed = [outcome for outcome in outcomes if not outcome.kept]
    assert failed
    outcome = one(failed[0].seed, sabotage)
    assert any(word in finding for finding in outcome.findings)
    smallest = outcome.smallest
    assert smallest is not None
    assert 1 <= len(smallest.events) <= most
    assert outcome.broken
    assert play(smallest, sabotage).findings == outcome.broken
    assert play(smallest).findings == ()


def test_two_processes_find_what_one_finds() -> None:
    assert run(2, processes=2) == run(2)


def test_an_outcome_can_be_read() -> None:
    smallest = Schedule(5, (BUY, Fail(3_010, Op.CREATE, How.LOST_AFTER)))
    told = str(Outcome(5, False, ("order x is at the venue 2 times",), (), smallest, ("order y is at the venue 2 times",)))
    assert "seed 5: BROKEN" in told
    assert "3.010 s  Fail     op=create how=lost-after" in told
    assert str(Outcome(6, True)) == "seed 6: kept"


def test_a_schedule_follows_from_its_seed() -> None:
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert list(drawn(3).events) == sorted(drawn(3).events, key=lambda event: event.at)
