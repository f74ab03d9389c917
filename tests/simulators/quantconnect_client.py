"""A bare client for the tests: signs a call, posts JSON, gives what came."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from types import TracebackType
from typing import Any, Self

import aiohttp

from simulators.quantconnect.server import QuantConnectSimulator

PATIENCE = 60.0
DAY_MS = 86_400_000
START = 1_767_225_600_000  # 2026-01-01

SMA = """from AlgorithmImports import *


class Sma(QCAlgorithm):

    def initialize(self):
        self.set_time_zone(TimeZones.UTC)
        self.set_start_date(2026, 1, 6)
        self.set_end_date(2026, 1, 31)
        self.set_account_currency("USDT", 10000)
        self.set_brokerage_model(BrokerageName.BINANCE, AccountType.CASH)
        self._symbol = self.add_crypto("BTCUSDT", Resolution.HOUR, Market.BINANCE).symbol
        self._fast = self.sma(self._symbol, self.get_parameter("fast", 5))
        self._slow = self.sma(self._symbol, self.get_parameter("slow", 20))
        self.set_warm_up(21, Resolution.HOUR)
        self._above = None

    def on_data(self, data):
        if self.is_warming_up or not self._slow.is_ready or self._symbol not in data.bars:
            return
        above = self._fast.current.value > self._slow.current.value
        if self._above is not None and above != self._above:
            direction = InsightDirection.UP if above else InsightDirection.DOWN
            self.emit_insights(Insight.price(self._symbol, timedelta(hours=12), direction, confidence=0.7, tag="cross"))
            if above:
                self.set_holdings(self._symbol, 0.99)
                self.log("long")
            else:
                self.liquidate(self._symbol)
        self._above = above

    def on_end_of_algorithm(self):
        self.object_store.save("signals/latest.json", '{"BTCUSDT": "up"}')
        self.set_summary_statistic("Crosses", 7)
"""


def signed(user: str, token: str, at: float | None = None) -> dict[str, str]:
    """The header pair."""
    stamp = str(int(time.time() if at is None else at))
    digest = hashlib.sha256(f"{token}:{stamp}".encode()).hexdigest()
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{digest}".encode()).decode(), "Timestamp": stamp}


class Client:
    """Calls a simulator as its user."""

    def __init__(self, simulator: QuantConnectSimulator) -> None:
        self.simulator = simulator
        self.http = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.http.close()

    def headers(self) -> dict[str, str]:
        return signed(self.simulator.user, self.simulator.token)

    async def post(self, path: str, /, **body: Any) -> dict[str, Any]:
        async with self.http.post(self.simulator.url + path, json=body, headers=self.headers()) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    async def good(self, path: str, /, **body: Any) -> dict[str, Any]:
        found = await self.post(path, **body)
        assert found["success"] is True, found
        return found

    async def refused(self, path: str, /, **body: Any) -> str:
        found = await self.post(path, **body)
        assert found["success"] is False, found
        return str(found["errors"][0])

    async def admin(self, path: str, /, **body: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.simulator.root}/admin{path}", json=body) as answer:
            found: dict[str, Any] = await answer.json()
            return {"status": answer.status, **found}

    async def project(self, text: str = SMA, name: str = "sma") -> int:
        made = await self.good("/projects/create", name=name, language="Py")
        project = int(made["projects"][0]["projectId"])
        await self.good("/files/update", projectId=project, name="main.py", content=text)
        return project

    async def built(self, project: int) -> str:
        made = await self.good("/compile/create", projectId=project)
        compile_id = str(made["compileId"])
        for _ in range(50):
            found = await self.good("/compile/read", projectId=project, compileId=compile_id)
            if found["state"] == "BuildSuccess":
                return compile_id
            assert found["state"] == "InQueue", found
        raise AssertionError(found)

    async def begun(self, project: int, **more: Any) -> str:
        compile_id = await self.built(project)
        made = await self.good("/backtests/create", projectId=project, compileId=compile_id, backtestName="one", **more)
        return str(made["backtest"]["backtestId"])

    async def ended(self, project: int, backtest: str) -> dict[str, Any]:
        """Poll by the rule of the official client: error, or completed and every part there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                row = (await self.good("/backtests/read", projectId=project, backtestId=backtest))["backtest"]
                if row["error"] or (row["completed"] and row["totalPerformance"] and isinstance(row["statistics"], dict)):
                    return dict(row)
                await asyncio.sleep(0.05)
