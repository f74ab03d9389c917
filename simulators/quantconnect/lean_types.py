"""The words of LEAN's Python API: enumerations, symbols, bars, slices and insights, as far as the stand-in knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Generic, Self, TypeVar
from zoneinfo import ZoneInfo

V = TypeVar("V")

QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "EUR", "GBP", "JPY", "TRY", "BRL", "USD", "BTC", "ETH", "BNB", "DAI")
"""Quote currencies by which a ticker is cut, the longest that fits first."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CODES = {"usa": 1, "fxcm": 2, "oanda": 3, "bitfinex": 5, "kraken": 13, "binance": 16, "binanceus": 36}
_CODES |= {"bybit": 37, "coinbase": 38, "dydx": 42}


class Resolution(IntEnum):
    """Length of the bars of a subscription."""

    TICK = 0
    SECOND = 1
    MINUTE = 2
    HOUR = 3
    DAILY = 4

    @property
    def milliseconds(self) -> int:
        """Length of one bar; a tick counts as a second."""
        return (1_000, 1_000, 60_000, 3_600_000, 86_400_000)[self]


class SecurityType(IntEnum):
    """LEAN's numbers of the asset classes."""

    BASE = 0
    EQUITY = 1
    FOREX = 4
    CFD = 6
    CRYPTO = 7
    CRYPTO_FUTURE = 11


class InsightDirection(IntEnum):
    """Where an insight points."""

    DOWN = -1
    FLAT = 0
    UP = 1


class InsightType(IntEnum):
    """What an insight is about."""

    PRICE = 0
    VOLATILITY = 1


class MovingAverageType(IntEnum):
    """The kinds of average that the stand-in computes."""

    SIMPLE = 0
    EXPONENTIAL = 1
    WILDERS = 2


class AccountType(IntEnum):
    """Cash accounts cannot be short."""

    MARGIN = 0
    CASH = 1


class OrderType(IntEnum):
    """LEAN's numbers of the order types."""

    MARKET = 0
    LIMIT = 1
    STOP_MARKET = 2


class OrderStatus(IntEnum):
    """LEAN's numbers of the order states."""

    NEW = 0
    SUBMITTED = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELED = 5
    NONE = 6
    INVALID = 7


class OrderDirection(IntEnum):
    """Side of an order."""

    BUY = 0
    SELL = 1
    HOLD = 2


class DayOfWeek(IntEnum):
    """.NET's numbers: Sunday is 0."""

    SUNDAY = 0
    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6


class Market:
    """Names of the markets."""

    USA = "usa"
    BINANCE = "binance"
    BINANCE_US = "binanceus"
    BITFINEX = "bitfinex"
    BYBIT = "bybit"
    COINBASE = "coinbase"
    DYDX = "dydx"
    FXCM = "fxcm"
    KRAKEN = "kraken"
    OANDA = "oanda"


class BrokerageName:
    """Names of the brokerage models; the stand-in only notes them."""

    DEFAULT = "default"
    QUANTCONNECT_BROKERAGE = "quantconnect"
    INTERACTIVE_BROKERS_BROKERAGE = "interactive-brokers"
    OANDA_BROKERAGE = "oanda"
    BINANCE = "binance"
    BINANCE_FUTURES = "binance-futures"
    BYBIT = "bybit"
    BITFINEX = "bitfinex"
    COINBASE = "coinbase"
    KRAKEN = "kraken"


class TimeZones:
    """The time zones that a run can be in."""

    UTC = "UTC"
    NEW_YORK = "America/New_York"
    CHICAGO = "America/Chicago"
    LONDON = "Europe/London"
    PARIS = "Europe/Paris"
    TOKYO = "Asia/Tokyo"
    HONG_KONG = "Asia/Hong_Kong"


