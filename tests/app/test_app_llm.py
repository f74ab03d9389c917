"""End to end: language models of each dialect see a candle, decide, trade and are paid; a call that is killed is paid once."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.core.decision import Fate, Tier
from bot.journal.queries import Queries
from simulators.llm.faults import Fault, Mode
from simulators.llm.server import LlmSimulator
from tests.app.bot_process import Bot, eventually
from tests.app.worlds import a_configuration, an_exchange

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
MODELS = {"anthropic": "claude-haiku-5-5-bold", "openai": "gpt-6-luna-bold", "gemini": "gemini-3.1-flash-lite-contrarian"}
KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}
PRICE = {"input": "0.1", "output": "0.5"}


@pytest.fixture(scope="module")
def exchange() -> Iterator[str]:
    with an_exchange("--symbols", ",".join(SYMBOLS)) as url:
        yield url


@asynccontextmanager
async def models(*faults: Fault) -> AsyncIterator[LlmSimulator]:
    async with LlmSimulator(seed=3) as service:
        service.inject(*faults)
        yield service


def configured(place: Path, exchange: str, service: LlmSimulator, names: dict[str, str]) -> Path:
    """A paper bot in which each provider has a source and a symbol of its own; the risk of one does not crowd out another's."""
    config = a_configuration(place, exchange, symbols=list(SYMBOLS))
    for shipped in (config / "sources").glob("*.yaml"):
        shipped.unlink()
    for symbol, (provider, model) in zip(SYMBOLS, names.items(), strict=False):
        source = {
            "source": f"llm:{provider}",
            "kind": "llm",
            "timeframe": "1s",
            "expiry": "20s",
            "symbols": [symbol],
            "params": {
                "candidates": [{"provider": provider, "model": model, "price": PRICE}],
                "cool_down": "1s",
                "deadline": "20s",
                "bounds": {"stop_nearest": 0.0001, "reward_risk": 0.0, "shortest": "5s"},
            },
        }
        (config / "sources" / f"{provider}.yaml").write_text(yaml.safe_dump(source))
    urls = {"anthropic": service.root, "openai": service.url, "gemini": service.gemini_url}
    dialects = {"anthropic": "messages", "openai": "responses", "gemini": "chat"}
    settings = yaml.safe_load((config / "bot.yaml").read_text())
    settings["llm"] = {
        "providers": {name: {"dialect": dialects[name], "base_url": urls[name], "key": KEYS[name]} for name in names},
        "roles": {},
        "budget": {"calls_per_minute": 1_000},
    }
    (config / "bot.yaml").write_text(yaml.safe_dump(settings))
    return config


def a_bot(tmp_path: Path, config: Path, service: LlmSimulator) -> Bot:
    keys = dict.fromkeys(KEYS.values(), service.key)
    return Bot(tmp_path, ("--paper", "--config", str(config), "--no-redis", "--json"), keys)


def rows(bot: Bot, asked: str) -> list[tuple[Any, ...]]:
    """What the bot's database says."""
    with closing(sqlite3.connect(f"file:{bot.data / 'arbiter.db'}?mode=ro", uri=True)) as database:
        return database.execute(asked).fetchall()


def calls(bot: Bot, state: str) -> list[tuple[Any, ...]]:
    try:
        return rows(bot, f"SELECT id, provider, usd, decision FROM llm_calls WHERE state = '{state}'")
    except sqlite3.OperationalError:
        return []


async def test_each_dialect_sees_a_candle_decides_trades_and_is_paid(tmp_path: Path, exchange: str) -> None:
    async with models() as service:
        config = configured(tmp_path / "config", exchange, service, MODELS)
        bot = a_bot(tmp_path, config, service)
        try:
            await asyncio.to_thread(_all_trade, bot.start())
        finally:
            bot.end()
        asked = service.requests()
    run = rows(bot, "SELECT id FROM runs")[0][0]
    with Queries(f"sqlite:///{bot.data / 'arbiter.db'}") as queries:
        for provider, model in MODELS.items():
            executed = [
                each
                for each in queries.decisions(run=run, limit=1_000)
                if each.source == f"llm:{provider}" and each.fate is Fate.EXECUTED
            ]
            assert executed, f"{provider} has traded"
            decision = executed[0]
            assert decision.tier is Tier.LLM
            assert decision.cost > 0
            assert (decision.evidence["provider"], decision.evidence["model"]) == (provider, model)
            placed = [each for each in queries.orders(run=run) if each.decision_id == decision.id]
            assert placed
            assert placed[0].source == f"llm:{provider}"
            paid = [Decimal(row[2]) for row in calls(bot, "settled") if row[3] == decision.id]
            assert sum(paid) == decision.cost, "what the ledger says a decision cost is what the journal says"
    assert not any(service.key in record.text for record in asked), "no prompt holds a key"
    assert service.key not in bot.stderr
    assert service.key.encode() not in (bot.data / "arbiter.db").read_bytes()


def _all_trade(bot: Bot) -> None:
    bot.wait_for("llm:anthropic")
    filled = "SELECT DISTINCT o.source FROM fills f JOIN orders o ON o.id = f.order_id"
    eventually(lambda: len(rows(bot, filled)) == len(MODELS), "a fill of each", 90.0)
    bot.signalled(signal.SIGTERM)


async def test_a_call_that_is_killed_is_paid_for_once(tmp_path: Path, exchange: str) -> None:
    async with models(Fault(Mode.HANG)) as service:
        config = configured(tmp_path / "config", exchange, service, {"anthropic": MODELS["anthropic"]})
        bot = a_bot(tmp_path, config, service)
        try:
            held, once, twice = await asyncio.to_thread(_killed_twice, bot, service)
        finally:
            bot.end()
    assert len(held) == 1
    assert [row[0] for row in once] == [held[0][0]], "the reservation of the dead process is booked as spent"
    assert Decimal(once[0][2]) > 0
    # Another call may have been under way, and so was lost, when it was asked to end.
    assert [row for row in twice if row[0] == held[0][0]] == once, "and only once"


def _killed_twice(bot: Bot, service: LlmSimulator) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Kill it while it waits for an answer, start it again, and once more; what was held, and what was lost after each start."""
    bot.start()
    eventually(lambda: bool(calls(bot, "held")), "a call under way", 60.0)
    held = calls(bot, "held")
    bot.signalled(signal.SIGKILL)
    service.clear()
    bot.start()
    eventually(lambda: bool(calls(bot, "settled")), "a call that is answered", 60.0)
    once = calls(bot, "lost")
    bot.signalled(signal.SIGTERM)
    bot.start()
    answered = len(calls(bot, "settled"))
    eventually(lambda: len(calls(bot, "settled")) > answered, "another one", 60.0)
    return held, once, calls(bot, "lost")
