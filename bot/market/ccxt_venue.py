"""A venue behind ccxt: opened within a bounded time, described in our own terms, closed without a leak.

ccxt is untyped: its objects are `Any` here and in the neighbouring `ccxt_*` modules, and nowhere else.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from statistics import median
from types import ModuleType
from typing import Any

import structlog

from bot.core.market import Instrument, timeframe_ms

_log = structlog.get_logger(__name__)

# ccxt's precisionMode.
_DECIMAL_PLACES, _TICK_SIZE = 2, 4
_DEFAULT_FEE = Decimal("0.001")
_FINEST_STEP = Decimal("1e-8")
_CLOSE_TIMEOUT_S = 2.0
_LOAD_PAUSES_S = (0.5, 1.0)


class VenueError(Exception):
    """Something about a venue; the message names it and the remedy."""


class UnknownExchange(VenueError):  # noqa: N818 - it names what is wrong
    """No exchange of ccxt has this id."""


class VenueUnreachable(VenueError):  # noqa: N818 - it names what is wrong
    """The venue did not answer within the time allowed."""


class UnknownSymbol(VenueError):  # noqa: N818 - it names what is wrong
    """The venue does not list this symbol, or not for spot trading."""


DeriveClass = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class VenueConfig:
    """Which exchange, and how ccxt is to be set up.

    `config` is handed to ccxt's constructor, deep-merged over its own description (`urls`, `options`, `timeout` in ms, ...);
    URLs given here win over the sandbox's. `reach_timeout` bounds (in seconds) how long opening may take. `derive` may turn
    ccxt's exchange class into a subclass, before whoever opens it does.
    """

    exchange: str
    config: Mapping[str, Any] = field(default_factory=dict)
    sandbox: bool = False
    reach_timeout: float = 10.0
    clock_samples: int = 3
    derive: DeriveClass | None = None


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Venue time minus local time, ms: the median over `samples` round trips, whose median length is `round_trip` ms."""

    offset: int
    round_trip: float
    samples: int


