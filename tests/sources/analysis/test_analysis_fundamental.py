"""Fundamentals: what follows from the figures, among peers, and from an exchange."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import ccxt.async_support as ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.exchange.faults import Status
from simulators.exchange.server import ExchangeSimulator
from sources.analysis.fundamental import Fundamentals, Valuation, fundamental, fundamental_batch, measures
from sources.analysis.providers import FundamentalsProvider, FundamentalsUnavailable, open_provider
from sources.analysis.providers_ccxt import CcxtFundamentals

AT = 1_700_000_000_000
DAY = 86_400_000
BTC = "BTC/USDT"


def coin(symbol: str, scale: float = 1.0, volume: float = 50.0) -> Fundamentals:
    return Fundamentals(
        symbol,
        AT,
        "book",
        price=10.0,
        circulating_supply=100.0 * scale,
        max_supply=200.0 * scale,
        volume_24h=volume,
        transferred_24h=100.0,
        funding_rate=0.0001,
        funding_hours=8.0,
        open_interest=25.0,
        first_listed=AT - 730 * DAY,
    )


def test_measures_by_hand() -> None:
    found = measures(coin(BTC))
    assert found.market_cap == 1_000.0
    assert found.fully_diluted == 2_000.0
    assert found.dilution == 0.5
    assert found.turnover == 0.05
    assert found.nvt == 10.0
    assert found.nvt_traded == 20.0
    assert found.funding_year == pytest.approx(0.0001 * 3 * 365)
    assert found.interest_to_cap == 0.025
    assert found.interest_to_volume == 0.5
    assert found.age_days == 730.0


def test_what_is_not_given_is_unknown_with_its_reason() -> None:
    found = fundamental(Fundamentals(BTC, AT, "ccxt:x", price=10.0, missing={"open_interest": "no perpetual"}))
    assert found.measures.market_cap is None
    assert found.measures.known() == {}
    assert found.unknown["open_interest"] == "no perpetual"
    assert found.unknown["max_supply"] == "ccxt:x does not tell"
    assert found.unknown["nvt"] == "its inputs are unknown"
    assert found.valuation is Valuation.UNKNOWN
    assert found.words == f"{BTC}: no fundamentals are known"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 0.0])
def test_impossible_figures_are_unknown(bad: float) -> None:
    found = measures(Fundamentals(BTC, AT, "x", price=bad, circulating_supply=bad, volume_24h=bad, market_cap=bad))
    assert found.known() == {}


def test_among_fewer_than_three_peers_there_is_no_percentile() -> None:
    assert fundamental(coin(BTC), [coin("A/USDT"), coin("B/USDT"), coin(BTC, 9.0)]).percentiles == {}


def test_percentiles_and_valuation_among_peers() -> None:
    peers = [coin("A/USDT", 1.0), coin("B/USDT", 2.0), coin("C/USDT", 3.0), coin("D/USDT", 5.0)]
    rich = fundamental(coin(BTC, 4.0), peers)
    assert rich.percentiles["market_cap"] == 0.75
    assert rich.percentiles["age_days"] == 0.5
    assert rich.peers == 4
    assert rich.valuation is Valuation.FAIR
    assert fundamental(coin(BTC, 9.0), peers).percentiles["nvt"] == 1.0
    assert fundamental(coin(BTC, 9.0), peers).valuation is Valuation.RICH
    cheap = fundamental(coin(BTC, 0.1), peers)
    assert cheap.percentiles["nvt"] == 0.0
    assert cheap.valuation is Valuation.CHEAP


def test_a_peer_of_later_is_no_peer() -> None:
    later = [Fundamentals(f"{n}/USDT", AT + 1, "x", price=1.0, volume_24h=1.0) for n in range(5)]
    assert fundamental(coin(BTC), later).peers == 0


@given(st.lists(st.floats(1e-3, 1e12), min_size=4, max_size=12, unique=True))
def test_percentiles_of_a_batch_are_in_the_order_of_its_values(volumes: list[float]) -> None:
    found = fundamental_batch([coin(f"{n}/USDT", volume=volume) for n, volume in enumerate(volumes)])
    places = [found[f"{n}/USDT"].percentiles["volume_24h"] for n in range(len(volumes))]
    assert sorted(range(len(volumes)), key=volumes.__getitem__) == sorted(range(len(volumes)), key=places.__getitem__)
    assert min(places) == 0.0
    assert max(places) == 1.0


@pytest.fixture
async def simulator() -> AsyncIterator[ExchangeSimulator]:
    async with ExchangeSimulator(seed=7, symbols=(BTC, "ETH/USDT"), port=0, history=600) as exchange:
        yield exchange


@pytest.fixture
async def provider(simulator: ExchangeSimulator) -> AsyncIterator[CcxtFundamentals]:
    made = CcxtFundamentals.open({"exchange": "binance", "config": simulator.ccxt_config(), "timeout": 5.0})
    yield made
    await made.close()


async def test_an_exchange_tells_price_volume_and_age_and_says_what_it_does_not(provider: CcxtFundamentals) -> None:
    found = await provider.fetch([BTC, "ETH/USDT"])
    btc = found[BTC]
    assert isinstance(provider, FundamentalsProvider)
    assert btc.origin == "ccxt:binance"
    assert btc.price is not None
    assert btc.volume_24h is not None
    assert btc.volume_24h > 0
    assert btc.first_listed is not None
    assert btc.at - 2 * DAY < btc.first_listed <= btc.at
    assert (btc.funding_rate, btc.funding_hours, btc.open_interest) == (None, None, None)
    assert btc.missing["funding_rate"] == "no perpetual of it is listed here"
    assert btc.missing["max_supply"] == "ccxt does not tell it"
    assert btc.at == found["ETH/USDT"].at
    assert fundamental(btc).measures.age_days is not None


async def test_an_unlisted_symbol_is_refused(provider: CcxtFundamentals) -> None:
    with pytest.raises(FundamentalsUnavailable, match="does not list NO/PE"):
        await provider.fetch(["NO/PE"])


async def test_no_ticker_is_an_error_and_no_candle_is_only_said(simulator: ExchangeSimulator, provider: CcxtFundamentals) -> None:
    await provider.fetch([BTC])
    simulator.inject(Status(code=503, path="/api/v3/klines", count=1))
    found = (await provider.fetch([BTC]))[BTC]
    assert found.first_listed is None
    assert "no answer" in found.missing["first_listed"]
    simulator.inject(Status(code=503, path="/api/v3/ticker/24hr", count=1))
    with pytest.raises(FundamentalsUnavailable, match=f"the ticker of {BTC}"):
        await provider.fetch([BTC])


class Derivatives(ccxt.binance):  # type: ignore[misc]  # ccxt is untyped
    """What the simulator does not have: a perpetual. Its answers are made up; only their shape is ccxt's."""

    interest: Mapping[str, Any] = {"openInterestAmount": 3.0, "openInterestValue": None}

    async def fetch_funding_rate(self, symbol: str, params: object = None) -> Mapping[str, Any]:
        return {"symbol": symbol, "fundingRate": -0.0002, "interval": "4h"}

    async def fetch_open_interest(self, symbol: str, params: object = None) -> Mapping[str, Any]:
        return self.interest


