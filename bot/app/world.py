"""The world a run trades in: the venue's real public data, or the embedded one, which live trading never sees.

The embedded world is a simulated exchange on loopback that the real client (ccxt) speaks to over real sockets, with simulated
services beside it (see `bot.app.embedded`). It is chosen by `--demo`, by configuration, or when the venue cannot be reached; it
has books of its own, and everything it touches says SIMULATED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from bot.app.embedded import Services, open_services
from bot.app.preload import preload
from bot.core.desk import TradingDesk
from bot.core.market import Candle
from bot.journal.run import BookKey
from bot.market.feed_config import FeedConfig, FeedSink
from bot.runtime.clock import WallClock
from bot.runtime.inbox import Inbox
from bot.services.specs import configured
from bot.settings import ConfigError, Embedded, Loaded, Problem, RunMode, RunOptions, Settings
from sources.loading import LoadedSource

if TYPE_CHECKING:
    from bot.market.ccxt_feed import CcxtFeed

log = structlog.get_logger(__name__)

EMBEDDED_SOURCES = Path("demo") / "sources"
_WARMUP_MARGIN = 16
_SHOWN = 200  # candles that a snapshot for a language model looks back on
_EMBEDDED_HISTORY = 600
_DEFAULT_SEED = 7
_EXPECTED_QUOTE_SECONDS = 3.0


@dataclass(slots=True)
class World:
    """An open world.

    `warm` are the closed candles before the first live one; `ccxt` is what ccxt was given to open it. An embedded world has
    `services` of its own.
    """

    book: BookKey
    simulated: bool
    venue: str
    market_data: str
    feed: CcxtFeed
    inbox: Inbox
    sources: list[LoadedSource]
    timeframes: tuple[str, ...]
    warm: list[Candle]
    closing: AsyncExitStack
    seed: int | None = None
    notices: list[str] = field(default_factory=list)
    ccxt: Mapping[str, Any] = field(default_factory=dict)
    services: Services | None = None

    def concerned(self, desk: TradingDesk) -> frozenset[str]:
        """Symbols whose market data matter now: those that are followed, held or have an order.

        The desk also remembers what it saw of symbols that were followed once; of these nothing comes, and nobody misses it.
        """
        held = (symbol for symbol, position in desk.portfolio.positions.items() if position.amount)
        ordered = (order.request.symbol for order in desk.state.working.values())
        return frozenset((*self.feed.instruments, *held, *ordered))

    async def close(self) -> None:
        """Close the feed, then the exchange behind it."""
        await self.closing.aclose()


async def open_world(options: RunOptions, loaded: Loaded, clock: WallClock, keyed: Callable[[str], bool]) -> World:
    """Open the world that the options and settings ask for; `keyed` says whether a secret is there.

    Raises `ConfigError` for a symbol or venue that does not exist or cannot be reached while the embedded world is not allowed,
    `SourceConfigError` for a source.
    """
    from bot.market.ccxt_venue import UnknownExchange, UnknownSymbol, VenueUnreachable  # noqa: PLC0415 - ccxt is heavy

    exchange = loaded.settings.exchange
    if options.mode is RunMode.DEMO or exchange.embedded is Embedded.ALWAYS:
        return await _embedded(options, loaded, clock, ())
    try:
        return await _real(options, loaded, clock, keyed)
    except UnknownSymbol as error:
        raise _refused("exchange.symbols", ",".join(exchange.symbols), str(error), "name symbols that the venue lists") from error
    except UnknownExchange as error:
        raise _refused("exchange.id", exchange.id, str(error), "use a ccxt exchange id such as binance") from error
    except VenueUnreachable as error:
        if options.mode is RunMode.LIVE:
            raise _refused("exchange.id", exchange.id, str(error), "--live needs the venue: try again when it answers") from error
        if exchange.embedded is Embedded.NEVER:
            raise _refused("exchange.id", exchange.id, str(error), "check the network, or set exchange.embedded: auto") from error
        log.warning("venue_unreachable", venue=exchange.id, reason=str(error))
        notice = f"the whole world is SIMULATED: {error}"
        return await _embedded(options, loaded, clock, (notice,))


async def _real(options: RunOptions, loaded: Loaded, clock: WallClock, keyed: Callable[[str], bool]) -> World:
    from bot.market.ccxt_feed import CcxtFeed  # noqa: PLC0415 - ccxt is heavy
    from bot.market.ccxt_venue import VenueConfig  # noqa: PLC0415

    settings = loaded.settings
    exchange = settings.exchange
    sources = _sources(loaded, loaded.sources_directory)
    await preload(sources, settings.llm, keyed)
    config: dict[str, Any] = {"options": dict(exchange.options)}
    if exchange.urls:
        config["urls"] = {"api": _nested(exchange.urls)}
    live = options.mode is RunMode.LIVE
    reach = exchange.connect_timeout / 1_000
    venue = VenueConfig(exchange.id, config, exchange.sandbox, reach, derive=_metered() if live else None)
    inbox = Inbox()
    timeframes = _timeframes(exchange.timeframes, sources)
    feed = CcxtFeed(venue, _feed_config(loaded, exchange.symbols, timeframes, _warmup(sources)), _sink(inbox), clock=clock.now)
    warm = await feed.start()
    closing = AsyncExitStack()
    closing.push_async_callback(feed.close)
    book = _live_book(settings) if live else BookKey(settings.bot.name, options.mode.value, exchange.id, "real")
    told = "live public data"
    return World(book, False, exchange.id, told, feed, inbox, sources, timeframes, warm, closing, ccxt=config)


def _live_book(settings: Settings) -> BookKey:
    """The books of real money; a test network, or addresses of one's own, have others."""
    exchange = settings.exchange
    world = "sandbox" if exchange.sandbox else "redirected" if exchange.urls else "real"
    return BookKey(settings.bot.name, "live", exchange.id, world)


