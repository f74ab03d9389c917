"""What QuantConnect says, on its way into the bot: a webhook until its order is submitted, and a thousand insights until queued.

The webhook is the real listener of the real source in the running shell, with the paper broker, the journal (the order waits for
its intent on the disk) and Redis; quotes of ten symbols pass all the while. A message is signed by HMAC and posted on loopback
by aiohttp in the same loop, one after the other; its time runs from before the request is made until its order has been sent.

The insights are ten answers of a hundred rows, as the service sends them: JSON read, rows checked, mapped to the bot's symbols,
made decisions of and put into the inbox, which is where the desk takes them from.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

import aiohttp
import orjson

from benchmarks.made import symbols
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import Rig, redis_server, run_loop, running
from bot.core.decision import SourceSpec, Tier
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.facts import Fact, OrderChanged
from bot.core.market import Quote
from bot.core.orders import OrderState
from bot.runtime.clock import WallClock
from bot.runtime.hosting import Port
from bot.runtime.inbox import Inbox
from sources.quantconnect.auth import Signer
from sources.quantconnect.calls import Calls
from sources.quantconnect.envelope import Reply, opened
from sources.quantconnect.insights import Terms, of_insight
from sources.quantconnect.intake import Intake
from sources.quantconnect.limits import Limits
from sources.quantconnect.mapping import SymbolMap
from sources.quantconnect.models_trade import Insight
from sources.quantconnect.settings import Credentials, QuantConnectParams
from sources.quantconnect.source import QuantConnectSource
from sources.quantconnect.transport import Transport
from sources.quantconnect.wire import BASE_URL

_SPEC = SourceSpec("quantconnect:bench", Tier.QUANTCONNECT, settle_ms=0)  # as its configuration has it
_SECRET = "of-this-benchmark-alone"
_SYMBOLS = 10
_MESSAGES = 500
_WARMING = 20
_GAP = 0.01
_QUOTE_PAUSE = 0.001
_PATIENCE = 10.0
_INSIGHTS, _ROWS = 1_000, 100
_WEBHOOK_MS = {50: 5.0, 99: 25.0}
_INSIGHTS_MS = 50.0
_HOUR = 3_600_000


def webhook(effort: Effort, peers: Peers) -> list[Result]:
    """Milliseconds from the post of a message to its submitted paper order, p50 and p99; medians over the runs' own."""
    del peers
    count = effort.size(_MESSAGES, 20)
    with redis_server() as redis:
        runs = [run_loop(_measured(count, redis)) for _ in range(effort.runs)]
    results = []
    for share, most in _WEBHOOK_MS.items():
        figures = [percentile(run.seconds, share / 100) * 1_000 for run in runs]
        answered = statistics.median(percentile(run.answered, share / 100) for run in runs) * 1_000
        detail = {"messages": count, "until_the_answer_ms": round(answered, 3), **runs[0].detail}
        name, goals = f"quantconnect-webhook-p{share}", (Goal(most=most),)
        results.append(Result(name, statistics.median(figures), "ms", goals, {}, len(runs), spread_of(figures), detail=detail))
    return results


@dataclass(slots=True)
class _Run:
    """Seconds of every message until its order is sent, and until the poster has its answer."""

    seconds: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    detail: dict[str, object] = field(default_factory=dict)


