"""The arithmetic of the simulated market: one block of steps from the state before it.

A block depends on nothing but (seed, symbol, block number) and the state in which the block before it ended, so the path is the
same however it is read. Prices are counted in ticks and sizes in lots, as integers, until somebody asks for them: sums are exact.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCK = 128
"""Steps in a block."""

_SIGMA = 3.0e-4  # standard deviation of the log price over a step, calm
_HOMING = 2.0e-5  # pull per step towards the listing's price: a week-long run stays in sight of it
_THIN_PERIOD = (
    240  # steps from one thin spell to the next: the day's quiet hours, scaled down so that a minute-long run meets one
)
_JUMP_CHANCE = 1 / 150  # per step
_TOUCH_NOTIONAL = 25_000.0  # typical size at the touch, in quote currency
_TRADE_NOTIONAL = 600.0
_TRADES_PER_STEP = 3.0


class Regime(IntEnum):
    """How the price moves for a while."""

    TREND = 0
    RANGE = 1
    VOLATILE = 2


_VOLATILITY = {Regime.TREND: 1.0, Regime.RANGE: 0.8, Regime.VOLATILE: 2.2}
_PULL = {Regime.TREND: 0.0, Regime.RANGE: 0.06, Regime.VOLATILE: 0.0}


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol of the simulated market: the price it began at (in quote currency), its steps and its least order value."""

    symbol: str
    price: float
    price_step: Decimal
    amount_step: Decimal
    min_cost: Decimal = Decimal(5)

    @property
    def price_decimals(self) -> int:
        """Digits after the point of a price."""
        return decimals(self.price_step)

    @property
    def amount_decimals(self) -> int:
        """Digits after the point of an amount."""
        return decimals(self.amount_step)


def decimals(step: Decimal) -> int:
    """Digits after the point that a multiple of `step` needs."""
    return max(0, -int(step.normalize().as_tuple().exponent))


@dataclass(frozen=True, slots=True)
class Overlay:
    """Something done to the market from outside: at `index` the price is multiplied for good, or extra trades print at once."""

    index: int
    log_factor: float = 0.0
    trades: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """Where a path stands before a block: `log_price` is without overlays, `close` in ticks, `trades` counts all before."""

    log_price: float
    close: int
    regime: Regime = Regime.RANGE
    left: int = 0
    drift: float = 0.0
    anchor: float = 0.0
    trades: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """`BLOCK` steps of one symbol.

    Quotes are `(BLOCK, slots)` arrays; `quote_ms` and `trade_ms` are milliseconds after the step's start. Trades are flat arrays
    in time order, those of step k being `[starts[k]:starts[k + 1]]`; `first_trade` is how many there were before. Bars are
    `(BLOCK,)`.
    """

    first_trade: int
    quote_ms: Ints
    bid: Ints
    ask: Ints
    bid_lots: Ints
    ask_lots: Ints
    starts: Ints
    trade_ms: Ints
    trade_price: Ints
    trade_lots: Ints
    trade_buys: NDArray[np.bool_]
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    turnover: Ints


def symbol_entropy(symbol: str) -> int:
    """64 bits that stand for a symbol, the same in every process."""
    return int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8], "big")


def initial_state(listing: Listing) -> State:
    """The state before the first block."""
    return State(math.log(listing.price), max(1, round(listing.price / float(listing.price_step))))


