"""The simulated market: seeded, endless, and the same by index however and whenever it is read.

Second number i of a symbol always has the same quotes, trades and candle: they follow from (seed, symbol, i) alone, and only the
timestamps depend on when the market began. Everything agrees with everything: a candle is made of the trades of its time, a trade
prints at the quote of its moment, a book begins at its quote, a longer candle is the sum of its seconds.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from bot.core.market import Candle, Instrument, Quote, Side, Trade, timeframe_ms
from bot.market.simulated_path import BLOCK, Block, Ints, Listing, Overlay, State, generate, initial_state, symbol_entropy

DEFAULT_SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "LTC/USDT", "XRP/USDT")

_KNOWN: Mapping[str, tuple[float, str, str]] = {
    "BTC": (60_000.0, "0.01", "0.00001"),
    "ETH": (3_000.0, "0.01", "0.0001"),
    "BNB": (550.0, "0.01", "0.001"),
    "SOL": (150.0, "0.01", "0.001"),
    "LTC": (80.0, "0.01", "0.001"),
    "AVAX": (30.0, "0.001", "0.01"),
    "LINK": (14.0, "0.001", "0.01"),
    "DOT": (6.0, "0.0001", "0.01"),
    "XRP": (0.55, "0.0001", "0.1"),
    "ADA": (0.42, "0.0001", "0.1"),
    "DOGE": (0.12, "0.00001", "1"),
}
_DOLLARS = frozenset({"USDT", "USDC", "USD", "FDUSD", "BUSD"})
_FEE = Decimal("0.001")
_LEVELS = 20


class UnknownSymbol(LookupError):  # noqa: N818 - it names what is wrong, as the field does
    """The simulated market does not list the symbol."""


def listing_for(symbol: str) -> Listing:
    """Price and steps for any `BASE/QUOTE`: the known ones near their real prices, the others derived from their names."""
    base, slash, quote = symbol.partition("/")
    if not (base and slash and quote and base.isalnum() and quote.isalnum()):
        message = f"{symbol!r} is not a spot symbol; write it as BASE/QUOTE, for example BTC/USDT"
        raise ValueError(message)
    if base in _KNOWN and quote in _DOLLARS:
        price, price_step, amount_step = _KNOWN[base]
        return Listing(symbol, price, Decimal(price_step), Decimal(amount_step))
    share = symbol_entropy(symbol) / 2**64
    price = float(f"{10 ** (-1 + 3.5 * share):.3g}")
    magnitude = math.floor(math.log10(price))
    return Listing(symbol, price, Decimal(10) ** (magnitude - 4), Decimal(10) ** min(0, -magnitude - 1))


@dataclass(frozen=True, slots=True)
class Bar:
    """A candle with what a venue tells beyond it: turnover in quote currency, number of trades, number of the first trade."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float
    trades: int
    first_trade: int


@dataclass(frozen=True, slots=True)
class Book:
    """Best levels first, as (price, amount). `sequence` rises by one with every quote of the symbol."""

    sequence: int
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class _Track:
    """What is remembered of a symbol: the state before each block (never forgotten: it is small) and what was done to it."""

    listing: Listing
    states: list[State]
    overlays: list[Overlay]
    salt: int


