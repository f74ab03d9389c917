"""Fundamentals from an exchange through ccxt: price, volume, funding, open interest and age. Supply no exchange tells.

ccxt is untyped: the exchange is `Any` here. It is whoever opened it who closes it, unless this did. Funding and open interest are
those of the linear perpetual of the same pair (`BTC/USDT:USDT`), which a venue opened for spot alone does not list.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from sources.analysis.fundamental import Fundamentals
from sources.analysis.providers import FundamentalsUnavailable

_log = structlog.get_logger(__name__)

_SUPPLY = ("circulating_supply", "total_supply", "max_supply", "market_cap", "transferred_24h")
_FIRST_ROWS = 10
_DAY_MS = 86_400_000


class CcxtFundamentals:
    """A `FundamentalsProvider` on a ccxt exchange (asyncio); `timeout` bounds each question, in seconds.

    `clock` gives ms UTC. With `owned`, closing this closes the exchange.
    """

    def __init__(
        self, exchange: Any, *, timeout: float = 10.0, clock: Callable[[], int] | None = None, owned: bool = False
    ) -> None:
        self._exchange = exchange
        self._timeout = timeout
        self._clock = clock or _wall_ms
        self._owned = owned

    @classmethod
    def open(cls, settings: Mapping[str, object]) -> CcxtFundamentals:
        """On an exchange of its own: `exchange` is ccxt's id, `config` goes to its constructor, `timeout` is in seconds.

        Raises `FundamentalsUnavailable` if ccxt has no such exchange.
        """
        import ccxt.async_support as ccxt  # noqa: PLC0415 - a second of import time that --help must not pay

        name, config, timeout = settings.get("exchange", "binance"), settings.get("config", {}), settings.get("timeout", 10.0)
        if not isinstance(name, str) or name not in ccxt.exchanges or not isinstance(config, Mapping):
            message = f"exchange = {name!r} is no exchange of ccxt, or its config is no mapping: see ccxt's list"
            raise FundamentalsUnavailable(message)
        if not isinstance(timeout, int | float) or not timeout > 0:
            message = f"timeout = {timeout!r} is no number of seconds above 0"
            raise FundamentalsUnavailable(message)
        return cls(getattr(ccxt, name)({"enableRateLimit": True, **config}), timeout=float(timeout), owned=True)

    @property
    def name(self) -> str:
        """The exchange, by way of ccxt."""
        return f"ccxt:{self._exchange.id}"

    async def close(self) -> None:
        """Close the exchange, if it is this one's own."""
        if self._owned:
            await self._exchange.close()

    async def fetch(self, symbols: Sequence[str]) -> Mapping[str, Fundamentals]:
        """What the exchange tells of each symbol.

        Raises `FundamentalsUnavailable` if the markets or a ticker are not to be had; all else that fails is None and said.
        """
        if not self._exchange.markets:
            await self._must("the markets", self._exchange.load_markets)
        found = {symbol: await self._one(symbol) for symbol in symbols}
        at = self._clock()
        # One moment for all: a peer that was asked a second later is a peer all the same.
        return {symbol: replace(each, at=at) for symbol, each in found.items()}

    async def _one(self, symbol: str) -> Fundamentals:
        if symbol not in self._exchange.markets:
            message = f"{self.name} does not list {symbol}: symbols are written like BTC/USDT"
            raise FundamentalsUnavailable(message)
        ticker = await self._must(f"the ticker of {symbol}", lambda: self._exchange.fetch_ticker(symbol))
        missing = dict.fromkeys(_SUPPLY, "ccxt does not tell it")
        price, volume = _number(ticker.get("last")), _number(ticker.get("quoteVolume"))
        for name, value in (("price", price), ("volume_24h", volume)):
            if value is None:
                missing[name] = "the ticker does not have it"
        rate, hours = await self._funding(symbol, missing)
        interest = await self._interest(symbol, price, missing)
        listed = await self._listed(symbol, missing)
        return Fundamentals(
            symbol,
            self._clock(),
            self.name,
            price=price,
            volume_24h=volume,
            funding_rate=rate,
            funding_hours=hours,
            open_interest=interest,
            first_listed=listed,
            missing=missing,
        )

    async def _funding(self, symbol: str, missing: dict[str, str]) -> tuple[float | None, float | None]:
        found = await self._of_perpetual(symbol, "fetchFundingRate", ("funding_rate", "funding_hours"), missing)
        rate = _number(found.get("fundingRate")) if found else None
        hours = _hours(found.get("interval")) if found else None
        if found and rate is None:
            missing["funding_rate"] = "the answer does not have it"
        if found and hours is None:
            missing["funding_hours"] = "the answer does not say how often it is paid"
        return rate, hours

    async def _interest(self, symbol: str, price: float | None, missing: dict[str, str]) -> float | None:
        """As a value: where the venue counts coins, at the last price."""
        found = await self._of_perpetual(symbol, "fetchOpenInterest", ("open_interest",), missing)
        if not found:
            return None
        value, amount = _number(found.get("openInterestValue")), _number(found.get("openInterestAmount"))
        if value is None and amount is not None and price is not None:
            value = amount * price
        if value is None:
            missing["open_interest"] = "the answer does not have it"
        return value

    async def _of_perpetual(
        self, symbol: str, method: str, names: Sequence[str], missing: dict[str, str]
    ) -> Mapping[str, Any] | None:
        """Ask something of the symbol's perpetual; None, and why, if there is none or no answer."""
        perpetual = f"{symbol}:{symbol.partition('/')[2]}"
        if perpetual not in self._exchange.markets:
            reason: str | None = "no perpetual of it is listed here"
        elif not self._exchange.has.get(method):
            reason = f"ccxt has no {method} here"
        else:
            asked = {"fetchFundingRate": "fetch_funding_rate", "fetchOpenInterest": "fetch_open_interest"}[method]
            answer, reason = await self._may(method, lambda: getattr(self._exchange, asked)(perpetual))
            if isinstance(answer, Mapping):
                return answer
        for name in names:
            missing[name] = reason or "the answer cannot be read"
        return None

    async def _listed(self, symbol: str, missing: dict[str, str]) -> int | None:
        """When the symbol was first traded: the venue's word, else its first daily candle."""
        created = (self._exchange.markets[symbol] or {}).get("created")
        if isinstance(created, int) and created > 0:
            return created
        reason: str | None = "ccxt has no candles here"
        rows: object = None
        if self._exchange.has.get("fetchOHLCV"):
            rows, reason = await self._may("fetchOHLCV", lambda: self._exchange.fetch_ohlcv(symbol, "1d", 0, _FIRST_ROWS))
        first = min((int(row[0]) for row in rows), default=None) if isinstance(rows, Sequence) else None
        full = isinstance(rows, Sequence) and len(rows) >= _FIRST_ROWS
        if first is not None and full and first > self._clock() - (_FIRST_ROWS + 1) * _DAY_MS:
            # A venue that pays no heed to `since` answers with its newest candles.
            first, reason = None, "the venue gives only its newest candles"
        if first is None:
            missing["first_listed"] = reason or "the venue has no candle of it"
        return first

    async def _must(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        answer, reason = await self._may(what, ask)
        if reason is not None:
            message = f"{self.name} did not give {what}: {reason}; check the network and the symbol"
            raise FundamentalsUnavailable(message)
        return answer

    async def _may(self, what: str, ask: Callable[[], Awaitable[Any]]) -> tuple[Any, str | None]:
        """An answer, or why there is none."""
        import ccxt  # noqa: PLC0415 - loaded with the exchange

        try:
            async with asyncio.timeout(self._timeout):
                return await ask(), None
        except (TimeoutError, ccxt.BaseError, LookupError, TypeError, ValueError) as error:
            # ccxt lets errors of its parsing through where an answer is not what it expects.
            _log.warning("fundamentals_not_told", exchange=self._exchange.id, what=what, error=type(error).__name__)
            return None, f"no answer ({type(error).__name__})"


def _number(value: object) -> float | None:
    """A finite number; ccxt gives None, and sometimes text."""
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever it is, it is a number or raises
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None


def _hours(interval: object) -> float | None:
    """Hours of ccxt's funding interval, such as `8h`."""
    if not isinstance(interval, str) or interval[-1:] != "h":
        return None
    return _number(interval[:-1])


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
