"""What one decision opened is one trade, in however many parts, at whatever pace, it was closed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.facts import LotClosed
from bot.core.market import Side
from bot.services.memory.trades import Closings, trades_of
from tests.factories import BTC, ETH, LLM, RULE
from tests.services.memory_life import DAY, SUBJECT, T0, a_lot


def test_a_lot_closed_in_parts_is_one_trade() -> None:
    [trade] = trades_of([a_lot(T0 + 10, 10, 1), a_lot(T0 + 20, -4, 1), a_lot(T0 + 30, 6, 2)])
    assert (trade.source, trade.symbol, trade.decision) == (RULE, BTC, "d1")
    assert (trade.opened, trade.closed) == (T0, T0 + 30)
    assert trade.profit == pytest.approx(12 / 400)


def test_the_lots_of_one_decision_are_one_trade_and_those_of_another_are_not() -> None:
    first, second = trades_of([a_lot(T0 + 10, 1), a_lot(T0 + 10, 2, opened=T0 + 5), a_lot(T0 + 10, 3, decision="d2")])
    assert (first.decision, second.decision) == ("d1", "d2")
    assert (first.profit, second.profit) == pytest.approx((3 / 200, 3 / 100))


def test_what_a_decision_opens_again_after_it_left_is_another_trade() -> None:
    assert len(trades_of([a_lot(T0 + 10), a_lot(T0 + 30, opened=T0 + 20)])) == 2
    assert len(trades_of([a_lot(T0 + 10), a_lot(T0 + 30, opened=T0 + 5)])) == 1


def test_lots_that_no_decision_opened_are_told_apart_by_their_opening() -> None:
    assert len(trades_of([a_lot(T0 + 10, decision=None), a_lot(T0 + 11, decision=None, opened=T0 + 1)])) == 2
    assert len(trades_of([a_lot(T0 + 10, decision=None), a_lot(T0 + 11, decision=None)])) == 1


def test_symbols_and_sides_are_apart() -> None:
    lots = [a_lot(T0 + 10), a_lot(T0 + 11, symbol=ETH), a_lot(T0 + 12), a_lot(T0 + 13, side=Side.SELL)]
    found = trades_of(lots)
    assert [(trade.symbol, trade.closed) for trade in found] == [(ETH, T0 + 11), (BTC, T0 + 12), (BTC, T0 + 13)]


def test_a_trade_is_told_when_its_position_is_gone() -> None:
    closings = Closings()
    assert closings.closed(a_lot(T0 + 10, amount=1)) is None
    assert closings.position(BTC, Decimal(1), RULE) is None  # half is left
    assert closings.closed(a_lot(T0 + 20, amount=1)) is None
    told = closings.position(BTC, Decimal(0), None)
    assert told is not None
    assert told.closed == T0 + 20
    assert closings.position(BTC, Decimal(0), None) is None
    assert closings.rest() == []


@pytest.mark.parametrize(("left", "opener"), [("-1", RULE), ("1", LLM), ("0.009", RULE)])
def test_a_turned_position_a_later_opener_and_dust_end_a_trade(left: str, opener: str) -> None:
    closings = Closings()
    closings.closed(a_lot(T0 + 10))
    assert closings.position(BTC, Decimal(left), opener) is not None


def test_dust_that_goes_later_is_no_trade_and_changes_none() -> None:
    closings = Closings()
    closings.closed(a_lot(T0 + 10))
    told = closings.position(BTC, Decimal("0.005"), RULE)
    assert closings.closed(a_lot(T0 + 500, -0.4, "0.005")) is None
    assert closings.closed(a_lot(T0 + 500, 3, decision="d2", opened=T0 + 400)) is None
    lots = [a_lot(T0 + 10), a_lot(T0 + 500, -0.4, "0.005"), a_lot(T0 + 500, 3, decision="d2", opened=T0 + 400)]
    assert trades_of(lots)[0] == told


def test_a_trade_whose_beginning_may_be_missing_is_not_told() -> None:
    closings = Closings()
    closings.closed(a_lot(T0 + 10), cut=True)
    assert closings.closed(a_lot(T0 + 11)) is None
    assert closings.closed(a_lot(T0 + 12, decision="d2")) is None
    assert [trade.decision for trade in closings.rest()] == ["d2"]


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 5), st.integers(-20, 20), st.sampled_from([BTC, ETH])), min_size=1, max_size=25
)


def lots_of(steps: list[tuple[int, int, int, str]]) -> list[LotClosed]:
    """FIFO closings: each decision's lots come one after another."""
    found: list[LotClosed] = []
    decision = 0
    for number, (onward, amount, pnl, symbol) in enumerate(steps):
        decision += onward
        found.append(a_lot(T0 + DAY + number, pnl, amount, f"d{decision}", symbol=symbol))
    return found


@given(STEPS)
def test_no_closed_money_is_lost_or_counted_twice(steps: list[tuple[int, int, int, str]]) -> None:
    lots = lots_of(steps)
    ids = [trade.evidence(SUBJECT).id for trade in trades_of(lots)]
    assert len(set(ids)) == len(ids)
    told = {(trade.symbol, trade.decision): trade for trade in trades_of(lots)}
    for (symbol, decision), trade in told.items():
        parts = [lot for lot in lots if (lot.symbol, lot.opening_decision) == (symbol, decision)]
        assert trade.profit == pytest.approx(float(sum(lot.pnl for lot in parts) / sum(lot.amount * lot.entry for lot in parts)))
        assert trade.closed == parts[-1].at


@given(STEPS, st.data())
def test_when_a_trade_is_told_does_not_change_what_it_is(steps: list[tuple[int, int, int, str]], data: st.DataObject) -> None:
    lots = lots_of(steps)
    closings, found = Closings(), []
    for number, lot in enumerate(lots):
        ended = closings.closed(lot)
        # The position truly goes when the next closing on the symbol is of another decision.
        after = next((each for each in lots[number + 1 :] if each.symbol == lot.symbol), None)
        gone = after is None or after.opening_decision != lot.opening_decision
        early = closings.position(lot.symbol, Decimal(0), None) if gone and data.draw(st.booleans()) else None
        found += [trade for trade in (ended, early) if trade is not None]
    found += closings.rest()
    assert sorted(found, key=repr) == sorted(trades_of(lots), key=repr)