def _metered() -> Callable[[Any], Any]:
    """Real orders and market data share one budget of the venue's limit."""
    from execution.ccxt_stream import metered  # noqa: PLC0415 - ccxt is heavy

    return metered


async def _embedded(options: RunOptions, loaded: Loaded, clock: WallClock, notices: Sequence[str]) -> World:
    from bot.market.ccxt_feed import CcxtFeed  # noqa: PLC0415 - ccxt is heavy
    from bot.market.ccxt_venue import VenueConfig  # noqa: PLC0415
    from simulators.exchange.server import ExchangeSimulator  # noqa: PLC0415

    settings = loaded.settings
    seed = _DEFAULT_SEED if options.seed is None else options.seed
    symbols = settings.exchange.symbols
    directory = loaded.directory / EMBEDDED_SOURCES if loaded.directory is not None else None
    sources = _sources(loaded, directory)
    await preload(sources, settings.llm, lambda _: True)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(
            ExchangeSimulator(seed=seed, symbols=symbols, history=_EMBEDDED_HISTORY, clock=clock.now)
        )
        services = await open_services(stack, simulator, seed, symbols, settings.llm)
        inbox = Inbox()
        timeframes = _timeframes(("1s",), sources)
        venue = VenueConfig("binance", simulator.ccxt_config(), reach_timeout=10.0)
        # More candles than there are: every run begins with the very first one, so that equal seeds give equal rules.
        config = _feed_config(loaded, symbols, timeframes, _EMBEDDED_HISTORY + 400)
        feed = CcxtFeed(venue, config, _sink(inbox), clock=clock.now)
        warm = await feed.start()
        stack.push_async_callback(feed.close)
        closing = stack.pop_all()
    # A simulated market begins anew with every run, so its books do too: a position has no meaning in another past.
    book = BookKey(settings.bot.name, options.mode.value, "simulated", f"simulated-{seed}-{clock.now()}")
    told = f"SIMULATED exchange on {simulator.url}, seed {seed}, through ccxt"
    opened = World(book, True, "simulated", told, feed, inbox, sources, timeframes, warm, closing, seed, list(notices))
    opened.services = services
    return opened


def _sources(loaded: Loaded, directory: Path | None) -> list[LoadedSource]:
    return [] if directory is None or not directory.is_dir() else configured(directory, loaded.overlay.sources)


def _timeframes(configured: Sequence[str], sources: Sequence[LoadedSource]) -> tuple[str, ...]:
    """The configured timeframes, and those that sources ask for."""
    asked = (timeframe for source in sources if source.config.enabled for timeframe in source.timeframes)
    return tuple(dict.fromkeys((*configured, *asked)))


def _warmup(sources: Sequence[LoadedSource]) -> int:
    """Closed candles that the most demanding source wants before the first live one."""
    steps = (source.step(("BTC/USDT",)) for source in sources)
    rules = max((step.warmup for step in steps if step is not None), default=100)
    shown = any(source.service is not None and source.timeframes for source in sources)
    return max(rules, _SHOWN if shown else 0) + _WARMUP_MARGIN


def _feed_config(loaded: Loaded, symbols: Sequence[str], timeframes: Sequence[str], warmup: int) -> FeedConfig:
    market = loaded.settings.market
    return FeedConfig(
        tuple(symbols),
        tuple(timeframes),
        warmup,
        band=market.sanity_band,
        confirmations=market.confirmations,
        stale_after=market.stall_multiple * _EXPECTED_QUOTE_SECONDS,
    )


def _sink(inbox: Inbox) -> FeedSink:
    return FeedSink(inbox.put_quote, inbox.put_trade, inbox.put_market, inbox.put_market)


def _nested(urls: Mapping[str, str]) -> dict[str, Any]:
    """Ccxt's own tree of addresses: the key `ws.spot` is `spot` under `ws`."""
    tree: dict[str, Any] = {}
    for key, url in urls.items():
        *above, name = key.split(".")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
        branch[name] = url
    return tree


def _refused(key: str, value: str, fault: str, remedy: str) -> ConfigError:
    return ConfigError(Problem("configuration", key, value, fault, remedy))
