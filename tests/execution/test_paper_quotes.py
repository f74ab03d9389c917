from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.inputs import CancelRefused, Closing, Filled, Input, OrderAccepted, OrderClosed
from bot.core.market import Quote, Side, Trade
from bot.core.matching import FillModel
from bot.core.orders import OrderType, TimeInForce
from bot.core.protocols import MatchingBroker
from execution.broker import Broker, Emit
from execution.paper import PaperBroker
from execution.paper_account import InsufficientFunds, PaperAccount
from tests.execution.paper_world import BTC, SYMBOL, D, World, order


def _answers(world: World) -> list[str]:
    return [type(said).__name__ for said in world.said]


def test_a_market_order_is_matched_inside_submit_at_the_other_side_and_cites_the_quote() -> None:
    world = World()
    world.quote(1_000, 100.1, 100.2)
    bought = world.buy("1", 1_001)
    assert _answers(world) == ["OrderAccepted", "Filled"]
    fill = world.fills[0]
    assert (fill.id, fill.order_id, fill.price, fill.amount) == (f"{bought.id}-1", bought.id, D("100.2"), D(1))
    assert fill.evidence == "quote 1000 bid 100.1 ask 100.2"
    assert (fill.ts, fill.maker, world.said[1].at) == (1_000, False, 1_001)
    assert world.account.total("BTC") == D(11)
    assert world.account.total("USDT") == D(10_000) - D("100.2")
    world.sell("1", 1_002)
    assert world.fills[1].price == D("100.1")
    assert not world.broker.open_orders()


def test_fees_are_taken_in_the_quote_currency_by_role() -> None:
    world = World(FillModel())
    world.quote(1, 100.0, 100.2)
    world.buy("1", 2)
    world.buy("1", 3, price="99.00")
    world.quote(4, 98.0, 98.5)
    taker, maker = world.fills
    assert (taker.fee, taker.fee_currency, taker.maker) == (D("0.1002"), "USDT", False)
    assert (maker.fee, maker.fee_currency, maker.maker) == (D("0.0495"), "USDT", True)
    assert world.account.total("USDT") == D(10_000) - D("199.2") - D("0.1497")
    assert world.account.total("BTC") == D(12)


def test_a_market_order_takes_what_is_displayed_and_the_rest_from_the_next_quotes() -> None:
    world = World()
    world.quote(1, 100.0, 100.2, ask_size=2.0)
    world.buy("5", 2)
    world.quote(3, 100.0, 100.3, ask_size=2.5)
    world.quote(4, 100.0, 100.4, ask_size=9.0)
    assert [(fill.amount, fill.price) for fill in world.fills] == [
        (D(2), D("100.2")),
        (D("2.5"), D("100.3")),
        (D("0.5"), D("100.4")),
    ]
    assert not world.broker.open_orders()


def test_two_orders_do_not_take_the_same_displayed_size_twice() -> None:
    world = World(replace(FillModel(), max_participation=0.5))
    world.quote(1, 100.0, 100.2, ask_size=4.0)
    world.buy("1.5", 2)
    world.buy("1.5", 3)
    assert [fill.amount for fill in world.fills] == [D("1.5"), D("0.5")]
    world.sell("1", 4)
    assert world.fills[2].amount == D(1)


def test_a_market_order_without_a_quote_or_with_a_stale_one_is_refused_with_the_reason() -> None:
    world = World(stale_ms=1_000)
    world.buy("1", 1)
    world.quote(10, 100.0, 100.2)
    world.buy("1", 1_011)
    world.buy("1", 1_010)
    assert world.refusals == ["no quote of BTC/USDT yet", "the quote of BTC/USDT is 1001 ms old, more than 1000"]
    assert len(world.fills) == 1


def test_a_limit_does_not_trade_with_a_stale_quote_but_takes_from_the_next() -> None:
    world = World(stale_ms=1_000)
    world.quote(10, 100.0, 100.2)
    world.buy("1", 2_000, price="101.00")
    assert _answers(world) == ["OrderAccepted"]
    world.quote(2_001, 100.4, 100.6)
    assert (world.fills[0].price, world.fills[0].maker) == (D("100.6"), False)