class SimulatedMarket:
    """A market of any number of symbols that began at `genesis` (ms UTC, a multiple of `step_ms`).

    Time is counted in steps of `step_ms`; index 0 began at genesis. `quotes_per_step` is part of what the seed determines. Asking
    for a symbol that is not listed raises `UnknownSymbol`, for a negative index `IndexError`.
    """

    def __init__(
        self,
        seed: int,
        symbols: Sequence[str | Listing] = DEFAULT_SYMBOLS,
        genesis: int = 0,
        step_ms: int = 1_000,
        quotes_per_step: int = 5,
        cached_blocks: int = 512,
    ) -> None:
        if seed < 0:
            message = f"seed is {seed}; use a number that is not negative"
            raise ValueError(message)
        if genesis % step_ms:
            message = f"genesis is {genesis} ms, which is not a multiple of the step of {step_ms} ms"
            raise ValueError(message)
        if not 1 <= quotes_per_step <= step_ms // 4:
            message = f"quotes_per_step is {quotes_per_step}; a step of {step_ms} ms holds 1 to {step_ms // 4}"
            raise ValueError(message)
        listings = [symbol if isinstance(symbol, Listing) else listing_for(symbol) for symbol in symbols]
        if len({listing.symbol for listing in listings}) != len(listings):
            message = "a symbol is listed twice"
            raise ValueError(message)
        self.seed, self.genesis, self.step_ms, self.slots = seed, genesis, step_ms, quotes_per_step
        self.step_timeframe = _timeframe_name(step_ms)
        self._tracks = {one.symbol: _Track(one, [initial_state(one)], [], symbol_entropy(one.symbol)) for one in listings}
        self._blocks: OrderedDict[tuple[str, int], Block] = OrderedDict()
        self._capacity = max(cached_blocks, 4 * len(listings))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol, in the order given."""
        return tuple(self._tracks)

    def listing(self, symbol: str) -> Listing:
        """Steps and first price of a symbol."""
        return self._track(symbol).listing

    def instruments(self) -> dict[str, Instrument]:
        """What the market says of each symbol; fees are 0.1 % for maker and taker."""
        return {symbol: _instrument(track.listing) for symbol, track in self._tracks.items()}

    def index_at(self, ts: int) -> int:
        """The step that contains a time (negative before genesis)."""
        return (ts - self.genesis) // self.step_ms

    def time_of(self, index: int) -> int:
        """When a step begins, in milliseconds UTC."""
        return self.genesis + index * self.step_ms

    def quotes(self, symbol: str, index: int) -> list[Quote]:
        """The quotes of a step, in time order; each is its own extreme."""
        track, block, row = self._row(symbol, index)
        tick, digits = float(track.listing.price_step), track.listing.price_decimals
        lot, places = float(track.listing.amount_step), track.listing.amount_decimals
        start = self.time_of(index)
        columns = (block.quote_ms, block.bid, block.ask, block.bid_lots, block.ask_lots)
        return [
            Quote.of(
                symbol,
                start + ms,
                round(bid * tick, digits),
                round(ask * tick, digits),
                round(b * lot, places),
                round(a * lot, places),
            )
            for ms, bid, ask, b, a in zip(*(column[row].tolist() for column in columns), strict=True)
        ]

    def trades(self, symbol: str, index: int) -> list[Trade]:
        """The trades of a step, in time order; ids are the symbol's trades counted from 1."""
        track, block, row = self._row(symbol, index)
        tick, digits = float(track.listing.price_step), track.listing.price_decimals
        lot, places = float(track.listing.amount_step), track.listing.amount_decimals
        first, end = int(block.starts[row]), int(block.starts[row + 1])
        start, number = self.time_of(index), block.first_trade + first
        columns = (block.trade_ms, block.trade_price, block.trade_lots, block.trade_buys)
        found = []
        for ms, price, lots, buys in zip(*(column[first:end].tolist() for column in columns), strict=True):
            number += 1
            ts, side = start + ms, Side.BUY if buys else Side.SELL
            found.append(Trade(symbol, ts, ts, str(number), round(price * tick, digits), round(lots * lot, places), side))
        return found

    def bar(self, symbol: str, index: int) -> Bar:
        """The bar of one step."""
        track, block, row = self._row(symbol, index)
        tick, digits = float(track.listing.price_step), track.listing.price_decimals
        lot, places = float(track.listing.amount_step), track.listing.amount_decimals
        columns = (block.open, block.high, block.low, block.close)
        opened, high, low, close = (round(int(column[row]) * tick, digits) for column in columns)
        first = int(block.starts[row])
        turnover = round(int(block.turnover[row]) * tick * lot, digits + places)
        volume, count = round(int(block.volume[row]) * lot, places), int(block.starts[row + 1]) - first
        return Bar(self.time_of(index), opened, high, low, close, volume, turnover, count, block.first_trade + first + 1)

    def candle(self, symbol: str, index: int) -> Candle:
        """The candle of one step, learnt of when it ends."""
        return self._candle(symbol, self.step_timeframe, self.bar(symbol, index))

    def candles(self, symbol: str, timeframe: str, start: int, stop: int) -> list[Candle]:
        """Whole candles of a timeframe with `start <= ts` and end `<= stop` (ms UTC); none of them begins before genesis."""
        length = timeframe_ms(timeframe)
        if length % self.step_ms:
            message = f"timeframe {timeframe} is not made of whole steps of {self.step_ms} ms"
            raise ValueError(message)
        first = -(-max(start, self.genesis) // length) * length
        last = stop // length * length
        if last <= first:
            return []
        return [
            self._candle(symbol, timeframe, bar) for bar in self.bars(symbol, length, self.index_at(first), self.index_at(last))
        ]

    def bars(self, symbol: str, length: int, start: int, stop: int) -> list[Bar]:
        """Steps `start` to `stop` (exclusive) as UTC-aligned bars of `length` ms; the outer ones hold only what is asked for."""
        if stop <= start:
            return []
        track = self._track(symbol)
        opened, high, low, close, volume, turnover, count, first = self._columns(symbol, start, stop)
        times = self.genesis + np.arange(start, stop) * self.step_ms
        buckets = times // length
        heads = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
        tails = np.append(heads[1:], stop - start) - 1
        tick, digits = float(track.listing.price_step), track.listing.price_decimals
        lot, places = float(track.listing.amount_step), track.listing.amount_decimals
        rows = zip(
            (buckets[heads] * length).tolist(),
            opened[heads].tolist(),
            np.maximum.reduceat(high, heads).tolist(),
            np.minimum.reduceat(low, heads).tolist(),
            close[tails].tolist(),
            np.add.reduceat(volume, heads).tolist(),
            np.add.reduceat(turnover, heads).tolist(),
            np.add.reduceat(count, heads).tolist(),
            first[heads].tolist(),
            strict=True,
        )
        return [
            Bar(
                ts,
                round(o * tick, digits),
                round(h * tick, digits),
                round(lo * tick, digits),
                round(c * tick, digits),
                round(v * lot, places),
                round(t * tick * lot, digits + places),
                n,
                number + 1,
            )
            for ts, o, h, lo, c, v, t, n, number in rows
        ]

    def book(self, symbol: str, index: int, slot: int, levels: int = _LEVELS) -> Book:
        """Depth around quote number `slot` of a step: its touch, then levels on a price grid; sizes belong to prices."""
        track, block, row = self._row(symbol, index)
        listing = track.listing
        tick, digits = float(listing.price_step), listing.price_decimals
        lot, places = float(listing.amount_step), listing.amount_decimals
        bid, ask = int(block.bid[row, slot]), int(block.ask[row, slot])
        grid = max(1, round(listing.price * 0.5e-4 / tick))
        below = range((bid - 1) // grid * grid, 0, -grid)[: levels - 1]
        above_first = -(-(ask + 1) // grid) * grid
        above = range(above_first, above_first + grid * (levels - 1), grid)
        typical = 25_000.0 / (listing.price * lot)

        def level(price: int) -> tuple[float, float]:
            share = ((price * 0x9E3779B1 ^ track.salt) * 0x85EBCA77 & 0xFFFFFFFF) / 2**32
            return round(price * tick, digits), round(max(1, int(typical * (0.5 + 2 * share))) * lot, places)

        touch_bid = (round(bid * tick, digits), round(int(block.bid_lots[row, slot]) * lot, places))
        touch_ask = (round(ask * tick, digits), round(int(block.ask_lots[row, slot]) * lot, places))
        sequence = index * self.slots + slot + 1
        return Book(sequence, (touch_bid, *map(level, below)), (touch_ask, *map(level, above)))

    def index_of_trade(self, symbol: str, number: int) -> int:
        """The step in which trade `number` (from 1) printed; generates as far as it needs to."""
        track, block = self._track(symbol), 0
        while self._state(track, block + 1).trades < number:
            block += 1
        found = self._block(symbol, block)
        row = int(np.searchsorted(found.starts, number - 1 - found.first_trade, side="right")) - 1
        return block * BLOCK + row

    def shock(self, symbol: str, index: int, factor: float) -> None:
        """From step `index` on, every price of the symbol is multiplied by `factor`, for good (0.8 is a crash of 20 %)."""
        if not (math.isfinite(factor) and factor > 0):
            message = f"shock factor is {factor}; it must be a positive finite number"
            raise ValueError(message)
        self._overlay(symbol, Overlay(index, log_factor=math.log(factor)))

    def burst(self, symbol: str, index: int, trades: int) -> None:
        """Print this many further trades at once, in the millisecond of the first quote of step `index`."""
        if trades <= 0:
            message = f"burst of {trades} trades; it must be a positive number"
            raise ValueError(message)
        self._overlay(symbol, Overlay(index, trades=trades))

    def prefetch(self, index: int) -> None:
        """Generate the block after `index` for that part of the symbols whose turn it is: spreads the work over the steps."""
        for place, (symbol, track) in enumerate(self._tracks.items()):
            if place % (BLOCK // 2) == index % (BLOCK // 2):
                self._state(track, index // BLOCK + 1)
                self._block(symbol, index // BLOCK + 1)

    def _overlay(self, symbol: str, overlay: Overlay) -> None:
        if overlay.index < 0:
            message = f"step {overlay.index} is before the market's genesis"
            raise IndexError(message)
        track, number = self._track(symbol), overlay.index // BLOCK
        track.overlays.append(overlay)
        del track.states[number + 1 :]
        for key in [key for key in self._blocks if key[0] == symbol and key[1] >= number]:
            del self._blocks[key]

    def _track(self, symbol: str) -> _Track:
        try:
            return self._tracks[symbol]
        except KeyError:
            message = f"{symbol} is not listed in the simulated market; listed: {', '.join(self._tracks)}"
            raise UnknownSymbol(message) from None

    def _row(self, symbol: str, index: int) -> tuple[_Track, Block, int]:
        if index < 0:
            message = f"step {index} is before the market's genesis"
            raise IndexError(message)
        number, row = divmod(index, BLOCK)
        return self._track(symbol), self._block(symbol, number), row

    def _block(self, symbol: str, number: int) -> Block:
        key = (symbol, number)
        block = self._blocks.get(key)
        if block is not None:
            self._blocks.move_to_end(key)
            return block
        track = self._track(symbol)
        return self._generate(track, number, self._state(track, number))

    def _state(self, track: _Track, number: int) -> State:
        """The state before a block; generates, in order, the blocks that nobody has read yet."""
        while len(track.states) <= number:
            self._generate(track, len(track.states) - 1, track.states[-1])
        return track.states[number]

    def _generate(self, track: _Track, number: int, state: State) -> Block:
        block, after = generate(track.listing, self.seed, number, state, self.slots, self.step_ms, track.overlays)
        if len(track.states) == number + 1:
            track.states.append(after)
        self._blocks[(track.listing.symbol, number)] = block
        if len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return block

    def _columns(self, symbol: str, start: int, stop: int) -> list[Ints]:
        """Bars of the steps as columns: open, high, low, close, volume, turnover, number of trades, number of trades before."""
        if start < 0:
            message = f"step {start} is before the market's genesis"
            raise IndexError(message)
        parts: list[tuple[Ints, ...]] = []
        for number in range(start // BLOCK, (stop - 1) // BLOCK + 1):
            one = self._block(symbol, number)
            rows = slice(max(0, start - number * BLOCK), min(BLOCK, stop - number * BLOCK))
            bars = (one.open, one.high, one.low, one.close, one.volume, one.turnover, np.diff(one.starts))
            parts.append((*(column[rows] for column in bars), one.starts[:-1][rows] + one.first_trade))
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def _candle(self, symbol: str, timeframe: str, bar: Bar) -> Candle:
        end = bar.ts + timeframe_ms(timeframe)
        return Candle(symbol, timeframe, end, bar.ts, bar.open, bar.high, bar.low, bar.close, bar.volume)


@dataclass(frozen=True, slots=True)
class SimulatedFeed:
    """The events of steps `start` to `stop` (exclusive) in time order, without a socket.

    By time, quotes before trades, symbols in their order; a candle comes at its end, before the next step, shorter timeframes
    before longer ones. Candles of a timeframe are whole: the first ones begin at or after `start`.
    """

    market: SimulatedMarket
    start: int
    stop: int
    symbols: Sequence[str] = ()
    timeframes: Sequence[str] = ("1s", "1m")

    def __iter__(self) -> Iterator[Quote | Trade | Candle]:
        symbols = self.symbols or self.market.symbols
        lengths = sorted((timeframe_ms(timeframe), timeframe) for timeframe in self.timeframes)
        begin = self.market.time_of(self.start)
        for index in range(self.start, self.stop):
            events: list[Quote | Trade] = []
            for symbol in symbols:
                events += self.market.quotes(symbol, index)
                events += self.market.trades(symbol, index)
            events.sort(key=_time)
            yield from events
            end = self.market.time_of(index + 1)
            for length, timeframe in lengths:
                if end % length == 0 and end - length >= begin:
                    for symbol in symbols:
                        yield from self.market.candles(symbol, timeframe, end - length, end)


def _time(event: Quote | Trade) -> int:
    return event.ts


def _timeframe_name(length: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if length % size == 0:
            return f"{length // size}{unit}"
    message = f"a step of {length} ms is not a whole number of seconds"
    raise ValueError(message)


def _instrument(listing: Listing) -> Instrument:
    base, _, quote = listing.symbol.partition("/")
    return Instrument(
        listing.symbol, base, quote, listing.price_step, listing.amount_step, listing.amount_step, listing.min_cost, _FEE, _FEE
    )
