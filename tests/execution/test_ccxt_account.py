"""An account through real ccxt on real sockets, in both dialects."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from bot.core.market import Side
from bot.core.orders import OrderType, TimeInForce
from execution.account import NotFound, NotSent, ReadFailed, Refused, ReportStatus
from execution.ccxt_account import RECV_WINDOW_MS, AccountConfig, CcxtAccount
from execution.ccxt_orders import Native
from execution.ccxt_reports import balances as balances_of
from simulators.exchange.account_faults import ChangeFilter, Omitted, PartialFill, Thing
from simulators.exchange.faults import Shock
from tests.execution.ccxt_rig import DIALECTS, OTHER, PATIENCE, SYMBOL, Rig, ordered, rig

dialects = pytest.mark.parametrize("dialect", DIALECTS)


async def ended(one: Rig, client_id: str) -> ReportStatus:
    """The order's status once it is over."""
    async with asyncio.timeout(PATIENCE):
        while not (report := await one.account.order(SYMBOL, client_id)).status.ended:
            await asyncio.sleep(0.02)
        return report.status


async def test_binance_tells_the_whole_of_a_market_order_at_once() -> None:
    async with rig("binance") as one:
        report = await one.account.create(ordered("two"))
        (trade,) = report.trades
        assert (report.client_id, report.status, report.filled) == ("two", ReportStatus.FILLED, Decimal("0.01"))
        assert (trade.client_id, trade.venue_order_id, trade.fee, trade.fee_currency) == (
            "two", report.venue_id, Decimal("0.00001"), "BTC",
        )  # fmt: skip


async def test_okx_tells_the_id_alone_and_the_rest_when_asked() -> None:
    async with rig("okx") as one:
        report = await one.account.create(ordered("two"))
        assert (report.client_id, report.status, report.amount) == ("two", ReportStatus.UNSAID, None)
        found = await one.account.order(SYMBOL, "two")
        assert (found.venue_id, found.status, found.filled) == (report.venue_id, ReportStatus.FILLED, Decimal("0.01"))


@dialects
async def test_an_order_lives_under_our_id_is_found_by_either_and_is_cancelled(dialect: str) -> None:
    async with rig(dialect) as one:
        sent = await one.account.create(one.resting("mine"))
        assert await one.live_ids() == ["mine"]
        by_client, by_venue = await one.account.order(SYMBOL, "mine"), await one.account.order(SYMBOL, None, sent.venue_id)
        assert by_client == by_venue
        assert (by_client.client_id, by_client.status, by_client.amount) == ("mine", ReportStatus.OPEN, Decimal("0.01"))
        await one.account.cancel(SYMBOL, "mine", sent.venue_id)
        assert await one.live_ids() == []
        assert (await one.account.order(SYMBOL, "mine")).status is ReportStatus.CANCELLED
        with pytest.raises(NotFound):
            await one.account.cancel(SYMBOL, "mine", sent.venue_id)
        with pytest.raises(NotFound):
            await one.account.order(SYMBOL, "never")


async def test_the_answer_to_a_cancel_names_the_order_and_not_the_cancel() -> None:
    async with rig("binance") as one:
        await one.account.create(one.resting("mine"))
        report = await one.account.cancel(SYMBOL, "mine", None)
        assert report is not None
        assert (report.client_id, report.status) == ("mine", ReportStatus.CANCELLED)


@dialects
@pytest.mark.parametrize(("side", "factor", "shock"), [(Side.SELL, 0.9, 0.8), (Side.BUY, 1.1, 1.2)])
async def test_a_stop_waits_at_the_venue_and_trades_when_it_is_met(dialect: str, side: Side, factor: float, shock: float) -> None:
    async with rig(dialect) as one:
        request = ordered("stop", side, OrderType.STOP, "0.5", trigger=one.price(factor))
        await one.account.create(request)
        (open_order,) = await one.account.open_orders([SYMBOL])
        assert (open_order.client_id, open_order.trigger, open_order.status) == ("stop", request.trigger, ReportStatus.OPEN)
        assert (await one.account.order(SYMBOL, "stop")).status is ReportStatus.OPEN
        one.venue.inject(Shock(SYMBOL, shock))
        assert await ended(one, "stop") is ReportStatus.FILLED


