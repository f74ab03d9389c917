from __future__ import annotations

import pytest

from bot.core.inputs import Closing
from bot.core.market import Quote, Side, Trade
from bot.core.matching import FillModel
from bot.core.orders import Leg, OrderType, TimeInForce
from execution.paper import Drive
from execution.paper_candles import FillOn
from tests.execution.paper_world import FREE, SYMBOL, D, World

M = 60_000


def _world(model: FillModel = FREE, fill_on: FillOn = FillOn.NEXT_OPEN, usdt: str = "10000") -> World:
    """A candle-driven world that has seen the bar from 0 to 60 s close at 100."""
    world = World(model, Drive.CANDLES, fill_on, usdt)
    world.bar(0, 99.0, 101.0, 98.0, 100.0)
    return world


def test_a_market_order_waits_for_the_next_open() -> None:
    world = _world()
    world.buy("1", M)
    assert not world.fills
    world.bar(M, 100.5, 102.0, 99.0, 101.0)
    fill = world.fills[0]
    assert (fill.price, fill.ts, world.said[-1].at) == (D("100.5"), M, 2 * M)
    assert fill.evidence == "candle 1m 60000 open 100.5"


def test_a_market_order_fills_at_the_close_it_was_decided_on_where_told_so() -> None:
    world = _world(fill_on=FillOn.SAME_CLOSE)
    world.buy("1", M)
    assert world.fills[0].price == D("100.0")
    assert world.fills[0].evidence == "candle 1m 0 close 100.0"


def test_before_the_first_candle_a_same_close_order_is_refused_and_a_next_open_one_waits() -> None:
    world = World(FREE, Drive.CANDLES, FillOn.SAME_CLOSE)
    world.buy("1", 0)
    assert world.refusals == ["no candle of BTC/USDT yet"]
    world = World(FREE, Drive.CANDLES, FillOn.NEXT_OPEN)
    world.buy("1", 0)
    world.bar(0, 99.0, 101.0, 98.0, 100.0)
    assert world.fills[0].price == D("99.0")


def test_a_taker_pays_half_the_hidden_spread_and_slippage() -> None:
    model = FillModel(maker_fee=D(0), taker_fee=D(0), slippage=0.001, candle_spread=0.002)
    world = _world(model)
    world.buy("1", M)
    world.sell("1", M)
    world.bar(M, 100.0, 102.0, 99.0, 101.0)
    assert [fill.price for fill in world.fills] == [D("100.20"), D("99.80")]


def test_a_candle_that_began_before_the_order_says_nothing_about_it() -> None:
    world = _world()
    world.buy("1", M + 30_000, price="99.50")
    world.bar(M, 100.0, 101.0, 95.0, 100.0)
    world.bar(0, 100.0, 101.0, 95.0, 100.0, timeframe="1h")
    assert not world.fills
    world.bar(2 * M, 100.0, 101.0, 99.0, 100.0)
    assert world.fills[0].price == D("99.50")


def test_a_settle_window_after_the_close_still_meets_the_next_open() -> None:
    world = _world()
    world.buy("1", M + 250)
    world.bar(M, 100.5, 102.0, 99.0, 101.0)
    assert (world.fills[0].price, world.fills[0].ts) == (D("100.5"), M + 250)


def test_protection_the_desk_saw_within_the_bar_fills_at_once_at_its_level() -> None:
    world = _world(FillModel(slippage=0.001))
    world.sell("1", M, leg=Leg.STOP_LOSS, reference=98.5)
    assert world.fills[0].price == D("98.40")
    assert world.fills[0].evidence == "candle 1m 0 stop-loss level 98.5"
    world.sell("1", M, leg=Leg.TAKE_PROFIT, reference=100.9)
    assert world.fills[1].price == D("100.79")


@pytest.mark.parametrize(
    ("side", "trigger", "opened", "price"),
    [(Side.SELL, "97.00", 100.0, "97.00"), (Side.SELL, "97.00", 96.0, "96.0"), (Side.BUY, "103.00", 100.0, "103.00"),
     (Side.BUY, "103.00", 104.0, "104.0")],
)  # fmt: skip
def test_a_stop_fills_at_its_trigger_or_at_an_open_that_jumped_it(side: Side, trigger: str, opened: float, price: str) -> None:
    world = _world()
    world.order(side, "1", M, trigger=trigger)
    world.bar(M, 100.0, 102.0, 98.0, 100.0)
    assert not world.fills
    world.bar(2 * M, opened, 105.0, 95.0, 100.0)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D(price), False)]
    assert world.fills[0].ts == (2 * M if opened != 100.0 else 3 * M)


def test_a_touch_does_not_fill_a_limit_but_a_trade_through_does_at_its_own_price() -> None:
    world = _world()
    world.buy("1", M, price="98.00")
    world.bar(M, 100.0, 102.0, 98.0, 100.0)
    assert not world.fills
    world.bar(2 * M, 97.0, 99.0, 96.0, 98.5)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D("98.00"), True)]
    assert world.fills[0].evidence == "candle 1m 120000 low 96.0"


