"""Where the candles of the simulator come from: the bot's own simulated market, or recorded files.

History is one endless market per symbol. Hours and days are made of quarter hours that begin at `history_genesis`; the minutes of
a month are a market of their own that begins at the price the quarter hours have there; there are no seconds. What is live is
the market of `seed` that began at `live_genesis`, second by second, the same that an exchange simulator of that seed and genesis
shows; what a live algorithm sees from before is a history of some two months, scaled to meet it. Recorded files replace history
altogether: what they do not have there is no data for, as in LEAN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np

from bot.core.market import Candle
from bot.market.recorded import RecordedMarket, RecordedSeries
from bot.market.simulated import SimulatedMarket, listing_for
from bot.market.simulated_path import Listing

_QUARTER = 900_000
_MINUTE = 60_000
_PAST_MS = 60 * 86_400_000
_NAMES = {1_000: "1s", 60_000: "1m", 900_000: "15m", 3_600_000: "1h", 86_400_000: "1d"}


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """What the market is; two of the same spec show the same candles, in every process. Times in ms UTC, files by path."""

    seed: int = 7
    history_genesis: int = 1_704_067_200_000  # 2024-01-01
    live_genesis: int | None = None
    quotes_per_second: int = 5
    files: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain values, for another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, object]) -> MarketSpec:
        """The reverse."""
        spec = cls(**body)  # type: ignore[arg-type]
        return replace(spec, files=tuple(spec.files))


class Archive:
    """History of any symbol: call it for closed candles of `length` ms, `start <= ts`, end `<= stop`; none where none is.

    `RecordedDataError` when a file cannot be read.
    """

    def __init__(self, spec: MarketSpec) -> None:
        self._spec = spec
        self._coarse: dict[str, SimulatedMarket] = {}
        self._months: dict[tuple[str, int], SimulatedMarket] = {}
        self._files: dict[str, RecordedSeries] | None = None

    def __call__(self, symbol: str, length: int, start: int, stop: int) -> Iterable[Candle]:
        """Candles of a unified symbol."""
        if self._spec.files:
            return self._recorded(symbol, length, start, stop)
        if length < _MINUTE:
            return []
        if length < _QUARTER:
            return self._fine(symbol, length, start, stop)
        return self._quarters(symbol).candles(symbol, _NAMES[length], start, stop)

    def _quarters(self, symbol: str) -> SimulatedMarket:
        if symbol not in self._coarse:
            spec = self._spec
            self._coarse[symbol] = SimulatedMarket(spec.seed, [symbol], spec.history_genesis, _QUARTER, 4)
        return self._coarse[symbol]

    def _fine(self, symbol: str, length: int, start: int, stop: int) -> list[Candle]:
        found: list[Candle] = []
        month = _month_of(max(start, self._spec.history_genesis))
        while month < stop:
            following = _month_of(month + 32 * 86_400_000)
            market = self._month(symbol, month)
            found += market.candles(symbol, _NAMES[length], max(start, month), min(stop, following))
            month = following
        return found

    def _month(self, symbol: str, month: int) -> SimulatedMarket:
        if (symbol, month) not in self._months:
            coarse, known = self._quarters(symbol), listing_for(symbol)
            genesis = max(month, self._spec.history_genesis)
            price = coarse.bar(symbol, coarse.index_at(genesis)).open
            listing = Listing(symbol, price, known.price_step, known.amount_step)
            salted = self._spec.seed + month // 86_400_000
            self._months[(symbol, month)] = SimulatedMarket(salted, [listing], genesis, _MINUTE, 4)
        return self._months[(symbol, month)]

    def _recorded(self, symbol: str, length: int, start: int, stop: int) -> list[Candle]:
        if self._files is None:
            self._files = {}
            for path in self._spec.files:
                self._files |= RecordedMarket.read(Path(path)).series
        series = self._files.get(symbol)
        return [] if series is None else aggregated(series, length, start, stop)


class LiveMarket:
    """The market as it is at the moment, and its past; the same call as `Archive`, which must not ask for the future."""

    def __init__(self, spec: MarketSpec) -> None:
        if spec.live_genesis is None:
            message = "the market has no live_genesis: nothing of it is live"
            raise ValueError(message)
        self._spec, self._genesis = spec, spec.live_genesis
        recent = _month_of(self._genesis - _PAST_MS)
        self._archive = Archive(spec if spec.files else replace(spec, history_genesis=max(spec.history_genesis, recent)))
        self._live: dict[str, SimulatedMarket] = {}
        self._scales: dict[str, float] = {}

    def __call__(self, symbol: str, length: int, start: int, stop: int) -> Iterable[Candle]:
        """Candles of a unified symbol."""
        first = -(-self._genesis // length) * length
        past = list(self._archive(symbol, length, start, min(stop, first))) if start < first else []
        if past:
            scale = self._scale(symbol)
            past = [_scaled(candle, scale) for candle in past]
        if stop <= first:
            return past
        return past + self._market(symbol).candles(symbol, _NAMES[length], max(start, first), stop)

    def price(self, symbol: str, at: int) -> float:
        """The last price at a moment."""
        market = self._market(symbol)
        return market.bar(symbol, max(0, market.index_at(at))).close

    def _market(self, symbol: str) -> SimulatedMarket:
        if symbol not in self._live:
            spec = self._spec
            self._live[symbol] = SimulatedMarket(spec.seed, [symbol], self._genesis, 1_000, spec.quotes_per_second)
        return self._live[symbol]

    def _scale(self, symbol: str) -> float:
        """What history is multiplied by so that it ends where the live market begins."""
        if symbol not in self._scales:
            last = list(self._archive(symbol, 3_600_000, self._genesis - 3 * 86_400_000, self._genesis))
            begun = self._market(symbol).bar(symbol, 0).open
            self._scales[symbol] = begun / last[-1].close if last else 1.0
        return self._scales[symbol]


def aggregated(series: RecordedSeries, length: int, start: int, stop: int) -> list[Candle]:
    """Recorded candles as candles of `length` ms; none when the recorded ones are longer. Only whole ones that have an end."""
    own = int(np.diff(series.ts).min()) if len(series) > 1 else length
    if own > length:
        return []
    inside = (series.ts >= start) & (series.ts + own <= stop)
    buckets = series.ts[inside] // length
    found: list[Candle] = []
    if not len(buckets):
        return found
    heads = np.flatnonzero(np.diff(buckets, prepend=-1))
    columns = [getattr(series, name)[inside] for name in ("open", "high", "low", "close", "volume")]
    opened, high, low, close, volume = columns
    ends: Sequence[int] = [*heads[1:].tolist(), len(buckets)]
    for head, end in zip(heads.tolist(), ends, strict=True):
        ts = int(buckets[head]) * length
        if ts < start or ts + length > stop:
            continue
        part = slice(head, end)
        numbers = (opened[head], high[part].max(), low[part].min(), close[end - 1], volume[part].sum())
        found.append(Candle(series.symbol, _NAMES.get(length, f"{length // 60_000}m"), ts + length, ts, *map(float, numbers)))
    return found


def _scaled(candle: Candle, scale: float) -> Candle:
    digits = max(0, -int(Decimal(repr(candle.close)).as_tuple().exponent))
    o, h, low, c = (round(price * scale, digits) for price in (candle.open, candle.high, candle.low, candle.close))
    return Candle(candle.symbol, candle.timeframe, candle.at, candle.ts, o, h, low, c, candle.volume)


def _month_of(ms: int) -> int:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return round(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp() * 1000)
