"""A running exchange, and real ccxt clients pointed at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import ccxt.async_support
import ccxt.pro
import pytest
import structlog

from simulators.exchange.audit import Opening
from simulators.exchange.server import ExchangeSimulator


@pytest.fixture(autouse=True)
def _quiet_logs() -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory())


@pytest.fixture
async def simulator() -> AsyncIterator[ExchangeSimulator]:
    async with ExchangeSimulator(seed=7, symbols=["BTC/USDT", "ETH/USDT", "XRP/USDT"]) as running:
        yield running


@pytest.fixture
async def venue() -> AsyncIterator[ExchangeSimulator]:
    """An exchange with one account, that has something to trade with."""
    rich = Opening("key", "secret", "phrase", {"USDT": Decimal(100_000), "BTC": Decimal(2)}, may_withdraw=True)
    async with ExchangeSimulator(seed=7, symbols=["BTC/USDT", "ETH/USDT"], accounts=[rich], history=60) as running:
        yield running


@pytest.fixture
async def trader(venue: ExchangeSimulator) -> AsyncIterator[Any]:
    """That account's ccxt.pro client; it waits a second at most for an answer."""
    exchange = ccxt.pro.binance({**venue.ccxt_config("key"), "enableRateLimit": False, "timeout": 1_000})
    await exchange.load_markets()
    yield exchange
    await exchange.close()


@pytest.fixture
async def rest(simulator: ExchangeSimulator) -> AsyncIterator[Any]:
    exchange = ccxt.async_support.binance({**simulator.ccxt_config(), "enableRateLimit": False})
    yield exchange
    await exchange.close()


@pytest.fixture
async def pro(simulator: ExchangeSimulator) -> AsyncIterator[Any]:
    exchange = ccxt.pro.binance({**simulator.ccxt_config(), "enableRateLimit": False})
    yield exchange
    await exchange.close()
