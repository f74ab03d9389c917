"""One look at a market: the candles and the quote of a few symbols, as the running bot has them, else as the venue gives them.

Where no bot runs, the venue of the configuration is asked through ccxt, or recorded candles are read from files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.core.briefing import Briefing, LimitUse
from bot.core.decision import Abstention, Claim, Decision
from bot.core.inputs import TradingState
from bot.core.market import Candle, MarketView, Quote, timeframe_ms
from bot.market.candles import CandleAggregator
from bot.market.ccxt_history import CandleHistory
from bot.market.ccxt_venue import CcxtVenue, UnknownExchange, VenueError
from bot.market.recorded import RecordedDataError
from bot.services.fetching import venue_of
from bot.services.patience import Patience, VenueGaveUp
from bot.services.recorded_data import instrument_of, read_market
from bot.services.use_case import UseCaseError
from bot.settings import Settings

_SECONDS = 60.0
_AT_ONCE = 4


class StillPort:
    """A port for a source that is asked beside the bot: it looks at one moment, and keeps what is said instead of saying it."""

    def __init__(self, view: MarketView, briefing: Briefing, now: Callable[[], int]) -> None:
        self._view, self._briefing, self._now = view, briefing, now
        self.decisions: list[Decision] = []
        self.abstentions: list[Abstention] = []

    @property
    def view(self) -> MarketView:
        """The market of that moment."""
        return self._view

    def briefing(self) -> Briefing:
        """The books of that moment."""
        return self._briefing

    def now(self) -> int:
        """Milliseconds UTC."""
        return self._now()

    async def propose(self, decision: Decision) -> None:
        """Keep it."""
        self.decisions.append(decision)

    async def claim(self, claim: Claim) -> None:
        """Nobody waits for it."""
        del claim

    async def abstain(self, abstention: Abstention) -> None:
        """Keep it."""
        self.abstentions.append(abstention)


def fresh_books(settings: Settings, now: int) -> Briefing:
    """The books of somebody who begins: the paper account's balance in cash, nothing held, every limit empty."""
    balance, risk = float(settings.paper.starting_balance), settings.risk
    limits = (
        ("max_position", risk.max_position),
        ("max_exposure", risk.max_exposure),
        ("max_daily_loss", risk.max_daily_loss),
        ("max_drawdown", risk.max_drawdown),
    )
    uses = tuple(LimitUse(name, 0.0, float(limit)) for name, limit in limits if limit is not None)
    return Briefing(now, settings.paper.currency, balance, balance, 0.0, 0.0, 0.0, TradingState.ACTIVE, (), uses)


async def look_at_venue(
    settings: Settings, symbols: Sequence[str], timeframes: Sequence[str], depth: int, now: Callable[[], int]
) -> MarketView:
    """The last `depth` closed candles of each timeframe and the quote of each symbol. `UseCaseError` if the venue gives none."""
    try:
        async with asyncio.timeout(_SECONDS):
            venue = await CcxtVenue.open(venue_of(settings, None), clock=now)
            try:
                return await _looked(venue, symbols, timeframes, depth, now)
            finally:
                await venue.close()
    except (VenueError, UnknownExchange, VenueGaveUp) as error:
        raise UseCaseError(str(error)) from error
    except TimeoutError as error:
        message = f"{settings.exchange.id} did not give its candles within {_SECONDS:g} s: ask for fewer symbols, or again later"
        raise UseCaseError(message) from error


async def _looked(
    venue: CcxtVenue, symbols: Sequence[str], timeframes: Sequence[str], depth: int, now: Callable[[], int]
) -> MarketView:
    for timeframe in timeframes:
        if timeframe not in venue.timeframes:
            message = f"{venue.id} has no {timeframe!r} candles: choose of {', '.join(venue.timeframes)}"
            raise UseCaseError(message)
    view = MarketView(depth=depth, now=now())
    view.instruments.update(venue.instruments(symbols))
    history, patience = CandleHistory(venue), Patience(venue.exchange, lambda _, __: None)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def read(ask: Callable[[], Any]) -> Any:
        async with gate:
            return await patience.read(ask)

    async def candles(symbol: str, timeframe: str) -> list[Candle]:
        since = venue.now() - (depth + 1) * timeframe_ms(timeframe)
        found: list[Candle] = await read(lambda: history.pages(symbol, timeframe, since))
        return found

    async def ticker(symbol: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await read(lambda: venue.exchange.fetch_ticker(symbol))
        return found

    pairs = [(symbol, timeframe) for symbol in symbols for timeframe in timeframes]
    for found in await asyncio.gather(*(candles(*pair) for pair in pairs)):
        for candle in found:
            view.remember(candle)
            if candle.fault() is None:
                view.prices[candle.symbol] = candle.close
    tickers = await asyncio.gather(*(ticker(symbol) for symbol in symbols))
    for symbol, told in zip(symbols, tickers, strict=True):
        _quote(view, symbol, told, now())
    return view


def _quote(view: MarketView, symbol: str, ticker: Mapping[str, Any], at: int) -> None:
    bid, ask = ticker.get("bid"), ticker.get("ask")
    if bid and ask and 0 < bid <= ask:
        view.quotes[symbol] = Quote.of(symbol, int(ticker.get("timestamp") or at), float(bid), float(ask), at=at)
        view.prices[symbol] = view.quotes[symbol].mid


def look_at_files(
    settings: Settings, paths: Sequence[Path], symbols: Sequence[str] | None, timeframes: Sequence[str], depth: int
) -> MarketView:
    """The same of recorded candles: the view as it was when the last of them closed; larger candles are joined from them.

    `UseCaseError` for files that cannot be used, and timeframes that cannot be made of them.
    """
    try:
        market = read_market(paths, symbols=symbols)
    except RecordedDataError as error:
        raise UseCaseError(str(error)) from error
    view = MarketView(depth=depth, now=market.span[1])
    for symbol, series in market.series.items():
        view.instruments[symbol] = instrument_of(series, settings.paper)
        base = series.timeframe
        unfit = [each for each in timeframes if timeframe_ms(each) % timeframe_ms(base)]
        if unfit:
            message = f"{symbol} has {base} candles, of which no {', '.join(unfit)} can be made: give multiples of {base}"
            raise UseCaseError(message)
    makers = [
        (symbol, CandleAggregator(symbol, series.timeframe, timeframe))
        for symbol, series in market.series.items()
        for timeframe in timeframes
        if timeframe != series.timeframe
    ]
    for candle in market.candles():
        view.prices[candle.symbol] = candle.close
        if candle.timeframe in timeframes:
            view.remember(candle)
        for symbol, maker in makers:
            whole = maker.on_candle(candle) if symbol == candle.symbol else None
            if whole is not None:
                view.remember(whole)
    return view
