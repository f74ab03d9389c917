"""From an uploaded text to results: projects, files, compiles, and backtests that really run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from simulators.quantconnect.market import MarketSpec
from simulators.quantconnect.server import QuantConnectSimulator
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
