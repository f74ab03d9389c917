"""What a typed call of QuantConnect's costs us beside the same request by bare aiohttp, which signs it too and parses the JSON.

The service is another process that answers at once. Blocks of calls alternate, and what counts is the CPU time of this process:
the signature, the budget, the deadline, the check of the answer and its models are in it.

`python -m benchmarks.quantconnect_client` prints the service's base URL and serves until its stdin ends.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import process_time
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, spread_of
from benchmarks.rig import run_loop
from sources.quantconnect.auth import headers_at
from sources.quantconnect.client import Client
from sources.quantconnect.limits import Limits

BARE = "bare aiohttp"
USER, TOKEN = "123456", "secret"
_CALLS = 400
_BLOCK = 20
_WARMING = 40
_PATIENCE = 20.0
_MOST_MS = 1.0
_FREE = Limits(requests=1_000_000, window_s=1.0, burst=500_000)

_INSIGHT = {
    "groupId": None, "sourceModel": "sma-rsi", "generatedTime": 1772449200, "closeTime": 1772535600, "symbol": "BTCUSDT 18N",
    "ticker": "BTCUSDT", "type": "price", "reference": 64000.5, "referenceFinal": 0, "direction": "up", "period": 86400,
    "magnitude": None, "confidence": 0.7, "weight": None, "scoreFinal": False, "scoreDirection": 0, "scoreMagnitude": 0,
    "estimatedValue": 0, "tag": "rsi=41.2",
}  # fmt: skip
_LIVE = {
    "message": "", "status": "Running", "deployId": "L-00112233445566778899aabbccddeeff", "cloneId": 20010004,
    "launched": "2026-03-02 11:00:00", "stopped": None, "brokerage": "PaperBrokerage", "securityTypes": "Crypto",
    "projectName": "sma-rsi", "datacenter": "NY7", "public": False, "files": [], "charts": None,
    "runtimeStatistics": {"Equity": "$10,012.00", "Return": "0.12 %", "Fees": "-$210.40", "Unrealized": "$-4.94"},
}  # fmt: skip
_BACKTEST = {
    "backtestId": "5e0c1d2b3a4f5e6d7c8b9a0f1e2d3c4b", "projectId": 7, "name": "sma", "created": "2026-03-02 10:17:30",
    "status": "Completed.", "completed": True, "progress": 1, "parameterSet": {"fast": "10", "slow": "30"},
    "runtimeStatistics": _LIVE["runtimeStatistics"],
    "statistics": {
        "Total Orders": "42", "Average Win": "2.15%", "Drawdown": "9.800%", "Net Profit": "12.346%", "Sharpe Ratio": "0.91",
        "Win Rate": "48%", "Total Fees": "$210.40", "End Equity": "112345.67", "Lowest Capacity Asset": "BTCUSDT 18N",
    },
    "totalPerformance": {
        "tradeStatistics": {"totalNumberOfTrades": 21, "winRate": "0.4762", "averageTradeDuration": "4.05:12:00"},
        "portfolioStatistics": {"sharpeRatio": "0.9103", "drawdown": "0.098", "winRate": "0.48"}, "closedTrades": [],
    },
}  # fmt: skip
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "live/read": _LIVE,
    "backtests/read": {"backtest": _BACKTEST, "debugging": False},
    "live/insights/read": {"insights": [{**_INSIGHT, "id": f"{number:032x}"} for number in range(100)], "length": 100},
}


@dataclass(frozen=True, slots=True)
class _Kind:
    """A call, as the client makes it and as bare aiohttp has to."""

    item: str
    endpoint: str
    body: Mapping[str, Any]
    ours: Callable[[Client], Awaitable[object]]


_KINDS = (
    _Kind("quantconnect-live-read", "live/read", {"projectId": 7}, lambda client: client.live.read(7)),
    _Kind(
        "quantconnect-backtest-read",
        "backtests/read",
        {"projectId": 7, "backtestId": "b"},
        lambda client: client.backtests.read(7, "b"),
    ),
    _Kind(
        "quantconnect-hundred-insights",
        "live/insights/read",
        {"projectId": 7, "start": 0, "end": 100},
        lambda client: client.live.insights_page(7, 0, 100),
    ),
)


def overhead(effort: Effort, peers: Peers) -> list[Result]:
    """Milliseconds of CPU per call above bare aiohttp's, for three calls; medians over the runs."""
    del peers
    calls = effort.size(_CALLS, _BLOCK)
    with _service() as url:
        return [_result(kind, calls, [run_loop(_measured(url, kind, calls)) for _ in range(effort.runs)]) for kind in _KINDS]


def _result(kind: _Kind, calls: int, runs: list[tuple[float, float]]) -> Result:
    above = [(ours - bare) * 1_000 for ours, bare in runs]
    figure, bare = statistics.median(above), statistics.median(bare for _, bare in runs) * 1_000
    detail = {"calls": calls, "ours_ms": round(figure + bare, 3)}
    goals, spread = (Goal(most=_MOST_MS),), spread_of(above)
    return Result(kind.item, figure, "ms", goals, {BARE: bare}, len(runs), spread, cpu_figure=figure, detail=detail)


async def _measured(url: str, kind: _Kind, calls: int) -> tuple[float, float]:
    """Seconds of CPU per call, ours and bare."""
    spent = [0.0, 0.0]
    async with Client(USER, TOKEN, base_url=url, limits=_FREE) as client, aiohttp.ClientSession() as session:

        async def bare() -> None:
            headers = headers_at(USER, TOKEN, int(time.time()))
            async with session.post(f"{url}/{kind.endpoint}", json=kind.body, headers=headers) as response:
                await response.json(content_type=None)

        asks: tuple[Callable[[], Awaitable[object]], ...] = (lambda: kind.ours(client), bare)
        for ask in asks:
            await _block(ask, _WARMING)
        for _ in range(calls // _BLOCK):
            for place, ask in enumerate(asks):
                spent[place] += await _block(ask, _BLOCK)
    made = calls // _BLOCK * _BLOCK
    return spent[0] / made, spent[1] / made


async def _block(ask: Callable[[], Awaitable[object]], count: int) -> float:
    began = process_time()
    for _ in range(count):
        await ask()
    return process_time() - began


@contextmanager
def _service() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        if not url:
            message = "the service of the benchmark did not start; try `python -m benchmarks.quantconnect_client`"
            raise RuntimeError(message)
        yield url
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


async def _serve() -> None:
    bodies = {endpoint: orjson.dumps({**answer, "success": True}) for endpoint, answer in ANSWERS.items()}

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=bodies[request.match_info["endpoint"]], content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/v2/{endpoint:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), stop.set)  # nothing is ever written there: it can only end
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}/api/v2\n")
    sys.stdout.flush()
    await stop.wait()
    loop.remove_reader(sys.stdin.fileno())
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
