"""Live algorithms: they run in real time on the simulated market, emit insights, obey commands, and are read by snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

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