def test_a_limit_waiting_for_its_first_quote_takes_from_it() -> None:
    world = World()
    world.buy("1", 1, price="101.00")
    assert _answers(world) == ["OrderAccepted"]
    world.quote(2, 100.0, 100.2)
    assert (world.fills[0].price, world.fills[0].maker) == (D("100.2"), False)


def test_a_marketable_limit_never_pays_beyond_its_price_whatever_the_slippage() -> None:
    world = World(replace(FillModel(), slippage=0.01))
    world.quote(1, 100.0, 100.2)
    world.buy("1", 2, price="100.50")
    world.sell("1", 3, price="99.50")
    assert [fill.price for fill in world.fills] == [D("100.50"), D("99.50")]


def test_a_resting_limit_fills_at_its_own_price_when_the_other_side_comes_to_it() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 1, price="99.50")
    world.sell("1", 1, price="101.00")
    world.quote(2, 99.5, 99.6)
    assert not world.fills
    world.swept(3, 99.75, 100.0, low=99.25, high=100.0)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D("99.50"), True)]
    assert world.fills[0].evidence == "quote 3 bid 99.75 ask 100.0 low ask 99.5"
    world.swept(4, 100.0, 100.1, low=99.9, high=101.2)
    assert world.fills[1].price == D("101.00")


def test_a_resting_limit_fills_in_parts_as_size_comes_to_it() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("3", 1, price="99.50")
    world.quote(2, 99.0, 99.4, ask_size=1.25)
    world.quote(3, 99.0, 99.5, ask_size=9.0)
    assert [fill.amount for fill in world.fills] == [D("1.25"), D("1.75")]
    assert [fill.id[-2:] for fill in world.fills] == ["-1", "-2"]


def test_two_resting_limits_share_what_one_quote_displays() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 1, price="99.50")
    world.buy("1", 1, price="99.50")
    world.quote(2, 99.0, 99.4, ask_size=1.25)
    assert [fill.amount for fill in world.fills] == [D(1), D("0.25")]


def test_the_extremes_before_a_limit_arrived_do_not_fill_it() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 5, price="99.50")
    world.swept(6, 100.0, 100.1, low=99.0, high=100.2)
    assert not world.fills
    world.swept(7, 100.0, 100.1, low=99.0, high=100.2)
    assert len(world.fills) == 1


def test_a_touch_fills_only_after_the_displayed_queue_was_traded() -> None:
    world = World()
    world.quote(1, 100.0, 100.2, bid_size=4.0)
    world.buy("1", 1, price="100.00")
    world.trade(2, 100.0, 3.0, Side.SELL)
    world.trade(3, 100.0, 9.0, Side.BUY)
    assert not world.fills
    world.trade(4, 100.0, 1.5, Side.SELL)
    assert [(fill.amount, fill.price, fill.maker) for fill in world.fills] == [(D("0.5"), D("100.00"), True)]
    assert world.fills[0].evidence == "trade t4 4 sell 1.5 at 100.0"
    world.trade(5, 99.9, 5.0, Side.SELL)
    assert world.fills[1].amount == D("0.5")


def test_a_queue_that_others_leave_shortens_ours() -> None:
    world = World()
    world.quote(1, 100.0, 100.2, bid_size=4.0)
    world.buy("1", 1, price="100.00")
    world.quote(2, 100.0, 100.2, bid_size=0.5)
    world.trade(3, 100.0, 1.5, Side.SELL)
    assert world.fills[0].amount == D(1)


def test_a_level_behind_the_best_waits_until_its_queue_is_displayed() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 1, price="99.00")
    world.trade(2, 99.0, 50.0, Side.SELL)
    assert not world.fills
    world.quote(3, 99.0, 99.2, bid_size=2.0)
    world.trade(4, 99.0, 3.0, Side.SELL)
    assert world.fills[0].amount == D(1)