@dialects
async def test_a_stop_with_a_limit_keeps_both_its_prices_and_can_be_cancelled(dialect: str) -> None:
    async with rig(dialect) as one:
        trigger, price = one.price(0.9), one.price(0.89)
        await one.account.create(ordered("both", Side.SELL, OrderType.STOP_LIMIT, "0.5", price=price, trigger=trigger))
        (told,) = (await one.truth())["orders"]
        assert (Decimal(told["price"]), Decimal(told["stop"])) == (price, trigger)
        assert (await one.account.balances())["BTC"].locked == Decimal("0.5")
        await one.account.cancel(SYMBOL, "both", None)
        assert await one.live_ids() == []


@dialects
async def test_a_stop_of_a_life_before_is_cancelled_too(dialect: str) -> None:
    async with rig(dialect) as one:
        await one.account.create(ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9)))
        restarted = CcxtAccount(one.account.exchange)  # it remembers no algo orders
        await restarted.cancel(SYMBOL, "stop", None)
        assert await one.live_ids() == []


async def test_where_there_is_no_stop_at_market_price_a_stop_limit_far_beyond_does_it() -> None:
    async with rig("binance") as one:
        kinds = one.account.exchange.markets[SYMBOL]["info"]["orderTypes"]
        kinds.remove("STOP_LOSS")
        assert Native.STOP not in one.account.natives(SYMBOL)
        trigger = one.price(0.9)
        report = await one.account.create(ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=trigger))
        assert report.trigger == trigger
        assert report.price is not None
        assert report.price == pytest.approx(trigger * Decimal("0.95"), abs=Decimal("0.01"))
        kinds.remove("STOP_LOSS_LIMIT")
        with pytest.raises(NotSent, match="no stop orders"):
            await one.account.create(ordered("none", Side.SELL, OrderType.STOP, "0.5", trigger=trigger))


@dialects
async def test_post_only_and_time_in_force_reach_the_venue(dialect: str) -> None:
    async with rig(dialect) as one:
        limit = ordered("ioc", Side.BUY, OrderType.LIMIT, "0.01", price=one.price(0.9), tif=TimeInForce.IOC)
        await one.account.create(limit)
        assert await ended(one, "ioc") in {ReportStatus.EXPIRED, ReportStatus.CANCELLED}
        maker = ordered("maker", Side.BUY, OrderType.LIMIT, "0.01", price=one.price(0.9), post_only=True)
        await one.account.create(maker)
        assert await one.live_ids() == ["maker"]
        taker = ordered("taker", Side.BUY, OrderType.LIMIT, "0.01", price=one.price(1.1), post_only=True)
        if dialect == "binance":
            with pytest.raises(Refused):
                await one.account.create(taker)
        else:  # OKX takes it and cancels it
            await one.account.create(taker)
            assert await ended(one, "taker") is ReportStatus.CANCELLED


@dialects
@pytest.mark.parametrize(
    ("amount", "price", "words"),
    [
        ("0.0000001", "50000", "minimum"),
        ("0.000015", "50000", "step|minimum"),
        ("0.01", "50000.123456", "step"),
        ("100000000000", "50000", "maximum"),
    ],
)
async def test_what_the_venue_would_not_take_is_not_sent(dialect: str, amount: str, price: str, words: str) -> None:
    async with rig(dialect) as one:
        before = dict(one.venue.counts()["rest"])
        with pytest.raises(NotSent, match=words) as problem:
            await one.account.create(ordered("bad", Side.BUY, OrderType.LIMIT, amount, price=Decimal(price)))
        assert problem.value.retry_after_ms == 0
        assert dict(one.venue.counts()["rest"]) == before


