"""A running exchange, and real ccxt clients pointed at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import ccxt.async_support
import ccxt.pro
import pytest
import structlog

from simulators.exchange.server import ExchangeSimulator


@pytest.fixture(autouse=True)
def _quiet_logs() -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory())


@pytest.fixture
async def simulator() -> AsyncIterator[ExchangeSimulator]:
    async with ExchangeSimulator(seed=7, symbols=["BTC/USDT", "ETH/USDT", "XRP/USDT"]) as running:
        yield running


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
