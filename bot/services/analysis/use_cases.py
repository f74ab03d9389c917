"""Analysis as people and programs ask for it: one symbol or several; technical, sentiment, fundamental and the book."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from bot.core.market import timeframe_ms
from bot.runtime.jobs import Progress, Report, Result
from bot.services.analysis.gathering import Gathered, Wanted, gathered
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError
from sources.analysis.report import Analysis, AnalysisInputs, analyse_batch
from sources.analysis.values import AnalysisError

Symbol = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$", max_length=40)]


class AnalyseArgs(Arguments):
    """What is to be analysed, of which candles."""

    symbols: tuple[Symbol, ...] = Field((), max_length=50, description="such as BTC/USDT; with files none means all in them")
    timeframes: tuple[str, ...] = Field(("1h", "4h", "1d"), min_length=1, max_length=6, description="candles, such as 1h")
    depth: int = Field(300, ge=30, le=2_000, description="candles of each timeframe")
    files: tuple[Path, ...] = Field((), max_length=20, description="recorded candles in the place of the market (Parquet or CSV)")
    fundamentals: bool = Field(True, description="also ask the venue for supply, funding and the like")

    @field_validator("timeframes")
    @classmethod
    def _known(cls, timeframes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(timeframes)) != len(timeframes):
            message = "a timeframe is listed twice; list it once"
            raise ValueError(message)
        return tuple(sorted(timeframes, key=timeframe_ms))


async def analyse(ground: Ground, args: AnalyseArgs, report: Report) -> Result:
    """A report on each symbol; those of several are one another's peers."""
    symbols = tuple(dict.fromkeys(symbol.upper() for symbol in args.symbols))
    if not symbols and not args.files:
        message = "analysis.analyse: symbols: name at least one, such as BTC/USDT"
        raise UseCaseError(message)
    report(Progress("gathering", 0, len(symbols) or None))
    found = await gathered(ground, Wanted(symbols, args.timeframes, args.depth, args.files, args.fundamentals))
    report(Progress("analysing", 0, len(found.candles)))
    try:
        analyses = await asyncio.to_thread(analyse_batch, _inputs(found))
    except AnalysisError as error:
        raise UseCaseError(str(error)) from error
    return {
        "at": found.at,
        "origin": found.origin,
        "simulated": ground.simulated,
        "missing": dict(found.missing),
        "analyses": {symbol: _json(one) for symbol, one in analyses.items()},
    }


def _inputs(found: Gathered) -> list[AnalysisInputs]:
    return [
        AnalysisInputs(symbol, found.at, candles, found.items, found.fundamentals.get(symbol), book=found.book)
        for symbol, candles in found.candles.items()
    ]


def _json(one: Analysis) -> Mapping[str, object]:
    """The whole analysis, and `compact`, which is what a prompt takes."""
    return {**one.as_plain(), "compact": one.compact(), "text": one.text()}


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase("analysis.analyse", "Analyse symbols: charts, news, fundamentals, the book.", AnalyseArgs, analyse),
)
