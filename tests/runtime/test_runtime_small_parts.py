"""The clock, the latencies and the tally."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.facts import DecisionSeen, FillBooked, OrderChanged
from bot.core.market import Side
from bot.core.orders import Fill, Leg, OrderRequest, OrderState, OrderType
from bot.latency import LatencyHistogram
from bot.runtime.clock import WallClock, steady_ns
from bot.runtime.tally import Tally
from tests.factories import BTC, RULE, T0, TIERS, a_decision


def test_the_clock_tells_the_wall_s_time_and_only_goes_on() -> None:
    clock = WallClock()
    assert abs(clock.now() - time.time_ns() // 1_000_000) < 1_000
    told = [clock.now() for _ in range(1_000)]
    assert told == sorted(told)


def test_a_wall_that_is_set_back_does_not_set_the_clock_back() -> None:
    wall, steady = [T0 * 1_000_000], [5_000_000_000]
    clock = WallClock(lambda: wall[0], lambda: steady[0])
    assert clock.now() == T0
    wall[0] -= 3_600_000_000_000
    steady[0] += 2_000_000
    assert clock.now() == T0 + 2


def test_the_clock_goes_on_while_the_machine_sleeps_where_the_system_can_tell() -> None:
    before = time.monotonic_ns()
    assert steady_ns() >= before - 1_000_000


@given(st.lists(st.floats(2e-6, 60.0), min_size=1, max_size=200))
def test_a_percentile_is_at_most_five_percent_above_the_sample(samples: list[float]) -> None:
    histogram = LatencyHistogram()
    for sample in samples:
        histogram.add(sample)
    exact = sorted(samples)[-1]
    assert exact <= histogram.percentile(1.0) * 1.000001
    assert histogram.percentile(1.0) <= exact * 1.0501
    assert histogram.count == len(samples)


def test_a_latency_beyond_every_bucket_is_still_counted() -> None:
    histogram = LatencyHistogram()
    histogram.add(0.0)
    histogram.add(1e9)
    assert histogram.count == 2
    assert histogram.percentile(1.0) > 60
    assert LatencyHistogram().milliseconds() == {"p50": 0.0, "p90": 0.0, "p99": 0.0}


@given(st.lists(st.floats(1e-7, 200.0), min_size=1, max_size=100), st.floats(1e-6, 100.0))
def test_what_is_counted_up_to_a_bound_was_at_most_that_and_at_most_five_percent_is_missed(
    samples: list[float], bound: float
) -> None:
    histogram = LatencyHistogram()
    for sample in samples:
        histogram.add(sample)
    (counted,) = histogram.cumulative([bound])
    assert sum(sample <= bound / 1.0501 for sample in samples) <= counted <= sum(sample <= bound * 1.000001 for sample in samples)
    assert histogram.total == pytest.approx(sum(samples))


def test_a_latency_is_measured_once_for_each_decision() -> None:
    tally = Tally()
    tally.arrived = time.perf_counter() - 0.5
    decision = a_decision(name="d")
    tally.observe(DecisionSeen(T0, decision))
    fill = Fill("f", "o", BTC, Side.BUY, Decimal(1), Decimal(100), Decimal("0.1"), "USDT", T0)
    booked = FillBooked(T0, fill, RULE, TIERS[RULE], 0.6, "d", Decimal(0), Decimal("0.1"), 0.0)
    tally.observe(booked)
    tally.observe(booked)
    assert tally.to_fill.count == 1
    assert tally.to_fill.total == pytest.approx(0.5, abs=0.1)
    assert (tally.fills, tally.fees) == (2, Decimal("0.2"))


def an_order(name: str, decision: str | None = "d") -> OrderRequest:
    return OrderRequest(
        name,
        BTC,
        Side.BUY,
        OrderType.MARKET,
        Decimal(1),
        Leg.ENTRY,
        "d",
        1,
        RULE,
        TIERS[RULE],
        0.6,
        100.0,
        T0,
        decision_id=decision,
    )


def counts(tally: Tally) -> tuple[int, ...]:
    stages = tally.stages
    return tuple(each.count for each in (stages.intended, stages.stored, stages.sent, stages.accepted, stages.filled))


def test_each_stage_of_an_order_is_measured_once() -> None:
    tally, order = Tally(), an_order("o")
    tally.arrived = time.perf_counter()
    tally.observe(DecisionSeen(T0, a_decision(name="d")))
    tally.intend(order)
    assert counts(tally) == (1, 0, 0, 0, 0)
    tally.stages.keep("o")
    tally.stages.send("o")
    assert counts(tally) == (1, 1, 1, 0, 0)
    for state in (OrderState.OPEN, OrderState.OPEN):
        tally.observe(OrderChanged(T0, order, state, Decimal(0), None))
    assert counts(tally) == (1, 1, 1, 1, 0)
    fill = Fill("f", "o", BTC, Side.BUY, Decimal(1), Decimal(100), Decimal("0.1"), "USDT", T0)
    tally.observe(FillBooked(T0, fill, RULE, TIERS[RULE], 0.6, "d", Decimal(0), Decimal("0.1"), 0.0))
    tally.observe(OrderChanged(T0, order, OrderState.FILLED, Decimal(1), Decimal(100)))
    assert counts(tally) == (1, 1, 1, 1, 1)


def test_an_order_that_the_venue_refuses_was_never_accepted_and_is_forgotten() -> None:
    tally, order = Tally(), an_order("o", None)
    tally.intend(order)
    tally.stages.send("o")
    tally.observe(OrderChanged(T0, order, OrderState.REJECTED, Decimal(0), None))
    tally.observe(OrderChanged(T0, order, OrderState.OPEN, Decimal(0), None))
    tally.stages.keep("o")
    assert counts(tally) == (0, 1, 1, 0, 0)


def test_decisions_that_never_fill_are_forgotten_in_time() -> None:
    tally = Tally()
    for number in range(5_000):
        tally.observe(DecisionSeen(T0, a_decision(name=str(number))))
    assert len(tally._open) == 4_096
    assert tally.decisions[RULE] == 5_000
