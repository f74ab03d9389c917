"""An account configured as if it were live: production names, which lead to the simulator and nowhere else.

With its own URLs ccxt has its tables of spot errors back, and these tests hold down the internals of ccxt that the account relies
on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from bot.core.market import Side
from bot.core.orders import OrderType
from bot.market.ccxt_venue import CcxtVenue, VenueConfig
from execution.account import NotFound, NotSent, Refused, ReportStatus, Unknown
from execution.ccxt_account import AccountConfig, CcxtAccount
from execution.ccxt_stream import trading
from simulators.exchange.answer_faults import Coded, When
from simulators.exchange.faults import Clear
from simulators.exchange.redirect import Authority, Redirect, redirected_session
from simulators.exchange.server import ExchangeSimulator
from tests.execution.ccxt_rig import CREATE, DIALECTS, OTHER, QUICK, RICH, SYMBOL, Rig, following, ordered

SPOT = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}


@asynccontextmanager
async def production(dialect: str) -> AsyncIterator[tuple[Rig, Redirect]]:
    """An account with the venue's own URLs, on a session that leads to the simulator."""
    authority = Authority.create()
    async with ExchangeSimulator(
        seed=7, symbols=[SYMBOL, OTHER], accounts=[RICH], history=60, tls=authority.server_context()
    ) as simulator:
        redirect = Redirect(simulator.tls_port)
        async with redirected_session(authority, redirect) as session:
            settings: dict[str, Any] = {
                "apiKey": "key", "secret": "secret", "password": "phrase", "options": SPOT, "session": session,
                "has": {"fetchCurrencies": False},
            }  # fmt: skip
            opened = await CcxtVenue.open(VenueConfig(dialect, settings, clock_samples=1), derive=trading)
            account = CcxtAccount(opened.exchange, None, AccountConfig(stream=QUICK), Random(1))
            try:
                yield Rig(dialect, simulator, account), redirect
            finally:
                await account.close()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_order_lives_its_life_by_the_production_names(dialect: str) -> None:
    async with production(dialect) as (one, redirect), following(one.account) as notes:
        await one.account.create(one.resting("mine"))
        await one.account.create(ordered("taken"))
        await one.account.create(ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9)))
        await notes.until(lambda: bool(notes.trades) and bool(notes.of("mine")) and bool(notes.of("stop")))
        assert {report.client_id for report in await one.account.open_orders([SYMBOL])} == {"mine", "stop"}
        await one.account.cancel(SYMBOL, "mine", None)
        await one.account.cancel(SYMBOL, "stop", None)
        await notes.until(lambda: any(report.status is ReportStatus.CANCELLED for report in notes.of("stop")))
        with pytest.raises(NotFound):
            await one.account.cancel(SYMBOL, "mine", None)
        assert [trade.amount for trade in await one.account.trades(SYMBOL, 0)] == [trade.amount for trade in notes.trades]
        assert (await one.account.permissions()).withdraw is True
        assert redirect.refused == []


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        (-1008, 503, Unknown),
        (-1008, 400, Unknown),
        (-1006, 400, Unknown),
        (-1007, 504, Unknown),
        (-1015, 400, NotSent),
        (-1021, 400, NotSent),
        (-2010, 400, Refused),
        (-1013, 400, Refused),
        (-1111, 400, Refused),
        (-2015, 401, Refused),
    ],
)
async def test_the_tables_of_spot_errors_say_the_same_of_an_order(code: int, status: int, outcome: type[Exception]) -> None:
    async with production("binance") as (one, _):
        path, method = CREATE["binance"]
        one.venue.inject(Coded(code, "simulated", status, When.BEFORE, path, method, 5))
        with pytest.raises(outcome):
            await one.account.create(one.resting("mine"))
        one.venue.inject(Clear())
        assert await one.live_ids() == []


def test_ccxt_still_has_what_the_account_relies_on() -> None:
    import ccxt.pro

    for base in (ccxt.pro.binance, ccxt.pro.okx):
        for name in ("safe_order", "safe_trade", "handle_message", "handle_errors", "on_rest_response", "throttle", "fetch"):
            assert callable(getattr(base, name)), name
        for name in ("client", "on_close", "on_error", "watch_orders", "load_time_difference", "create_order_request"):
            assert callable(getattr(base, name)), name
    for name in ("privatePostOrderListOco", "privatePostOrderCancelReplace", "sapiGetAccountApiRestrictions"):
        assert hasattr(ccxt.pro.binance, name), name
