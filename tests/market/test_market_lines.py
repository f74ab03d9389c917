"""Lines, health and pauses: the parts of the live feed that need no socket."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bot.core.inputs import MarketHealth
from bot.core.market import Candle, Health
from bot.market.candle_line import CandleLine, Offer
from bot.market.ccxt_streams import Backoff
from bot.market.health import HealthBook
from bot.market.sanity import MarketSanity

T0 = 1_700_000_040_000
MINUTE = 60_000


def candle(n: int, price: float = 100.0) -> Candle:
    return Candle("BTC/USDT", "1m", T0 + 10**9, T0 + n * MINUTE, price, price, price, price, 1.0)


def line() -> tuple[CandleLine, list[int]]:
    out: list[int] = []
    made = CandleLine("BTC/USDT", "1m", MarketSanity(), lambda one: out.append((one.ts - T0) // MINUTE))
    return made, out


def test_a_skipped_candle_is_wanted_and_nothing_passes_it() -> None:
    made, out = line()
    assert [made.offer(candle(n)) for n in (0, 2, 3)] == [Offer.OUT, Offer.GAP, Offer.GAP]
    assert made.wanted
    assert [made.offer(candle(n)) for n in (1, 2, 3, 3, 1)] == [Offer.OUT, Offer.OUT, Offer.OUT, Offer.OLD, Offer.OLD]
    assert out == [0, 1, 2, 3]


def test_a_doubted_candle_is_asked_for_again_before_it_is_believed() -> None:
    made, out = line()
    made.offer(candle(0))
    assert [made.offer(candle(1, 500.0)) for _ in range(3)] == [Offer.DOUBTED, Offer.DOUBTED, Offer.OUT]
    assert out == [0, 1]


def test_a_hole_of_the_venue_is_believed_the_second_time() -> None:
    made, out = line()
    made.offer(candle(0))
    assert made.concede_before(T0 + 3 * MINUTE) is None
    hole = made.concede_before(T0 + 3 * MINUTE)
    assert hole is not None
    assert hole.count == 2
    assert made.offer(candle(3)) is Offer.OUT
    assert out == [0, 3]


def test_a_candle_that_the_venue_keeps_getting_wrong_is_given_up() -> None:
    made, out = line()
    made.offer(candle(0))
    bad = candle(1, -1.0)
    assert [made.offer(bad), made.give_up(bad.ts, 2)] == [Offer.REFUSED, None]
    assert made.give_up(bad.ts, 2) is not None
    assert made.offer(candle(2)) is Offer.OUT
    assert out == [0, 2]


def test_a_candle_is_overdue_after_its_end_and_a_grace() -> None:
    made, _ = line()
    assert not made.overdue(T0 * 2, 0)
    made.offer(candle(0))
    assert not made.overdue(T0 + 2 * MINUTE + 999, 1000)
    assert made.overdue(T0 + 2 * MINUTE + 1000, 1000)
    assert made.complete(T0 + 2 * MINUTE - 1)
    assert not made.complete(T0 + 2 * MINUTE)


@given(st.lists(st.integers(0, 20), max_size=80))
def test_whatever_is_offered_each_candle_leaves_once_and_in_order(order: list[int]) -> None:
    made, out = line()
    for n in order:
        made.offer(candle(n))
    assert out == list(range(out[0], out[0] + len(out))) if out else not order


def test_health_is_told_when_it_changes_and_only_then() -> None:
    told: list[MarketHealth] = []
    book = HealthBook(told.append)
    book.clear(1, "A", "quotes")
    book.clear(2, "A", "quotes")
    book.mark(3, "A", "candles", Health.GAP, "hole")
    book.mark(4, "A", "quotes", Health.STALE, "silent")
    book.mark(5, "A", "quotes", Health.STALE, "silent")
    book.clear(6, "A", "quotes")
    book.clear(7, "A", "candles")
    book.clear(8, "A", "candles")
    assert [(one.at, one.health) for one in told] == [
        (1, Health.FRESH),
        (3, Health.GAP),
        (4, Health.STALE),
        (6, Health.GAP),
        (7, Health.FRESH),
    ]
    assert book.of("A") is Health.FRESH
    assert book.of("B") is None


def test_pauses_double_to_a_cap_and_are_shortened_by_chance() -> None:
    backoff = Backoff(0.5, 8.0, Random(3))
    pauses = [backoff.next() for _ in range(100)]
    assert all(0.5 * full <= pause <= full for pause, full in zip(pauses, [0.5, 1, 2, 4] + [8.0] * 96, strict=True))
    assert len(set(pauses)) > 90
    backoff.reset()
    assert backoff.next() <= 0.5