def generate(
    listing: Listing, seed: int, number: int, state: State, slots: int, step_ms: int, overlays: Sequence[Overlay]
) -> tuple[Block, State]:
    """Block `number` of a symbol, and the state after it. Overlays from before it count, too: shocks are for good."""
    entropy = symbol_entropy(listing.symbol)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, entropy, number))))
    log_mid, volatility, after = _walk(math.log(listing.price), state, slots, rng)
    steps = np.arange(number * BLOCK, (number + 1) * BLOCK)
    shift = np.zeros(BLOCK)
    for overlay in overlays:
        shift[steps >= overlay.index] += overlay.log_factor
    activity = 0.15 + 0.85 * np.sin(math.pi * (steps / _THIN_PERIOD + (entropy % 997) / 997)) ** 2
    tick = float(listing.price_step)
    mid = np.exp(log_mid + shift[:, None]) / tick
    bid, ask = _spread(mid, activity, volatility, rng)
    scale = _TOUCH_NOTIONAL / (mid * tick * float(listing.amount_step))
    bid_lots = _lots(scale * (0.4 + activity[:, None]), 0.6, rng)
    ask_lots = _lots(scale * (0.4 + activity[:, None]), 0.6, rng)
    slot_ms = step_ms // slots
    quote_ms = np.arange(slots) * slot_ms + rng.integers(0, max(1, slot_ms // 4), size=(BLOCK, slots))
    quotes = (quote_ms, bid, ask, bid_lots, ask_lots)
    trades = _trades(listing, quotes, log_mid, activity * np.sqrt(volatility), slot_ms, rng)
    trades = _with_bursts(trades, quotes, number, overlays)
    return _assemble(quotes, trades, state, after)


def _walk(home: float, state: State, slots: int, rng: np.random.Generator) -> tuple[Floats, Floats, State]:
    """Log mid prices `(BLOCK, slots)`, the volatility factor of each step, and the state after (still with the old close)."""
    noise = (rng.standard_normal((BLOCK, slots)) * (_SIGMA / math.sqrt(slots))).tolist()
    uniforms = rng.random((BLOCK, 4)).tolist()
    jumps = np.where(
        rng.random(BLOCK) < _JUMP_CHANCE, rng.choice((-1.0, 1.0), BLOCK) * rng.uniform(15e-4, 45e-4, BLOCK), 0.0
    ).tolist()
    x, regime, left, drift, anchor = state.log_price, state.regime, state.left, state.drift, state.anchor
    path: list[list[float]] = []
    factors: list[float] = []
    for shocks, draws, jump in zip(noise, uniforms, jumps, strict=True):
        if left == 0:
            regime, left, drift = _next_regime(draws)
            anchor = x
        left -= 1
        x += jump + _HOMING * (home - x)
        volatility, pull, push = _VOLATILITY[regime], _PULL[regime] / slots, drift / slots
        row = []
        for shock in shocks:
            x += push + pull * (anchor - x) + volatility * shock
            row.append(x)
        path.append(row)
        factors.append(volatility)
    return np.array(path), np.array(factors), State(x, state.close, regime, left, drift, anchor, state.trades)


def _next_regime(draws: Sequence[float]) -> tuple[Regime, int, float]:
    """Regime, its length in steps and its drift per step, from four uniform numbers."""
    regime = Regime.TREND if draws[0] < 0.35 else Regime.RANGE if draws[0] < 0.75 else Regime.VOLATILE
    length = 20 + int(draws[1] * 60)
    if regime is not Regime.TREND:
        return regime, length, 0.0
    return regime, length, _SIGMA * (0.25 + 0.4 * draws[2]) * (1 if draws[3] < 0.5 else -1)


def _spread(mid: Floats, activity: Floats, volatility: Floats, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Best bid and ask in ticks: wider when the market is thin or volatile, one tick at least."""
    fraction = 0.35e-4 * (2.0 - activity) * np.sqrt(volatility)
    wanted = mid * fraction[:, None] * np.exp(0.3 * rng.standard_normal(mid.shape))
    width = np.maximum(1, np.rint(wanted)).astype(np.int64)
    bid = np.maximum(1, np.floor(mid - width / 2 + 0.5).astype(np.int64))
    return bid, bid + width


def _lots(typical: Floats, sigma: float, rng: np.random.Generator) -> Ints:
    return np.maximum(1, np.rint(typical * np.exp(sigma * rng.standard_normal(typical.shape)))).astype(np.int64)


_Quotes = tuple[Ints, Ints, Ints, Ints, Ints]
_Trades = tuple[Ints, Ints, Ints, Ints, NDArray[np.bool_]]  # step, milliseconds, price, lots, buys


def _trades(listing: Listing, quotes: _Quotes, log_mid: Floats, rate: Floats, slot_ms: int, rng: np.random.Generator) -> _Trades:
    """Trades between the quotes: a buy prints at the ask then shown, a sell at the bid, neither larger than what was shown."""
    _, bid, ask, bid_lots, ask_lots = quotes
    slots = bid.shape[1]
    counts = rng.poisson(np.broadcast_to(rate[:, None] * (_TRADES_PER_STEP / slots), bid.shape))
    step, slot = np.divmod(np.repeat(np.arange(BLOCK * slots), counts.ravel()), slots)
    moves = np.diff(log_mid.ravel(), append=log_mid[-1, -1]) / (_SIGMA / math.sqrt(slots))
    leaning = 0.5 + 0.35 * np.tanh(moves)[step * slots + slot]
    buys = rng.random(step.size) < leaning
    ms = slot * slot_ms + rng.integers(slot_ms // 4, slot_ms, size=step.size)
    price = np.where(buys, ask[step, slot], bid[step, slot])
    shown = np.where(buys, ask_lots[step, slot], bid_lots[step, slot])
    typical = _TRADE_NOTIONAL / (price * float(listing.price_step) * float(listing.amount_step))
    lots = np.minimum(shown, _lots(typical, 1.0, rng))
    order = np.lexsort((ms, step))
    return step[order], ms[order], price[order], lots[order], buys[order]


def _with_bursts(trades: _Trades, quotes: _Quotes, number: int, overlays: Sequence[Overlay]) -> _Trades:
    """The trades with those of the overlays among them: all in the millisecond of their step's first quote, sides in turn."""
    quote_ms, bid, ask, _, _ = quotes
    for overlay in overlays:
        if not overlay.trades or overlay.index // BLOCK != number:
            continue
        at = overlay.index % BLOCK
        buys = np.arange(overlay.trades) % 2 == 0
        place = int(np.searchsorted(trades[0], at))
        extra = (
            np.full(overlay.trades, at),
            np.full(overlay.trades, quote_ms[at, 0]),
            np.where(buys, ask[at, 0], bid[at, 0]),
            np.ones(overlay.trades, dtype=np.int64),
            buys,
        )
        step, ms, price, lots, sides = (np.insert(old, place, new) for old, new in zip(trades, extra, strict=True))
        trades = (step, ms, price, lots, sides)
    return trades


def _assemble(quotes: _Quotes, trades: _Trades, before: State, after: State) -> tuple[Block, State]:
    """Bars out of the trades: a step without any repeats the last close with no volume."""
    step, ms, price, lots, buys = trades
    starts = np.searchsorted(step, np.arange(BLOCK + 1)).astype(np.int64)
    busy = np.flatnonzero(np.diff(starts))
    heads, tails = starts[busy], starts[busy + 1] - 1
    last = np.searchsorted(busy, np.arange(BLOCK), side="right") - 1
    closes = np.append(price[tails], before.close)  # index -1, where no trade came before, is the close of the last block
    close = closes[last]
    opened, high, low = close.copy(), close.copy(), close.copy()
    volume, turnover = np.zeros(BLOCK, dtype=np.int64), np.zeros(BLOCK, dtype=np.int64)
    if busy.size:
        opened[busy] = price[heads]
        high[busy] = np.maximum.reduceat(price, heads)
        low[busy] = np.minimum.reduceat(price, heads)
        volume[busy] = np.add.reduceat(lots, heads)
        turnover[busy] = np.add.reduceat(price * lots, heads)
    block = Block(before.trades, *quotes, starts, ms, price, lots, buys, opened, high, low, close, volume, turnover)
    ending = State(
        after.log_price, int(close[-1]), after.regime, after.left, after.drift, after.anchor, before.trades + int(step.size)
    )
    return block, ending