async def test_what_is_worth_too_little_is_not_sent() -> None:
    async with rig("binance") as one:
        market = one.account.exchange.markets[SYMBOL]
        with pytest.raises(NotSent, match="worth less"):
            await one.account.create(ordered("dust", Side.SELL, OrderType.LIMIT, "0.00002", price=Decimal(100)))
        assert market["limits"]["cost"]["min"]
        with pytest.raises(NotSent, match="no DOGE/USDT"):
            await one.account.create(ordered("what", symbol="DOGE/USDT"))
        with pytest.raises(NotSent, match="trigger"):
            await one.account.create(ordered("untriggered", kind=OrderType.STOP))


@dialects
async def test_refusals_are_refusals_and_nothing_lives(dialect: str) -> None:
    async with rig(dialect) as one:
        with pytest.raises(Refused):
            await one.account.create(one.resting("poor", amount="50"))
        assert await one.live_ids() == []


async def test_open_orders_of_more_symbols_than_are_worth_asking_for_singly_are_told_by_plain_ccxt_options_too() -> None:
    async with rig("binance") as one:
        exchange = one.account.exchange
        exchange.options["fetchOpenOrders"] = {"warnWithoutSymbol": True}  # as ccxt ships it
        account = CcxtAccount(exchange)
        await account.create(one.resting("mine"))
        found = await account.open_orders([SYMBOL, OTHER, *(f"S{number}/USDT" for number in range(20))])
        assert [report.client_id for report in found] == ["mine"]


@dialects
async def test_open_orders_are_all_there_whatever_their_kind_and_number(dialect: str) -> None:
    async with rig(dialect, order_limit=1_000) as one:
        account = one.venue.engine.accounts.all()[0]
        for number in range(230):
            await one.account.create(one.resting(f"limit{number}", amount="0.001"))
        await one.account.create(ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9)))
        assert len(account.open) == 231
        found = await one.account.open_orders([SYMBOL, OTHER])
        assert sorted(report.client_id or "" for report in found) == sorted(await one.live_ids())
        assert await one.account.open_orders([OTHER]) == []


@dialects
async def test_all_trades_since_a_moment_are_listed_once_oldest_first(dialect: str) -> None:
    async with rig(dialect, order_limit=1_000) as one:
        for number in range(120):
            await one.account.create(ordered(f"t{number}", amount="0.001"))
        found = await one.account.trades(SYMBOL, 0)
        made = [fill["id"] for order in (await one.truth())["orders"] for fill in order["fills"]]
        assert [int(trade.id) for trade in found] == sorted(made)
        assert len(made) >= 120
        later = await one.account.trades(SYMBOL, found[60].ts)
        assert [trade.id for trade in later] == [trade.id for trade in found if trade.ts >= found[60].ts]
        assert found[0].fee == Decimal("0.000001")
        assert await one.account.trades(OTHER, 0) == []


@dialects
async def test_partial_fills_carry_every_trade_to_the_last_digit(dialect: str) -> None:
    async with rig(dialect) as one:
        one.venue.inject(PartialFill())
        await one.account.create(ordered("part", Side.SELL, OrderType.LIMIT, "0.5", price=one.price(0.95)))
        async with asyncio.timeout(PATIENCE):
            while (await one.account.order(SYMBOL, "part")).status is not ReportStatus.FILLED:
                await asyncio.sleep(0.05)
        trades = await one.account.trades(SYMBOL, 0)
        assert len(trades) > 1
        assert sum(trade.amount for trade in trades) == Decimal("0.5")
        gained = sum(trade.amount * trade.price - trade.fee for trade in trades)
        assert (await one.account.balances())["USDT"].total == Decimal(100_000) + gained
        assert Decimal((await one.truth())["balances"]["USDT"]["free"]) == Decimal(100_000) + gained


