from __future__ import annotations

from bot.core.matching import FillModel
from tests.execution.paper_world import D, World


def test_a_stop_watches_the_extremes_and_pays_no_better_than_its_trigger() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.sell("1", 1, trigger="99.00")
    world.buy("1", 1, trigger="101.00")
    world.quote(2, 99.1, 99.3)
    assert not world.fills
    world.swept(3, 100.0, 100.2, low=98.9, high=100.2)
    assert world.fills[0].price == D("99.00")
    assert world.fills[0].evidence == "quote 3 bid 100.0 ask 100.2 trigger 99.00 reached 98.9"
    world.swept(4, 100.0, 100.2, low=100.0, high=101.5)
    assert world.fills[1].price == D("101.00")
    assert not world.broker.open_orders()


def test_a_stop_that_the_market_jumped_pays_the_market() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.sell("1", 1, trigger="99.00")
    world.quote(2, 95.0, 95.2)
    assert world.fills[0].price == D("95.0")


def test_the_rest_of_a_triggered_stop_trades_on_without_its_trigger() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.sell("2", 1, trigger="99.00")
    world.quote(2, 98.0, 98.2, bid_size=0.5)
    world.quote(3, 99.5, 99.7)
    assert [(fill.amount, fill.price) for fill in world.fills] == [(D("0.5"), D("98.0")), (D("1.5"), D("99.5"))]


def test_a_stop_limit_takes_within_its_limit_and_rests_beyond_it() -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.sell("1", 1, trigger="99.00", price="98.50")
    world.sell("1", 1, trigger="98.00", price="97.90")
    world.quote(2, 98.8, 98.9)
    assert [(fill.price, fill.maker) for fill in world.fills] == [(D("98.8"), False)]
    world.quote(3, 97.0, 97.1)
    assert len(world.fills) == 1
    world.quote(4, 97.9, 98.1)
    assert [(fill.price, fill.maker) for fill in world.fills[1:]] == [(D("97.90"), True)]


def test_the_extremes_of_the_quote_it_arrives_with_do_not_trigger_a_stop() -> None:
    world = World(FillModel(latency_ms=100))
    world.quote(1_000, 100.0, 100.2)
    world.sell("1", 1_000, trigger="99.00")
    world.swept(1_200, 100.0, 100.2, low=98.0, high=100.2)
    assert not world.fills
    world.swept(1_300, 100.0, 100.2, low=98.0, high=100.2)
    assert world.fills[0].price == D("99.00")
