"""Live algorithms: they run in real time on the simulated market, emit insights, obey commands, and are read by snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from simulators.quantconnect.faults import LiveStuck, RuntimeFailure, Webhook
from simulators.quantconnect.market import MarketSpec
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from tests.simulators.quantconnect_client import Client

PATIENCE = 30.0
LIVE = """from AlgorithmImports import *


class Pulse(QCAlgorithm):

    def initialize(self):
        self.set_account_currency("USDT", 10000)
        self._symbol = self.add_crypto("BTCUSDT", Resolution.SECOND, Market.BINANCE).symbol
        self._bars = 0
        self._hook = self.get_parameter("webhook", "")
        self.insights_generated += self.forward

    def on_data(self, data):
        self._bars += 1
        self.set_runtime_statistic("Bars", self._bars)

    def forward(self, algorithm, collection):
        for insight in collection.insights:
            self.notify.web(self._hook, {"id": insight.id, "side": insight.direction.name, "price": insight.reference_value},
                            {"X-Secret": "s3"})

    def on_command(self, data):
        self.log(f"told {data.word}")
        return True
"""
PAPER = {"id": "QuantConnectBrokerage", "holdings": [], "cash": [{"currency": "USDT", "amount": 10000}]}
PROVIDERS = {"QuantConnectBrokerage": {"id": "QuantConnectBrokerage"}}


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    terms = Terms(snapshot=0.1, live_stage=0.01)
    async with QuantConnectSimulator(terms, MarketSpec(history_genesis=1_793_000_000_000 // 900_000 * 900_000)) as running:
        yield running


@pytest.fixture
async def client(simulator: QuantConnectSimulator) -> AsyncIterator[Client]:
    async with Client(simulator) as made:
        yield made


class Receiver:
    """A webhook receiver that remembers what came."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.came.put_nowait((await request.text(), request.headers.get("X-Secret", "")))
        return web.Response()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