def test_one_trade_is_not_spent_on_two_orders() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 1, price="100.10")
    world.buy("1", 1, price="100.11")
    world.trade(2, 99.0, 1.5, Side.SELL)
    assert [fill.amount for fill in world.fills] == [D(1), D("0.5")]


def test_a_trade_from_before_the_order_does_not_fill_it() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 10, price="100.10")
    world.broker.on_trade(Trade(SYMBOL, 11, 9, "late", 99.0, 5.0, Side.SELL))
    assert not world.fills


def test_post_only_is_refused_if_it_would_take_and_makes_otherwise() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 1, price="100.20", post_only=True)
    assert world.refusals == ["post-only would take: bid 100.0 ask 100.2"]
    world.buy("1", 1, price="100.19", post_only=True)
    world.quote(2, 99.0, 99.1)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D("100.19"), True)]


def test_post_only_whose_first_quote_would_make_it_take_expires() -> None:
    world = World()
    world.buy("1", 1, price="100.20", post_only=True)
    world.quote(2, 100.0, 100.2)
    assert not world.fills
    assert world.closings[0].reason == "post-only would have taken"


def test_ioc_takes_what_is_there_and_expires() -> None:
    world = World()
    world.quote(1, 100.0, 100.2, ask_size=2.0)
    world.buy("3", 1, price="100.20", tif=TimeInForce.IOC)
    world.buy("1", 1, price="100.10", tif=TimeInForce.IOC)
    assert [fill.amount for fill in world.fills] == [D(2)]
    assert [(closed.how, closed.filled) for closed in world.closings] == [(Closing.EXPIRED, D(2)), (Closing.EXPIRED, D(0))]
    assert world.account.locked["USDT"] == 0


def test_fok_fills_whole_or_not_at_all() -> None:
    world = World()
    world.quote(1, 100.0, 100.2, ask_size=2.0)
    world.buy("2.001", 1, tif=TimeInForce.FOK)
    assert not world.fills
    assert world.closings[0].filled == 0
    world.buy("2", 1, tif=TimeInForce.FOK)
    assert world.fills[0].amount == D(2)


def test_a_cancel_ends_the_order_frees_its_money_and_says_how_much_had_traded() -> None:
    world = World()
    world.quote(1, 100.0, 100.2, ask_size=2.0)
    resting = world.buy("3", 1, price="100.20")
    assert world.broker.balances()["USDT"].locked == D("100.2")
    world.broker.cancel(resting.id, SYMBOL, 2)
    assert world.said[-1] == OrderClosed(2, resting.id, Closing.CANCELLED, D(2), "cancelled on request")
    assert world.broker.balances()["USDT"].locked == 0
    world.quote(3, 90.0, 91.0)
    assert len(world.fills) == 1


def test_a_cancel_of_what_is_over_or_was_never_there_is_refused() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    filled = world.buy("1", 1)
    world.broker.cancel(filled.id, SYMBOL, 2)
    world.broker.cancel("nobody", SYMBOL, 3)
    assert world.said[-2:] == [CancelRefused(2, filled.id, "order is filled"), CancelRefused(3, "nobody", "order is unknown")]


@pytest.mark.parametrize("finished", [True, False])
def test_an_order_id_is_used_once(finished: bool) -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    request = order(Side.BUY, "1", 1, price=None if finished else "99.00")
    world.broker.submit(request, 1)
    world.broker.submit(request, 2)
    assert world.refusals == ["duplicate order id o1"]
    assert len(world.fills) == (1 if finished else 0)
    assert len(world.broker.open_orders()) == (0 if finished else 1)
    world.quote(3, 98.0, 98.5)
    assert len(world.fills) == 1


def test_an_order_id_is_used_once_even_while_the_first_travels() -> None:
    world = World(FillModel(latency_ms=50))
    world.quote(1, 100.0, 100.2)
    request = order(Side.BUY, "1", 1)
    world.broker.submit(request, 1)
    world.broker.submit(request, 2)
    world.broker.wake(100)
    assert world.refusals == ["duplicate order id o1"]
    assert len(world.fills) == 1


