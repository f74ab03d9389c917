"""The circuit breaker and the error budget: plain values in, plain values out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.breaker import Breaker, BreakerRules, BreakerState, Ending, Pass
from execution.error_budget import Condition, ErrorBudget, ErrorRules

RULES = BreakerRules(failures=3, calls=10, share=0.5, cool_down_ms=1_000, longest_ms=4_000)


def state(breaker: Breaker) -> BreakerState:
    """Its state now, which mypy cannot know."""
    return breaker.state


def call(breaker: Breaker, now: int, ending: Ending) -> None:
    leave = breaker.enter(now)
    assert leave is not None
    breaker.settle(leave, ending, now)


def opened(now: int = 0) -> Breaker:
    breaker = Breaker(RULES)
    for _ in range(RULES.failures):
        call(breaker, now, Ending.FAILED)
    assert state(breaker) is BreakerState.OPEN
    return breaker


def test_failures_in_a_row_open_it_and_one_answer_between_them_does_not() -> None:
    breaker = Breaker(RULES)
    for ending in (Ending.FAILED, Ending.FAILED, Ending.ANSWERED, Ending.FAILED, Ending.FAILED):
        call(breaker, 0, ending)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 0, Ending.FAILED)
    assert state(breaker) is BreakerState.OPEN


def test_a_share_of_failures_opens_it_though_never_many_in_a_row() -> None:
    breaker = Breaker(RULES)
    for _ in range(4):
        call(breaker, 0, Ending.ANSWERED)
        call(breaker, 0, Ending.FAILED)
    assert state(breaker) is BreakerState.CLOSED  # eight calls are too few to speak of a share
    call(breaker, 0, Ending.ANSWERED)
    call(breaker, 0, Ending.FAILED)
    assert state(breaker) is BreakerState.OPEN


def test_what_says_nothing_of_the_other_side_counts_as_neither() -> None:
    breaker = Breaker(RULES)
    for _ in range(2):
        call(breaker, 0, Ending.FAILED)
    for _ in range(50):
        call(breaker, 0, Ending.UNTOLD)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 0, Ending.FAILED)
    assert state(breaker) is BreakerState.OPEN


def test_an_open_breaker_lets_nothing_through_until_the_cool_down_is_over() -> None:
    breaker = opened()
    assert breaker.enter(999) is None
    assert (breaker.retry_after(400), breaker.turned_away) == (600, 1)
    assert breaker.enter(1_000) is not None


def test_exactly_one_probe_goes_at_a_time() -> None:
    breaker = opened()
    probe = breaker.enter(1_000)
    assert probe is not None
    assert state(breaker) is BreakerState.HALF_OPEN
    assert [breaker.enter(1_000 + more) for more in range(5)] == [None] * 5
    breaker.settle(probe, Ending.ANSWERED, 1_010)
    assert state(breaker) is BreakerState.CLOSED


def test_each_failed_probe_doubles_the_cool_down_up_to_its_cap() -> None:
    breaker = opened()
    now, waits = 0, []
    for _ in range(5):
        wait = breaker.retry_after(now)
        waits.append(wait)
        now += wait
        call(breaker, now, Ending.FAILED)
    assert waits == [1_000, 2_000, 4_000, 4_000, 4_000]
    call(breaker, now + 4_000, Ending.ANSWERED)
    for _ in range(RULES.failures):
        call(breaker, now + 4_000, Ending.FAILED)
    assert breaker.retry_after(now + 4_000) == 1_000  # a new trouble starts from the shortest


def test_a_probe_that_was_cancelled_makes_way_for_the_next_at_once() -> None:
    breaker = opened()
    probe = breaker.enter(1_000)
    assert probe is not None
    breaker.settle(probe, Ending.UNTOLD, 1_001)
    assert breaker.enter(1_001) is not None


def test_a_forced_call_goes_out_whatever_the_state_and_its_answer_closes() -> None:
    breaker = opened()
    early, another = breaker.force(10), breaker.force(10)
    breaker.settle(another, Ending.FAILED, 20)
    assert (state(breaker), breaker.retry_after(20)) == (BreakerState.OPEN, 980)
    breaker.settle(early, Ending.ANSWERED, 30)
    assert state(breaker) is BreakerState.CLOSED


def test_a_forced_call_is_the_probe_where_one_is_due() -> None:
    breaker = opened()
    probe = breaker.force(1_000)
    assert breaker.enter(1_000) is None
    breaker.settle(probe, Ending.FAILED, 1_000)
    assert breaker.retry_after(1_000) == 2_000


def test_calls_begun_before_it_opened_say_nothing_when_they_end_after() -> None:
    breaker = Breaker(RULES)
    late: list[Pass] = [leave for _ in range(5) if (leave := breaker.enter(0))]
    for leave in late[:3]:
        breaker.settle(leave, Ending.FAILED, 10)
    breaker.settle(late[3], Ending.ANSWERED, 20)
    assert state(breaker) is BreakerState.OPEN
    call(breaker, 1_010, Ending.ANSWERED)
    for _ in range(2):
        call(breaker, 1_020, Ending.FAILED)
    breaker.settle(late[4], Ending.FAILED, 1_030)
    assert state(breaker) is BreakerState.CLOSED


@given(st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from(["enter", "force", *Ending])), max_size=200))
def test_an_open_breaker_never_has_two_probes_and_never_stays_shut_for_ever(moves: list[tuple[int, str]]) -> None:
    breaker = Breaker(RULES)
    under_way: list[Pass] = []
    now = 0
    for pause, move in moves:
        now += pause
        if move in {"enter", "force"}:
            leave = breaker.force(now) if move == "force" else breaker.enter(now)
            if leave is not None:
                under_way.append(leave)
            if state(breaker) is BreakerState.HALF_OPEN:
                assert breaker.enter(now) is None
        elif under_way:
            breaker.settle(under_way.pop(0), Ending(move), now)
        assert breaker.retry_after(now) <= RULES.longest_ms
    for leave in under_way:
        breaker.settle(leave, Ending.UNTOLD, now)
    assert breaker.enter(now + RULES.longest_ms) is not None


ERRORS = ErrorRules(window_ms=60_000, share=0.1, least_calls=20, recovered_share=0.05, recovered_calls=5)


def fill(budget: ErrorBudget, now: int, good: int, bad: int) -> list[Condition]:
    changes = [budget.record(now, failed=False) for _ in range(good)] + [budget.record(now, failed=True) for _ in range(bad)]
    return [health.condition for health in changes if health is not None]


def test_a_dependency_is_degraded_when_its_budget_is_spent_and_says_so_once() -> None:
    budget = ErrorBudget("binance", ERRORS)
    assert fill(budget, 0, good=98, bad=10) == []
    assert budget.health(0).left == pytest.approx(1 - 10 / 10.8)
    assert fill(budget, 1, good=0, bad=20) == [Condition.DEGRADED]
    health = budget.health(1)
    assert (health.name, health.condition, health.calls, health.failures, health.left) == ("binance", "degraded", 128, 30, 0.0)
    assert health.since == 1


def test_a_handful_of_calls_says_nothing() -> None:
    budget = ErrorBudget("binance", ERRORS)
    assert fill(budget, 0, good=0, bad=19) == []
    assert fill(budget, 0, good=0, bad=1) == [Condition.DEGRADED]


def test_it_recovers_only_when_far_less_than_the_budget_fails() -> None:
    budget = ErrorBudget("binance", ERRORS)
    fill(budget, 0, good=80, bad=20)
    assert fill(budget, 1_000, good=180, bad=0) == []  # 7 %: less than the budget, not yet well
    assert fill(budget, 2_000, good=120, bad=0) == [Condition.HEALTHY]


def test_old_failures_leave_the_window() -> None:
    budget = ErrorBudget("binance", ERRORS)
    fill(budget, 0, good=0, bad=100)
    assert fill(budget, 30_000, good=10, bad=0) == []
    assert fill(budget, 61_000, good=1, bad=0) == [Condition.HEALTHY]
    assert budget.health(61_000).failures == 0


def test_silence_is_no_recovery() -> None:
    budget = ErrorBudget("binance", ERRORS)
    fill(budget, 0, good=0, bad=100)
    assert budget.health(3_600_000).condition is Condition.DEGRADED
    assert fill(budget, 3_600_000, good=4, bad=0) == []
    assert fill(budget, 3_600_000, good=1, bad=0) == [Condition.HEALTHY]


@given(st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=300))
def test_the_window_counts_what_happened_in_it(calls: list[tuple[int, bool]]) -> None:
    budget = ErrorBudget("binance", ERRORS)
    now, seen = 0, []
    for pause, failed in calls:
        now += pause
        budget.record(now, failed=failed)
        seen.append((now, failed))
        health = budget.health(now)
        within = [failed for at, failed in seen if at > now - ERRORS.window_ms]
        within_longer = [failed for at, failed in seen if at > now - ERRORS.window_ms * 62 / 60]
        assert len(within) <= health.calls <= len(within_longer)
        assert sum(within) <= health.failures <= sum(within_longer)
        assert 0 <= health.left <= 1
        assert 0 <= health.share <= 1


def test_rules_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="recovered_share"):
        ErrorBudget("binance", ErrorRules(share=0.1, recovered_share=0.2))
