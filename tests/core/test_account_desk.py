"""What the desk makes of its account at the venue: unread, unexplained, and orders whose cause a crash lost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.decision import Action
from bot.core.effects import CancelOrder, Notify, Publish, Record, SubmitOrder
from bot.core.facts import AccountReconciled
from bot.core.inputs import CashMoved, IntentStored, OrderAdopted, Reconciled, TradingState
from bot.core.market import Side
from bot.core.orders import OrderRequest, OrderState
from tests.core.desks import ready
from tests.factories import QC, DeskHarness

DIFFERENCE = "BTC: 0.01 more than orders and transfers explain"


def differs(desk: DeskHarness, *unexplained: str) -> None:
    desk.turn(Reconciled(desk.now, True, unexplained=unexplained))


def lost_order(desk: DeskHarness) -> OrderRequest:
    """An order as a desk that is gone had made it."""
    other = ready()
    other.propose()
    request = replace(other.order, id="arb" + "0" * 24, attempt=40)
    desk.turn(OrderAdopted(desk.now, request))
    return request


def test_nothing_leaves_before_the_account_was_read() -> None:
    desk = ready()
    desk.buys()
    sent = len(desk.venue.orders)
    desk.turn(Reconciled(desk.now, False, notes=("the venue does not answer",)))
    desk.propose(Action.SELL, QC)
    assert len(desk.venue.orders) == sent
    desk.turn(Reconciled(desk.now, True))
    desk.wait(2_000)
    assert len(desk.venue.orders) == sent + 1


def test_an_unexplained_difference_halts_entries_and_says_so_once() -> None:
    desk = ready()
    differs(desk, DIFFERENCE)
    differs(desk, DIFFERENCE)
    desk.propose()
    assert not desk.venue.orders
    assert [note.title for note in desk.asked(Notify)].count("The account and the books differ: no entries") == 1


def test_an_unexplained_difference_lets_exits_through() -> None:
    desk = ready()
    desk.buys()
    differs(desk, DIFFERENCE)
    desk.propose(Action.SELL, QC)
    assert desk.order.side is Side.SELL


def test_entries_resume_when_the_difference_is_explained() -> None:
    desk = ready()
    differs(desk, DIFFERENCE)
    desk.propose()
    differs(desk)
    desk.quote(100, after=1_500)
    desk.wait(1_500)
    assert [effect.request.side for effect in desk.asked(SubmitOrder)] == [Side.BUY]


def test_an_entry_whose_intent_was_on_its_way_is_not_sent_into_a_difference() -> None:
    desk = ready(stores=False)
    desk.propose()
    differs(desk, DIFFERENCE)
    desk.turn(IntentStored(desk.now, desk.intents[-1].id))
    assert not desk.venue.orders


def test_a_pass_without_news_is_published_and_leaves_no_row() -> None:
    desk = ready()
    differs(desk)
    differs(desk)
    assert [effect for effect in desk.effects if isinstance(effect, Publish) and isinstance(effect.fact, AccountReconciled)]
    assert not [effect for effect in desk.effects if isinstance(effect, Record) and isinstance(effect.fact, AccountReconciled)]


def test_what_was_found_and_left_alone_leaves_a_row() -> None:
    desk = ready()
    desk.turn(Reconciled(desk.now, True, 1, 0, ("a foreign order on BTC/USDT",)))
    rows = [effect.fact for effect in desk.effects if isinstance(effect, Record)]
    assert any(isinstance(fact, AccountReconciled) and fact.notes for fact in rows)


def test_a_deposit_that_is_told_twice_counts_once() -> None:
    desk = ready()
    before = desk.desk.portfolio.cash
    for _ in range(2):
        desk.turn(CashMoved(desk.now, Decimal(500), "USDT", "transfer 7", "7"))
    assert desk.desk.portfolio.cash == before + 500


def test_an_adopted_order_freezes_its_symbol_until_the_venue_has_answered_for_it() -> None:
    desk = ready()
    request = lost_order(desk)
    desk.propose(Action.BUY, QC)
    assert not desk.venue.orders
    desk.refuse(request)
    decision = desk.propose(Action.BUY, QC)
    assert [order.decision_id for order in desk.venue.orders] == [decision.id]


def test_an_adopted_order_is_booked_like_any_other() -> None:
    desk = ready()
    request = lost_order(desk)
    desk.accept(request)
    desk.fill(order=request)
    assert desk.position() == request.amount
    assert desk.desk.state.orders[request.id].state is OrderState.FILLED


def test_an_order_is_adopted_once_and_never_forgets_what_it_filled() -> None:
    desk = ready()
    request = lost_order(desk)
    desk.fill("1", order=request)
    desk.turn(OrderAdopted(desk.now, request))
    assert desk.desk.state.orders[request.id].filled == Decimal(1)


def test_no_later_order_repeats_the_attempt_of_an_adopted_one() -> None:
    desk = ready()
    request = lost_order(desk)
    desk.refuse(request)
    desk.propose(Action.BUY, QC)
    assert desk.order.attempt > request.attempt


def test_a_halt_cancels_an_adopted_order_once_it_is_known() -> None:
    desk = ready()
    request = lost_order(desk)
    desk.command(TradingState.HALTED)
    assert not desk.asked(CancelOrder)
    desk.accept(request)
    assert [effect.order_id for effect in desk.asked(CancelOrder)] == [request.id]


@pytest.mark.parametrize("news", ["accepted", "filled"])
def test_a_halt_cancels_an_intent_that_turns_out_to_have_been_sent(news: str) -> None:
    desk = ready(stores=False)
    desk.propose()
    request = desk.intents[-1]
    # The process that sent it died before its tape said so: for this one it is an intent, and the venue has it.
    desk.command(TradingState.HALTED)
    assert not desk.asked(CancelOrder)
    if news == "accepted":
        desk.accept(request)
    else:
        desk.fill("1", order=request)
    assert [effect.order_id for effect in desk.asked(CancelOrder)] == [request.id]
