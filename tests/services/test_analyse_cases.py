"""Analysis on request: of the running bot's market, of the venue's, of recorded candles; what is missing is said."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.use_case import Ground, UseCaseError
from bot.settings import load
from simulators.exchange.server import ExchangeSimulator
from sources.news.items import Event, Item, Kind, Reading
from tests.app.worlds import a_configuration
from tests.services.llm_bot import a_port, with_bot
from tests.services.llm_ground import do
from tests.services.memory_life import configured
from tests.sources.llm.llm_source_world import NOW, candles


@asynccontextmanager
async def a_ground(place: Path, config: Path | None = None) -> AsyncIterator[Ground]:
    loaded = load(config or configured(place), environ={}, overrides={"bot.data_dir": str(place / "data")})
    clock = (lambda: time.time_ns() // 1_000_000) if config else (lambda: NOW)
    async with own_ground(loaded, Secrets(place / "data", {}), clock) as ground:
        yield ground


def recorded(place: Path, *symbols: str) -> Path:
    """Five-minute candles of a rising market, as a file."""
    rows = [row for number, name in enumerate(symbols) for row in candles(name, "5m", NOW, 0.001 - 0.002 * number, 600)]
    names = ("symbol", "ts", "open", "high", "low", "close", "volume")
    path = place / "candles.parquet"
    pl.DataFrame([{name: getattr(row, name) for name in names} for row in rows]).write_parquet(path)
    return path


def an_item(number: int, sentiment: float, group: str) -> Item:
    reading = Reading(sentiment, Event.FLOWS, ("BTC",))
    return Item(f"i{number}", group, group, Kind.PRESS, 1.0, "told", "", NOW - 60_000, None, reading)


async def test_recorded_candles_are_analysed_on_larger_timeframes_and_the_rest_is_said_to_be_missing(tmp_path: Path) -> None:
    async with a_ground(tmp_path) as ground:
        found = await do(
            ground,
            "analysis.analyse",
            files=[str(recorded(tmp_path, "BTC/USDT", "ETH/USDT"))],
            timeframes=["1h", "5m"],
            depth=600,
        )
    assert list(found["analyses"]) == ["BTC/USDT", "ETH/USDT"]
    btc, eth = found["analyses"].values()
    assert [each["timeframe"] for each in btc["technical"]["timeframes"]] == ["5m", "1h"]
    assert btc["score"] > eth["score"], "one rises and the other falls"
    assert "ta.1h.rsi_14" in btc["compact"]["evidence"]
    assert set(found["missing"]) == {"news", "portfolio", "fundamental"}


async def test_the_running_bots_market_news_and_book_are_used(tmp_path: Path) -> None:
    async with a_ground(tmp_path) as ground:
        ground.simulated = True
        port = a_port(NOW, symbols=("BTC/USDT", "ETH/USDT"))
        port.hold(0.4)
        with_bot(ground, port, items=[an_item(number, 0.8, f"g{number}") for number in range(4)])
        found = await do(ground, "analysis.analyse", symbols=["btc/usdt", "ETH/USDT"], timeframes=["5m", "1h"])
    btc = found["analyses"]["BTC/USDT"]
    assert found["simulated"]
    assert btc["portfolio"]["concentration"]["gross"] == pytest.approx(0.4)
    assert btc["sentiment"]["state"] == "available"
    assert btc["sentiment"]["score"] > 0
    assert found["missing"] == {"fundamental": "a simulated market has none"}


async def test_a_simulated_market_is_never_completed_by_a_real_one(tmp_path: Path) -> None:
    async with a_ground(tmp_path) as ground:
        ground.simulated = True
        with_bot(ground, a_port(NOW))
        with pytest.raises(UseCaseError, match="no candles of SOL/USDT"):
            await do(ground, "analysis.analyse", symbols=["SOL/USDT"])


async def test_without_a_bot_the_venue_is_asked(venue: ExchangeSimulator, tmp_path: Path) -> None:
    config = a_configuration(tmp_path / "config", venue.url)
    async with a_ground(tmp_path, config) as ground:
        found: Any = await do(ground, "analysis.analyse", symbols=["BTC/USDT"], timeframes=["1m"], depth=60, fundamentals=False)
    (one,) = found["analyses"].values()
    assert found["origin"] == "binance"
    assert one["technical"]["timeframes"][0]["count"] == pytest.approx(60, abs=2)
    assert found["missing"]["news"] == "no bot is running"


async def test_what_cannot_be_analysed_is_one_line(tmp_path: Path) -> None:
    async with a_ground(tmp_path) as ground:
        with pytest.raises(UseCaseError, match="name at least one"):
            await do(ground, "analysis.analyse")
        with pytest.raises(UseCaseError, match="not a timeframe"):
            await do(ground, "analysis.analyse", symbols=["BTC/USDT"], timeframes=["soon"])
        path = str(recorded(tmp_path, "BTC/USDT"))
        with pytest.raises(UseCaseError, match="give multiples of 5m"):
            await do(ground, "analysis.analyse", files=[path], timeframes=["7m"])
