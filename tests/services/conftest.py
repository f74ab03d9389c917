"""A venue with two and a half hours of history, and a door before it that can lose things."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog

from simulators.exchange.server import ExchangeSimulator
from tests.services.history_door import Door


@pytest.fixture(autouse=True)
def _quiet_logs() -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory())


@pytest.fixture
async def venue() -> AsyncIterator[ExchangeSimulator]:
    async with ExchangeSimulator(seed=7, symbols=["BTC/USDT", "ETH/USDT"], history=9_000, quotes_per_second=1) as running:
        yield running


@pytest.fixture
async def door(venue: ExchangeSimulator) -> AsyncIterator[Door]:
    async with Door(venue.url) as standing:
        yield standing
