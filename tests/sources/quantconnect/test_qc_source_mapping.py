"""Symbols between LEAN and the bot: what is known maps both ways, what could be two things is refused with what to write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.quantconnect.mapping import QUOTES, LeanSymbol, SymbolMap, UnmappedSymbol, read_sid, sid_of
from sources.quantconnect.models_trade import SecurityType

CRYPTO, FUTURE, FOREX, CFD = SecurityType.CRYPTO, SecurityType.CRYPTO_FUTURE, SecurityType.FOREX, SecurityType.CFD

SUFFIXES = [
    ("binance", CRYPTO, "18N"), ("binance", FUTURE, "18R"), ("coinbase", CRYPTO, "2XR"), ("gdax", CRYPTO, "XJ"),
    ("bybit", CRYPTO, "2UZ"), ("bybit", FUTURE, "2V3"), ("kraken", CRYPTO, "10B"), ("bitfinex", CRYPTO, "E3"),
    ("binanceus", CRYPTO, "2S7"), ("oanda", FOREX, "8G"), ("oanda", CFD, "8I"), ("fxcm", FOREX, "5O"),
]  # fmt: skip


@pytest.mark.parametrize(("market", "kind", "suffix"), SUFFIXES)
def test_a_computed_identifier_is_that_of_the_service_and_reads_back(market: str, kind: SecurityType, suffix: str) -> None:
    assert sid_of("BTCUSDT", market, kind) == f"BTCUSDT {suffix}"
    assert read_sid(f"BTCUSDT {suffix}") == LeanSymbol("BTCUSDT", market, kind, f"BTCUSDT {suffix}")


@pytest.mark.parametrize(
    ("symbol", "market", "ticker", "kind"),
    [
        ("BTC/USDT", "binance", "BTCUSDT", CRYPTO),
        ("BTC/USDT:USDT", "binance", "BTCUSDT", FUTURE),
        ("BTC/USD", "coinbase", "BTCUSD", CRYPTO),
        ("BTC/USD", "kraken", "BTCUSD", CRYPTO),
        ("BTC/USDT", "bitfinex", "BTCUSDT", CRYPTO),
        ("EUR/USD", "oanda", "EURUSD", FOREX),
    ],
)
def test_a_symbol_goes_to_lean_and_comes_back(symbol: str, market: str, ticker: str, kind: SecurityType) -> None:
    known = SymbolMap({})
    there = known.to_lean(symbol, market)
    assert (there.ticker, there.market, there.type) == (ticker, market, kind)
    assert known.to_bot(there.ticker, there.sid) == symbol


def test_an_equity_is_known_by_its_ticker_and_its_identifier_is_not_computed() -> None:
    known = SymbolMap({}, ["SPY"])
    assert known.to_lean("SPY", "usa") == LeanSymbol("SPY", "usa", SecurityType.EQUITY)
    assert known.to_bot("SPY", "SPY R735QTJ8XC9X") == "SPY"
    with pytest.raises(UnmappedSymbol, match="equity that the bot does not trade"):
        SymbolMap({}).to_bot("BNBBTC", "BNBBTC R735QTJ8XC9X")
    with pytest.raises(ValueError, match="look it up"):
        sid_of("SPY", "usa", SecurityType.EQUITY)


def test_the_explicit_map_goes_before_everything() -> None:
    explicit = {"BTCUSDT 18R": "BTC/USDT", "kraken:DOTUSD": "DOT/USD", "weird": "ODD/EUR"}
    known = SymbolMap(explicit, ["BTC/USDT:USDT"], markets=["binance"])
    assert known.to_bot("BTCUSDT", "BTCUSDT 18R") == "BTC/USDT"
    assert known.to_bot("dotusd", market="Kraken") == "DOT/USD"
    assert known.to_bot("WEIRD") == "ODD/EUR"
    assert known.to_lean("DOT/USD", "binance").market == "kraken"
    assert known.to_lean("BTC/USDT", "binance").sid == "BTCUSDT 18R"


def test_spot_and_future_of_one_ticker_are_ambiguous_until_the_identifier_tells() -> None:
    known = SymbolMap({}, ["BTC/USDT", "BTC/USDT:USDT"])
    with pytest.raises(
        UnmappedSymbol, match=r'BTCUSDT is ambiguous, BTC/USDT or BTC/USDT:USDT: write params.symbols: {"BTCUSDT"'
    ):
        known.to_bot("BTCUSDT")
    assert known.to_bot("BTCUSDT", "BTCUSDT 18N") == "BTC/USDT"
    assert known.to_bot("BTCUSDT", "BTCUSDT 18R") == "BTC/USDT:USDT"


def test_one_letter_that_belongs_to_either_side_is_not_guessed() -> None:
    with pytest.raises(UnmappedSymbol, match="DO/TUSD or DOT/USD"):
        SymbolMap({}).to_bot("DOTUSD")
    assert SymbolMap({}, ["DOT/USD"]).to_bot("DOTUSD") == "DOT/USD"
    assert SymbolMap({}).to_bot("BTCFDUSD") == "BTC/FDUSD"
    assert SymbolMap({}).to_bot("ETHBTC") == "ETH/BTC"


@pytest.mark.parametrize("ticker", ["", "FOOBAR", "USDT", "A" * 80, "BTC\nUSDT"])
def test_what_is_no_pair_is_refused(ticker: str) -> None:
    with pytest.raises(UnmappedSymbol):
        SymbolMap({}).to_bot(ticker)


def test_a_market_that_is_not_heard_is_refused_by_name() -> None:
    known = SymbolMap({}, ["BTC/USDT"], markets=["binance"])
    assert known.to_bot("BTCUSDT", "BTCUSDT 18N") == "BTC/USDT"
    with pytest.raises(UnmappedSymbol, match="is of coinbase, and only binance is heard"):
        known.to_bot("BTCUSDT", "BTCUSDT 2XR")


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=6), st.sampled_from(QUOTES))
def test_whatever_the_bot_trades_is_recognised_by_its_identifier(base: str, quote: str) -> None:
    symbol = f"{base}/{quote}"
    known = SymbolMap({}, [symbol])
    there = known.to_lean(symbol, "binance")
    assert known.to_bot(there.ticker, there.sid) == symbol
