"""The inbox: what goes first, what is bounded, and what nobody can starve."""

from __future__ import annotations

import asyncio

from bot.core.decision import Claim, Tier
from bot.core.inputs import Claimed, OrderAccepted, SetTradingState, TradingState
from bot.core.market import Side, Trade
from bot.runtime.inbox import Inbox
from tests.factories import BTC, ETH, RULE, T0, a_candle, a_quote


def a_proposal(number: int = 0) -> Claimed:
    return Claimed(T0 + number, Claim(RULE, Tier.TRADITIONAL, BTC, T0))


def a_trade(number: int) -> Trade:
    return Trade(BTC, T0, T0, str(number), 100.0, 1.0, Side.BUY)


def taken(inbox: Inbox) -> list[object]:
    found: list[object] = []
    while (arrival := inbox.take()) is not None:
        found.append(arrival[0])
    return found


async def test_broker_updates_go_first_then_commands_then_candles() -> None:
    inbox = Inbox()
    quote, trade, candle = a_quote(), a_trade(1), a_candle()
    command = SetTradingState(T0, TradingState.HALTED, "test", "why")
    update = OrderAccepted(T0, "o", "v")
    inbox.put_quote(quote)
    inbox.put_trade(trade)
    await inbox.put_proposal(a_proposal())
    inbox.put_market(candle)
    inbox.put_command(command)
    inbox.put_broker(update)
    assert len(inbox) == 6
    order = taken(inbox)
    assert order[:3] == [update, command, candle]
    assert len(order) == 6
    assert inbox.take() is None


async def test_a_source_that_never_stops_proposing_does_not_hide_the_price() -> None:
    inbox = Inbox(proposals=8)

    async def chatter() -> None:
        while True:
            await inbox.put_proposal(a_proposal())

    talking = asyncio.create_task(chatter())
    try:
        await asyncio.sleep(0)
        inbox.put_quote(a_quote())
        inbox.put_quote(a_quote(symbol=ETH))
        inbox.put_trade(a_trade(1))
        kinds = set()
        for _ in range(12):
            arrival = inbox.take()
            assert arrival is not None
            kinds.add(type(arrival[0]).__name__)
            await asyncio.sleep(0)
        assert kinds == {"Claimed", "Quote", "Trade"}
        assert inbox.depths()["quotes"] == 0
    finally:
        talking.cancel()
        await asyncio.wait([talking])


async def test_proposals_are_bounded_and_a_waiting_source_gets_its_turn_in_order() -> None:
    inbox = Inbox(proposals=2)
    said = [a_proposal(number) for number in range(5)]
    puts = [asyncio.create_task(inbox.put_proposal(one)) for one in said]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(inbox) == 2
    heard = []
    for _ in said:
        arrival = inbox.take()
        assert arrival is not None
        heard.append(arrival[0])
        assert len(inbox) <= 2
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*puts)
    assert heard == said


async def test_a_cancelled_proposal_takes_no_place() -> None:
    inbox = Inbox(proposals=1)
    await inbox.put_proposal(a_proposal())
    waiting = asyncio.create_task(inbox.put_proposal(a_proposal(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    inbox.take()
    async with asyncio.timeout(20):
        await inbox.put_proposal(a_proposal(2))
    assert len(inbox) == 1


async def test_trades_are_bounded_and_the_oldest_are_dropped_and_counted() -> None:
    inbox = Inbox(trades=3)
    for number in range(5):
        inbox.put_trade(a_trade(number))
    assert [trade.id for trade in taken(inbox) if isinstance(trade, Trade)] == ["2", "3", "4"]
    assert inbox.trades_dropped == 2


async def test_a_wake_that_rang_before_anyone_waited_is_not_lost() -> None:
    inbox = Inbox()
    inbox.wake()
    async with asyncio.timeout(20):
        await inbox.wait()
    assert inbox.take_wake()
    assert not inbox.take_wake()


async def test_a_cancelled_wait_leaves_the_inbox_usable() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    inbox.put_quote(a_quote())
    async with asyncio.timeout(20):
        await inbox.wait()
    assert len(inbox) == 1


async def test_a_conflated_quote_is_as_old_as_the_first_that_waited() -> None:
    inbox = Inbox()
    inbox.put_quote(a_quote(100.0))
    await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    inbox.put_quote(a_quote(90.0))
    arrival = inbox.take()
    assert arrival is not None
    quote, since = arrival
    assert (quote.bid_low, quote.bid_high) == (90.0, 100.0)  # type: ignore[union-attr]
    assert loop.time() - since >= 0.009
    assert inbox.conflated == 1
