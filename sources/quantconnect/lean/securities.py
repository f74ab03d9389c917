"""Securities, markets and candles in LEAN's words: what a configuration's symbol is subscribed as, and at which resolution."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from bot.core.market import timeframe_ms
from sources.quantconnect.lean.config import AssetClass, BacktestConfig
from sources.quantconnect.lean.errors import LeanError
from sources.quantconnect.mapping import ticker_of

DAY_MS = 86_400_000
RESOLUTIONS = {"DAILY": DAY_MS, "HOUR": 3_600_000, "MINUTE": 60_000, "SECOND": 1_000}
"""LEAN's bars by name, the longest first (ms)."""

MARKETS = {
    "binance": "BINANCE",
    "binanceus": "BINANCE_US",
    "bitfinex": "BITFINEX",
    "bybit": "BYBIT",
    "coinbase": "COINBASE",
    "fxcm": "FXCM",
    "kraken": "KRAKEN",
    "oanda": "OANDA",
    "usa": "USA",
}
"""Names of `Market`; others are given as texts."""

_BROKERAGES = {
    "binance": "BINANCE",
    "binanceus": "BINANCE_US",
    "bitfinex": "BITFINEX",
    "bybit": "BYBIT",
    "coinbase": "COINBASE",
    "kraken": "KRAKEN",
    "oanda": "OANDA_BROKERAGE",
    "usa": "INTERACTIVE_BROKERS_BROKERAGE",
}
_ADD = {
    AssetClass.CRYPTO: "add_crypto",
    AssetClass.CRYPTO_FUTURE: "add_crypto_future",
    AssetClass.EQUITY: "add_equity",
    AssetClass.FOREX: "add_forex",
    AssetClass.CFD: "add_cfd",
}


@dataclass(frozen=True, slots=True)
class Subscription:
    """How a security is added: the method, its ticker and market, the name of the brokerage model.

    `cash` says that the account cannot borrow, `quotes` that its bars are quote bars, as forex and cfds have them.
    """

    add: str
    ticker: str
    market: str
    brokerage: str
    cash: bool
    quotes: bool


@dataclass(frozen=True, slots=True)
class Bars:
    """The bars of a timeframe: `count` bars of `resolution` (a name of LEAN's) make a candle of `length` ms."""

    resolution: str
    count: int
    length: int

    @property
    def joined(self) -> bool:
        """Whether LEAN has no such bars of its own."""
        return self.count > 1

    @property
    def spare(self) -> int:
        """Candles to warm up with besides those the strategy needs: the first of a length that cuts days in pieces is one."""
        return 0 if DAY_MS % self.length == 0 else 1


def subscription_of(config: BacktestConfig) -> Subscription:
    """How the configuration's symbol is added; `LeanError` where symbol, asset class and market do not go together."""
    symbol, kind, market = config.symbol.strip(), config.asset_class, config.market.strip().lower()
    base, _, rest = symbol.partition("/")
    quote, _, settled = rest.partition(":")
    ticker = ticker_of(symbol)
    if not ticker or len(ticker) > 64 or not all(letter.isalnum() or letter in ".-" for letter in ticker):
        raise LeanError("backtest", "symbol", config.symbol, "is no symbol; write it as BTC/USDT, an equity as SPY")
    if kind is not AssetClass.EQUITY and kind is not AssetClass.CFD and not (base and quote):
        raise LeanError("backtest", "symbol", config.symbol, f"a {kind} is a pair; write it as BTC/USDT")
    if kind is AssetClass.EQUITY and rest:
        raise LeanError("backtest", "symbol", config.symbol, "is a pair; give asset_class: crypto, or an equity's ticker")
    if kind is AssetClass.CRYPTO and settled:
        raise LeanError("backtest", "symbol", config.symbol, "is a perpetual; give asset_class: crypto-future")
    if not market or len(market) > 32:
        raise LeanError("backtest", "market", config.market, f"name a market, such as {', '.join(MARKETS)}")
    if kind in {AssetClass.FOREX, AssetClass.CFD, AssetClass.EQUITY} and market in {"binance", "coinbase", "kraken", "bitfinex"}:
        remedy = f"has no {kind}; give market: {'usa' if kind is AssetClass.EQUITY else 'oanda'}"
        raise LeanError("backtest", "market", config.market, remedy)
    if kind in {AssetClass.CRYPTO, AssetClass.CRYPTO_FUTURE} and market in {"usa", "oanda", "fxcm"}:
        raise LeanError("backtest", "market", config.market, f"has no {kind}; give market: binance, or another exchange")
    brokerage = _BROKERAGES.get(market, "DEFAULT")
    if kind is AssetClass.CRYPTO_FUTURE and market == "binance":
        brokerage = "BINANCE_FUTURES"
    quotes = kind in {AssetClass.FOREX, AssetClass.CFD}
    return Subscription(_ADD[kind], ticker, market, brokerage, kind is AssetClass.CRYPTO, quotes)


def bars_of(timeframe: str) -> Bars:
    """The longest of LEAN's bars that make up the timeframe's candles."""
    length = timeframe_ms(timeframe)
    resolution = next(name for name, bar in RESOLUTIONS.items() if length % bar == 0)
    return Bars(resolution, length // RESOLUTIONS[resolution], length)


def span(milliseconds: int) -> str:
    """A `timedelta` as Python text, in the largest unit that fits."""
    for unit, length in (("days", DAY_MS), ("hours", 3_600_000), ("minutes", 60_000)):
        if milliseconds % length == 0:
            return f"timedelta({unit}={milliseconds // length})"
    return f"timedelta(seconds={timedelta(milliseconds=milliseconds).total_seconds():g})"