async def test_funding_and_open_interest_are_the_perpetuals(simulator: ExchangeSimulator) -> None:
    exchange = Derivatives(simulator.ccxt_config())
    try:
        await exchange.load_markets()
        exchange.markets[f"{BTC}:USDT"] = {"symbol": f"{BTC}:USDT", "swap": True}
        found = (await CcxtFundamentals(exchange, clock=lambda: AT).fetch([BTC]))[BTC]
        assert (found.funding_rate, found.funding_hours) == (-0.0002, 4.0)
        assert found.price is not None
        assert found.open_interest == pytest.approx(3.0 * found.price)
        exchange.interest = {"openInterestAmount": None}
        found = (await CcxtFundamentals(exchange, clock=lambda: AT).fetch([BTC]))[BTC]
        assert found.missing["open_interest"] == "the answer does not have it"
    finally:
        await exchange.close()


async def test_a_venue_that_gives_only_its_newest_candles_does_not_tell_the_age(simulator: ExchangeSimulator) -> None:
    class Heedless(ccxt.binance):  # type: ignore[misc]  # ccxt is untyped
        async def fetch_ohlcv(self, *_: object, **__: object) -> Sequence[Sequence[float]]:
            return [[AT - n * DAY, 1, 1, 1, 1, 1] for n in range(9, -1, -1)]

    exchange = Heedless(simulator.ccxt_config())
    try:
        found = (await CcxtFundamentals(exchange, clock=lambda: AT).fetch([BTC]))[BTC]
        assert found.first_listed is None
        assert found.missing["first_listed"] == "the venue gives only its newest candles"
    finally:
        await exchange.close()


@pytest.mark.parametrize("settings", [{"exchange": "nowhere"}, {"config": 3}, {"timeout": 0}, {"timeout": "soon"}])
def test_impossible_settings_are_refused(settings: Mapping[str, object]) -> None:
    with pytest.raises(FundamentalsUnavailable):
        CcxtFundamentals.open(settings)


class Invented:
    """A provider of someone else's."""

    name = "invented"

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = settings

    async def fetch(self, symbols: Sequence[str]) -> Mapping[str, Fundamentals]:
        return {symbol: Fundamentals(symbol, AT, self.name, market_cap=1.0) for symbol in symbols}

    async def close(self) -> None:
        """Hold nothing."""


def no_provider(_: Mapping[str, object]) -> object:
    return object()


def test_a_plug_in_is_opened_by_name_and_what_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    group, here = "arbiter.fundamentals", __name__
    plugins = EntryPoints(
        [
            EntryPoint("invented", f"{here}:Invented", group),
            EntryPoint("wrong", f"{here}:no_provider", group),
            EntryPoint("gone", "not_there_at_all:open", group),
        ]
    )
    monkeypatch.setattr("sources.analysis.providers.entry_points", lambda group: plugins.select(group=group))
    assert open_provider("invented", {"key": "x"}).name == "invented"
    assert open_provider("ccxt", {"exchange": "kraken"}).name == "ccxt:kraken"
    with pytest.raises(FundamentalsUnavailable, match="no FundamentalsProvider"):
        open_provider("wrong", {})
    with pytest.raises(FundamentalsUnavailable, match="cannot be opened: ModuleNotFoundError"):
        open_provider("gone", {})
    with pytest.raises(FundamentalsUnavailable, match="ccxt, gone, invented, wrong"):
        open_provider("other", {})


def test_the_exchange_library_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, sources.analysis.report, sources.analysis.providers_ccxt; sys.exit('ccxt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
