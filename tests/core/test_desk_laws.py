"""Laws of the whole desk, held over random lives."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.desk import TradingDesk
from bot.core.effects import Effect, SetTimer
from bot.core.inputs import Input
from bot.journal.codec import decode_snapshot, encode_snapshot
from tests.core.desk_streams import STEPS, Life, Step, a_random_config

LAW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SOME = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def replayed(desk: TradingDesk, inputs: list[Input]) -> list[list[Effect]]:
    """What a desk answers to each input, without its timers: a restored desk sets its own once more."""
    return [[effect for effect in desk.handle(event) if not isinstance(effect, SetTimer)] for event in inputs]


@LAW
@given(STEPS, st.integers(0, 29))
def test_each_decision_meets_exactly_one_terminal_fate(steps: list[Step], pick: int) -> None:
    life = Life(pick)
    life.live(steps)
    life.end()
    assert life.desk.fateless() == []
    assert life.desk.desk.state.open == {}
    assert len(life.desk.desk.state.queue) == 0
    assert life.desk.desk.state.lapsing == {}


@LAW
@given(STEPS, st.integers(0, 29))
def test_cash_positions_and_fees_balance_whatever_happens(steps: list[Step], pick: int) -> None:
    life = Life(pick)
    life.live(steps)
    books = life.desk.desk.portfolio
    held = sum((lot.amount * lot.price for position in books.positions.values() for lot in position.lots), start=0)
    open_fees = sum((lot.fee for position in books.positions.values() for lot in position.lots), start=0)
    assert books.cash + held + open_fees == books.start + books.moved + books.realised
    for position in books.positions.values():
        assert sum((lot.amount for lot in position.lots), start=0) == position.amount


@SOME
@given(STEPS, st.integers(0, 29), st.floats(0, 1))
def test_a_snapshot_then_restore_changes_nothing_that_follows(steps: list[Step], pick: int, where: float) -> None:
    life = Life(pick)
    life.live(steps)
    inputs = [event for event, _ in life.desk.turns]
    cut = int(len(inputs) * where)
    config = a_random_config(pick)
    desk = TradingDesk(config)
    replayed(desk, inputs[:cut])
    snapshot = desk.snapshot()
    copied = TradingDesk.restore(config, snapshot)
    revived = TradingDesk.restore(config, decode_snapshot(encode_snapshot(snapshot)))
    went_on = replayed(desk, inputs[cut:])
    assert replayed(copied, inputs[cut:]) == went_on
    assert replayed(revived, inputs[cut:]) == went_on


@SOME
@given(STEPS, st.integers(0, 29))
def test_the_same_inputs_give_the_same_effects(steps: list[Step], pick: int) -> None:
    life = Life(pick)
    life.live(steps)
    desk = TradingDesk(a_random_config(pick))
    assert [tuple(desk.handle(event)) for event, _ in life.desk.turns] == [effects for _, effects in life.desk.turns]


def fixed_life() -> str:
    """A long life that is the same in every process, as the text of its effects."""
    life = Life(3)
    names = ("propose", "quote", "venue", "propose", "wait", "venue", "claim", "world", "venue", "source", "intent", "command")
    life.live([(names[(i * 7 + i // 5) % len(names)], i * 7919 % 1000, i * 104729 % 1000) for i in range(400)])
    return repr([effects for _, effects in life.desk.turns])


def test_replay_is_the_same_under_every_hash_seed() -> None:
    code = "import hashlib, tests.core.test_desk_laws as laws; print(hashlib.sha256(laws.fixed_life().encode()).hexdigest())"
    answers = set()
    for seed in ("0", "1", "4711"):
        environment: dict[str, Any] = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}
        answers.add(subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout)
    assert len(answers) == 1