def test_an_order_arrives_after_its_latency_against_the_quote_of_then() -> None:
    world = World(FillModel(latency_ms=100))
    world.quote(1_000, 100.0, 100.2)
    world.buy("1", 1_000)
    assert (world.said, world.broker.next_due()) == ([], 1_100)
    world.broker.wake(1_099)
    world.quote(1_099, 101.0, 101.2)
    assert not world.said
    world.broker.wake(1_100)
    assert [type(said) for said in world.said] == [OrderAccepted, Filled]
    assert (world.fills[0].price, world.said[0].at) == (D("101.2"), 1_100)
    assert world.broker.next_due() is None


def test_an_order_in_flight_arrives_with_the_first_event_of_any_symbol_after_its_due_time() -> None:
    world = World(FillModel(latency_ms=100))
    world.quote(1_000, 100.0, 100.2)
    world.buy("1", 1_000)
    world.buy("1", 1_001)
    world.broker.on_quote(Quote.of("ETH/USDT", 1_100, 10.0, 10.1))
    assert len(world.fills) == 1
    world.broker.on_trade(Trade("ETH/USDT", 1_101, 1_101, "t", 10.0, 1.0, Side.BUY))
    assert len(world.fills) == 2
    world.sell("1", 1_200)
    world.quote(1_350, 102.0, 102.2)
    assert world.fills[2].price == D("102.0")


def test_a_cancel_travels_too_and_may_come_too_late() -> None:
    world = World(FillModel(latency_ms=100))
    world.quote(1_000, 100.0, 100.2)
    first = world.buy("1", 1_000, price="99.00")
    second = world.buy("1", 1_001, price="98.00")
    world.broker.wake(1_101)
    world.broker.cancel(first.id, SYMBOL, 1_150)
    world.broker.cancel(second.id, SYMBOL, 1_150)
    world.quote(1_200, 98.5, 98.6)
    assert [fill.order_id for fill in world.fills] == [first.id]
    world.quote(1_300, 97.0, 97.1)
    assert world.cancel_refusals == ["order is filled"]
    assert [closed.order_id for closed in world.closings] == [second.id]
    assert len(world.fills) == 1


@pytest.mark.parametrize(
    ("amount", "terms", "reason"),
    [
        ("0", {}, "not a positive multiple"),
        ("1.0005", {}, "not a positive multiple"),
        ("NaN", {}, "not a positive multiple"),
        ("0.001", {}, "below the minimum of 5"),
        ("501", {}, "above the maximum of 500"),
        ("1001", {"price": "1.00"}, "above the maximum of 1000"),
        ("1", {"price": "100.001"}, "price 100.001 is not a positive multiple"),
        ("1", {"trigger": "-1"}, "trigger -1 is not a positive multiple"),
        ("1", {"type_": OrderType.LIMIT}, "needs price"),
        ("1", {"type_": OrderType.STOP}, "needs trigger"),
        ("1", {"type_": OrderType.MARKET, "price": "100.00"}, "takes no price"),
        ("1", {"post_only": True}, "post-only belongs to a resting limit"),
        ("1", {"post_only": True, "price": "99.00", "tif": TimeInForce.IOC}, "post-only belongs"),
        ("1", {"symbol": "DOGE/USDT"}, "the venue has no DOGE/USDT"),
        ("200", {}, "insufficient funds: 20060.04000 USDT needed, 10000 free"),
        ("100", {"price": "100.00"}, "insufficient funds"),
        ("200", {"trigger": "101.00"}, "insufficient funds"),
        ("1", {"reduce_only": True}, "no position to reduce"),
    ],
)
def test_what_a_venue_would_refuse_is_refused_with_the_reason(amount: str, terms: dict[str, object], reason: str) -> None:
    world = World(FillModel(impact=0.0))
    world.quote(1, 100.0, 100.2)
    world.buy(amount, 1, **terms)
    assert len(world.refusals) == 1
    assert reason in world.refusals[0]
    assert world.account.total("USDT") == world.account.available("USDT") == D(10_000)


