"""`market.symbols` and `market.candles`: what the running bot sees. Times are ms UTC, prices numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bot.core.market import Candle, MarketView, timeframe_ms
from bot.runtime.jobs import Report, Result
from bot.services.trading.at_desk import AtDesk, at_desk, digits, listed
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError

COLUMNS = ("ts", "open", "high", "low", "close", "volume")
"""What the numbers of a candle in an answer are, in this sequence."""


class Nothing(Arguments):
    """No arguments."""


class CandlesWanted(Arguments):
    """The last `limit` closed candles of a symbol; without a timeframe, its finest."""

    symbol: Annotated[str, Field(max_length=40)]
    timeframe: Annotated[str, Field(max_length=4)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 300


async def symbols(ground: Ground, args: Nothing, report: Report) -> Result:
    """Every symbol that is traded: its quote, its health, its candles, its steps and minimums at the venue."""
    del args, report
    seat = at_desk(ground)
    return {"now": seat.now, "symbols": [_symbol(seat, name) for name in sorted(seat.desk.state.instruments)]}


async def candles(ground: Ground, args: CandlesWanted, report: Report) -> Result:
    """Closed candles, oldest first."""
    del report
    seat = at_desk(ground)
    view = seat.desk.market
    symbol = listed(seat.desk, args.symbol)
    known = _timeframes(view, symbol)
    timeframe = args.timeframe or (known[0] if known else "1m")
    if args.timeframe is not None and timeframe not in known:
        message = f"no candles of {symbol} at {timeframe!r}; there are {', '.join(known) or 'none yet'}"
        raise UseCaseError(message)
    found = list(view.history(symbol, timeframe))[-args.limit :]
    return {
        "symbol": symbol,
        "timeframe": timeframe,
        "timeframes": known,
        "columns": COLUMNS,
        "candles": [_row(candle) for candle in found],
    }


def _symbol(seat: AtDesk, symbol: str) -> dict[str, object]:
    view, risk = seat.desk.market, seat.desk.state.risk
    quote, instrument = view.quotes.get(symbol), seat.desk.state.instruments[symbol]
    health = risk.health.get(symbol)
    return {
        "symbol": symbol,
        "price": view.price(symbol),
        "bid": None if quote is None else quote.bid,
        "ask": None if quote is None else quote.ask,
        "seen": risk.seen.get(symbol),
        "health": "unknown" if health is None else health.value,
        "timeframes": _timeframes(view, symbol),
        "price_step": digits(instrument.price_step),
        "amount_step": digits(instrument.amount_step),
        "min_amount": digits(instrument.min_amount),
        "min_cost": digits(instrument.min_cost),
        "maker_fee": float(instrument.maker_fee),
        "taker_fee": float(instrument.taker_fee),
    }


def _timeframes(view: MarketView, symbol: str) -> list[str]:
    """Those there are candles of, the finest first."""
    return sorted((name for name, kept in view.candles.get(symbol, {}).items() if kept), key=timeframe_ms)


def _row(candle: Candle) -> tuple[float, ...]:
    return candle.ts, candle.open, candle.high, candle.low, candle.close, candle.volume


USE_CASES = (
    UseCase("market.symbols", "The symbols that are traded: price, health, steps and fees.", Nothing, symbols, quick=True),
    UseCase("market.candles", "The newest closed candles of a symbol.", CandlesWanted, candles, quick=True),
)
