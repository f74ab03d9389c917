"""How often is too often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.web.security.limits import Buckets, Lockout, network, seconds_of


@given(steps=st.lists(st.integers(0, 3_000), min_size=1, max_size=200))
def test_never_more_pass_than_burst_and_rate_allow(steps: list[int]) -> None:
    buckets, now, passed = Buckets(rate=2, burst=5), 0, 0
    for step in steps:
        now += step
        passed += buckets.take("x", now) == 0
    assert passed <= 5 + 2 * sum(steps) / 1_000 + 1e-6


def test_who_waits_as_long_as_told_may_pass() -> None:
    buckets = Buckets(rate=3, burst=1)
    assert buckets.take("x", 0) == 0
    wait = buckets.take("x", 0)
    assert 0 < wait <= 334
    assert buckets.take("x", wait + 1) == 0


def test_one_key_does_not_use_up_anothers_share() -> None:
    buckets = Buckets(rate=1, burst=1)
    assert buckets.take("x", 0) == 0
    assert buckets.take("x", 0) > 0
    assert buckets.take("y", 0) == 0


def test_a_clock_that_goes_back_lets_nobody_through() -> None:
    buckets = Buckets(rate=1, burst=1)
    assert buckets.take("x", 10_000) == 0
    assert buckets.take("x", 0) > 0
    assert buckets.take("x", 500) > 0


def test_the_lock_out_grows_with_each_failure_up_to_its_longest() -> None:
    lockout, now, waits = Lockout(free=2, first_ms=1_000, longest_ms=8_000), 0, []
    for _ in range(8):
        waits.append(lockout.failed("x", now))
        now += waits[-1]
    assert waits == [0, 0, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]


def test_a_lock_out_ends_and_a_success_forgives() -> None:
    lockout = Lockout(free=0, first_ms=1_000)
    lockout.failed("x", 0)
    assert lockout.wait("x", 999) == 1
    assert lockout.wait("x", 1_000) == 0
    lockout.failed("x", 1_000)
    assert lockout.wait("x", 1_000) == 2_000
    lockout.succeeded("x")
    assert lockout.failed("x", 1_001) == 1_000


def test_tables_stay_bounded_under_a_flood_of_addresses() -> None:
    lockout, buckets = Lockout(most=100), Buckets(rate=1, burst=1, most=100)
    for number in range(10_000):
        lockout.failed(str(number), number)
        buckets.take(str(number), number)
    assert len(lockout) == len(buckets) == 100


def test_addresses_that_cost_nothing_count_as_one() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1")
    assert network("2001:db8:0:1::1") != network("2001:db8:0:2::1")
    assert network("::ffff:10.0.0.1") == network("10.0.0.1")
    assert network("10.0.0.1") != network("10.0.0.2")
    assert len(network("x" * 1_000)) == 64


def test_retry_after_is_never_too_early() -> None:
    assert [seconds_of(wait) for wait in (1, 999, 1_000, 1_001)] == [1, 1, 1, 2]
