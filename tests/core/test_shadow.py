"""Promises of shadow ledgers: what each mind would have earned alone, and what overruling it cost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.decision import Action, Fate, OnExpiry
from bot.core.desk import Drive, TradingDesk
from bot.core.facts import OverrideClosed, ShadowClosed
from bot.core.matching import FillModel
from bot.core.shadow import ShadowLedger
from bot.core.sizing import CappedKelly
from tests.factories import BTC, ETH, LLM, QC, RULE, DeskHarness, a_config, a_model, a_source

BUY, SELL, HOLD = Action.BUY, Action.SELL, Action.HOLD
COSTLY = FillModel(slippage=0.0003, candle_spread=0.0004)

Move = tuple[str, int, int, int]
MOVES = st.lists(
    st.tuples(st.sampled_from(["move", "move", "propose"]), st.integers(0, 1), st.integers(-40, 40), st.integers(0, 63)),
    min_size=5,
    max_size=50,
)


def shadow(desk: DeskHarness, source: str) -> ShadowLedger:
    """A source's ledger."""
    return desk.desk.state.shadows[source]


def assert_same_books(desk: DeskHarness, source: str) -> None:
    """The ledger of a source that is alone equals the book, to the last digit."""
    book, own = desk.desk.portfolio, shadow(desk, source).portfolio
    assert (own.cash, own.realised, own.fees) == (book.cash, book.realised, book.fees)
    assert {s: p.amount for s, p in own.positions.items()} == {s: p.amount for s, p in book.positions.items()}
    assert own.equity == pytest.approx(book.equity, rel=1e-12)


def propose(desk: DeskHarness, symbol: str, kind: int) -> None:
    """A buy or a sell, sometimes with levels."""
    price = desk.desk.market.prices.get(symbol, 100.0)
    desk.propose(
        SELL if kind % 3 == 0 else BUY,
        symbol=symbol,
        lasts=10_000_000,
        stop_loss=price * 0.97 if kind % 4 == 1 else None,
        take_profit=price * 1.03 if kind % 4 == 2 else None,
        trailing=0.02 if kind % 8 == 3 else None,
        size_fraction=0.5 if kind % 5 == 1 else None,
    )


@settings(max_examples=60, deadline=None)
@given(MOVES, st.booleans())
def test_a_source_alone_has_a_shadow_equal_to_the_book_where_quotes_drive(moves: list[Move], adds: bool) -> None:
    desk = DeskHarness(a_config(fills=COSTLY), [a_source(RULE, adds=adds)], paper=True)
    prices = [100.0, 50.0]
    desk.quote(prices[0], symbol=BTC)
    desk.quote(prices[1], symbol=ETH)
    for name, which, move, kind in moves:
        symbol = (BTC, ETH)[which]
        if name == "move":
            prices[which] = round(prices[which] * (1 + move / 1000), 2)
            low = round(prices[which] * (1 - kind / 2000), 2)
            desk.quote(prices[which], 1_000, symbol, bid_low=low)
        else:
            propose(desk, symbol, kind)
        assert_same_books(desk, RULE)


@settings(max_examples=60, deadline=None)
@given(MOVES, st.booleans(), st.booleans())
def test_a_source_alone_has_a_shadow_equal_to_the_book_where_candles_drive(
    moves: list[Move], next_open: bool, adds: bool
) -> None:
    config = a_config(fills=COSTLY, drive=Drive.CANDLES, next_open=next_open)
    desk = DeskHarness(config, [a_source(RULE, adds=adds)], paper=True)
    price = 100.0
    desk.candle(price)
    asked = False
    for name, gap, move, kind in moves:
        if name == "move":
            opened = round(price * (1 + gap * move / 2000), 2)
            price = round(price * (1 + move / 1000), 2)
            low, high = min(opened, price) * (1 - kind / 2000), max(opened, price) * (1 + kind / 2000)
            desk.candle(price, opened=opened, low=round(low, 2), high=round(high, 2))
            assert_same_books(desk, RULE)
            asked = False
        elif not asked:
            # A source is asked once per candle.
            propose(desk, BTC, kind)
            asked = True


def test_a_shadow_follows_its_source_whether_it_won_or_not() -> None:
    desk = DeskHarness(a_config(fills=a_model()))
    desk.quote(100)
    desk.buys(source=QC)
    loser = desk.propose(SELL, LLM)
    assert desk.fate(loser) is Fate.OUTRANKED
    desk.quote(100)
    winner_too = desk.propose(BUY, RULE)
    assert desk.fate(winner_too) is Fate.AGREED
    assert shadow(desk, RULE).portfolio.amount(BTC) == 10
    assert shadow(desk, LLM).portfolio.amount(BTC) == 0


def test_a_shadow_follows_what_was_proposed_before_the_first_price_once_there_is_one() -> None:
    desk = DeskHarness(a_config(fills=a_model()))
    desk.propose(BUY, price=100.0)
    desk.quote(100)
    desk.wait(1_000)
    assert desk.order.amount == shadow(desk, RULE).portfolio.amount(BTC) == 10


def test_a_shadow_does_not_follow_what_was_not_admitted() -> None:
    desk = DeskHarness(sources=(a_source(RULE, threshold=0.9),))
    desk.quote(100)
    assert desk.fate(desk.propose(BUY)) is Fate.BELOW_THRESHOLD
    assert shadow(desk, RULE).portfolio.amount(BTC) == 0


