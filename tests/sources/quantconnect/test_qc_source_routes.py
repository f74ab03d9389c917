"""The routes, against a service on a real socket: pages, deployments, targets, objects and the signal backtest."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.quantconnect.calls import Page
from sources.quantconnect.insights import Heading
from sources.quantconnect.routes import (
    Deployments,
    LiveInsights,
    LiveOrders,
    LivePortfolio,
    RouteTrouble,
    StoredObject,
    rows_from,
)
from sources.quantconnect.settings import BacktestParams, ObjectParams
from sources.quantconnect.signal_backtest import SignalBacktest
from tests.sources.quantconnect.qc_port import LIVE, NOW, PROJECT, paged, row
from tests.sources.quantconnect.qc_service import Answer, client_of, no, serving


@given(st.integers(0, 400), st.integers(1, 50), st.integers(0, 420), st.integers(1, 100))
async def test_paging_ends_and_never_misses_the_newest_rows(total: int, size: int, start: int, most: int) -> None:
    async def read(first: int, end: int) -> Page[int]:
        return Page(tuple(range(total))[first:end], total)

    rows, end = await rows_from(read, size, start, most)
    begin = max(0, total - most) if start > total else start
    assert end == total
    assert set(range(max(begin, total - most), total)) <= set(rows)
    assert rows == sorted(set(rows))


async def test_insights_are_paged_to_the_end_and_later_polls_read_only_what_is_new() -> None:
    rows = [row(number) for number in range(900, 0, -1)]
    async with serving(live__read=LIVE, live__insights__read=paged(rows)) as service, client_of(service) as client:
        route = LiveInsights(PROJECT, Deployments())
        first = await route.read(client, NOW)
        assert {signal.id for signal in first} >= {f"{number:032x}" for number in range(1, 501)}
        asked = service.bodies("live/insights/read")
        assert all(0 < body["end"] - body["start"] <= 100 for body in asked)
        rows += [row(0)]
        assert [signal.id for signal in await route.read(client, NOW)][-1] == f"{0:032x}"
        assert len(service.bodies("live/insights/read")) == len(asked) + 1


async def test_insights_of_an_earlier_deployment_and_of_no_price_are_passed_over() -> None:
    rows = [row(4_000), row(20, type="volatility"), row(10)]
    async with serving(live__read=LIVE, live__insights__read=paged(rows)) as service, client_of(service) as client:
        route = LiveInsights(PROJECT, Deployments())
        assert [signal.id for signal in await route.read(client, NOW)] == [row(10)["id"]]
        await route.read(client, NOW)
        assert route.unusable == 1
        assert len(service.bodies("live/read")) == 1


async def test_an_algorithm_that_stopped_is_trouble_and_not_an_empty_list() -> None:
    stopped = {**LIVE, "status": "Stopped", "stopped": "2026-03-02 10:30:00"}
    async with serving(live__read=stopped) as service, client_of(service) as client:
        with pytest.raises(RouteTrouble, match="project 7 runs, it is Stopped"):
            await LivePortfolio(PROJECT, Deployments(), 1).read(client, NOW)


def order(number: int, status: int, filled: float = 0.0) -> dict[str, Any]:
    at = "2026-03-02T10:30:00Z"
    event = {
        "id": f"L-1-{number}-2", "algorithmId": "L-1", "orderId": number, "time": 1772447400, "fillPrice": 10.0,
        "fillQuantity": filled,
    }  # fmt: skip
    return {
        "id": number, "symbol": {"value": "BTCUSDT", "id": "BTCUSDT 18N"}, "quantity": 0.1, "status": status, "time": at,
        "price": 10.0, "events": [event] if filled else [],
    }  # fmt: skip


async def test_an_order_that_is_filled_later_is_a_signal_then() -> None:
    rows = [order(1, 3, 0.1), order(2, 1), order(3, 5)]
    async with serving(live__read=LIVE, live__orders__read=paged(rows, "orders")) as service, client_of(service) as client:
        route = LiveOrders(PROJECT, Deployments())
        assert [signal.id for signal in await route.read(client, NOW)] == ["L-1-1-2"]
        rows[1] = order(2, 3, 0.1)
        assert "L-1-2-2" in [signal.id for signal in await route.read(client, NOW)]


def portfolio(*held: tuple[str, float, float]) -> dict[str, Any]:
    holdings = {sid: {"a": price, "q": quantity, "p": price, "v": quantity * price} for sid, quantity, price in held}
    cash = {"USDT": {"symbol": "USDT", "amount": 500.0, "conversionRate": 1, "valueInAccountCurrency": 500.0}}
    return {"portfolio": {"holdings": holdings or [], "cash": cash}}


async def test_a_portfolio_is_targets_that_are_said_again_in_each_slot_and_closed_when_they_go() -> None:
    btc, eth = ("BTCUSDT 18N", 5.0, 100.0), ("ETHUSDT 18N", 2.0, 250.0)
    answers = [portfolio(btc), portfolio(btc, eth), portfolio(eth), portfolio(), portfolio(("BTCUSDT 18N", 5.0, 101.0))]
    async with serving(live__read=LIVE, live__portfolio__read=list(answers)) as service, client_of(service) as client:
        route = LivePortfolio(PROJECT, Deployments(), 1_000_000_000)
        (first,) = await route.read(client, NOW)
        assert first.heading is Heading.UP
        assert first.target == pytest.approx(0.5)
        both = await route.read(client, NOW + 1)
        assert both[0].id == first.id
        assert both[0].target == pytest.approx(1 / 3)
        eth_only = await route.read(client, NOW + 2)
        assert [(one.sid, one.heading) for one in eth_only] == [("ETHUSDT 18N", "up"), ("BTCUSDT 18N", "flat")]
        assert {one.sid: one.heading for one in await route.read(client, NOW + 3)} == {
            "ETHUSDT 18N": "flat",
            "BTCUSDT 18N": "flat",
        }
        again = await route.read(client, NOW + 1_000_000_000)
        assert {one.sid: one.heading for one in again} == {"BTCUSDT 18N": "up", "ETHUSDT 18N": "flat"}
        assert again[0].id != first.id


async def test_a_position_that_was_closed_while_the_bot_was_away_is_closed_if_that_is_wanted() -> None:
    unheld = {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"}
    answer = portfolio(("BTCUSDT 18N", 5.0, 100.0))
    async with serving(live__read=LIVE, live__portfolio__read=answer) as service, client_of(service) as client:
        signals = await LivePortfolio(PROJECT, Deployments(), 1, unheld).read(client, NOW)
        assert [(one.ticker, one.symbol, one.heading) for one in signals[1:]] == [("ETHUSDT", "ETH/USDT", "flat")]


async def test_holdings_that_are_null_close_nothing() -> None:
    held = portfolio(("BTCUSDT 18N", 5.0, 100.0))
    broken: dict[str, Any] = {"portfolio": {"holdings": None, "cash": {}}}
    async with serving(live__read=LIVE, live__portfolio__read=[held, broken, held]) as service, client_of(service) as client:
        route = LivePortfolio(PROJECT, Deployments(), 1_000_000_000)
        await route.read(client, NOW)
        with pytest.raises(Exception, match="holdings"):
            await route.read(client, NOW)
        assert [one.heading for one in await route.read(client, NOW)] == ["up"]


def stored(text: str, modified: str = "2026-03-02T11:00:00Z") -> dict[str, Any]:
    return {"metadata": {"key": "signals.json", "modified": modified, "size": len(text), "md5": "", "preview": text}}


async def test_a_stored_object_is_read_in_every_form_and_not_again_until_it_changes() -> None:
    single = {"id": "s1", "symbol": "BTCUSDT", "side": "buy", "time": "2026-03-02T11:00:00Z"}
    by_symbol = {"BTCUSDT": {"direction": "up"}, "ETHUSDT": {"direction": "down"}}
    answers: list[Answer] = [
        stored(orjson.dumps(single).decode()),
        stored(orjson.dumps(by_symbol).decode(), "2026-03-02T11:05:00Z"),
        stored(orjson.dumps({"signals": [single, {"id": "bad"}]}).decode(), "2026-03-02T11:06:00Z"),
        stored("not json", "2026-03-02T11:07:00Z"),
    ]
    async with serving(object__properties=answers) as service, client_of(service) as client:
        route = StoredObject(ObjectParams(organization="org", keys=("signals.json",)), "signals.json")
        assert [one.id for one in await route.read(client, NOW)] == ["s1"]
        both = await route.read(client, NOW)
        assert [(one.ticker, one.heading, one.generated) for one in both] == [
            ("BTCUSDT", "up", NOW + 300_000),
            ("ETHUSDT", "down", NOW + 300_000),
        ]
        assert [one.id for one in await route.read(client, NOW)] == ["s1"]
        with pytest.raises(RouteTrouble, match="is no JSON"):
            await route.read(client, NOW)


DONE = {
    "backtestId": "b1", "completed": True, "statistics": {"Net Profit": "1%"}, "runtimeStatistics": {"Equity": "$1"},
    "totalPerformance": {"tradeStatistics": {}, "portfolioStatistics": {}, "closedTrades": []},
}  # fmt: skip


async def nothing(_: float) -> None:
    return None


def signal_backtest() -> SignalBacktest:
    return SignalBacktest(BacktestParams(enabled=True, project=9, days=30, last=2, parameters={"fast": "5"}), nothing)


async def test_a_signal_backtest_gives_its_last_insights_under_names_that_the_next_run_repeats() -> None:
    rows = [row(number) for number in (3, 2, 1)]
    async with (
        serving(
            compile__create={"compileId": "c-1", "state": "BuildSuccess"},
            backtests__create={"backtest": {"backtestId": "b1", "completed": False}},
            backtests__read=[{"backtest": {"backtestId": "b1", "completed": False}}, {"backtest": DONE}],
            backtests__read__insights=paged(rows),
            backtests__delete={},
        ) as service,
        client_of(service) as client,
    ):
        first = await signal_backtest().read(client, NOW)
        rows[:] = [{**each, "id": f"f{each['id'][1:]}"} for each in rows]
        again = await signal_backtest().read(client, NOW)
        assert [one.generated for one in first] == [NOW - 2_000, NOW - 1_000]
        assert [one.id for one in again] == [one.id for one in first]
        assert service.bodies("backtests/create")[0]["parameters"] == {"fast": "5", "start": "2026-01-31", "end": "2026-03-02"}
        assert [body["backtestId"] for body in service.bodies("backtests/delete")] == ["b1", "b1"]


async def test_a_signal_backtest_that_fails_is_trouble_and_frees_its_node() -> None:
    failed = {"backtest": {"backtestId": "b1", "completed": False, "error": "Runtime Error: boom"}}
    async with (
        serving(
            compile__create={"compileId": "c-1", "state": "BuildSuccess"},
            backtests__create={"backtest": {"backtestId": "b1"}},
            backtests__read=failed,
            backtests__delete={},
        ) as service,
        client_of(service) as client,
    ):
        with pytest.raises(RouteTrouble, match="boom"):
            await signal_backtest().read(client, NOW)
        assert len(service.bodies("backtests/delete")) == 1


async def test_a_signal_backtest_that_was_refused_deletes_nothing() -> None:
    async with (
        serving(
            compile__create={"compileId": "c-1", "state": "BuildSuccess"}, backtests__create=no("Invalid argument")
        ) as service,
        client_of(service) as client,
    ):
        with pytest.raises(Exception, match="Invalid argument"):
            await signal_backtest().read(client, NOW)
        assert service.bodies("backtests/delete") == []


async def test_a_project_that_cannot_be_built_is_named_with_its_line() -> None:
    logs = ["Build Error: File: main.py Line 12 Column 3 - invalid syntax"]
    failed = {"compileId": "c-1", "state": "BuildError", "logs": logs}
    async with serving(compile__create=failed) as service, client_of(service) as client:
        with pytest.raises(RouteTrouble, match=r"main\.py:12"):
            await signal_backtest().read(client, NOW)
