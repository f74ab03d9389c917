"""Laws of the turns: never above the capacity in any window, orders first, first come first served, no wait beyond patience."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.turns import BudgetRules, Lane, Outcome, Turn, Turns, Window, WindowRoom

RULES = BudgetRules(weight=100, window_ms=1_000, margin=0.0)
LANES = list(Lane)

weights = st.sampled_from([0.2, 1, 2, 5, 10, 20, 40])
steps = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(LANES), weights), max_size=80)


def run(asked: list[tuple[int, Lane, float]], rules: BudgetRules = RULES) -> list[tuple[int, Turn]]:
    """Ask with these pauses and wake when due; every turn in the order settled, with its time."""
    turns = Turns(rules, WindowRoom(rules))
    settled: list[tuple[int, Turn]] = []
    now = 0

    def wake_until(end: int) -> None:
        nonlocal now
        while (due := turns.next_due(now)) is not None and due <= end:
            now = max(now, due)
            settled.extend((now, turn) for turn in turns.settle(now))
        now = max(now, end)

    for pause, lane, weight in asked:
        wake_until(now + pause)
        turn = turns.ask(now, weight, lane)
        if turn.outcome is not Outcome.WAITING:
            settled.append((now, turn))
        settled.extend((now, turn) for turn in turns.settle(now))
    wake_until(now + 100_000)
    assert all(turns.waiting(lane) == 0 for lane in Lane)
    return settled


@given(steps, st.sampled_from([1_000, 60_000]))
def test_no_window_ever_holds_more_than_the_capacity(asked: list[tuple[int, Lane, float]], window_ms: int) -> None:
    rules = BudgetRules(weight=100, window_ms=window_ms, margin=0.0, patience_ms=dict.fromkeys(Lane, 90_000))
    recent: deque[tuple[int, float]] = deque()
    for now, turn in run(asked, rules):
        if turn.outcome is Outcome.TAKEN:
            recent.append((now, turn.weight))
            while recent[0][0] + window_ms <= now:
                recent.popleft()
            assert sum(weight for _, weight in recent) <= rules.capacity + 1e-6


@given(steps)
def test_every_turn_is_settled_within_its_lanes_patience(asked: list[tuple[int, Lane, float]]) -> None:
    settled = run(asked)
    assert len(settled) == len(asked)
    assert all(now <= turn.deadline for now, turn in settled)


@given(steps)
def test_within_a_lane_the_first_to_ask_is_the_first_to_go(asked: list[tuple[int, Lane, float]]) -> None:
    taken = [turn for _, turn in run(asked) if turn.outcome is Outcome.TAKEN]
    for lane in Lane:
        deadlines = [turn.deadline for turn in taken if turn.lane is lane]
        assert all(before <= after for before, after in pairwise(deadlines))


@given(steps, st.integers(0, 3_000))
def test_nobody_has_a_turn_while_one_of_a_better_lane_waits(asked: list[tuple[int, Lane, float]], pause: int) -> None:
    rules = BudgetRules(weight=30, window_ms=1_000, margin=0.0, shares=dict.fromkeys(Lane, 1.0))
    turns = Turns(rules, WindowRoom(rules))
    for _, lane, weight in asked:  # all at once
        turns.ask(0, min(weight, 30), lane)
    for now in (0, pause):
        order = [LANES.index(turn.lane) for turn in turns.settle(now) if turn.outcome is Outcome.TAKEN]
        assert order == sorted(order)
        if order:
            assert not any(turns.waiting(lane) for lane in LANES[: order[-1]])


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1e6)), max_size=100), st.lists(st.floats(0, 1e7), max_size=5))
def test_a_window_never_counts_below_zero_and_forgets_everything_in_time(
    taken: list[tuple[int, float]], seen: list[float]
) -> None:
    window = Window(1_000)
    now = 0
    for pause, weight in taken:
        now += pause
        window.add(now, weight)
        assert window.used(now) >= weight
    for used in seen:
        window.correct(now, used)
        assert window.used(now) >= used - 1e-9
    assert window.used(now + 1_000) == 0


def test_a_window_remembers_a_bounded_number_of_spans() -> None:
    window = Window(60_000)
    for now in range(120_000):
        window.add(now, 0.2)
    assert len(window._spans) < 300
    assert window.used(120_000) == pytest.approx(60_000 * 0.2, rel=0.01)


def test_what_was_taken_close_together_leaves_with_the_last_of_it() -> None:
    window = Window(60_000)
    window.add(0, 50)
    window.add(200, 50)
    assert window.fits_at(300, 50, 100) == 60_200
    assert window.used(60_199) == 100


def test_the_moment_of_room_is_exact() -> None:
    window = Window(1_000)
    window.add(0, 60)
    window.add(300, 40)
    assert window.fits_at(400, 10, 100) == 1_000
    assert window.fits_at(400, 70, 100) == 1_300
    assert window.fits_at(400, 101, 100) is None
    assert window.fits_at(1_000, 60, 100) == 1_000


def test_data_and_reads_leave_room_for_an_order() -> None:
    turns = Turns(RULES, WindowRoom(RULES))
    data = [turns.ask(0, 1, Lane.DATA) for _ in range(200)]
    reads = [turns.ask(0, 1, Lane.READS) for _ in range(50)]
    turns.settle(0)
    assert sum(turn.outcome is Outcome.TAKEN for turn in reads) == 50
    assert sum(turn.outcome is Outcome.TAKEN for turn in data) == 0  # reads go first, and fill the half
    order = turns.ask(1, 20, Lane.ORDERS)
    assert turns.settle(1) == [order]
    assert order.outcome is Outcome.TAKEN


def test_a_heavy_call_is_not_overtaken_for_ever_by_light_ones_behind_it() -> None:
    turns = Turns(RULES, WindowRoom(RULES))
    turns.ask(0, 70, Lane.READS)
    turns.settle(0)
    heavy = turns.ask(1, 60, Lane.READS)
    light = turns.ask(2, 1, Lane.READS)
    data = turns.ask(2, 1, Lane.DATA)
    assert turns.settle(2) == []
    assert turns.settle(1_000) == [heavy, light]
    assert data.outcome is Outcome.WAITING  # the window is above the share of data


def test_a_call_that_can_never_fit_is_told_at_once() -> None:
    turns = Turns(RULES, WindowRoom(RULES))
    turn = turns.ask(0, 51, Lane.DATA)  # half of the window is for data
    assert turn.outcome is Outcome.SPENT
    assert turn.retry_after_ms == RULES.window_ms


def test_a_call_that_would_come_too_late_is_told_at_once_and_when_to_come_again() -> None:
    rules = BudgetRules(weight=100, window_ms=60_000, margin=0.0)
    turns = Turns(rules, WindowRoom(rules))
    turns.ask(0, 100, Lane.ORDERS)
    turns.settle(0)
    turn = turns.ask(10_000, 1, Lane.ORDERS)
    assert (turn.outcome, turn.retry_after_ms) == (Outcome.SPENT, 50_000)
    assert turns.waiting(Lane.ORDERS) == 0


def test_a_full_lane_turns_callers_away_and_counts_them() -> None:
    rules = BudgetRules(weight=10, window_ms=1_000, margin=0.0, waiters=3)
    turns = Turns(rules, WindowRoom(rules))
    turns.ask(0, 10, Lane.ORDERS)
    turns.settle(0)
    outcomes = [turns.ask(1, 1, Lane.ORDERS).outcome for _ in range(5)]
    assert outcomes == [Outcome.WAITING] * 3 + [Outcome.OVERFLOW] * 2
    assert turns.overflowed[Lane.ORDERS] == turns.spent[Lane.ORDERS] == 2


def test_a_penalty_ends_at_once_whoever_has_not_the_patience_for_it() -> None:
    turns = Turns(RULES, WindowRoom(RULES))
    turns.ask(0, 80, Lane.READS)
    turns.settle(0)
    order, read, data = (turns.ask(1, weight, lane) for weight, lane in ((50, Lane.ORDERS), (5, Lane.READS), (5, Lane.DATA)))
    turns.settle(1)
    turns.penalise(2, 20_000)
    assert set(turns.settle(2)) == {order, read}
    assert order.retry_after_ms == 20_000
    assert data.outcome is Outcome.WAITING
    assert turns.settle(20_001) == []
    assert turns.settle(20_002) == [data]


def test_the_longest_of_several_penalties_counts() -> None:
    turns = Turns(RULES, WindowRoom(RULES))
    assert turns.penalise(0, 5_000) == 5_000
    assert turns.penalise(1_000, 1_000) == 4_000


def test_penalties_without_a_time_grow_only_when_they_follow_one_another() -> None:
    rules = BudgetRules(weight=100, window_ms=10_000, longest_penalty_ms=4_000)
    turns = Turns(rules, WindowRoom(rules))
    assert turns.penalise(0, 0) == 1_000
    assert turns.penalise(10, 0) == 1_000  # a second answer to the same rush
    assert turns.penalise(1_500, 0) == 2_000
    assert turns.penalise(4_000, 0) == 4_000
    assert turns.penalise(9_000, 0) == 4_000
    assert turns.penalise(60_000, 0) == 1_000


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weigh"):
        Turns(RULES, WindowRoom(RULES)).ask(0, weight, Lane.DATA)


def test_rules_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        BudgetRules(margin=1.0)
    with pytest.raises(ValueError, match="shares"):
        BudgetRules(shares={Lane.ORDERS: 1.0, Lane.READS: 0.0, Lane.DATA: 0.5})
