"""The live market of a venue: every quote and trade, every closed candle once and in order, and word of what is wrong with them.

The feed calls plain functions of its owner, synchronously in the loop. Websocket first: `ccxt_guard` hands over what is parsed,
`Intake` turns it into our types and judges it, `CandleDesk` proves and repairs the candles, this module keeps the subscriptions
alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import structlog

from bot.core.market import Candle, Health, Instrument
from bot.market.ccxt_candles import CandleDesk
from bot.market.ccxt_guard import attach, guarded
from bot.market.ccxt_intake import Intake
from bot.market.ccxt_polls import poll_trades, quotes_by_rest
from bot.market.ccxt_streams import Backoff, Stream, StreamKind
from bot.market.ccxt_subscriptions import subscriptions
from bot.market.ccxt_venue import CcxtVenue, VenueConfig, VenueUnreachable
from bot.market.feed_config import FeedConfig, FeedSink
from bot.market.feed_stats import FeedStatistics
from bot.market.health import HealthBook
from bot.market.sanity import MarketSanity

__all__ = ["CcxtFeed", "FeedConfig", "FeedSink"]

_log = structlog.get_logger(__name__)
_CLOCK_EVERY_S = 600.0
# The part of `stale_after` after which a silent symbol is asked about by REST.
_QUIET = 0.6
_DIFFERENT_ANSWERS = 3


@dataclass(slots=True)
class _Open:
    """What exists once the venue is open."""

    venue: CcxtVenue
    candles: CandleDesk
    intake: Intake
    streams: list[Stream]


class CcxtFeed:
    """Market data of `config.symbols` from one venue.

    `start` opens the venue and returns the warm-up candles, `run` feeds the sink until cancelled, `close` ends it; whoever called
    `start` calls `close`, also when `run` was cancelled. `statistics` counts.
    """

    def __init__(
        self,
        venue: VenueConfig,
        config: FeedConfig,
        sink: FeedSink,
        *,
        clock: Callable[[], int] | None = None,
        random: Random | None = None,
    ) -> None:
        self.statistics = FeedStatistics()
        self._venue_config = venue
        self._config = config
        self._sink = sink
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, not a secret
        self._open: _Open | None = None
        self._group: asyncio.TaskGroup | None = None
        self._sanity = MarketSanity(config.band, config.confirmations, refused=self.statistics.refused)
        self._health = HealthBook(sink.on_health)

    @property
    def venue(self) -> CcxtVenue:
        """The open venue; `RuntimeError` before `start`."""
        return self._opened.venue

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The instruments of the feed's symbols; `RuntimeError` before `start`."""
        return self.venue.instruments(self._config.symbols)

    @property
    def _opened(self) -> _Open:
        if self._open is None:
            message = "the feed is not started: await start() first"
            raise RuntimeError(message)
        return self._open

    async def start(self) -> list[Candle]:
        """Open the venue, check the symbols, and return the last `warmup` closed candles of each series in the order of closing.

        Raises `UnknownExchange`, `UnknownSymbol`, or, within the configured time, `VenueUnreachable`; nothing stays open then.
        """
        venue = await CcxtVenue.open(self._venue_config, derive=guarded, clock=self._clock)
        try:
            venue.instruments(self._config.symbols)
            self._open = opened = self._assemble(venue)
            self.statistics.clock = venue.offset
            async with asyncio.timeout(self._config.start_timeout):
                warm = await opened.candles.warm_up()
        except BaseException as error:
            self._open = None
            await venue.close()
            if isinstance(error, TimeoutError | BaseExceptionGroup):
                raise VenueUnreachable(self._no_history(venue, error)) from error
            raise
        _log.info("feed_started", venue=venue.id, symbols=len(self._config.symbols), candles=len(warm), clock=venue.offset)
        return warm

    def _assemble(self, venue: CcxtVenue) -> _Open:
        config, sink = self._config, self._sink
        candles = CandleDesk(config, venue, self._sanity, self._health, self.statistics, sink.on_candle)
        intake = Intake(config, sink, self._sanity, self._health, self.statistics, venue, candles)
        trades = config.symbols if config.trades else tuple(candles.builders)
        streams = subscriptions(venue, config, candles.native, trades, self._backoff)
        intake.streams = {(stream.kind, *feed): stream for stream in streams for feed in stream.feeds}
        attach(venue.exchange, intake, self)
        return _Open(venue, candles, intake, streams)

    def _no_history(self, venue: CcxtVenue, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        reason = f"{type(error).__name__}: {str(error)[:160]}"
        return f"{venue.id} did not deliver its candles ({reason}): check the network, or use --demo"

    async def run(self) -> None:
        """Feed the sink until cancelled."""
        opened = self._opened
        opened.intake.begin()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for stream in opened.streams:
                    group.create_task(self._hold(stream), name=stream.name)
                if self._polls_quotes():
                    group.create_task(self._poll_quotes(), name="poll-quotes")
                if self._config.trades and not opened.venue.has("watchTrades"):
                    group.create_task(poll_trades(opened.venue, self._config, self._opened.intake), name="poll-trades")
                group.create_task(opened.candles.run(), name="candles")
                group.create_task(self._watchdog(), name="watchdog")
                group.create_task(self._probe_silent(), name="probe")
                group.create_task(self._watch_clock(), name="venue-clock")
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def close(self) -> None:
        """Close every socket."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened.venue.close()

    def _backoff(self) -> Backoff:
        return Backoff(self._config.backoff_first, self._config.backoff_cap, self._random)

    async def _hold(self, stream: Stream) -> None:
        """Keep one stream subscribed for ever."""
        while True:
            reason = await stream.live(lambda: self._on_ready(stream), lambda: self._opened.candles.harvest(stream))
            stream.interrupted = True
            self.statistics.reconnects += 1
            _log.warning("stream_lost", stream=stream.name, reason=reason)
            self._release(stream, reason)
            self._opened.intake.interrupted(stream)
            await asyncio.sleep(stream.backoff.next())

    def _on_ready(self, stream: Stream) -> None:
        """The first event after subscribing: candles missed in between are fetched."""
        if stream.interrupted and stream.kind is StreamKind.CANDLES:
            self._opened.candles.resume(stream.symbols, "reconnected")
        stream.interrupted = False

    def _release(self, stream: Stream, reason: str) -> None:
        """Let go of the stream's clients; other streams on the same socket learn that it is gone."""
        clients, stream.clients = stream.clients, {}
        exchange = self._opened.venue.exchange
        for url, client in clients.items():
            if exchange.clients.get(url) is client:
                del exchange.clients[url]
            client.error = client.error or ConnectionError(reason)
            for future in list(client.futures.values()):
                future.add_done_callback(_consume)
            client.reject(_network_error(reason))
            for other in self._opened.streams:
                if other is not stream and other.clients.get(url) is client:
                    other.end(reason)
            if self._group is not None:
                self._group.create_task(self._opened.venue.drop(client), name=f"drop {url}")

    def on_client(self, client: Any) -> None:
        """See `Keeper`: a stream's task asked ccxt for a client: remember which socket carries it."""
        task = asyncio.current_task()
        name = "" if task is None else task.get_name()
        for stream in self._opened.streams:
            if stream.name == name:
                stream.clients[client.url] = client

    def on_lost(self, client: Any, error: object) -> None:
        """See `Keeper`."""
        if self._open is None:
            return
        for stream in self._open.streams:
            if stream.clients.get(client.url) is client:
                stream.end(f"{type(error).__name__}: {error}"[:160] if isinstance(error, Exception) else "the venue hung up")

    def on_poison(self, url: str, error: Exception) -> None:
        """See `Keeper`: counted; the first ones are logged, then one in a thousand."""
        self.statistics.poison += 1
        if self.statistics.poison <= 10 or self.statistics.poison % 1000 == 0:
            _log.warning(
                "poison_frame", url=url, error=f"{type(error).__name__}: {str(error)[:160]}", count=self.statistics.poison
            )

    async def _watchdog(self) -> None:
        """End streams that have said nothing for too long; name symbols whose quotes are too old."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._config.tick)
            now, at = loop.time(), self.venue.clock()
            for stream in self._opened.streams:
                if stream.stalled(now):
                    self._on_stall(stream, now)
            for symbol in self._config.symbols:
                if self._opened.intake.silent_for(symbol, now) > self._config.stale_after:
                    detail = f"no quote for {self._config.stale_after:g} s"
                    self._health.mark(at, symbol, "quotes", Health.STALE, detail)

    def _quiet(self, now: float) -> list[str]:
        """Symbols that have been silent long enough to be asked about, and not yet long enough to be stale."""
        silence = self._config.stale_after * _QUIET
        return [symbol for symbol in self._config.symbols if self._opened.intake.silent_for(symbol, now) > silence]

    def _on_stall(self, stream: Stream, now: float) -> None:
        self.statistics.stalls += 1
        silence = now - stream.last_event
        # Where reconnecting does not make it speak, the market is probably quiet: ask less and less often.
        stream.patience = min(stream.patience * 2, stream.silence_cap)
        _log.warning("stream_stalled", stream=stream.name, silent_s=round(silence, 1))
        if stream.kind is StreamKind.QUOTES:
            intake = self._opened.intake
            for symbol in stream.symbols:
                if intake.unstreamed_for(symbol, now) > self._config.stale_after * _QUIET:
                    intake.stalled(symbol, f"{stream.name} has stalled")
        stream.end(f"silent for {silence:.1f} s")

    async def _probe_silent(self) -> None:
        """Ask for the quotes of symbols that have gone quiet: the same answer proves a quiet market, another a dead stream."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._config.tick)
            quiet = self._quiet(loop.time())
            if not quiet:
                continue
            self.statistics.probes += 1
            self._judge(await quotes_by_rest(self.venue, quiet, self._opened.intake), loop.time())
            await asyncio.sleep(self._config.poll_interval)

    def _judge(self, answers: Mapping[str, bool], now: float) -> None:
        """Compare REST's quotes with the streams': `answers` says of a silent symbol whether its prices had changed unheard.

        One symbol alone has to differ several times before its stream is ended, which carries others that may be well.
        """
        intake = self._opened.intake
        for stream in self._opened.streams:
            asked = [symbol for symbol in stream.symbols if symbol in answers and stream.kind is StreamKind.QUOTES]
            changed = [symbol for symbol in asked if answers[symbol]]
            intake.differed.update(changed)
            silent = stream.stalled(now + self._config.stale_after * (1 - _QUIET))
            if any(silent or intake.differed[symbol] >= _DIFFERENT_ANSWERS for symbol in changed):
                intake.differed.clear()
                self._on_stall(stream, now)
            elif asked and not changed:
                stream.heard(now)

    def _polls_quotes(self) -> bool:
        return not any(stream.kind is StreamKind.QUOTES for stream in self._opened.streams)

    async def _poll_quotes(self) -> None:
        while True:
            await quotes_by_rest(self.venue, list(self._config.symbols), self._opened.intake)
            await asyncio.sleep(self._config.poll_interval)

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(_CLOCK_EVERY_S)
            self.statistics.clock = await self.venue.measure_clock(5) or self.statistics.clock


def _consume(future: Any) -> None:
    """Nobody awaits this future any more; its exception is known."""
    if not future.cancelled():
        future.exception()


def _network_error(reason: str) -> Exception:
    from ccxt import NetworkError  # noqa: PLC0415 - ccxt is loaded by now

    error: Exception = NetworkError(reason)
    return error