class _Sent:
    """Sees orders leave: when the bot tells of it, which is a little after it happened."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.at = 0.0

    def saw(self, fact: Fact) -> None:
        """Told every fact of the desk."""
        if isinstance(fact, OrderChanged) and fact.state is not OrderState.INTENT and not self.event.is_set():
            self.at = perf_counter()
            self.event.set()


async def _measured(count: int, redis: str | None) -> _Run:
    names, sent, run = symbols(_SYMBOLS), _Sent(), _Run()
    async with (
        running(names, redis_url=redis, saw=sent.saw) as rig,
        _listening(rig, names) as url,
        aiohttp.ClientSession() as http,
    ):
        quoting = asyncio.create_task(_quote(rig, names))
        try:
            for number in range(-_WARMING, count):
                await asyncio.sleep(_GAP)
                began = perf_counter()
                sent.event.clear()
                await _post(http, url, _message(names, number + _WARMING))
                answered = perf_counter() - began
                async with asyncio.timeout(_PATIENCE):
                    await sent.event.wait()
                if number >= 0:
                    run.seconds.append(sent.at - began)
                    run.answered.append(answered)
        finally:
            quoting.cancel()
            with suppress(asyncio.CancelledError):
                await quoting
        await rig.settled()
        run.detail = {"fills": rig.shell.tally.fills, "redis": rig.redis, **rig.lost()}
    return run


@asynccontextmanager
async def _listening(rig: Rig, names: Sequence[str]) -> AsyncIterator[str]:
    """The source as the bot hosts it; gives the address of its webhook."""
    said = {"webhook": {"enabled": True, "port": 0, "auth": "hmac", "per_minute": 100_000}}
    params, secret = QuantConnectParams.model_validate(said), Credentials(webhook_secret=_SECRET)
    source = QuantConnectSource(_SPEC, params, _HOUR, names, secret)
    rig.host.start()
    rig.host.add_life(source)
    try:
        async with asyncio.timeout(_PATIENCE):
            await source.listening.wait()
        yield f"http://127.0.0.1:{source.webhook_port}{params.webhook.path}"
    finally:
        await rig.host.remove(_SPEC.name, "benchmark")


def _message(names: Sequence[str], number: int) -> bytes:
    """Buy every symbol in turn, then sell each."""
    symbol, side = names[number % len(names)], ("buy", "sell")[number // len(names) % 2]
    body = {"v": 1, "id": f"m{number}", "source": "bench", "symbol": symbol.replace("/", ""), "side": side, "confidence": 0.7}
    return orjson.dumps({**body, "price": 100.0, "time": time.time(), "ttl": 3_600, "tag": "rsi=41.2"})


async def _post(http: aiohttp.ClientSession, url: str, body: bytes) -> None:
    stamp, nonce = str(int(time.time())), hashlib.sha1(body).hexdigest()
    digest = hmac.new(_SECRET.encode(), f"{stamp}.{nonce}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Timestamp": stamp, "X-Nonce": nonce, "X-Signature": f"sha256={digest}"}
    async with http.post(url, data=body, headers=headers) as answer:
        if answer.status != 202:
            message = f"the webhook answered {answer.status}: {await answer.text()}"
            raise RuntimeError(message)


async def _quote(rig: Rig, names: Sequence[str]) -> None:
    """Quotes of every symbol in turn, until cancelled."""
    while True:
        for name in names:
            now = rig.clock.now()
            rig.shell.on_quote(Quote.of(name, now, 99.99, 100.01, 1_000.0, 1_000.0))
            await asyncio.sleep(_QUOTE_PAUSE)


def insights(effort: Effort, peers: Peers) -> list[Result]:
    """Milliseconds for a thousand insights of as many symbols, from the bytes of ten answers to the inbox."""
    del peers
    timed = [run_loop(_queued()) for _ in range(effort.runs)]
    figures, spent = [wall * 1_000 for wall, _ in timed], [cpu * 1_000 for _, cpu in timed]
    goals = (Goal(most=_INSIGHTS_MS),)
    figure, cpu = statistics.median(figures), statistics.median(spent)
    detail = {"insights": _INSIGHTS, "rows_of_an_answer": _ROWS}
    spread = spread_of(figures)
    return [Result("quantconnect-thousand-queued", figure, "ms", goals, {}, len(timed), spread, cpu_figure=cpu, detail=detail)]


async def _queued() -> tuple[float, float]:
    """Seconds by the wall and of CPU; the first pass, of other insights, warms up."""
    names, clock = symbols(_INSIGHTS), WallClock()
    inbox, desk = Inbox(proposals=2 * _INSIGHTS), TradingDesk(DeskConfig())
    params = QuantConnectParams.model_validate({"projects": [7], "insights": {"enabled": True}})
    terms, known = Terms(_SPEC, _HOUR, 24 * _HOUR, 0.5), SymbolMap({}, names)
    intake = Intake(terms, params, known, names, Port(inbox, desk, clock.now))
    calls = Calls(Transport(BASE_URL, Signer("1", "t", time.time), time.time, Limits()))
    took = (0.0, 0.0)
    for turn in range(2):
        answers = _answers(names, turn)
        began, spent = perf_counter(), process_time()
        signals = []
        for body in answers:
            answer = opened("live/insights/read", Reply(200, {}, body), time.time)
            rows = calls.page("live/insights/read", answer, "insights", Insight).rows
            signals += [of_insight(row, project=7) for row in rows]
        new = await intake.take(signals, clock.now())
        took = perf_counter() - began, process_time() - spent
        if new != _INSIGHTS or inbox.depths()["proposals"] != (turn + 1) * _INSIGHTS:
            message = f"of {_INSIGHTS} insights {new} were new: {dict(intake.counts)}"
            raise RuntimeError(message)
    return took


def _answers(names: Sequence[str], turn: int) -> list[bytes]:
    """Pages of `live/insights/read`, as the service writes them."""
    now = int(time.time())
    rows: list[dict[str, Any]] = [
        {
            "id": f"{turn * _INSIGHTS + number:032x}", "groupId": None, "sourceModel": "sma-rsi", "generatedTime": now,
            "closeTime": now + 3_600, "symbol": f"{name.replace('/', '')} 18N", "ticker": name.replace("/", ""), "type": "price",
            "reference": 64000.5, "referenceFinal": 0, "direction": "up", "period": 3600, "magnitude": None,
            "confidence": 0.7, "weight": None, "scoreFinal": False, "scoreDirection": 0, "scoreMagnitude": 0,
            "estimatedValue": 0, "tag": "rsi=41.2",
        }
        for number, name in enumerate(names)
    ]  # fmt: skip
    pages = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    return [orjson.dumps({"insights": page, "length": len(rows), "success": True}) for page in pages]
