"""Recorded candles as a backtest wants them: one market out of one or more files, and the instruments that a venue would list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from bot.core.market import Instrument
from bot.market.recorded import RecordedDataError, RecordedMarket, RecordedSeries, unified_symbol
from bot.settings.models import PaperSettings

USUAL_FEE = Decimal("0.001")
"""Maker and taker fee where no venue and no setting says otherwise: what the large spot venues ask of a beginner."""

_MIN_COST = Decimal(5)
_MOST_DECIMALS = 10


def read_market(
    paths: Sequence[Path], *, symbols: Sequence[str] | None = None, start: int | None = None, end: int | None = None
) -> RecordedMarket:
    """The candles of all files together, all of one timeframe; `RecordedDataError` if that cannot be."""
    wanted = None if symbols is None else tuple(unified_symbol(name) for name in symbols)
    whole = len(paths) == 1
    found: dict[str, RecordedSeries] = {}
    for path in paths:
        market = RecordedMarket.read(path, symbols=wanted if whole else None, start=start, end=end, rename=unified_symbol)
        twice = next((name for name in market.series if name in found), None)
        if twice is not None:
            message = f"{path}, column symbol: {twice} is in an earlier file already: give each symbol in one file"
            raise RecordedDataError(message)
        found |= market.series
    if not whole:
        found = _chosen(paths, found, wanted)
    first = next(iter(found.values()))
    for series in found.values():
        if series.timeframe != first.timeframe:
            message = (
                f"{paths[0]}: {series.symbol} has {series.timeframe} candles and {first.symbol} has {first.timeframe}: "
                "choose symbols of one timeframe with --symbols"
            )
            raise RecordedDataError(message)
    return RecordedMarket(paths[0], found)


def _chosen(paths: Sequence[Path], found: dict[str, RecordedSeries], wanted: Sequence[str] | None) -> dict[str, RecordedSeries]:
    missing = next((name for name in wanted or () if name not in found), None)
    if missing is not None:
        files = ", ".join(str(path) for path in paths)
        message = f"{files}, column symbol: {missing!r} is in none of the files, which have {', '.join(found)}: name one of those"
        raise RecordedDataError(message)
    return found if wanted is None else {name: found[name] for name in wanted}


def instrument_of(series: RecordedSeries, paper: PaperSettings) -> Instrument:
    """What a venue would list, as far as prices tell.

    The price step is the finest decimal that the prices use, the amount step the largest power of ten, at most one, that is worth
    at most one unit of the quote currency; an order is worth at least 5. Fees are the settings', else 0.1 %.
    """
    base, _, quote = series.symbol.partition("/")
    amount_step = _amount_step(float(np.median(series.close)))
    return Instrument(
        symbol=series.symbol,
        base=base,
        quote=quote,
        price_step=_price_step(series),
        amount_step=amount_step,
        min_amount=amount_step,
        min_cost=_MIN_COST,
        maker_fee=USUAL_FEE if paper.maker_fee is None else paper.maker_fee,
        taker_fee=USUAL_FEE if paper.taker_fee is None else paper.taker_fee,
    )


def _price_step(series: RecordedSeries) -> Decimal:
    prices = np.concatenate([series.open, series.high, series.low, series.close])
    for decimals in range(_MOST_DECIMALS):
        # A float holds about 16 digits: what is left after rounding to the step is noise when it is that small.
        if np.all(np.abs(np.round(prices, decimals) - prices) <= 1e-14 * prices):
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-_MOST_DECIMALS)


def _amount_step(price: float) -> Decimal:
    return Decimal(1).scaleb(min(0, math.floor(math.log10(1.0 / price))))
