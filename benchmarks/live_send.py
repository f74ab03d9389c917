"""From the desk's verdict to the bytes of the order: intent on the disk, broker, account and ccxt, beside ccxt alone.

The whole shell trades at the exchange simulator, which is another process; quotes of ten symbols pass all the while. In turn one
order goes through the bot, from the decision that the desk is about to judge, and one through plain ccxt's `create_order`, by
another account. Both are timed up to the moment at which aiohttp writes the request, and neither waits for a limiter. The figure
is how much later than the median order of plain ccxt the bot's leaves.

The intent is stored in SQLite, and where there is a PostgreSQL server (that of `PG_DSN` or `POSTGRES_URL`, or one that can be
started) once more there.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import aiohttp

from benchmarks.live_venue import LiveVenue, live_venue
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import Rig, redis_server, run_loop, running
from bot.core.decision import Action, Decision, SourceSpec, Tier, derive_id
from bot.core.facts import Fact, OrderChanged
from bot.core.inputs import InstrumentChanged
from bot.core.market import Candle, MarketView, Quote
from bot.core.orders import OrderRequest, OrderState
from bot.market.ccxt_venue import CcxtVenue, VenueConfig
from execution.ccxt_account import CcxtAccount
from execution.ccxt_stream import trading
from execution.guarded import GuardedAccount
from execution.live import LiveBroker
from execution.tracked import TrackedOrders

BARE = "bare ccxt create_order"
_SYMBOLS = 10
_ORDERS = 400
_WARMING = 10
_GAP = 0.01
_QUOTE_PAUSE = 0.002
_PATIENCE = 10.0
_LIMITS = {50: 1.5, 99: 7.0}


def send(effort: Effort, peers: Peers) -> list[Result]:
    """Milliseconds above plain ccxt, p50 and p99, for each database; medians over the runs' own percentiles."""
    del peers
    count = effort.size(_ORDERS, 20)
    results = []
    with redis_server() as redis, live_venue(_SYMBOLS) as venue, _databases() as databases:
        for database, server in databases.items():
            runs = []
            for _ in range(effort.runs):
                with _database(server) as url:
                    runs.append(run_loop(_measured(venue, count, redis, url)))
            results += [_result(database, share, runs) for share in _LIMITS]
    return results


@dataclass(slots=True)
class Run:
    """Seconds to the wire of our orders, from the verdict on, and of plain ccxt's; `stored` is until the intent is durable."""

    ours: list[float] = field(default_factory=list)
    stored: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    detail: dict[str, object] = field(default_factory=dict)

    def above(self, share: int) -> float:
        """How much later than plain ccxt's median order ours leaves, ms."""
        return (percentile(self.ours, share / 100) - percentile(self.bare, 0.5)) * 1_000


def _result(database: str, share: int, runs: Sequence[Run]) -> Result:
    figures = [run.above(share) for run in runs]
    reference = statistics.median(percentile(run.bare, share / 100) for run in runs) * 1_000
    detail = {
        "orders": len(runs[0].ours),
        "verdict_to_wire_ms": _ms(runs, share, lambda run: run.ours),
        "verdict_to_stored_ms": _ms(runs, share, lambda run: run.stored),
        **runs[0].detail,
    }
    goals = (Goal(most=_LIMITS[share]),)
    median = statistics.median(figures)
    return Result(
        f"live-send-{database}-p{share}", median, "ms", goals, {BARE: reference}, len(runs), spread_of(figures), detail=detail
    )


def _ms(runs: Sequence[Run], share: int, of: Any) -> float:
    return round(statistics.median(percentile(of(run), share / 100) for run in runs) * 1_000, 3)


class Deciding:
    """A source that buys what is not held and sells what is, whenever a candle closes; `decided` is when it last did."""

    spec = SourceSpec("rules:deciding", Tier.TRADITIONAL, settle_ms=0)
    warmup = 0

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.decided = 0.0
        self._held: set[str] = set()

    @property
    def feeds(self) -> Sequence[tuple[str, str]]:
        """One-second candles of every symbol."""
        return [(name, "1s") for name in self.names]

    def warm(self, candle: Candle, view: MarketView) -> None:
        """Needs none."""

    def on_candle(self, candle: Candle, view: MarketView) -> Decision:
        """What the desk is to judge next."""
        symbol, at = candle.symbol, candle.at
        action = Action.SELL if symbol in self._held else Action.BUY
        (self._held.discard if action is Action.SELL else self._held.add)(symbol)
        identity = derive_id(self.spec.name, candle.ts, symbol)
        decision = Decision(identity, self.spec.name, Tier.TRADITIONAL, symbol, action, 0.7, at, at + 60_000, candle.close)
        self.decided = perf_counter()
        return decision

    def snapshot(self) -> object:
        """Nothing worth keeping."""
        return None

    def restore(self, state: object) -> None:
        """Nothing to restore."""


class Wire:
    """Notes when aiohttp writes an order."""

    def __init__(self) -> None:
        self.written = 0.0

    def watch(self, exchange: Any) -> None:
        """From now on, the orders of this ccxt instance."""
        exchange.open()
        config = aiohttp.TraceConfig()
        config.on_request_chunk_sent.append(self._sent)
        config.freeze()
        exchange.session.trace_configs.append(config)

    async def _sent(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, told: aiohttp.TraceRequestChunkSentParams
    ) -> None:
        if told.method == "POST" and told.url.path.endswith("/order"):
            self.written = perf_counter()


class Timed(LiveBroker):
    """The broker, and when it was last given an order: by then its intent was on the disk."""

    submitted = 0.0

    def submit(self, request: OrderRequest, at: int) -> None:
        """Send an order."""
        self.submitted = perf_counter()
        super().submit(request, at)