async def until(call: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    """Poll until it is done."""
    async with asyncio.timeout(PATIENCE):
        while not done(found := await call()):
            await asyncio.sleep(0.02)
    return found


async def deployed(client: Client, **more: Any) -> int:
    """Through the API, as a client does it."""
    project = await client.project(LIVE, "pulse")
    compile_id = await client.built(project)
    body = {"nodeId": "LN-01", "versionId": "-1", "brokerage": PAPER, "dataProviders": PROVIDERS, "automaticRedeploy": False}
    made = await client.good("/live/create", projectId=project, compileId=compile_id, **body, **more)
    assert made["live"]["status"] == "InQueue"
    assert made["live"]["brokerage"] == "PaperBrokerage"
    await until(lambda: client.good("/live/read", projectId=project), lambda row: row["status"] == "Running")
    return project


async def test_an_insight_goes_from_the_algorithm_to_the_rest_api_and_to_the_webhook(client: Client, receiver: Receiver) -> None:
    project = await deployed(client, parameters={"webhook": receiver.url})
    told = await client.admin("/insights", symbol="BTC/USDT", direction="up", confidence=0.8, period=600, tag="t")
    insight = told["insight"]
    assert insight["reference"] > 1_000
    found = await until(
        lambda: client.good("/live/insights/read", projectId=project, start=0, end=100), lambda row: row["length"]
    )
    assert [(row["id"], row["direction"], row["tag"]) for row in found["insights"]] == [(insight["id"], "up", "t")]
    body, secret = await asyncio.wait_for(receiver.came.get(), PATIENCE)
    assert insight["id"] in body
    assert secret == "s3"


async def test_what_is_read_is_a_snapshot_and_orders_load_first(client: Client) -> None:
    project = await deployed(client)
    order = {
        "$type": "OrderCommand",
        "symbol": {"id": "BTCUSDT 18N", "value": "BTCUSDT"},
        "order_type": "market",
        "quantity": "0.05",
    }
    await client.good("/live/commands/create", projectId=project, command=order)
    page = {"projectId": project, "start": 0, "end": 1_000}
    assert (await client.good("/live/orders/read", **page))["status"] == "loading"
    found = await until(
        lambda: client.good("/live/orders/read", **page), lambda row: row["length"] and row["orders"][0]["status"] == 3
    )
    (row,) = found["orders"]
    assert (row["type"], row["direction"], row["quantity"], row["securityType"]) == (0, 0, 0.05, 7)
    assert [event["status"] for event in row["events"]] == ["submitted", "filled"]
    assert row["events"][1]["orderFeeCurrency"] == "USDT"
    book = await until(lambda: client.good("/live/portfolio/read", projectId=project), lambda row: row["portfolio"]["holdings"])
    assert book["portfolio"]["holdings"]["BTCUSDT 18N"]["q"] == 0.05
    assert "c" not in book["portfolio"]["holdings"]["BTCUSDT 18N"]
    assert book["portfolio"]["cash"]["USDT"]["amount"] < 10_000
    chart = {**page, "name": "Strategy Equity", "count": 100, "end": 4_000_000_000}
    assert (await client.good("/live/chart/read", **chart))["status"] == "loading"
    found = await until(lambda: client.good("/live/read", projectId=project), lambda row: row["charts"])
    assert found["runtimeStatistics"]["Equity"].startswith("₮")
    assert (await client.good("/live/chart/read", **chart))["chart"]["name"] == "Strategy Equity"
    await client.refused("/live/chart/read", **{**chart, "name": "None"})


async def test_liquidation_closes_what_is_held_flushes_the_snapshot_and_frees_the_node(client: Client) -> None:
    project = await deployed(client)
    order = {"$type": "OrderCommand", "symbol": "BTCUSDT", "quantity": 0.05}
    await client.good("/live/commands/create", projectId=project, command=order)
    await until(lambda: client.good("/live/portfolio/read", projectId=project), lambda row: row["portfolio"]["holdings"])
    nodes = (await client.good("/projects/nodes/read", projectId=project))["nodes"]["live"]
    assert (nodes[0]["busy"], nodes[0]["projectId"]) == (True, project)
    deploy_id = (await client.good("/live/read", projectId=project))["deployId"]
    await client.good("/live/update/liquidate", projectId=project)
    done = await client.good("/live/read", projectId=project)
    assert done["status"] == "Liquidated"
    assert done["stopped"] is not None
    await until(lambda: client.good("/live/portfolio/read", projectId=project), lambda row: not row["portfolio"]["holdings"])
    trades = await client.good("/live/trades/read", projectId=project, start=0, end=1_000)
    assert trades["length"] == 1
    await client.refused("/live/trades/read", projectId=project, start=0, end=1_000, deployId=None)
    assert await client.refused("/live/read", projectId=project, deployId=deploy_id) == "Invalid argument"
    assert await client.refused("/live/update/stop", projectId=project) == "Invalid argument"
    listed = await client.good("/live/list", status="Liquidated")
    assert [row["projectId"] for row in listed["live"]] == [project]
    assert (await client.good("/live/list", status="Running"))["live"] == []
    await client.refused("/live/list", status="InQueue")
    nodes = (await client.good("/projects/nodes/read", projectId=project))["nodes"]["live"]
    assert nodes[0]["busy"] is False


async def test_a_command_reaches_the_algorithm_only_once_it_runs(client: Client) -> None:
    client.simulator.inject(LiveStuck("Initializing"))
    project = await client.project(LIVE, "slow")
    body = {"nodeId": "LN-01", "brokerage": PAPER, "dataProviders": PROVIDERS, "compileId": await client.built(project)}
    assert "No live deployment found" in await client.refused("/live/read", projectId=project)
    await client.refused("/live/create", projectId=project, **{**body, "nodeId": "LN-09"})
    await client.refused("/live/create", projectId=project, **{**body, "brokerage": {}})
    await client.good("/live/create", projectId=project, **body)
    assert await client.refused("/live/create", projectId=project, **body) == "The node is not available"
    await until(lambda: client.good("/live/read", projectId=project), lambda row: row["status"] == "Initializing")
    await client.good("/live/commands/create", projectId=project, command={"word": "early"})
    await client.good("/live/update/stop", projectId=project)
    assert (await client.good("/live/read", projectId=project))["status"] == "Stopped"
    await client.good("/live/create", projectId=project, **body)
    await until(lambda: client.good("/live/read", projectId=project), lambda row: row["status"] == "Running")
    await client.good(
        "/live/commands/broadcast", organizationId=client.simulator.organization, excludeProjectId=None, command={"word": "late"}
    )
    deploy_id = (await client.good("/live/read", projectId=project))["deployId"]
    page = {"format": "json", "projectId": project, "algorithmId": deploy_id, "startLine": 0, "endLine": 250}
    found = await until(lambda: client.good("/live/logs/read", **page), lambda row: "told" in str(row["logs"]))
    assert "told early" not in str(found["logs"])
    assert "told late" in str(found["logs"])
    assert found["deploymentOffset"] >= 1
    await client.refused("/live/logs/read", **{**page, "endLine": 251})


async def test_insights_are_paged_exported_and_listed_over_deployments(client: Client) -> None:
    project = await deployed(client)
    for number in range(3):
        old = {"generated_ms": 1_767_225_600_000 + number, "reference": 5.0, "id": f"{number:032x}"}
        told = await client.admin("/insights", symbol="BTCUSDT", direction="down", **old)
        assert told["status"] == 200, told
    await until(lambda: client.good("/live/insights/read", projectId=project, end=100), lambda row: row["length"] == 3)
    page = await client.good("/live/insights/read", projectId=project, start=1, end=2)
    assert [(row["id"], row["reference"], row["generatedTime"]) for row in page["insights"]] == [
        (f"{1:032x}", 5.0, 1_767_225_600)
    ]
    await client.refused("/live/insights/read", projectId=project, end=101)
    await client.refused("/live/insights/read", projectId=project, start=5, end=5)
    deploy_id = (await client.good("/live/read", projectId=project))["deployId"]
    body = {"deployId": deploy_id}
    async with client.http.post(client.simulator.url + "/live/export/insights", json=body, headers=client.headers()) as answer:
        rows = await answer.json()
    assert (rows[0]["insight_id"], rows[0]["symbol_market"], rows[0]["source"]) == ("0" * 32, "binance", "live trading")
    wrong = await client.admin("/insights", symbol="XRP/USDT")
    assert wrong["status"] == 400
    assert "XRPUSDT is not in the algorithm" in wrong["error"]
    assert (await client.admin("/insights", symbol="BTC/USDT", confidence="much"))["status"] == 400


async def test_deployment_notifications_and_the_faults_of_webhooks(simulator: QuantConnectSimulator, receiver: Receiver) -> None:
    notification = {"events": ["insight"], "targets": [{"address": receiver.url, "headers": {"X-Secret": "n"}}]}
    await simulator.deploy({"main.py": LIVE}, parameters={"webhook": "http://192.0.2.1/"}, notification=notification)
    await simulator.emit("BTC/USDT", "up", confidence=0.9)
    body, secret = await asyncio.wait_for(receiver.came.get(), PATIENCE)
    assert (secret, '"type":"insight"' in body) == ("n", True)
    assert simulator.counts()["events"]["webhooks_not_loopback"] == 1  # uploaded text may not reach out
    simulator.inject(Webhook("twice"))
    await simulator.emit("BTC/USDT", "down")
    first, second = [await asyncio.wait_for(receiver.came.get(), PATIENCE) for _ in range(2)]
    assert first == second
    simulator.inject(Webhook("tampered"))
    told = await simulator.emit("BTC/USDT", "flat")
    body, _ = await asyncio.wait_for(receiver.came.get(), PATIENCE)
    assert body != body.strip()
    assert told["direction"] == "flat"


async def test_a_crash_is_seen_and_the_node_is_free(simulator: QuantConnectSimulator, client: Client) -> None:
    one = await simulator.deploy({"main.py": LIVE})
    simulator.inject(RuntimeFailure("boom", where="live"))
    row = await client.good("/live/read", projectId=one.project.id)
    assert (row["status"], row["message"]) == ("RuntimeError", "boom")
    with pytest.raises(LookupError, match="no live algorithm"):
        simulator.inject(RuntimeFailure("boom", where="live"))
    with pytest.raises(ValueError, match=r"RuntimeError.*division by zero"):
        await simulator.deploy({"main.py": LIVE.replace("self._bars = 0", "self._bars = 1 / 0")})


async def test_an_algorithm_that_never_returns_is_killed() -> None:
    terms = Terms(snapshot=0.1, live_stage=0.01, silence_limit=2.0)
    body = LIVE.replace("self._bars += 1", "while True: pass")
    async with QuantConnectSimulator(terms) as simulator:
        one = await simulator.deploy({"main.py": body})
        assert one.task is not None
        await asyncio.wait_for(asyncio.shield(one.task), PATIENCE)
        assert one.status == "RuntimeError"
        assert "single time loop" in str(one.error)


async def test_a_snapshot_is_old_until_the_algorithm_stops() -> None:
    async with QuantConnectSimulator(Terms(snapshot=3_600, live_stage=0.01)) as simulator, Client(simulator) as client:
        one = await simulator.deploy({"main.py": LIVE})
        await simulator.emit("BTC/USDT", "up")
        page = {"projectId": one.project.id, "start": 0, "end": 100}
        assert (await client.good("/live/insights/read", **page))["length"] == 0
        await client.good("/live/update/stop", projectId=one.project.id)
        assert (await client.good("/live/insights/read", **page))["length"] == 1


async def test_a_deployment_may_have_a_state_that_nobody_defined_or_fail_at_once(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    project = await client.project(LIVE)
    body = {"projectId": project, "nodeId": "LN-01", "brokerage": PAPER, "dataProviders": PROVIDERS}
    for status in ("Undefined", "DeployError"):
        simulator.inject(LiveStuck(status))
        await client.good("/live/create", **body, compileId=await client.built(project))
        wanted = status
        row = await until(lambda: client.good("/live/read", projectId=project), lambda row: row["status"] == wanted)  # noqa: B023
        assert (row["stopped"] is None) is (status == "Undefined")
        if status == "Undefined":
            await client.good("/live/update/stop", projectId=project)
