"""End to end: an insight of a live algorithm outranks a contrary LLM and a contrary rule, trades, and is found everywhere."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from bot.core.decision import Fate, Tier
from bot.journal.queries import Queries
from simulators.quantconnect.faults import Page
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.world import Row
from tests.app.bot_process import Bot, eventually
from tests.app.conftest import Subscriber
from tests.app.worlds import a_configuration, an_exchange
from tests.servers import free_port, redis_executable, redis_process

BTC = "BTC/USDT"
SECRET = "a secret of the webhook's own"
SILENT = """
from AlgorithmImports import *

class Silent(QCAlgorithm):
    def initialize(self):
        self.set_start_date(2026, 1, 1)
        self.add_crypto("BTCUSDT", Resolution.MINUTE, Market.BINANCE)
"""
CONTRARY = [
    {"offset_ms": offset, "source": source, "tier": tier, "symbol": BTC, "action": "sell", "confidence": 0.99, "horizon": "1s"}
    for offset in (100, 1_100, 2_100)
    for source, tier in (("llm:contrary", "llm"), ("rules:contrary", "traditional"))
]


@asynccontextmanager
async def quantconnect() -> AsyncIterator[QuantConnectSimulator]:
    """The service, with an algorithm live that says nothing by itself."""
    async with QuantConnectSimulator() as service:
        await service.deploy({"main.py": SILENT})
        yield service


def configured(place: Path, exchange: str, service: QuantConnectSimulator, port: int) -> Path:
    """A paper bot at that exchange, with one mind of each tier; the lower two say sell every second."""
    config = a_configuration(place, exchange, symbols=[BTC])
    for shipped in (config / "sources").glob("*.yaml"):
        shipped.unlink()
    (config / "contrary.jsonl").write_text("\n".join(json.dumps(line) for line in CONTRARY))
    for name, tier in (("llm:contrary", "llm"), ("rules:contrary", "traditional")):
        recorded = {"source": name, "kind": "recorded", "tier": tier, "params": {"file": "../contrary.jsonl", "repeat": "3s"}}
        (config / "sources" / f"{tier}.yaml").write_text(yaml.safe_dump(recorded))
    heard = {
        "source": "quantconnect:main",
        "kind": "quantconnect",
        "expiry": "20s",
        "params": {
            "projects": [20010001],
            "insights": {"enabled": True, "every": "1s"},
            "webhook": {"enabled": True, "port": port},
        },
    }
    (config / "sources" / "quantconnect.yaml").write_text(yaml.safe_dump(heard))
    settings = yaml.safe_load((config / "bot.yaml").read_text())
    settings["quantconnect"] = {"base_url": service.url, "calls": 600}
    (config / "bot.yaml").write_text(yaml.safe_dump(settings))
    return config


def keys(service: QuantConnectSimulator, token: str | None = None) -> dict[str, str]:
    return {
        "QUANTCONNECT_USER_ID": service.user,
        "QUANTCONNECT_API_TOKEN": service.token if token is None else token,
        "QUANTCONNECT_WEBHOOK_SECRET": SECRET,
    }


@pytest.fixture
def exchange() -> Iterator[str]:
    with an_exchange() as url:
        yield url


def messages(heard: Subscriber, kind: str) -> list[dict[str, Any]]:
    """The data of every message of a type so far."""
    found = (orjson.loads(payload) for _, payload in list(heard.messages))
    return [message["data"] for message in found if message["type"] == kind]


def outranked(heard: Subscriber) -> set[str]:
    """Who has lost a symbol to somebody above so far."""
    return {each["source"] for each in messages(heard, "decisions.fate") if each["fate"] == Fate.OUTRANKED.value}


def status_of(bot: Bot) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(bot.tell("status", "--json").stdout)
    return found


@pytest.mark.skipif(redis_executable() is None, reason="no redis-server on this machine")
async def test_an_insight_outranks_trades_and_is_found_again_in_journal_and_redis(tmp_path: Path, exchange: str) -> None:
    (tmp_path / "redis").mkdir()
    async with quantconnect() as service:
        with redis_process(tmp_path / "redis") as server:
            heard = Subscriber(server.url).start()
            config = configured(tmp_path / "config", exchange, service, free_port())
            settings = {**keys(service), "ARBITER_REDIS__URL": server.url}
            bot = Bot(tmp_path, ("--paper", "--config", str(config), "--json"), settings)
            try:
                bot.start()
                insight, run = await asyncio.to_thread(_insight_trades, bot, service, heard, asyncio.get_running_loop())
            finally:
                bot.end()
                heard.stop()

    seen = [each["decision"] for each in messages(heard, "decisions.seen")]
    (decision,) = [each for each in seen if each["tier"] == Tier.QUANTCONNECT]
    assert (decision["source"], decision["confidence"]) == ("quantconnect:main", 0.77)
    assert decision["external_id"] == str(insight["id"]).replace("-", "")
    assert (decision["evidence"]["tag"], decision["evidence"]["route"]) == ("golden cross", "insights")
    (fill,) = messages(heard, "fills.booked")
    requests = {each["request"]["id"]: each["request"] for each in messages(heard, "orders.changed")}
    order = requests[fill["fill"]["order_id"]]
    assert (order["source"], order["tier"], order["confidence"], order["side"]) == ("quantconnect:main", 0, 0.77, "buy")

    with Queries(f"sqlite:///{bot.data / 'arbiter.db'}") as queries:
        mine = next(each for each in queries.decisions(run=run, limit=1_000) if each.source == "quantconnect:main")
        assert (mine.fate, mine.confidence, mine.evidence["tag"]) == (Fate.EXECUTED, 0.77, "golden cross")
        assert "golden cross" in mine.reasoning
        lost = {each.tier for each in queries.decisions(run=run, limit=1_000) if each.winner == mine.id}
        assert lost == {Tier.LLM, Tier.TRADITIONAL}, "both lower tiers said sell, were surer, and lost"
        placed = next(each for each in queries.orders(run=run) if each.id == fill["fill"]["order_id"])
        assert (placed.source, placed.confidence) == ("quantconnect:main", 0.77)


def _insight_trades(
    bot: Bot, service: QuantConnectSimulator, heard: Subscriber, loop: asyncio.AbstractEventLoop
) -> tuple[Row, str]:
    """Emit an insight while the lower tiers speak, and wait for its fill; the insight and the run."""
    eventually(lambda: bool(messages(heard, "decisions.seen")), "a first word of the lower tiers")
    wanted = service.emit("BTCUSDT", "up", confidence=0.77, tag="golden cross", period=15)
    insight = asyncio.run_coroutine_threadsafe(wanted, loop).result(10)
    eventually(lambda: bool(messages(heard, "fills.booked")), "a fill")
    eventually(lambda: outranked(heard) == {"llm:contrary", "rules:contrary"}, "both lower tiers outranked")
    bot.tell("kill", "--reason", "the test is over")
    return insight, str(status_of(bot)["run"])


async def test_a_webhook_trades_and_a_forged_one_does_not(tmp_path: Path, exchange: str) -> None:
    async with quantconnect() as service:
        port = free_port()
        config = configured(tmp_path / "config", exchange, service, port)
        bot = Bot(tmp_path, ("--paper", "--config", str(config), "--no-redis", "--json"), keys(service))
        try:
            answers, found = await asyncio.to_thread(_webhook_trades, bot.start(), port)
        finally:
            bot.end()
    forged, first, replayed = answers
    assert forged in {401, 403}
    assert (first, replayed) == (202, 409), "a replayed message is refused and not traded again"
    assert found["orders"] == 1
    assert "quantconnect:main" in found["standing"].values()


def _webhook_trades(bot: Bot, port: int) -> tuple[list[int], dict[str, Any]]:
    """Send a forged message, a true one and its replay; the answers, and the status once something was filled."""
    bot.wait_for("quantconnect:main")
    eventually(lambda: status_of(bot)["market_events"] > 20, "market data")
    signal = {"v": 1, "id": "w-1", "source": "hook", "symbol": "BTCUSDT", "side": "buy", "confidence": 0.7, "ttl": 60}
    told = {**signal, "time": now()}
    answers = [post(port, signal, "not the secret at all"), post(port, told, SECRET), post(port, told, SECRET)]
    eventually(lambda: status_of(bot)["fills"] >= 1, "a fill")
    return answers, status_of(bot)


async def test_a_wrong_token_is_a_visible_trouble_and_the_others_trade_on(tmp_path: Path, exchange: str) -> None:
    async with quantconnect() as service:
        config = configured(tmp_path / "config", exchange, service, free_port())
        bot = Bot(tmp_path, ("--paper", "--config", str(config), "--no-redis", "--json"), keys(service, "a token of nobody"))
        try:
            trouble, before, after = await asyncio.to_thread(_goes_on, bot.start())
        finally:
            bot.end()
    assert "QUANTCONNECT_API_TOKEN" in trouble
    assert "a token of nobody" not in bot.stderr
    assert after != before, "the other tiers go on"


def _goes_on(bot: Bot) -> tuple[str, object, object]:
    """Wait for the trouble, then for another decision; what is told of it, and the decisions before and after."""
    bot.wait_for("quantconnect:main")
    eventually(lambda: "quantconnect:main" in status_of(bot)["source_troubles"], "a visible trouble")
    (trouble,) = status_of(bot)["source_troubles"]["quantconnect:main"]
    before = status_of(bot)["decisions"]
    eventually(lambda: status_of(bot)["decisions"] != before, "the other tiers go on")
    return trouble, before, status_of(bot)["decisions"]


async def test_the_service_away_for_a_while_comes_back_by_itself(tmp_path: Path, exchange: str) -> None:
    async with quantconnect() as service:
        config = configured(tmp_path / "config", exchange, service, free_port())
        bot = Bot(tmp_path, ("--paper", "--config", str(config), "--no-redis", "--json"), keys(service))
        try:
            bot.start()
            await asyncio.to_thread(bot.wait_for, "quantconnect:main")
            service.inject(Page(path="/live/*", count=6))
            await asyncio.to_thread(eventually, lambda: troubled(bot), "a visible trouble", 60.0)
            await asyncio.to_thread(eventually, lambda: not troubled(bot), "its end", 90.0)
            assert not status_of(bot)["source_troubles"]
        finally:
            bot.end()


def troubled(bot: Bot) -> bool:
    return "quantconnect:main" in status_of(bot)["source_troubles"]


def post(port: int, body: dict[str, object], secret: str) -> int:
    """Send a message as the service would; the status of the answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/quantconnect",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "X-Secret": secret},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def now() -> str:
    """The time as an algorithm writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
