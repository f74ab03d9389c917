"""The books balance to the last digit, whatever order fills come in and whatever fees are paid in."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.decision import Action, Tier
from bot.core.market import Side
from bot.core.orders import Fill, Leg, OrderRequest, OrderType
from bot.core.portfolio import Portfolio
from tests.factories import BTC, ETH, RULE, T0, DeskHarness, a_config, a_source, an_instrument

FEES = ("USDT", "BTC", "BNB")


def a_request(side: Side, source: str = RULE, symbol: str = BTC) -> OrderRequest:
    """An order whose fills are booked."""
    return OrderRequest(
        "o", symbol, side, OrderType.MARKET, Decimal(1), Leg.ENTRY, "c", 1, source, Tier.TRADITIONAL, 0.5, 100.0, T0
    )


def a_fill(side: Side, amount: str | Decimal, price: str | Decimal, fee: str | Decimal = "0", currency: str = "USDT") -> Fill:
    """A fill on BTC."""
    return Fill("f", "o", BTC, side, Decimal(amount), Decimal(price), Decimal(fee), currency, T0)


def balance(books: Portfolio) -> None:
    """What every book must be, to the last digit."""
    lots = [(1 if position.amount > 0 else -1, lot) for position in books.positions.values() for lot in position.lots]
    cost = sum((sign * lot.amount * lot.price for sign, lot in lots), start=Decimal(0))
    open_fees = sum((lot.fee for _, lot in lots), start=Decimal(0))
    realised = sum((position.realised for position in books.positions.values()), start=Decimal(0))
    assert realised == books.realised
    for position in books.positions.values():
        assert sum((lot.amount for lot in position.lots), start=Decimal(0)) == abs(position.amount)
    third = sum(books.assets.values(), start=Decimal(0)) * Decimal(repr(books.asset_marks.get("BNB", 0.0)))
    assert books.cash + third + cost + open_fees == books.start + books.moved + books.realised


FILLS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 50_000), st.integers(1, 5_000_000), st.integers(0, 2), st.integers(0, 999_999)),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(FILLS, st.lists(st.integers(-500_000, 500_000), max_size=3))
def test_cash_positions_and_fees_balance_over_any_fills(fills: list[tuple[bool, int, int, int, int]], moves: list[int]) -> None:
    books = Portfolio.opening("USDT", Decimal(10_000))
    books.mark_asset("BNB", 612.25)
    charged = Decimal(0)
    for buy, amount, price, currency, fee in fills:
        side = Side.BUY if buy else Side.SELL
        size, paid = Decimal(amount) / 10_000, Decimal(price) / 100
        owed = {0: size * paid, 1: size, 2: Decimal(1)}[currency] * Decimal(fee) / 10**9
        owed = owed.quantize(Decimal("1e-8"))
        booking = books.book(a_fill(side, size, paid, owed, FEES[currency]), a_request(side), an_instrument(), T0)
        charged += booking.fee_value
        assert booking.realised == sum((lot.pnl for lot in booking.closed), start=Decimal(0))
        if moves:
            books.move_cash(Decimal(moves.pop()) / 100)
        balance(books)
    assert books.fees == charged
    assert books.equity == pytest.approx(float(books.start + books.moved + books.realised) + books.unrealised, rel=1e-9, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=2, max_size=8), st.randoms(use_true_random=False), st.integers(0, 2))
def test_partial_fills_in_any_order_and_repeated_leave_the_same_books(parts: list[int], chance: object, currency: int) -> None:
    import random

    assert isinstance(chance, random.Random)
    total = sum(parts)

    def lived(order: list[int]) -> Portfolio:
        desk = DeskHarness(a_config(balance=Decimal(1_000 * total)), [a_source(RULE)])
        desk.quote(612.25, symbol="BNB/USDT")
        desk.quote(100)
        desk.propose(Action.BUY, size_fraction=1.0)
        for index in order:
            share = desk.order.amount * parts[index] / total
            desk.fill(share, Decimal(100) + index, fill_id=f"t{index}", fee="0.00001", currency=FEES[currency])
        return desk.desk.portfolio

    straight = list(range(len(parts)))
    shuffled = straight + [chance.choice(straight) for _ in range(3)]
    chance.shuffle(shuffled)
    first, second = lived(straight), lived(shuffled)
    assert (first.cash, first.fees, first.amount(BTC)) == (second.cash, second.fees, second.amount(BTC))
    balance(second)


def test_a_position_opened_anew_is_not_worth_what_the_last_one_was() -> None:
    books = Portfolio.opening("USDT", Decimal(10_000))
    books.book(a_fill(Side.BUY, "1", "100"), a_request(Side.BUY), an_instrument(), T0)
    books.mark(BTC, 200.0)
    books.book(a_fill(Side.SELL, "1", "200"), a_request(Side.SELL), an_instrument(), T0)
    books.book(a_fill(Side.BUY, "1", "50"), a_request(Side.BUY), an_instrument(), T0)
    assert books.equity == 10_100.0


def test_a_fee_in_a_third_currency_is_worth_what_the_market_says_at_its_first_fill() -> None:
    desk = DeskHarness()
    desk.quote(600, symbol="BNB/USDT")
    desk.quote(100)
    desk.propose()
    desk.fill(fee="0.01", currency="BNB")
    assert desk.desk.portfolio.fees == Decimal(6)
    assert desk.desk.portfolio.equity == pytest.approx(10_000 - 6)
    desk.quote(700, symbol="BNB/USDT")
    assert desk.desk.portfolio.equity == pytest.approx(10_000 - 7)


def test_a_fee_in_the_base_currency_is_less_of_it() -> None:
    books = Portfolio.opening("USDT", Decimal(10_000))
    books.book(a_fill(Side.BUY, "1", "100", "0.001", "BTC"), a_request(Side.BUY), an_instrument(), T0)
    assert books.amount(BTC) == Decimal("0.999")
    assert books.fees == Decimal("0.1")
    assert books.cash == 9_900


def test_deposits_move_the_baselines_and_not_the_profit() -> None:
    books = Portfolio.opening("USDT", Decimal(10_000))
    books.move_cash(Decimal(5_000))
    assert (books.realised, books.unrealised, books.equity) == (Decimal(0), 0.0, 15_000.0)


def test_a_short_is_a_negative_position_and_earns_when_prices_fall() -> None:
    books = Portfolio.opening("USDT", Decimal(10_000))
    books.book(a_fill(Side.SELL, "2", "100"), a_request(Side.SELL), an_instrument(), T0)
    books.mark(BTC, 90.0)
    assert books.amount(BTC) == -2
    assert books.unrealised == 20.0
    assert books.equity == 10_020.0
    booking = books.book(a_fill(Side.BUY, "3", "90"), a_request(Side.BUY), an_instrument(), T0)
    assert booking.realised == 20
    assert books.amount(BTC) == 1
    balance(books)


def test_what_a_source_holds_is_what_its_open_lots_cost() -> None:
    books = Portfolio.opening("USDT", Decimal(10_000))
    eth = replace(a_fill(Side.BUY, "3", "50"), symbol=ETH)
    books.book(a_fill(Side.BUY, "1", "100"), a_request(Side.BUY, "a"), an_instrument(), T0)
    books.book(eth, a_request(Side.BUY, "b", ETH), an_instrument(ETH), T0)
    assert (books.held_by("a"), books.held_by("b"), books.held_by("c")) == (Decimal(100), Decimal(150), Decimal(0))
