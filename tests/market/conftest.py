"""Fixtures of the live feed's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from simulators.exchange.server import ExchangeSimulator
from tests.market.feed_rig import SYMBOLS, Listener


@pytest.fixture
async def simulator() -> AsyncIterator[ExchangeSimulator]:
    async with ExchangeSimulator(seed=7, symbols=SYMBOLS, port=0, history=600) as exchange:
        yield exchange


@pytest.fixture
def listener() -> Listener:
    return Listener()
