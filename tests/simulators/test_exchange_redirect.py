"""Clients that are configured as if they were live, and yet can reach nothing but the simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt
import ccxt.pro
import pytest

from simulators.exchange.answer_faults import Coded
from simulators.exchange.audit import Opening
from simulators.exchange.redirect import Authority, Redirect, redirected_session
from simulators.exchange.server import ExchangeSimulator

SYMBOL = "BTC/USDT"
SPOT = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
ACCOUNT = Opening("key", "secret", "phrase", {"USDT": Decimal(10_000)})
KEYS = {"apiKey": "key", "secret": "secret", "password": "phrase", "enableRateLimit": False}


@asynccontextmanager
async def production(kind: str) -> AsyncIterator[tuple[ExchangeSimulator, Any, Redirect]]:
    """A client with the venue's own URLs, on a session that leads to the simulator."""
    authority = Authority.create()
    tls = authority.server_context()
    async with ExchangeSimulator(symbols=[SYMBOL], accounts=[ACCOUNT], history=60, tls=tls) as simulator:
        redirect = Redirect(simulator.tls_port)
        async with redirected_session(authority, redirect) as session:
            exchange = getattr(ccxt.pro, kind)({**KEYS, "options": SPOT, "session": session})
            exchange.has["fetchCurrencies"] = False
            try:
                yield simulator, exchange, redirect
            finally:
                await exchange.close()


@pytest.mark.parametrize("kind", ["binance", "okx"])
async def test_rest_and_websockets_work_by_their_production_names(kind: str) -> None:
    async with production(kind) as (_, exchange, redirect):
        ticker = await exchange.fetch_ticker(SYMBOL)
        order = await exchange.create_order(SYMBOL, "limit", "buy", 0.001, round(ticker["last"] * 0.9, 2))
        assert (await exchange.fetch_order(order["id"], SYMBOL))["status"] == "open"
        assert await exchange.watch_trades(SYMBOL)
        assert redirect.refused == []
        if kind == "binance":
            await exchange.cancel_order_ws(order["id"], SYMBOL)


async def test_every_other_host_is_refused() -> None:
    async with production("binance") as (_, exchange, redirect):
        exchange.options["fetchMarkets"] = {"types": ["linear"]}
        with pytest.raises(ccxt.NetworkError):
            await exchange.load_markets()
        assert redirect.refused == ["fapi.binance.com"]


async def test_the_production_url_restores_the_spot_error_table() -> None:
    async with production("binance") as (simulator, exchange, _):
        simulator.inject(Coded(-1008, "Server is currently overloaded", 503))
        with pytest.raises(ccxt.OperationFailed):
            await exchange.fetch_balance()


async def test_nobody_trusts_the_throw_away_authority_unasked() -> None:
    authority = Authority.create()
    async with ExchangeSimulator(symbols=[SYMBOL], history=60, tls=authority.server_context()) as simulator:
        connector = aiohttp.TCPConnector(resolver=Redirect(simulator.tls_port), use_dns_cache=False)
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get("https://api.binance.com/api/v3/time")
