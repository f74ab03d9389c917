"""What an analysis is made of: candles, scored news, fundamentals and the book, from wherever they are to be had.

The running bot's own market and books go first; a symbol or timeframe that it does not have is asked of the venue, unless its
world is a simulated one. What cannot be had is missing, with the reason, and ends no analysis; without candles there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.briefing import Briefing
from bot.core.market import Candle, MarketView
from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.services.fetching import venue_of
from bot.services.market_look import look_at_files, look_at_venue
from bot.services.running import Running, running
from bot.services.use_case import Ground, UseCaseError
from sources.analysis.fundamental import Fundamentals
from sources.analysis.portfolio import PortfolioInputs, inputs_of
from sources.analysis.providers import FundamentalsUnavailable
from sources.analysis.providers_ccxt import CcxtFundamentals
from sources.analysis.returns import aligned
from sources.analysis.sentiment import ScoredItem
from sources.analysis.values import AnalysisError
from sources.news.items import Item
from sources.news.lexicon import EVERY

_ENOUGH = 30
_CURVE_POINTS = 1_000
_FUNDAMENTALS_S = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be gathered; with `files`, their candles and nothing of now. `depth` is in candles."""

    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    depth: int
    files: tuple[Path, ...] = ()
    fundamentals: bool = True


@dataclass(slots=True)
class Gathered:
    """What was found. `at` is ms UTC; `origin` says whose market it is; `missing` why a subject is not there."""

    at: int
    origin: str
    candles: Mapping[str, Mapping[str, Sequence[Candle]]]
    items: Sequence[ScoredItem] | None = None
    fundamentals: Mapping[str, Fundamentals] = field(default_factory=dict)
    book: PortfolioInputs | None = None
    missing: dict[str, str] = field(default_factory=dict)


async def gathered(ground: Ground, wanted: Wanted) -> Gathered:
    """All of it. `UseCaseError` where there are no candles."""
    if wanted.files:
        return await _of_files(ground, wanted)
    bot, now = running(ground), ground.now()
    view = None if bot is None else bot.port.view
    origin, candles = await _candles(ground, wanted, view)
    found = Gathered(now, origin, candles)
    if bot is not None:
        found.items = _items(bot, found)
        found.book = await _book(ground, bot.port.briefing(), candles, found)
    else:
        found.missing["news"] = found.missing["portfolio"] = "no bot is running"
    if wanted.fundamentals:
        await _fundamentals(ground, wanted, found)
    return found


async def _of_files(ground: Ground, wanted: Wanted) -> Gathered:
    settings, symbols = ground.loaded.settings, wanted.symbols or None
    view = await asyncio.to_thread(look_at_files, settings, wanted.files, symbols, wanted.timeframes, wanted.depth)
    names = wanted.symbols or tuple(view.instruments)
    candles = {symbol: {name: view.history(symbol, name) for name in wanted.timeframes} for symbol in names}
    why = "recorded candles tell nothing of it"
    missing = {"news": why, "portfolio": why, "fundamental": why}
    return Gathered(view.now, ", ".join(path.name for path in wanted.files), candles, missing=missing)


async def _candles(ground: Ground, wanted: Wanted, view: MarketView | None) -> tuple[str, dict[str, dict[str, Sequence[Candle]]]]:
    """By symbol and timeframe, and where they come from."""
    found: dict[str, dict[str, Sequence[Candle]]] = {}
    lacking: list[str] = []
    for symbol in wanted.symbols:
        known = {} if view is None else {name: list(view.history(symbol, name)) for name in wanted.timeframes}
        found[symbol] = {name: rows for name, rows in known.items() if rows}
        if any(len(known.get(name, ())) < _ENOUGH for name in wanted.timeframes):
            lacking.append(symbol)
    if not lacking:
        return "the running bot", found
    if ground.simulated:  # a simulated market is nowhere but in the bot
        if view is not None and not any(found.values()):
            found |= {symbol: {name: list(rows) for name, rows in view.candles.get(symbol, {}).items()} for symbol in lacking}
        without = [symbol for symbol in wanted.symbols if not any(found[symbol].values())]
        if without:
            message = f"the simulated market has no candles of {', '.join(without)}: name symbols that it trades"
            raise UseCaseError(message)
        return "the simulated market of the running bot", found
    looked = await look_at_venue(ground.loaded.settings, lacking, wanted.timeframes, wanted.depth, ground.now)
    for symbol in lacking:
        found[symbol] = {name: list(looked.history(symbol, name)) for name in wanted.timeframes}
    whole = len(lacking) == len(wanted.symbols)
    return ground.loaded.settings.exchange.id if whole else f"the running bot and {ground.loaded.settings.exchange.id}", found


def _items(bot: Running, found: Gathered) -> Sequence[ScoredItem] | None:
    items = bot.items()
    if items is None:
        found.missing["news"] = "the bot reads no news"
        return None
    return [_scored(item) for item in items if isinstance(item, Item)]


def _scored(item: Item) -> ScoredItem:
    """An item as sentiment weighs it: one voice for each group, half as sure where no word of it was known."""
    about = () if EVERY in item.reading.symbols else item.reading.symbols
    certainty = item.weight if item.reading.known else item.weight / 2
    return ScoredItem(item.id, item.group, item.available_at, item.reading.sentiment, about, certainty)


async def _book(
    ground: Ground, briefing: Briefing, candles: Mapping[str, Mapping[str, Sequence[Candle]]], found: Gathered
) -> PortfolioInputs | None:
    """The bot's book with the returns that there are of what it holds."""
    bot = running(ground)
    assert bot is not None
    shared = next((name for name in next(iter(candles.values()), {}) if all(each.get(name) for each in candles.values())), None)
    try:
        if shared is None:
            return inputs_of(briefing)
        rows = {symbol: list(each[shared]) for symbol, each in candles.items()}
        rows |= {
            held.symbol: list(bot.port.view.history(held.symbol, shared)) for held in briefing.held if held.symbol not in rows
        }
        table = aligned({symbol: each for symbol, each in rows.items() if each}, briefing.at)
        return inputs_of(briefing, table, benchmark=next(iter(candles)), curve=await _curve(ground))
    except AnalysisError as error:
        found.missing["portfolio"] = str(error)
        return None


async def _curve(ground: Ground) -> Sequence[float]:
    """The equity of this run; none where the journal cannot be read."""
    if not ground.run:
        return ()

    def read() -> Sequence[float]:
        with Queries(ground.loaded.settings.database_url) as queries:
            points = queries.equity(run=ground.run, limit=_CURVE_POINTS)
        return [point.equity for point in points if point.equity is not None and point.equity > 0]

    try:
        return await asyncio.to_thread(read)
    except JournalError:
        return ()


async def _fundamentals(ground: Ground, wanted: Wanted, found: Gathered) -> None:
    """What the venue tells of the symbols; a simulated one tells nothing worth weighing."""
    if ground.simulated:
        found.missing["fundamental"] = "a simulated market has none"
        return
    venue = venue_of(ground.loaded.settings, None)
    try:
        provider = CcxtFundamentals.open({"exchange": venue.exchange, "config": venue.config})
    except FundamentalsUnavailable as error:
        found.missing["fundamental"] = str(error)
        return
    try:
        async with asyncio.timeout(_FUNDAMENTALS_S):
            found.fundamentals = await provider.fetch(wanted.symbols)
    except FundamentalsUnavailable as error:
        found.missing["fundamental"] = str(error)
    except TimeoutError:
        found.missing["fundamental"] = f"the venue did not tell them within {_FUNDAMENTALS_S:g} s"
    finally:
        await provider.close()