class Ended:
    """Sees orders end."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.states: list[OrderState] = []

    def saw(self, fact: Fact) -> None:
        """Told every fact of the desk."""
        if isinstance(fact, OrderChanged) and fact.state.terminal:
            self.states.append(fact.state)
            self.event.set()


async def _measured(venue: LiveVenue, count: int, redis: str | None, url: str | None) -> Run:
    source, ended, run = Deciding(venue.symbols), Ended(), Run()
    async with (
        running(venue.symbols, (source,), redis_url=redis, saw=ended.saw, url=url) as rig,
        _account(venue) as opened,
        _bare(venue, opened.wire) as bare,
        _trading(rig, opened) as broker,
    ):
        prices = {name: float(told["last"]) for name, told in (await bare.fetch_tickers(list(venue.symbols))).items()}
        quoting = asyncio.create_task(_quote(rig, prices))
        try:
            for number in range(-_WARMING, count):
                symbol = venue.symbols[number % len(venue.symbols)]
                ours, stored = await _through_the_bot(rig, source, ended, broker, opened.wire, symbol, prices[symbol], number)
                plain = await _through_ccxt(bare, opened.wire, symbol, prices[symbol])
                if number >= 0:
                    run.ours.append(ours)
                    run.stored.append(stored)
                    run.bare.append(plain)
        finally:
            quoting.cancel()
            with suppress(asyncio.CancelledError):
                await quoting
        await rig.settled()
        run.detail = {"redis": rig.redis, **rig.lost(), "not_filled": sum(one is not OrderState.FILLED for one in ended.states)}
    return run


async def _through_the_bot(
    rig: Rig, source: Deciding, ended: Ended, broker: Timed, wire: Wire, symbol: str, price: float, number: int
) -> tuple[float, float]:  # fmt: skip
    """Seconds from the verdict to the wire, and to the intent on the disk; returns when the order has filled."""
    await asyncio.sleep(_GAP)
    now, wire.written = rig.clock.now(), 0.0
    ended.event.clear()
    rig.shell.on_candle(Candle(symbol, "1s", now, now - 1_000 + number, price, price, price, price, 1.0))
    async with asyncio.timeout(_PATIENCE):
        await ended.event.wait()
    return wire.written - source.decided, broker.submitted - source.decided


async def _through_ccxt(bare: Any, wire: Wire, symbol: str, price: float) -> float:
    """Seconds from the call to the wire."""
    await asyncio.sleep(_GAP)
    amount = bare.amount_to_precision(symbol, 100.0 / price)
    wire.written, began = 0.0, perf_counter()
    await bare.create_order(symbol, "market", "buy", amount)
    return wire.written - began


async def _quote(rig: Rig, prices: dict[str, float]) -> None:
    """Quotes of every symbol in turn, until cancelled."""
    while True:
        for name, price in prices.items():
            now = rig.clock.now()
            rig.shell.on_quote(Quote.of(name, now, price * 0.9999, price * 1.0001, 1_000.0, 1_000.0))
            await asyncio.sleep(_QUOTE_PAUSE)


@dataclass(slots=True)
class _Opened:
    venue: CcxtVenue
    account: CcxtAccount
    wire: Wire


@asynccontextmanager
async def _account(venue: LiveVenue) -> AsyncIterator[_Opened]:
    """The account as the bot opens it, without a budget."""
    opened = await CcxtVenue.open(VenueConfig("binance", venue.ours, clock_samples=1), derive=trading)
    account, wire = CcxtAccount(opened.exchange), Wire()
    wire.watch(opened.exchange)
    try:
        yield _Opened(opened, account, wire)
    finally:
        await opened.close()


@asynccontextmanager
async def _bare(venue: LiveVenue, wire: Wire) -> AsyncIterator[Any]:
    """Plain ccxt as another account."""
    import ccxt.pro

    exchange = ccxt.pro.binance({**venue.bare, "enableRateLimit": False})
    try:
        await exchange.load_markets()
        wire.watch(exchange)
        yield exchange
    finally:
        exchange.timeout_on_exit = 0
        await exchange.close()


@asynccontextmanager
async def _trading(rig: Rig, opened: _Opened) -> AsyncIterator[Timed]:
    """The live broker in the place of the paper broker, its account stream up."""
    put = rig.shell.inbox.put_broker
    broker = Timed(GuardedAccount(opened.account, "binance"), TrackedOrders(put, rig.clock.now), put, rig.clock.now)
    rig.shell.connect(broker, rig.host)
    for name in opened.venue.exchange.markets:
        rig.shell.cycle.turn(InstrumentChanged(rig.clock.now(), opened.venue.instrument(name)))
    following = asyncio.create_task(broker.run())
    try:
        async with asyncio.timeout(_PATIENCE):
            while not broker.stream_up:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        yield broker
    finally:
        following.cancel()
        await asyncio.wait({following})
        await broker.close(1.0)


@contextmanager
def _databases() -> Iterator[dict[str, str | None]]:
    """By name, the servers to store intents on; None is a file that goes with the run. PostgreSQL where there is one."""
    from tests.servers import postgres_binaries, postgres_url

    if not (os.environ.get("PG_DSN") or os.environ.get("POSTGRES_URL") or postgres_binaries()):
        yield {"sqlite": None}
        return
    with postgres_url() as server:
        yield {"sqlite": None, "postgres": server}


@contextmanager
def _database(server: str | None) -> Iterator[str | None]:
    """A new database there."""
    from tests.journal.journal_databases import another_database, on_server

    if server is None:
        yield None
        return
    name = f"arbiter_bench_{uuid4().hex[:12]}"
    on_server(server, f"CREATE DATABASE {name}")
    try:
        yield another_database(server, name)
    finally:
        on_server(server, f"DROP DATABASE {name} WITH (FORCE)")