class SecurityIdentifier:
    """The text that tells a security from every other, such as `BTCUSDT 18N`."""

    def __init__(self, symbol: str, market: str, security_type: SecurityType) -> None:
        self.symbol, self.market, self.security_type = symbol, market, security_type

    def __str__(self) -> str:
        if self.security_type is SecurityType.EQUITY:
            return f"{self.symbol} R735QTJ8XC9X"
        number, text = 100 * _CODES.get(self.market, 0) + self.security_type, ""
        while number:
            number, digit = divmod(number, 36)
            text = _DIGITS[digit] + text
        return f"{self.symbol} {text}"


class Symbol:
    """A security; equal to another of the same identifier, and found by its ticker in every mapping of the API."""

    def __init__(self, value: str, security_type: SecurityType, market: str) -> None:
        self.value, self.security_type = value.upper(), security_type
        self.id = SecurityIdentifier(self.value, market, security_type)
        self._key = str(self.id)

    @classmethod
    def create(cls, ticker: str, security_type: SecurityType, market: str) -> Self:
        """As LEAN makes one."""
        return cls(ticker, security_type, market)

    @property
    def unified(self) -> str:
        """The name by which the market knows it, such as `BTC/USDT`; `ValueError` when the quote currency is not known."""
        if self.security_type is SecurityType.EQUITY:
            return f"{self.value}/USD"
        quote = next((quote for quote in QUOTES if self.value.endswith(quote) and len(self.value) > len(quote)), None)
        if quote is None:
            message = f"{self.value} ends in no known quote currency ({', '.join(QUOTES)})"
            raise ValueError(message)
        return f"{self.value[: -len(quote)]}/{quote}"

    @property
    def quote(self) -> str:
        """Its quote currency."""
        return self.unified.partition("/")[2]

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Symbol) else self.value == other

    def __hash__(self) -> int:
        return hash(self.value)

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return self._key

    def as_json(self) -> dict[str, str]:
        """As REST answers write it."""
        return {"value": self.value, "id": self._key, "permtick": self.value}


class BySymbol(dict[Symbol, V], Generic[V]):
    """A mapping by symbol that also takes a ticker, with LEAN's word for `in`."""

    def contains_key(self, symbol: Symbol | str) -> bool:
        """Whether there is something of the symbol."""
        return symbol in self


class TradeBar:
    """Open, high, low, close and volume from `time` to `end_time`, naive times of the security's exchange."""

    __slots__ = ("close", "end_ms", "end_time", "high", "low", "open", "period", "symbol", "time", "volume")

    def __init__(
        self, symbol: Symbol, end_ms: int, length_ms: int, o: float, h: float, low: float, c: float, volume: float, zone: ZoneInfo
    ) -> None:
        self.symbol, self.end_ms = symbol, end_ms
        self.end_time = naive(end_ms, zone)
        self.period = timedelta(milliseconds=length_ms)
        self.time = naive(end_ms - length_ms, zone)
        self.open, self.high, self.low, self.close, self.volume = o, h, low, c, volume

    @property
    def value(self) -> float:
        """The close."""
        return self.close

    @property
    def price(self) -> float:
        """The close."""
        return self.close


class Slice:
    """What is new at one moment: a bar of each symbol that has one. `quote_bars` are the same bars."""

    def __init__(self, time: datetime, utc_time: datetime, bars: BySymbol[TradeBar]) -> None:
        self.time, self.utc_time, self.bars, self.quote_bars = time, utc_time, bars, bars

    def contains_key(self, symbol: Symbol | str) -> bool:
        """Whether there is something of the symbol."""
        return symbol in self.bars

    def get(self, symbol: Symbol | str, default: TradeBar | None = None) -> TradeBar | None:
        """The bar of a symbol, if there is one."""
        return self.bars.get(symbol, default)  # type: ignore[arg-type]  # a ticker equals its symbol

    @property
    def has_data(self) -> bool:
        """Whether there is any bar."""
        return bool(self.bars)

    def keys(self) -> list[Symbol]:
        """The symbols that have a bar."""
        return list(self.bars)

    def values(self) -> list[TradeBar]:
        """The bars."""
        return list(self.bars.values())

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.bars

    def __getitem__(self, symbol: Symbol) -> TradeBar:
        return self.bars[symbol]

    def __iter__(self) -> Iterator[Symbol]:
        return iter(self.bars)