@dataclass(slots=True)
class CcxtVenue:
    """An open venue. `exchange` is the ccxt instance; it serves market data only (trading has another, with its own limiter)."""

    id: str
    exchange: Any
    clock: Callable[[], int]
    offset: ClockOffset | None = None
    _instruments: dict[str, Instrument] = field(default_factory=dict)

    @classmethod
    async def open(
        cls,
        config: VenueConfig,
        *,
        derive: DeriveClass | None = None,
        clock: Callable[[], int] | None = None,
    ) -> CcxtVenue:
        """Load the venue's markets and measure its clock.

        `derive` may turn ccxt's exchange class into a subclass of it. Raises `UnknownExchange`, or `VenueUnreachable` within
        `reach_timeout`; nothing stays open then.
        """
        ccxt = _ccxt()
        venue = cls(config.exchange, _instance(ccxt, config, derive), clock or _wall_ms)
        try:
            async with asyncio.timeout(config.reach_timeout):
                await venue._load(ccxt)
                await venue.measure_clock(config.clock_samples)
        except TimeoutError as error:
            await venue.close()
            message = f"{config.exchange} did not answer within {config.reach_timeout:g} s: check the network, or use --demo"
            raise VenueUnreachable(message) from error
        except ccxt.BaseError as error:
            await venue.close()
            message = f"{config.exchange} cannot be reached ({_brief(error)}): check the network and exchange.urls, or use --demo"
            raise VenueUnreachable(message) from error
        except BaseException:
            await venue.close()
            raise
        return venue

    async def _load(self, ccxt: ModuleType) -> None:
        """Load the markets. One lost packet or garbled answer must not send the bot into the simulated world, or end it."""
        for pause in (*_LOAD_PAUSES_S, None):
            try:
                await self._list(ccxt)
            except ccxt.BaseError as error:
                passing = isinstance(error, (ccxt.OperationFailed, ccxt.BadResponse)) or type(error) is ccxt.ExchangeError
                if pause is None or not passing:
                    raise
                _log.warning("markets_not_loaded", venue=self.id, error=_brief(error))
                await asyncio.sleep(pause)
            else:
                return

    async def _list(self, ccxt: ModuleType) -> None:
        """Ask for the markets; those known before stay unless there is an answer.

        ccxt makes an empty list of an answer that it cannot read: taken at its word, every symbol would be delisted.
        """
        exchange = self.exchange
        before, currencies = list((exchange.markets or {}).values()), exchange.currencies
        try:
            await exchange.load_markets(reload=True)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            message = f"{self.id} answered with something that is no list of markets ({type(error).__name__})"
            raise ccxt.BadResponse(message) from error
        if not exchange.markets:
            if before:
                exchange.set_markets(before, currencies)
            message = f"{self.id} listed no market at all"
            raise ccxt.BadResponse(message)

    async def measure_clock(self, samples: int = 3) -> ClockOffset | None:
        """Measure the venue's clock by round trips; None (with a log line) where the venue has no clock or does not answer."""
        if not self.exchange.has.get("fetchTime"):
            return None
        trips: list[tuple[float, float]] = []
        for _ in range(samples):
            # The limiter must not wait inside the measured round trip.
            await asyncio.sleep(self.exchange.rateLimit / 1000)
            before, begun = self.clock(), time.perf_counter()
            try:
                theirs = await self.exchange.fetch_time()
            except _ccxt().BaseError as error:
                _log.warning("clock_not_measured", venue=self.id, error=_brief(error))
                continue
            trip = (time.perf_counter() - begun) * 1000
            if isinstance(theirs, int | float):  # ccxt makes None of an answer that it cannot read
                trips.append((theirs - (before + trip / 2), trip))
        if not trips:
            return None
        offset = ClockOffset(round(median(o for o, _ in trips)), round(median(t for _, t in trips), 3), len(trips))
        self.offset = offset
        return offset

    def now(self) -> int:
        """The venue's time, ms UTC, as well as it is known."""
        return self.clock() + (self.offset.offset if self.offset else 0)

    @property
    def timeframes(self) -> tuple[str, ...]:
        """Timeframes of the venue's own candles, shortest first; empty if it has none."""
        if not self.exchange.has.get("fetchOHLCV"):
            return ()
        known = [name for name in self.exchange.timeframes or {} if _is_timeframe(name)]
        return tuple(sorted(known, key=timeframe_ms))

    def has(self, method: str) -> bool:
        """Whether ccxt says that the venue has a method, such as `watchTrades`."""
        return bool(self.exchange.has.get(method))

    def instrument(self, symbol: str) -> Instrument:
        """What the venue says of a symbol. Raises `UnknownSymbol` with near matches."""
        if symbol not in self._instruments:
            market = self.exchange.markets.get(symbol)
            if market is None or not market.get("spot", True):
                raise UnknownSymbol(self._unknown(symbol))
            self._instruments[symbol] = _instrument(market, self.exchange.precisionMode)
        return self._instruments[symbol]

    def instruments(self, symbols: Sequence[str]) -> dict[str, Instrument]:
        """The instruments of several symbols."""
        return {symbol: self.instrument(symbol) for symbol in symbols}

    async def refresh(self, symbols: Sequence[str]) -> list[Instrument]:
        """Ask the venue for its symbols anew; the instruments of these that have changed. One it lists no more is not active.

        Raises what ccxt does when the venue does not answer.
        """
        before = self.instruments(symbols)
        await self._list(_ccxt())
        self._instruments.clear()
        for symbol, known in before.items():
            if symbol not in self.exchange.markets:
                self._instruments[symbol] = replace(known, active=False)
        return [self.instrument(symbol) for symbol in symbols if self.instrument(symbol) != before[symbol]]

    def _unknown(self, symbol: str) -> str:
        listed = [name for name, market in self.exchange.markets.items() if market.get("spot", True)]
        near = difflib.get_close_matches(symbol.upper(), listed, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "symbols are written like BTC/USDT"
        return f"symbols: {symbol!r} is not a spot symbol of {self.id}: {hint}"

    async def drop(self, client: Any) -> None:
        """Close one websocket client for good, also if its peer is silent."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await client.aiohttp_close()
        except Exception as error:  # noqa: BLE001 - a socket that will not close politely must not stop the feed
            _log.debug("socket_closed_hard", url=client.url, error=_brief(error))

    async def close(self) -> None:
        """Close every socket and session."""
        clients = list((self.exchange.clients or {}).values())
        self.exchange.clients = {}
        for client in clients:
            client.error = ConnectionError("closed by the owner")
            for future in client.futures.values():
                future.cancel()
        await asyncio.gather(*(self.drop(client) for client in clients))
        self.exchange.timeout_on_exit = 0
        await self.exchange.close()


def _ccxt() -> ModuleType:
    import ccxt.pro  # noqa: PLC0415 - a second of import time that --help must not pay

    module: ModuleType = ccxt.pro
    return module


def _instance(ccxt: ModuleType, config: VenueConfig, derive: DeriveClass | None) -> Any:
    base = _exchange_class(ccxt, config.exchange)
    if config.derive is not None:
        base = config.derive(base)
    settings: dict[str, Any] = {"enableRateLimit": True, "timeout": 10_000, "options": {"defaultType": "spot"}}
    if config.exchange in {"binance", "okx"}:
        # Otherwise loading the markets also asks for futures, swaps and options, which are not traded here.
        settings["options"]["fetchMarkets"] = {"types": ["spot"]}
    exchange = _heeding(derive(base) if derive else base)(_merged(settings, config.config))
    if config.sandbox:
        exchange.set_sandbox_mode(True)
        exchange.urls = exchange.deep_extend(exchange.urls, config.config.get("urls", {}))
    return exchange


def _heeding(base: Any) -> Any:
    """A subclass to which an HTTP 200 with garbage is a failure. To ccxt it is an empty list, or nothing at all."""

    def handle_errors(self: Any, code: Any, reason: Any, url: Any, method: Any, headers: Any, body: Any, *rest: Any) -> Any:
        result = base.handle_errors(self, code, reason, url, method, headers, body, *rest)
        if 200 <= int(code) < 300 and rest[0] is None and _garbled(body):
            message = f"{self.id} HTTP {code} with {len(body or '')} characters that are no answer"
            raise _ccxt().ExchangeNotAvailable(message)
        return result

    return type(base.__name__, (base,), {"handle_errors": handle_errors})


def _garbled(body: str | None) -> bool:
    """Whether a body that holds no JSON should have: it is empty, a page, or cut off. A bare number or word may be meant."""
    return (body or "").lstrip()[:1] in {"", "<", "{", "["}


def _exchange_class(ccxt: ModuleType, name: str) -> Any:
    """The class with websockets where there is one, else the one with REST alone. Raises `UnknownExchange`."""
    import ccxt.async_support as rest  # noqa: PLC0415 - loaded with ccxt.pro

    for module in (ccxt, rest):
        if name in module.exchanges:
            return getattr(module, name)
    near = difflib.get_close_matches(name, rest.exchanges, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "see ccxt's list of exchanges"
    message = f"exchange.id: {name!r} is not an exchange of ccxt: {hint}"
    raise UnknownExchange(message)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _is_timeframe(name: str) -> bool:
    try:
        return timeframe_ms(name) > 0
    except ValueError:
        return False


def _instrument(market: Mapping[str, Any], mode: int) -> Instrument:
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    amount, cost, whole = limits.get("amount") or {}, limits.get("cost") or {}, limits.get("market") or {}
    amount_step = _step(precision.get("amount"), mode)
    return Instrument(
        symbol=market["symbol"],
        base=market["base"],
        quote=market["quote"],
        price_step=_step(precision.get("price"), mode),
        amount_step=amount_step,
        min_amount=_decimal(amount.get("min")) or amount_step,
        min_cost=_decimal(cost.get("min")) or Decimal(0),
        maker_fee=_fee(market.get("maker")),
        taker_fee=_fee(market.get("taker")),
        max_amount=_decimal(amount.get("max")),
        max_market_amount=_decimal(whole.get("max")) or None,
        active=market.get("active") is not False,
    )


def _decimal(value: float | str | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _fee(value: float | str | None) -> Decimal:
    """A venue that does not say what it charges is taken to charge 0.1 %."""
    fee = _decimal(value)
    return _DEFAULT_FEE if fee is None else fee


def _step(value: float | str | None, mode: int) -> Decimal:
    """A precision of ccxt's as a step: a tick size, a number of decimals, or (significant digits, or unsaid) the finest step."""
    number = _decimal(value)
    if number is None or mode not in {_TICK_SIZE, _DECIMAL_PLACES}:
        return _FINEST_STEP
    return number if mode == _TICK_SIZE else Decimal(1).scaleb(-int(number))


def _brief(error: BaseException) -> str:
    """One short line: venues answer with whole web pages."""
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text[:160]}"


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
