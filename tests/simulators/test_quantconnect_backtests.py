"""From an uploaded text to results: projects, files, compiles, and backtests that really run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulators.quantconnect.faults import (
    NO_SPARE_NODES,
    SLOW_DOWN,
    CompileError,
    CompileLag,
    CompileStuck,
    Deleted,
    HalfStatistics,
    LyingStatus,
    NeverCompletes,
    RuntimeFailure,
)
from simulators.quantconnect.market import MarketSpec
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from tests.simulators.quantconnect_client import SMA, START, Client

SPEC = MarketSpec(history_genesis=START)


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with QuantConnectSimulator(spec=SPEC) as running:
        yield running


@pytest.fixture
async def client(simulator: QuantConnectSimulator) -> AsyncIterator[Client]:
    async with Client(simulator) as made:
        yield made


async def test_a_project_becomes_results(client: Client) -> None:
    project = await client.project()
    backtest = await client.begun(project, parameters={"fast": 4, "slow": "12"})
    stages: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not stages or not (stages[-1]["completed"] and stages[-1]["totalPerformance"]):
            stages.append((await client.good("/backtests/read", projectId=project, backtestId=backtest))["backtest"])
            assert not stages[-1]["error"], stages[-1]
            await asyncio.sleep(0.05)
    assert stages[0]["status"] == "In Queue..."
    running = [row for row in stages if not row["completed"] and row["status"] != "In Queue..."]
    assert running
    assert all(row["statistics"] == [] for row in running)
    assert [row["progress"] for row in running] == sorted(row["progress"] for row in running)
    assert stages[-2]["completed"] is True
    assert stages[-2]["totalPerformance"] is None
    assert stages[-2]["statistics"] == []
    done = stages[-1]
    assert done["status"] == "Completed."
    assert done["parameterSet"] == {"fast": "4", "slow": "12"}
    assert done["tradeableDates"] == 26
    assert done["statistics"]["Start Equity"] == "10000"
    assert done["statistics"]["Crosses"] == "7"
    assert done["runtimeStatistics"]["Equity"].startswith("₮")
    assert done["charts"]["Strategy Equity"] == {"name": "Strategy Equity"}
    orders = await client.good("/backtests/orders/read", projectId=project, backtestId=backtest, start=0, end=100)
    insights = await client.good("/backtests/read/insights", projectId=project, backtestId=backtest, start=0, end=100)
    other = await client.good("/backtests/insights/read", projectId=project, backtestId=backtest, start=0, end=100)
    assert insights == other
    assert orders["length"] == int(done["statistics"]["Total Orders"]) > 4
    assert insights["insights"][0]["symbol"] == "BTCUSDT 18N"
    trades = done["totalPerformance"]["closedTrades"]
    assert done["totalPerformance"]["tradeStatistics"]["totalNumberOfTrades"] == len(trades)
    store = await client.good("/object/properties", organizationId=client.simulator.organization, key="signals/latest.json")
    assert store["metadata"]["preview"] == '{"BTCUSDT": "up"}'
    assert SMA.count("log(") == 1
    logs = await client.good("/backtests/read/log", projectId=project, backtestId=backtest, start=0, end=200, query="LONG")
    assert logs["length"] == sum(order["direction"] == 0 for order in orders["orders"])


async def test_one_node_means_one_backtest_until_it_is_deleted(client: Client) -> None:
    client.simulator.inject(NeverCompletes())
    project = await client.project()
    first = await client.begun(project)
    compile_id = await client.built(project)
    body = {"projectId": project, "compileId": compile_id, "backtestName": "two"}
    assert await client.refused("/backtests/create", **body) == NO_SPARE_NODES
    nodes = (await client.good("/projects/nodes/read", projectId=project))["nodes"]["backtest"]
    assert [(one["busy"], one["projectName"]) for one in nodes] == [(True, "sma")]
    for _ in range(6):
        row = (await client.good("/backtests/read", projectId=project, backtestId=first))["backtest"]
    assert (row["completed"], row["progress"]) == (False, 0.37)
    await client.good("/backtests/delete", projectId=project, backtestId=first)
    second = await client.good("/backtests/create", **body)
    assert (await client.ended(project, second["backtest"]["backtestId"]))["status"] == "Completed."
    listed = await client.good("/backtests/list", projectId=project, includeStatistics=True)
    assert (listed["count"], listed["backtests"][0]["name"], "completed" in listed["backtests"][0]) == (1, "two", False)
    assert isinstance(listed["backtests"][0]["sharpeRatio"], float)
    assert "sharpeRatio" not in (await client.good("/backtests/list", projectId=project, includeStatistics=False))["backtests"][0]


async def test_a_burst_of_creations_is_asked_to_slow_down(client: Client) -> None:
    project = await client.project()
    compile_id = await client.built(project)
    body = {"projectId": project, "compileId": compile_id, "backtestName": "x"}
    answers = [await client.post("/backtests/create", **body) for _ in range(6)]
    assert answers[0]["success"] is True
    assert answers[5]["errors"] == [SLOW_DOWN]


@pytest.mark.parametrize(
    "wrong",
    [{"parameters": {"a": [1]}}, {"parameters": {"a": {"b": 1}}}, {"backtestName": " "}, {"compileId": "none"}, {"projectId": 5}],
)
async def test_what_is_asked_wrongly_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    project = await client.project()
    body = {"projectId": project, "compileId": await client.built(project), "backtestName": "x"}
    assert await client.refused("/backtests/create", **{**body, **wrong}) in ("Invalid argument", "Compile id not found")


async def test_a_compile_that_is_not_there_yet_is_found_a_little_later(client: Client) -> None:
    client.simulator.inject(CompileLag(2))
    project = await client.project()
    body = {"projectId": project, "compileId": await client.built(project), "backtestName": "x"}
    assert [await client.refused("/backtests/create", **body) for _ in range(2)] == ["Compile id not found"] * 2
    await client.good("/backtests/create", **body)


async def test_compiles_can_be_made_to_fail_and_to_hang(client: Client) -> None:
    project = await client.project()
    client.simulator.inject(CompileError(line=7, message="invalid syntax"))
    client.simulator.inject(CompileStuck())
    made = await client.good("/compile/create", projectId=project)
    read = [await client.good("/compile/read", projectId=project, compileId=made["compileId"]) for _ in range(5)]
    assert {one["state"] for one in read} == {"InQueue"}
    client.simulator.inject(CompileError(line=7, message="invalid syntax"))
    made = await client.good("/compile/create", projectId=project)
    found = await client.good("/compile/read", projectId=project, compileId=made["compileId"])
    assert (found["state"], found["logs"]) == ("BuildError", ["main.py: invalid syntax on line 7"])
    assert await client.refused("/backtests/create", projectId=project, compileId=made["compileId"], backtestName="x")


async def test_statistics_may_come_late_or_never_and_the_status_may_lie(client: Client) -> None:
    client.simulator.inject(HalfStatistics(reads=4))
    client.simulator.inject(LyingStatus("Completed."))
    project = await client.project()
    backtest = await client.begun(project)
    rows: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not rows or not rows[-1]["totalPerformance"]:
            rows.append((await client.good("/backtests/read", projectId=project, backtestId=backtest))["backtest"])
            await asyncio.sleep(0.02)
    assert {row["status"] for row in rows} == {"Completed."}
    assert [row["completed"] for row in rows].count(True) == 5
    assert rows[-2]["runtimeStatistics"]["Probabilistic Sharpe Ratio"] == "0%"


async def test_an_algorithm_that_raises_is_a_runtime_error_with_its_line(client: Client) -> None:
    project = await client.project(SMA.replace("self._above = None\n", "self._above = 1 / 0\n", 1))
    row = await client.ended(project, await client.begun(project))
    assert (row["status"], row["completed"], row["hasInitializeError"]) == ("Runtime Error", True, True)
    assert row["error"].startswith("During the algorithm initialization, the following exception occurred: division by zero")
    assert "at initialize in main.py: line 16" in row["stacktrace"]
    client.simulator.inject(RuntimeFailure("boom"))
    row = await client.ended(project, await client.begun(project))
    assert (row["error"], row["hasInitializeError"]) == ("boom", False)


async def test_an_algorithm_without_end_and_one_without_measure_are_killed() -> None:
    terms = Terms(backtest_limit=2.0, memory_mb=64)
    async with QuantConnectSimulator(terms, SPEC) as simulator, Client(simulator) as client:
        project = await client.project(SMA.replace("self._above = None\n", "while True: pass\n", 1))
        row = await client.ended(project, await client.begun(project))
        assert row["error"] == "Backtest exceeded the limit of 2 seconds"
        await client.good(
            "/files/update", projectId=project, name="main.py", content=SMA.replace("= None\n", "= bytearray(1 << 30)\n", 1)
        )
        row = await client.ended(project, await client.begun(project))
        assert row["error"].endswith("MemoryError")


async def test_the_deleted_are_gone(client: Client) -> None:
    project = await client.project()
    backtest = await client.begun(project)
    client.simulator.inject(Deleted("backtest"))
    assert (await client.good("/backtests/read", projectId=project, backtestId=backtest))["backtest"] is None
    client.simulator.inject(Deleted("project", project_id=project))
    assert await client.refused("/backtests/read", projectId=project, backtestId=backtest) == "Invalid argument"
    with pytest.raises(LookupError, match="no project"):
        client.simulator.inject(Deleted("project", project_id=project))


async def test_charts_and_reports_load_first_and_pages_have_their_limits(client: Client) -> None:
    project = await client.project()
    backtest = await client.begun(project)
    await client.ended(project, backtest)
    body = {"projectId": project, "backtestId": backtest}
    chart = {**body, "name": "Strategy Equity", "count": 10, "start": 0, "end": 4_000_000_000}
    assert (await client.good("/backtests/chart/read", **chart))["status"] == "loading"
    values = (await client.good("/backtests/chart/read", **chart))["chart"]["series"]["Equity"]["values"]
    assert 2 <= len(values) <= 10
    await client.refused("/backtests/chart/read", **{**chart, "name": "None"})
    await client.refused("/backtests/chart/read", **{**chart, "end": 0})
    assert (await client.good("/backtests/read/report", **body))["generating"] is True
    assert (await client.good("/backtests/read/report", **body))["report"].startswith("<!DOCTYPE html>")
    for path, most in (("orders/read", 100), ("trades/read", 100), ("read/insights", 100)):
        await client.good(f"/backtests/{path}", **body, start=0, end=most)
        await client.refused(f"/backtests/{path}", **body, start=0, end=most + 1)
        await client.refused(f"/backtests/{path}", **body, start=3, end=3)
        await client.refused(f"/backtests/{path}", **body, start=0)
    await client.refused("/backtests/read/log", **body, start=0, end=201, query="")
    await client.refused("/backtests/read/log", **body, start=0, end=200)
    await client.good("/backtests/update", **body, name="renamed", note="why")
    await client.good("/backtests/tags/update", **body, tags=["a", "b"])
    row = (await client.good("/backtests/read", **body))["backtest"]
    assert (row["name"], row["note"], row["tags"]) == ("renamed", "why", ["a", "b"])
    async with client.http.post(client.simulator.url + "/backtests/export/logs", json=body, headers=client.headers()) as answer:
        assert "long" in await answer.text()


async def test_recorded_candles_take_the_place_of_the_simulated_ones(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    rows = ["symbol,ts,open,high,low,close,volume"]
    for place in range(24 * 30):
        price = 100 + 10 * math.sin(place / 20)
        rows.append(f"BTC/USDT,{START + place * 3_600_000},{price},{price + 1},{price - 1},{price},5")
    path.write_text("\n".join(rows) + "\n")
    async with QuantConnectSimulator(spec=MarketSpec(files=(str(path),))) as simulator, Client(simulator) as client:
        project = await client.project()
        backtest = await client.begun(project)
        row = await client.ended(project, backtest)
        assert not row["error"]
        page = {"projectId": project, "backtestId": backtest, "start": 0, "end": 100}
        orders = (await client.good("/backtests/orders/read", **page))["orders"]
        assert len(orders) > 3
        assert all(89 < order["price"] < 111 for order in orders)


GRID = {
    "name": "grid",
    "target": "TotalPerformance.PortfolioStatistics.SharpeRatio",
    "targetTo": "max",
    "targetValue": None,
    "strategy": "QuantConnect.Optimizer.Strategies.GridSearchOptimizationStrategy",
    "parameters": [{"name": "fast", "min": 4, "max": 8, "step": 4, "minStep": 1}],
    "constraints": [{"target": "TotalPerformance.PortfolioStatistics.Drawdown", "operator": "Less", "targetValue": 0.9}],
    "estimatedCost": 0.02,
    "nodeType": "O2-8",
    "parallelNodes": 2,
}


async def test_an_optimization_runs_its_grid_and_tells_the_best(client: Client) -> None:
    project = await client.project()
    body = {**GRID, "projectId": project, "compileId": await client.built(project)}
    estimate = (await client.good("/optimizations/estimate", **body))["estimate"]
    assert (estimate["time"], estimate["balance"]) == (30, 0.02)
    (made,) = (await client.good("/optimizations/create", **body))["optimizations"]
    assert made["status"] == "new"
    key = {"optimizationId": made["optimizationId"]}
    async with asyncio.timeout(60):
        while (found := (await client.good("/optimizations/read", **key))["optimization"])["status"] in ("new", "running"):
            await asyncio.sleep(0.05)
    assert found["status"] == "completed"
    assert (found["runtimeStatistics"]["Completed"], found["runtimeStatistics"]["Total"]) == ("2", "2")
    other = (await client.good("/optimizations/read", **key))["optimization"]
    shapes = {type(next(iter(one["backtests"].values()))["statistics"]) for one in (found, other)}
    assert shapes == {list, dict}
    rows = found["backtests"].values() if isinstance(found["backtests"], dict) else []
    assert {row["parameterSet"]["fast"] for row in rows} == {"4", "8"}
    as_list = next(one for one in (found, other) if isinstance(next(iter(one["backtests"].values()))["statistics"], list))
    sharpes = [row["statistics"][15] for row in as_list["backtests"].values()]
    assert found["sharpeRatio"] == pytest.approx(max(sharpes), abs=1e-3)
    assert await client.refused("/optimizations/abort", **key)
    await client.good("/optimizations/update", **key, name="other")
    assert (await client.good("/optimizations/list", projectId=project))["optimizations"][0]["name"] == "other"
    await client.good("/optimizations/delete", **key)
    await client.refused("/optimizations/read", **key)


async def test_an_optimization_comes_by_form_and_can_be_aborted(client: Client) -> None:
    project = await client.project()
    form = {
        "projectId": str(project), "compileId": await client.built(project), "name": "grid", "target": GRID["target"],
        "targetTo": "max", "targetValue": "", "strategy": GRID["strategy"], "parameters[0][key]": "fast",
        "parameters[0][min]": "4", "parameters[0][max]": "12", "parameters[0][step]": "1",
        "constraints[0][target]": GRID["target"], "constraints[0][operator]": "Greater", "constraints[0][target-value]": "-9",
        "estimatedCost": "0.01", "nodeType": "O2-8", "parallelNodes": "1",
    }  # fmt: skip
    async with client.http.post(client.simulator.url + "/optimizations/create", data=form, headers=client.headers()) as answer:
        made = await answer.json()
    assert made["success"] is True, made
    key = {"optimizationId": made["optimizations"][0]["optimizationId"]}
    await client.good("/optimizations/abort", **key)
    assert (await client.good("/optimizations/read", **key))["optimization"]["status"] == "aborted"
    assert (
        await client.refused("/optimizations/create", **{**GRID, "projectId": project, "compileId": "x"})
        == "Compile id not found"
    )