def test_a_limit_that_the_next_open_can_match_takes_there() -> None:
    world = _world()
    world.buy("1", M, price="101.00")
    world.sell("1", M, price="99.00")
    world.bar(M, 100.5, 102.0, 98.0, 100.0)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D("100.5"), False), (D("100.5"), False)]


def test_post_only_is_refused_beyond_the_last_close_and_makes_even_through_a_gap() -> None:
    world = _world()
    world.buy("1", M, price="100.00", post_only=True)
    assert world.refusals == ["post-only would take: last close 100.0"]
    world.buy("1", M, price="99.99", post_only=True)
    world.bar(M, 97.0, 98.0, 96.0, 97.0)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D("99.99"), True)]


def test_a_stop_limit_takes_within_its_limit_and_rests_when_jumped() -> None:
    world = _world()
    world.sell("1", M, trigger="98.00", price="97.50")
    world.sell("1", M, trigger="95.00", price="94.50")
    world.bar(M, 100.0, 100.0, 97.0, 98.0)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D("98.00"), False)]
    world.bar(2 * M, 94.0, 96.0, 93.0, 94.0)
    assert len(world.fills) == 1
    world.bar(3 * M, 94.0, 96.0, 93.0, 94.0)
    assert [(fill.price, fill.maker) for fill in world.fills[1:]] == [(D("94.50"), True)]


def test_within_one_candle_the_stop_comes_before_the_target() -> None:
    world = _world()
    target = world.sell("5", M, price="104.00")
    stop = world.sell("5", M, trigger="96.00")
    world.bar(M, 100.0, 105.0, 95.0, 100.0)
    assert [fill.order_id for fill in world.fills] == [stop.id, target.id]


def test_ioc_meets_the_next_open_or_expires() -> None:
    world = _world()
    world.buy("1", M, price="100.00", tif=TimeInForce.IOC)
    world.bar(M, 100.5, 102.0, 95.0, 100.0)
    assert not world.fills
    assert [(closed.how, closed.filled) for closed in world.closings] == [(Closing.EXPIRED, D(0))]
    world.buy("1", 2 * M, price="101.00", tif=TimeInForce.FOK)
    world.bar(2 * M, 100.5, 102.0, 95.0, 100.0)
    assert world.fills[0].amount == D(1)


def test_same_close_matches_limits_and_stops_against_the_close_at_once() -> None:
    world = _world(fill_on=FillOn.SAME_CLOSE)
    world.buy("1", M, price="100.50")
    world.sell("1", M, trigger="100.50")
    world.sell("1", M, trigger="99.00")
    world.buy("1", M, price="99.00", tif=TimeInForce.IOC)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D("100.0"), False), (D("100.0"), False)]
    assert len(world.closings) == 1
    assert len(world.broker.open_orders()) == 1


def test_an_open_above_the_close_shrinks_the_fill_to_the_money() -> None:
    world = _world(usdt="1000")
    world.buy("10", M)
    world.bar(M, 125.0, 126.0, 124.0, 125.0)
    assert world.fills[0].amount == D(8)
    assert world.closings[0].filled == D(8)
    assert world.account.total("USDT") == 0


def test_a_fee_rounded_up_beyond_the_money_costs_one_step_and_not_an_overdraft() -> None:
    world = World(
        FillModel(maker_fee=D(0), taker_fee=D("0.0000000000033")), Drive.CANDLES, FillOn.NEXT_OPEN, usdt="100.00000000033"
    )
    world.bar(0, 90.0, 90.0, 90.0, 90.0)
    world.buy("1", M)
    world.bar(M, 100.0, 100.0, 100.0, 100.0)
    assert world.fills[0].amount == D("0.999")
    assert world.account.total("USDT") > 0


def test_money_running_out_never_fills_a_part_of_all_or_nothing() -> None:
    world = _world(usdt="1000")
    world.buy("10", M, tif=TimeInForce.FOK)
    world.bar(M, 125.0, 126.0, 124.0, 125.0)
    assert not world.fills
    assert world.closings[0].filled == 0


def test_latency_is_finer_than_candles_and_quotes_do_not_fill_where_candles_drive() -> None:
    world = _world(FillModel(latency_ms=500))
    world.buy("1", M, price="99.00")
    assert (world.accepted, world.broker.next_due()) == ([world.broker.open_orders()[0].request.id], None)
    world.broker.on_quote(Quote.of(SYMBOL, M + 1, 90.0, 90.1))
    world.broker.on_trade(Trade(SYMBOL, M + 2, M + 2, "t", 90.0, 5.0, Side.SELL))
    assert not world.fills


def test_candles_do_not_fill_where_quotes_drive() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 1, price="99.00")
    world.bar(M, 98.0, 99.0, 90.0, 95.0)
    assert not world.fills


def test_a_candle_of_a_stranger_symbol_is_not_remembered() -> None:
    world = _world()
    world.instruments.clear()
    world.buy("1", M, type_=OrderType.MARKET)
    assert world.refusals == ["the venue has no BTC/USDT"]
