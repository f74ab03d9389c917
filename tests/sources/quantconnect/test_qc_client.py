"""Every endpoint asks what is documented and reads what comes back; pages are walked to their end, each row once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sources.quantconnect.client import Client
from sources.quantconnect.client_live import Plan, paper
from sources.quantconnect.client_optimizations import GRID, SHARPE, Search
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_backtest import Stage
from sources.quantconnect.models_live import LiveStatus
from sources.quantconnect.models_optimization import Constraint, OptimizationStatus, Range
from sources.quantconnect.models_project import CompileState
from tests.sources.quantconnect.qc_answers import (
    FINISHED,
    HOLDING,
    INSIGHT,
    LIVE,
    NODE,
    OPTIMIZATION,
    ORDER,
    PROJECT,
    QUEUED,
    SUMMARY,
)
from tests.sources.quantconnect.qc_service import Page, Script, client_of, no, serving

ORG = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
BACKTEST = {"projectId": 7, "backtestId": "b1"}
CONSTRAINT = Constraint(target="TotalPerformance.PortfolioStatistics.Drawdown", operator="Less", target_value=0.3)
SEARCH = Search(7, "grid", "aa-bb", [Range(name="fast", min=5, max=20, step=5)], constraints=[CONSTRAINT])
SEARCHED = {
    "projectId": 7,
    "name": "grid",
    "compileId": "aa-bb",
    "target": SHARPE,
    "targetTo": "max",
    "targetValue": None,
    "strategy": GRID,
    "parameters": [{"name": "fast", "min": 5.0, "max": 20.0, "step": 5.0}],
    "constraints": [{"target": CONSTRAINT.target, "operator": "Less", "targetValue": 0.3}],
}
NOTES: dict[str, Any] = {"events": ["insight"], "targets": []}
PLAN = Plan(7, "aa-bb", "LN-1", paper({"USDT": 10_000}), parameters={"fast": 10}, notification=NOTES)
PLANNED = {
    "projectId": 7,
    "compileId": "aa-bb",
    "nodeId": "LN-1",
    "versionId": "-1",
    "brokerage": {"id": "QuantConnectBrokerage", "holdings": [], "cash": [{"currency": "USDT", "amount": 10_000}]},
    "dataProviders": {"QuantConnectBrokerage": {"id": "QuantConnectBrokerage"}},
    "automaticRedeploy": False,
    "parameters": {"fast": 10},
    "signature": "bb",
    "notification": NOTES,
}
NODES = {"nodes": {"backtest": [NODE], "research": [], "live": []}, "autoSelectNode": True}
FILE = {"id": None, "projectId": 7, "name": "main.py", "content": "x", "modified": "2026-03-02 10:16:01", "open": True}
COMPILE = {"compileId": "aa-bb", "state": "InQueue", "parameters": [], "projectId": 7, "signatureOrder": ["main.py"]}
ENTRY = {"key": "/a/b.json", "name": "b.json", "mime": "application/json", "folder": False, "size": 141}
DEPLOYED = {
    "deployId": "L-1",
    "versionId": 17900,
    "source": "api-v2",
    "responseCode": "200",
    "live": {**LIVE, "status": "InQueue"},
}
LIST = {"backtests": [SUMMARY], "count": 1}
PORTFOLIO = {"portfolio": {"holdings": {"X": HOLDING}, "cash": []}}
WHOLE = {"projectId": 7, "start": 0, "end": 1_000}
PART = {"projectId": 7, "start": 0, "end": 9}

Ask = Callable[[Client], Awaitable[Any]]
CALLS: list[tuple[str, Ask, dict[str, Any], dict[str, Any]]] = [
    ("authenticate", lambda c: c.authenticate(), {}, {}),
    (
        "projects/create",
        lambda c: c.projects.create("a"),
        {"name": "a", "language": "Py"},
        {"projects": [PROJECT], "versions": []},
    ),
    ("projects/read", lambda c: c.projects.read(7), {"projectId": 7}, {"projects": [PROJECT]}),
    ("projects/read", lambda c: c.projects.list(), {}, {"projects": [PROJECT]}),
    ("projects/read", lambda c: c.projects.list(start=0, end=9), {"start": 0, "end": 9}, {"projects": []}),
    (
        "projects/update",
        lambda c: c.projects.update(7, name="b", parameters={"fast": 10}),
        {"projectId": 7, "name": "b", "parameters": [{"key": "fast", "value": "10"}]},
        {},
    ),
    ("projects/update", lambda c: c.projects.update(7, parameters={}), {"projectId": 7, "parameters": ""}, {}),
    (
        "projects/update",
        lambda c: c.projects.update(7, files={"main.py": "x"}, libraries=[8], version_id=-1),
        {"projectId": 7, "files": [{"name": "main.py", "content": "x"}], "libraries": [8], "versionId": -1},
        {},
    ),
    ("projects/delete", lambda c: c.projects.delete(7), {"projectId": 7}, {}),
    ("projects/nodes/read", lambda c: c.projects.nodes(7), {"projectId": 7}, NODES),
    ("projects/nodes/update", lambda c: c.projects.set_nodes(7, ["BN-01"]), {"projectId": 7, "nodes": ["BN-01"]}, NODES),
    ("projects/library/create", lambda c: c.projects.add_library(7, 8), {"projectId": 7, "libraryId": 8}, {}),
    ("projects/library/delete", lambda c: c.projects.remove_library(7, 8), {"projectId": 7, "libraryId": 8}, {}),
    ("nodes/read", lambda c: c.projects.organization_nodes(ORG), {"organizationId": ORG}, {"backtest": [NODE], "live": []}),
    ("files/create", lambda c: c.files.create(7, "a.py", "x"), {"projectId": 7, "name": "a.py", "content": "x"}, {}),
    ("files/read", lambda c: c.files.read(7, "main.py"), {"projectId": 7, "name": "main.py"}, {"files": [FILE]}),
    ("files/read", lambda c: c.files.list(7), {"projectId": 7}, {"files": [FILE]}),
    ("files/update", lambda c: c.files.update(7, "a.py", ""), {"projectId": 7, "name": "a.py", "content": ""}, {}),
    ("files/update", lambda c: c.files.rename(7, "a.py", "b.py"), {"projectId": 7, "name": "a.py", "newName": "b.py"}, {}),
    ("files/patch", lambda c: c.files.patch(7, "diff"), {"projectId": 7, "patch": "diff"}, {}),
    ("files/delete", lambda c: c.files.delete(7, "a.py"), {"projectId": 7, "name": "a.py"}, {}),
    ("compile/create", lambda c: c.compiles.create(7), {"projectId": 7}, COMPILE),
    (
        "compile/read",
        lambda c: c.compiles.read(7, "aa-bb"),
        {"projectId": 7, "compileId": "aa-bb"},
        {"state": "InQueue", "logs": []},
    ),
    (
        "backtests/create",
        lambda c: c.backtests.create(7, "aa-bb", "run", {"fast": 10}),
        {"projectId": 7, "compileId": "aa-bb", "backtestName": "run", "parameters": {"fast": 10}},
        {"backtest": QUEUED, "debugging": False},
    ),
    ("backtests/read", lambda c: c.backtests.read(7, "b1"), BACKTEST, {"backtest": FINISHED}),
    (
        "backtests/list",
        lambda c: c.backtests.list(7),
        {"projectId": 7, "includeStatistics": True},
        {"backtests": [SUMMARY], "count": 1},
    ),
    ("backtests/update", lambda c: c.backtests.update(7, "b1", name="n"), {**BACKTEST, "name": "n", "note": ""}, {}),
    ("backtests/tags/update", lambda c: c.backtests.set_tags(7, "b1", ["a"]), {**BACKTEST, "tags": ["a"]}, {}),
    ("backtests/delete", lambda c: c.backtests.delete(7, "b1"), BACKTEST, {}),
    (
        "backtests/orders/read",
        lambda c: c.backtests.orders_page(7, "b1", 0, 100),
        {**BACKTEST, "start": 0, "end": 100},
        {"orders": [ORDER], "length": 1},
    ),
    (
        "backtests/trades/read",
        lambda c: c.backtests.trades_page(7, "b1", 0, 100),
        {**BACKTEST, "start": 0, "end": 100},
        {"closedTrades": [{"direction": 0}], "length": "1"},
    ),
    (
        "backtests/read/insights",
        lambda c: c.backtests.insights_page(7, "b1", 0, 100),
        {**BACKTEST, "start": 0, "end": 100},
        {"insights": {"0": INSIGHT}, "length": 1},
    ),
    (
        "backtests/chart/read",
        lambda c: c.backtests.chart(7, "b1", "Drawdown", 1, 2, count=50),
        {**BACKTEST, "name": "Drawdown", "count": 50, "start": 1, "end": 2},
        {"chart": {"name": "Drawdown", "series": []}},
    ),
    ("backtests/read/report", lambda c: c.backtests.report(7, "b1"), BACKTEST, {"report": "<html></html>"}),
    (
        "backtests/read/log",
        lambda c: c.backtests.log_page(7, "b1", 0, 200),
        {**BACKTEST, "start": 0, "end": 200, "query": ""},
        {"logs": ["a"], "length": 1},
    ),
    ("optimizations/estimate", lambda c: c.optimizations.estimate(SEARCH), SEARCHED, {"estimate": {"time": 60, "balance": "10"}}),
    (
        "optimizations/create",
        lambda c: c.optimizations.create(SEARCH, estimated_cost=0.01, parallel_nodes=2),
        {**SEARCHED, "estimatedCost": 0.01, "nodeType": "O2-8", "parallelNodes": 2},
        {"optimizations": [{**OPTIMIZATION, "status": "new"}]},
    ),
    ("optimizations/read", lambda c: c.optimizations.read("O-1"), {"optimizationId": "O-1"}, {"optimization": OPTIMIZATION}),
    ("optimizations/list", lambda c: c.optimizations.list(7), {"projectId": 7}, {"optimizations": []}),
    ("optimizations/update", lambda c: c.optimizations.rename("O-1", "b"), {"optimizationId": "O-1", "name": "b"}, {}),
    ("optimizations/abort", lambda c: c.optimizations.abort("O-1"), {"optimizationId": "O-1"}, {}),
    ("optimizations/delete", lambda c: c.optimizations.delete("O-1"), {"optimizationId": "O-1"}, {}),
    ("live/create", lambda c: c.live.deploy(PLAN), PLANNED, DEPLOYED),
    ("live/read", lambda c: c.live.read(7), {"projectId": 7}, LIVE),
    ("live/read", lambda c: c.live.read(7, "L-1"), {"projectId": 7, "deployId": "L-1"}, LIVE),
    ("live/list", lambda c: c.live.list(), {}, {"live": [LIVE]}),
    ("live/list", lambda c: c.live.list(status=LiveStatus.RUNTIME_ERROR), {"status": "RuntimeError"}, {"live": []}),
    ("live/update/stop", lambda c: c.live.stop(7), {"projectId": 7}, {}),
    ("live/update/liquidate", lambda c: c.live.liquidate(7), {"projectId": 7}, {}),
    ("live/commands/create", lambda c: c.live.command(7, {"x": 1}), {"projectId": 7, "command": {"x": 1}}, {}),
    (
        "live/commands/broadcast",
        lambda c: c.live.broadcast(ORG, {"x": 1}),
        {"organizationId": ORG, "excludeProjectId": None, "command": {"x": 1}},
        {},
    ),
    (
        "live/orders/read",
        lambda c: c.live.orders_page(7, 0, 1_000),
        {"projectId": 7, "start": 0, "end": 1_000},
        {"orders": [ORDER]},
    ),
    (
        "live/trades/read",
        lambda c: c.live.trades_page(7, 0, 9),
        {"projectId": 7, "start": 0, "end": 9},
        {"trades": [], "length": 0},
    ),
    (
        "live/insights/read",
        lambda c: c.live.insights_page(7, 0, 9),
        {"projectId": 7, "start": 0, "end": 9},
        {"insights": [INSIGHT]},
    ),
    (
        "live/portfolio/read",
        lambda c: c.live.portfolio(7),
        {"projectId": 7},
        {"portfolio": {"holdings": {"X": HOLDING}, "cash": []}},
    ),
    (
        "live/logs/read",
        lambda c: c.live.log_page(7, "L-1", 0, 250),
        {"format": "json", "projectId": 7, "algorithmId": "L-1", "startLine": 0, "endLine": 250},
        {"logs": ["a"], "length": 1, "deploymentOffset": 0},
    ),
    (
        "live/chart/read",
        lambda c: c.live.chart(7, "Exposure", 1, 2),
        {"projectId": 7, "name": "Exposure", "count": 1_000, "start": 1, "end": 2},
        {"chart": {"name": "Exposure", "series": {}}},
    ),
    ("live/export/insights", lambda c: c.live.export_insights("L-1"), {"deployId": "L-1"}, {"insights": [INSIGHT]}),
    ("object/list", lambda c: c.objects.list(ORG), {"organizationId": ORG, "path": "/"}, {"path": "/", "objects": [ENTRY]}),
    (
        "object/properties",
        lambda c: c.objects.properties(ORG, "k"),
        {"organizationId": ORG, "key": "k"},
        {"metadata": {"key": "k", "size": 1}},
    ),
    ("object/delete", lambda c: c.objects.delete(ORG, "k"), {"organizationId": ORG, "key": "k"}, {}),
    (
        "object/set",
        lambda c: c.objects.put(ORG, "a/k", b"\x00v"),
        {"organizationId": ORG, "key": "a/k", "objectData": b"\x00v"},
        {},
    ),
    ("account/read", lambda c: c.account(), {}, {"organizationId": ORG, "creditBalance": 12.5, "card": None}),
    ("organizations/list", lambda c: c.organizations(), {}, {"organizations": [{"id": ORG, "preferred": True}]}),
    ("organizations/read", lambda c: c.organization(ORG), {"organizationId": ORG}, {"organization": {"name": "Mine"}}),
    ("lean/versions/read", lambda c: c.versions(), {}, {"versions": [{"id": 17900}]}),
    ("lean/environments/read", lambda c: c.environments(), {}, {"environments": [{"id": 1, "name": "Default"}]}),
]


each_call = pytest.mark.parametrize(
    ("endpoint", "ask", "body", "answer"), CALLS, ids=[f"{number}-{call[0]}" for number, call in enumerate(CALLS)]
)


def script(endpoint: str, answer: Script) -> dict[str, Script]:
    return {endpoint.replace("/", "__"): answer}


@pytest.mark.parametrize(
    ("endpoint", "ask", "body", "answer"), CALLS, ids=[f"{number}-{call[0]}" for number, call in enumerate(CALLS)]
)
async def test_every_call_asks_what_is_documented_and_reads_the_answer(
    endpoint: str, ask: Ask, body: dict[str, Any], answer: dict[str, Any]
) -> None:
    async with serving(**script(endpoint, answer)) as service, client_of(service) as client:
        await ask(client)
        assert service.asked == [(endpoint, body)]


@pytest.mark.parametrize(
    ("endpoint", "ask", "body", "answer"), CALLS, ids=[f"{number}-{call[0]}" for number, call in enumerate(CALLS)]
)
async def test_every_call_survives_a_refusal_and_an_answer_of_another_shape(
    endpoint: str, ask: Ask, body: dict[str, Any], answer: dict[str, Any]
) -> None:
    del body
    async with serving(**script(endpoint, [no("Invalid argument"), {"brandNew": 1}])) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await ask(client)
        assert caught.value.kind is Kind.BAD_REQUEST
        try:
            await ask(client)
        except QcError as error:
            assert error.kind in {Kind.UNREADABLE, Kind.NOT_FOUND}  # noqa: PT017 - an answer without fields is one for some
            assert answer


def pages(key: str, rows: list[dict[str, Any]], *, most: int = 100, start: str = "start", end: str = "end") -> Script:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if not 0 < body[end] - body[start] <= most:
            return no("Invalid argument")
        return {key: rows[body[start] : body[end]], "length": len(rows)}

    return answer


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
async def test_pages_are_walked_to_the_end_and_no_further(count: int) -> None:
    rows = [{**INSIGHT, "id": f"{number}"} for number in range(count)]
    async with serving(backtests__read__insights=pages("insights", rows)) as service, client_of(service) as client:
        found = [insight.id async for insight in client.backtests.insights(7, "b1")]
        assert found == [f"{number}" for number in range(count)]
        assert len(service.asked) == max(1, -(-count // 100))


async def test_every_paged_list_stays_within_the_limit_of_its_endpoint() -> None:
    orders = [{**ORDER, "id": number} for number in range(120)]
    trades = [{"direction": 0, "profitLoss": number} for number in range(120)]
    insights = [{**INSIGHT, "id": f"{number}"} for number in range(120)]
    lines: Any = [f"line {number}" for number in range(260)]
    answers: dict[str, Script] = {
        "backtests__orders__read": pages("orders", orders),
        "backtests__trades__read": pages("trades", trades),
        "backtests__read__log": pages("logs", lines, most=200),
        "live__orders__read": pages("orders", orders * 10, most=1_000),
        "live__trades__read": pages("trades", trades * 10, most=1_000),
        "live__insights__read": pages("insights", insights),
        "live__logs__read": pages("logs", lines, most=250, start="startLine", end="endLine"),
    }
    async with serving(**answers) as service, client_of(service) as client:
        assert [order.id async for order in client.backtests.orders(7, "b1")] == list(range(120))
        assert [trade.profit_loss async for trade in client.backtests.trades(7, "b1")] == list(range(120))
        assert [line async for line in client.backtests.log(7, "b1")] == lines
        assert [order.id async for order in client.live.orders(7)] == list(range(120)) * 10
        assert len([trade async for trade in client.live.trades(7)]) == 1_200
        assert [insight.id async for insight in client.live.insights(7, start=20)] == [f"{number}" for number in range(20, 120)]
        assert [line async for line in client.live.log(7, "L-1", start=5)] == lines[5:]
        assert len(service.asked) == 2 + 2 + 2 + 2 + 2 + 1 + 2


async def test_a_service_that_gives_less_than_it_was_asked_for_loses_no_rows() -> None:
    rows = [{**INSIGHT, "id": f"{number}"} for number in range(25)]

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return {"insights": rows[body["start"] : body["start"] + 10], "length": 25}

    async with serving(live__insights__read=answer) as service, client_of(service) as client:
        assert [insight.id async for insight in client.live.insights(7)] == [f"{number}" for number in range(25)]


async def test_rows_that_arrive_while_pages_are_read_are_given_once() -> None:
    rows = [{**INSIGHT, "id": f"{number}"} for number in range(100, 0, -1)]  # the newest first

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if body["start"]:
            rows.insert(0, {**INSIGHT, "id": "new"})
        return {"insights": rows[body["start"] : body["end"]], "length": len(rows) + (not body["start"])}

    async with serving(live__insights__read=answer) as service, client_of(service) as client:
        found = [insight.id async for insight in client.live.insights(7)]
        assert found == [f"{number}" for number in range(100, 0, -1)]
        assert len(service.asked) == 2


async def test_a_list_without_a_length_ends_with_an_empty_page() -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return {"orders": [ORDER] if body["start"] == 0 else []}

    async with serving(live__orders__read=answer) as service, client_of(service) as client:
        assert len([order async for order in client.live.orders(7)]) == 1


async def test_a_failure_in_the_middle_of_a_list_is_raised() -> None:
    rows = [{**INSIGHT, "id": f"{number}"} for number in range(150)]

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return no("Invalid argument") if body["start"] else {"insights": rows[:100], "length": 150}

    async with serving(live__insights__read=answer) as service, client_of(service) as client:
        with pytest.raises(QcError):
            [insight async for insight in client.live.insights(7)]


async def test_what_is_still_loading_is_asked_for_until_it_is_there() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    loading = {"progress": 0.4, "status": "loading"}
    answers: dict[str, Script] = {
        "backtests__chart__read": [loading, loading, {"chart": {"name": "Equity", "series": []}}],
        "live__orders__read": [loading, {"orders": [ORDER], "length": 1}],
        "live__chart__read": loading,
    }
    async with serving(**answers) as service, client_of(service, sleep=sleep) as client:
        assert (await client.backtests.chart(7, "b1", "Equity", 0, 1)).name == "Equity"
        assert len((await client.live.orders_page(7, 0, 10)).rows) == 1
        assert slept == [5.0] * 3
        with pytest.raises(QcError, match="still loading after 60 s") as caught:
            await client.live.chart(7, "Equity", 0, 1)
        assert caught.value.transient
        assert len(service.bodies("live/chart/read")) == 12


@pytest.mark.parametrize("success", [True, False])
async def test_a_report_is_waited_for(success: bool) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    making = {"generating": True, "success": success}
    report: Script = [making, making, {"report": "<html>report</html>"}]
    async with serving(backtests__read__report=report) as service, client_of(service, sleep=sleep) as client:
        assert await client.backtests.report(7, "b1") == "<html>report</html>"
        assert slept == [10.0, 10.0]
    async with serving(backtests__read__report=making) as service, client_of(service, sleep=sleep) as client:
        with pytest.raises(QcError, match="still being made after 60 s"):
            await client.backtests.report(7, "b1")


async def test_a_compile_is_followed_to_its_end() -> None:
    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    states: Script = [{"state": "InQueue", "logs": []}, {"state": "BuildError", "logs": ["main.py: invalid syntax on line 12"]}]
    async with serving(compile__create=COMPILE, compile__read=states) as service, client_of(service, sleep=sleep) as client:
        build = await client.compiles.finished(7)
        assert (build.state, build.errors[0].line) == (CompileState.BUILD_ERROR, 12)
        assert len(service.bodies("compile/create")) == 1


async def test_a_compile_that_hangs_is_begun_anew_once() -> None:
    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    hanging = {"state": "InQueue", "logs": []}
    async with serving(compile__create=COMPILE, compile__read=hanging) as service, client_of(service, sleep=sleep) as client:
        with pytest.raises(QcError, match="does not end within 120 s, twice"):
            await client.compiles.finished(7)
        assert len(service.bodies("compile/create")) == 2


async def test_a_file_is_written_whether_it_is_there_or_not() -> None:
    async with serving(files__update=no("File not found"), files__create={}) as service, client_of(service) as client:
        await client.files.write(7, "rules.py", "x")
        assert [name for name, _ in service.asked] == ["files/update", "files/create"]
    async with serving(files__update={}) as service, client_of(service) as client:
        await client.files.write(7, "main.py", "x")
        assert len(service.asked) == 1


async def test_a_file_is_not_created_where_nobody_knows_whether_it_was_written() -> None:
    async with serving(files__update=Page(b"", 500), files__create={}) as service, client_of(service) as client:
        with pytest.raises(QcError):
            await client.files.write(7, "main.py", "x")
        assert len(service.asked) == 1


async def test_a_name_that_was_taken_is_read_back() -> None:
    async with serving(projects__create={"projects": [{**PROJECT, "name": "/sma 1"}]}) as service, client_of(service) as client:
        assert (await client.projects.create("sma")).name == "sma 1"


async def test_a_project_that_is_gone_is_not_found() -> None:
    async with serving(projects__read={"projects": []}) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.projects.read(7)
        assert caught.value.kind is Kind.NOT_FOUND


async def test_results_are_typed() -> None:
    answers: dict[str, Script] = {
        "backtests__create": {"backtest": QUEUED},
        "live__create": DEPLOYED,
        "optimizations__read": {"optimization": OPTIMIZATION},
        "projects__nodes__read": NODES,
    }
    async with serving(**answers) as service, client_of(service) as client:
        assert (await client.backtests.create(7, "aa-bb", "run")).stage is Stage.RUNNING
        deployed = await client.live.deploy(PLAN)
        assert deployed.live is not None
        assert (deployed.version_id, deployed.live.status) == ("17900", LiveStatus.IN_QUEUE)
        assert (await client.optimizations.read("O-1")).status is OptimizationStatus.COMPLETED
        (node,) = (await client.projects.nodes(7)).nodes.backtest
        assert (node.sku, node.busy, node.ram) == ("B-MICRO", False, 8.0)


def test_the_keys_of_a_brokerage_are_not_shown() -> None:
    plan = Plan(7, "aa-bb", "LN-1", {"id": "BinanceBrokerage", "binance-api-secret": "hush"})
    assert "hush" not in repr(plan)
    assert plan.body()["brokerage"]["binance-api-secret"] == "hush"