def test_minimum_amount_and_a_symbol_that_does_not_trade_are_refused() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.instruments[SYMBOL] = replace(BTC, min_amount=D("0.5"))
    world.buy("0.4", 1)
    world.instruments[SYMBOL] = replace(BTC, active=False)
    world.buy("1", 1)
    assert world.refusals == ["amount 0.4 is below the minimum of 0.5", "BTC/USDT is not trading"]


def test_spot_sells_only_what_is_there_and_not_locked() -> None:
    world = World(btc="3")
    world.quote(1, 100.0, 100.2)
    world.sell("2", 1, price="105.00")
    world.sell("1.5", 2)
    assert world.refusals == ["insufficient funds: 1.5 BTC needed, 1 free"]
    world.sell("1", 3)
    assert world.account.total("BTC") == D(2)
    assert world.account.available("BTC") == 0


def test_a_margin_account_may_go_short_and_reduce_only_stops_at_flat() -> None:
    world = World(btc="0", spot=False)
    world.quote(1, 100.0, 100.2)
    world.sell("1", 1)
    assert world.account.total("BTC") == D(-1)
    world.sell("1", 2, reduce_only=True)
    world.buy("3", 3, reduce_only=True)
    assert world.refusals == ["reduce-only: there is no position to reduce"]
    assert world.account.total("BTC") == 0
    assert (world.closings[0].filled, world.closings[0].how) == (D(1), Closing.EXPIRED)


def test_when_the_price_runs_away_the_fill_shrinks_to_the_money() -> None:
    world = World(usdt="1000")
    world.quote(1, 100.0, 100.0, ask_size=5.0)
    world.buy("10", 1)
    world.quote(2, 200.0, 200.0, ask_size=5.0)
    assert [fill.amount for fill in world.fills] == [D(5), D("2.5")]
    assert world.account.total("USDT") == 0
    assert world.closings[0].filled == D("7.5")
    assert "insufficient funds" in world.closings[0].reason


def test_deposits_and_withdrawals_move_only_what_is_free() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("50", 1, price="100.00")
    world.broker.account.move("USDT", D(500))
    with pytest.raises(InsufficientFunds, match=r"only 5500\.00 is free"):
        world.broker.account.move("USDT", D(-6_000))
    world.broker.account.move("USDT", D("-5500"))
    assert world.account.available("USDT") == 0


def test_the_desk_may_answer_inside_an_answer() -> None:
    account = PaperAccount.of({"USDT": Decimal(10_000)})
    said: list[Input] = []

    def desk(answer: Input) -> None:
        said.append(answer)
        if isinstance(answer, OrderAccepted) and answer.order_id == "a":
            broker.cancel("a", SYMBOL, answer.at)
        if isinstance(answer, Filled) and answer.fill.order_id == "b":
            broker.cancel("c", SYMBOL, answer.at)
            broker.submit(order(Side.SELL, "1", answer.at, id_="d"), answer.at)

    broker = PaperBroker({SYMBOL: BTC}, FillModel(), desk, account=account)
    broker.on_quote(Quote.of(SYMBOL, 1, 100.0, 100.2))
    broker.submit(order(Side.BUY, "1", 1, id_="a"), 1)
    assert [type(answer) for answer in said] == [OrderAccepted, OrderClosed]
    broker.submit(order(Side.BUY, "1", 1, id_="b", price="99.00"), 1)
    broker.submit(order(Side.BUY, "1", 1, id_="c", price="99.00"), 1)
    broker.on_quote(Quote.of(SYMBOL, 2, 98.0, 98.5))
    assert [answer.fill.order_id for answer in said if isinstance(answer, Filled)] == ["b", "d"]
    assert not broker.open_orders()


def test_a_stranger_symbol_is_not_remembered() -> None:
    world = World()
    world.broker.on_quote(Quote.of("DOGE/USDT", 1, 1.0, 1.1))
    assert "DOGE/USDT" not in world.broker.snapshot()["books"]


def test_the_paper_broker_is_a_matching_broker() -> None:
    said: list[Input] = []
    emit: Emit = said.append
    broker: MatchingBroker = PaperBroker({}, FillModel(), emit, account=PaperAccount())
    plain: Broker = broker
    assert plain is broker