def test_an_override_costs_the_losers_shadow_minus_the_book_until_the_losers_own_exit() -> None:
    desk = DeskHarness(a_config(fills=a_model()))
    desk.quote(100)
    desk.propose(HOLD, QC, lasts=10_000_000)
    loser = desk.propose(BUY, LLM, take_profit=110.0)
    assert desk.fate(loser) is Fate.OUTRANKED
    desk.quote(105)
    assert not desk.of(OverrideClosed)
    desk.quote(110)
    override = desk.of(OverrideClosed)[0]
    assert (override.loser, override.winner, override.decision_id) == (LLM, QC, loser.id)
    assert (override.shadow_pnl, override.book_pnl, override.cost) == (100.0, 0.0, 100.0)
    assert desk.of(ShadowClosed)[0].pnl == Decimal(100)


def test_an_override_of_an_exit_is_what_the_book_then_lost_or_won() -> None:
    desk = DeskHarness(a_config(fills=a_model()))
    desk.quote(100)
    desk.buys(source=QC, stop_loss=90.0)
    desk.propose(SELL, LLM)
    desk.quote(90)
    desk.fill(price="90")
    override = desk.of(OverrideClosed)[0]
    assert (override.loser, override.book_pnl, override.cost) == (LLM, -100.0, 100.0)


def test_agreeing_with_the_winner_is_no_override() -> None:
    desk = DeskHarness(a_config(fills=a_model()))
    desk.quote(100)
    desk.buys(source=QC)
    desk.propose(BUY, LLM, take_profit=110.0)
    desk.quote(111)
    assert not desk.of(OverrideClosed)


def test_a_shadow_of_a_source_that_wants_no_position_without_a_decision_leaves_it_at_expiry_even_if_it_never_won() -> None:
    desk = DeskHarness(a_config(fills=a_model()), sources=(a_source(QC), a_source(RULE, on_expiry=OnExpiry.FLATTEN)))
    desk.quote(100)
    desk.propose(HOLD, QC, lasts=10_000_000)
    desk.propose(BUY, RULE, lasts=5_000)
    assert shadow(desk, RULE).portfolio.amount(BTC) == 10
    desk.wait(5_000)
    assert shadow(desk, RULE).portfolio.amount(BTC) == 0


def test_protection_on_its_way_in_a_shadow_is_not_called_back_by_a_proposal() -> None:
    desk = DeskHarness(a_config(fills=a_model(latency_ms=500)), [a_source(RULE)])
    desk.quote(100)
    desk.propose(BUY, stop_loss=95.0)
    desk.quote(100, after=500)
    desk.quote(94, after=500)
    desk.propose(BUY)
    desk.quote(99, after=500)
    assert shadow(desk, RULE).portfolio.amount(BTC) == 0


def test_two_adds_on_the_way_both_arrive_in_the_shadow() -> None:
    desk = DeskHarness(a_config(fills=a_model(latency_ms=500)), [a_source(RULE, adds=True)])
    desk.quote(100)
    desk.propose(BUY)
    desk.quote(100, after=100)
    desk.propose(BUY)
    desk.quote(100, after=1_000)
    assert shadow(desk, RULE).portfolio.amount(BTC) == 20


def test_a_shadow_outlives_its_sources_leave() -> None:
    from bot.core.inputs import SourceJoined, SourceLeft

    desk = DeskHarness(a_config(fills=a_model()), [a_source(RULE)])
    desk.quote(100)
    desk.buys()
    desk.turn(SourceLeft(desk.now, RULE))
    assert shadow(desk, RULE).portfolio.amount(BTC) == 10
    desk.turn(SourceJoined(desk.now, a_source(RULE)))
    assert shadow(desk, RULE).portfolio.amount(BTC) == 10


def test_kelly_sizing_reads_the_shadow_record_not_the_books() -> None:
    desk = DeskHarness(a_config(fills=a_model(), sizing=CappedKelly(least_trades=2, fallback=0.05, share=1.0, cap=0.25)))
    desk.quote(100)
    desk.propose(HOLD, QC, lasts=10_000_000)
    for _ in range(3):
        desk.propose(BUY, LLM, take_profit=101.0)
        desk.quote(101)
        desk.quote(100)
    record = shadow(desk, LLM).record()
    assert (record.trades, record.wins) == (3, 3)
    assert not desk.venue.orders
    desk.wait(10_000_000)
    desk.quote(100)
    desk.propose(BUY, LLM)
    assert desk.order.amount == Decimal(25)


def test_overruling_what_was_already_executed_is_an_override_too() -> None:
    desk = DeskHarness(a_config(fills=a_model()))
    desk.quote(100)
    desk.buys(source=LLM, take_profit=120.0)
    desk.propose(SELL, QC)
    desk.fill(price="100")
    desk.quote(120)
    override = desk.of(OverrideClosed)[0]
    assert (override.loser, override.winner, override.cost) == (LLM, QC, 200.0)


def test_ledgers_hear_a_price_in_the_same_order_after_a_restore() -> None:
    desk = DeskHarness(a_config(fills=a_model()))
    desk.quote(100)
    for source in (RULE, LLM, QC):
        desk.propose(BUY, source, take_profit=110.0)
    again = DeskHarness(desk.config, desk=TradingDesk.restore(desk.config, desk.desk.snapshot()))
    again.now = desk.now
    for book in (desk, again):
        book.quote(110)
    assert [fact.source for fact in desk.of(ShadowClosed)] == [fact.source for fact in again.of(ShadowClosed)]
    assert len(desk.of(ShadowClosed)) == 3