class Insight:
    """A prediction; what LEAN fills in when it is emitted (id, times, reference) is empty before."""

    def __init__(
        self,
        symbol: Symbol,
        period: timedelta,
        direction: InsightDirection,
        magnitude: float | None = None,
        confidence: float | None = None,
        source_model: str | None = None,
        weight: float | None = None,
        tag: str = "",
    ) -> None:
        self.symbol, self.period, self.direction = symbol, period, InsightDirection(direction)
        self.type = InsightType.PRICE
        self.magnitude, self.confidence, self.weight = magnitude, confidence, weight
        self.source_model, self.tag = source_model, tag or ""
        self.id = ""
        self.generated_ms = self.close_ms = 0
        self.reference = self.reference_final = 0.0
        self.score_final = False
        self.score_direction = 0.0

    @classmethod
    def price(cls, symbol: Symbol, period: timedelta | Resolution, *given: Any, **named: Any) -> Insight:
        """A prediction of the price: (symbol, period, direction, magnitude, confidence, source_model, weight, tag).

        Instead of the period a resolution and a number of bars may be given.
        """
        if isinstance(period, Resolution):
            period, given = timedelta(milliseconds=period.milliseconds * int(given[0])), given[1:]
        return cls(symbol, period, *given, **named)

    @property
    def generated_time_utc(self) -> datetime:
        """When it was emitted, naive UTC."""
        return naive(self.generated_ms, UTC_ZONE)

    @property
    def close_time_utc(self) -> datetime:
        """When it ends, naive UTC."""
        return naive(self.close_ms, UTC_ZONE)

    @property
    def reference_value(self) -> float:
        """The price when it was emitted."""
        return self.reference

    def as_json(self) -> dict[str, object]:
        """As REST answers write it."""
        return {
            "id": self.id,
            "groupId": None,
            "sourceModel": self.source_model,
            "generatedTime": self.generated_ms // 1000,
            "closeTime": self.close_ms // 1000,
            "symbol": str(self.symbol.id),
            "ticker": self.symbol.value,
            "type": "price",
            "reference": self.reference,
            "referenceFinal": self.reference_final,
            "direction": self.direction.name.lower(),
            "period": int(self.period.total_seconds()),
            "magnitude": self.magnitude,
            "confidence": self.confidence,
            "weight": self.weight,
            "scoreFinal": self.score_final,
            "scoreDirection": self.score_direction,
            "scoreMagnitude": 0,
            "estimatedValue": 0,
            "tag": self.tag,
        }


class InsightCollection:
    """The insights of one emission, and when that was."""

    def __init__(self, date_time_utc: datetime, insights: list[Insight]) -> None:
        self.date_time_utc, self.insights = date_time_utc, insights


class Event:
    """An event in the manner of .NET: `+=` adds a handler."""

    def __init__(self) -> None:
        self._handlers: list[Callable[..., object]] = []

    def __iadd__(self, handler: Callable[..., object]) -> Self:
        self._handlers.append(handler)
        return self

    def __call__(self, *given: object) -> None:
        """Call every handler."""
        for handler in list(self._handlers):
            handler(*given)


UTC_ZONE = ZoneInfo("UTC")
ZONES = {
    name: ZoneInfo(name)
    for name in (value for key, value in vars(TimeZones).items() if not key.startswith("_") and isinstance(value, str))
}
"""Loaded at import: later on there is no file to read them from."""


def naive(ms: int, zone: ZoneInfo) -> datetime:
    """A moment as LEAN shows it: the wall clock of a zone, without saying which."""
    if zone is UTC_ZONE:
        return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
    return datetime.fromtimestamp(ms / 1000, zone).replace(tzinfo=None)


def milliseconds(moment: datetime, zone: ZoneInfo) -> int:
    """The moment at which the wall clock of a zone shows this."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return round(aware.timestamp() * 1000)