async def test_no_digit_of_a_balance_is_lost() -> None:
    async with rig("binance") as one:
        large = Decimal("123456789012.12345678")
        row = {"SHIB": {"free": str(large), "used": "0.00000001"}}
        parsed = balances_of(one.account.exchange.safe_balance(row))
        assert (parsed["SHIB"].free, parsed["SHIB"].locked) == (large, Decimal("0.00000001"))
        assert one.account.exchange.number is float


@dialects
async def test_balances_and_permissions_are_told(dialect: str) -> None:
    async with rig(dialect) as one:
        await one.account.create(one.resting("mine", Side.SELL, 1.1, "0.5"))
        balances = await one.account.balances()
        assert (balances["BTC"].free, balances["BTC"].locked) == (Decimal("1.5"), Decimal("0.5"))
        permissions = await one.account.permissions()
        assert (permissions.trade, permissions.withdraw) == (True, True)


async def test_deposits_and_withdrawals_are_listed_where_the_venue_has_them() -> None:
    async with rig("binance") as one:
        found = await one.account.transfers(0)
        assert found is not None
        assert {(move.currency, move.amount) for move in found} == {("USDT", Decimal(100_000)), ("BTC", Decimal(2))}
        assert await one.account.transfers(max(move.ts for move in found) + 1) == []
    async with rig("okx") as one:
        assert await one.account.transfers(0) is None


@dialects
async def test_an_order_left_out_of_an_answer_is_not_found_and_not_a_failure(dialect: str) -> None:
    async with rig(dialect) as one:
        await one.account.create(one.resting("mine"))
        one.venue.inject(Omitted(Thing.ORDER, "mine", 2))  # OKX is asked twice: among the orders, then among the stops
        with pytest.raises(NotFound):
            await one.account.order(SYMBOL, "mine")


@dialects
async def test_a_request_dies_before_an_order_is_taken_for_missing(dialect: str) -> None:
    async with rig(dialect) as one:
        if dialect == "binance":
            assert one.account.request_life_ms == RECV_WINDOW_MS == one.account.exchange.options["recvWindow"]
        else:
            assert one.account.request_life_ms == 30_000


async def test_an_empty_list_of_okx_says_that_there_is_no_such_order() -> None:
    async with rig("okx") as one:
        exchange = one.account.exchange
        real = exchange.on_rest_response

        def empty(*args: Any) -> Any:
            real(*args)
            return '{"code": "0", "msg": "", "data": []}'

        exchange.on_rest_response = empty
        with pytest.raises(NotFound, match="empty"):
            await one.account.order(SYMBOL, "mine")


async def test_a_stop_that_became_another_order_is_cancelled_by_the_venues_id() -> None:
    async with rig("okx") as one:
        account = one.account
        sent = await account.create(one.resting("child"))
        # The order that OKX makes of a triggered stop has not our id, which only the stop had.
        account._remember_algo("stop")
        await account.cancel(SYMBOL, "stop", sent.venue_id)
        assert await one.live_ids() == []
        with pytest.raises(NotFound):
            await account.cancel(SYMBOL, "stop", None)


@dialects
async def test_changed_steps_are_learned_when_the_markets_are_read_again(dialect: str) -> None:
    async with rig(dialect) as one:
        request = ordered("fine", Side.BUY, OrderType.LIMIT, "0.015", price=one.price(0.9))
        one.venue.inject(ChangeFilter(SYMBOL, amount_step=Decimal("0.01")))
        with pytest.raises(Refused):
            await one.account.create(request)
        await one.account.exchange.load_markets(True)
        with pytest.raises(NotSent, match="step"):
            await one.account.create(request)


async def test_an_order_without_any_id_cannot_be_asked_for() -> None:
    async with rig("binance") as one:
        with pytest.raises(ReadFailed) as problem:
            await one.account.order(SYMBOL, None)
        assert not problem.value.transient


async def test_an_exchange_that_is_not_made_for_trading_is_refused() -> None:
    with pytest.raises(ValueError, match="trading"):
        CcxtAccount(object(), config=AccountConfig())
