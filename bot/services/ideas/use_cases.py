"""What people do with ideas: have one proposed, try it on recorded candles, put it on the shelf, look at the shelf.

Each takes the specification itself, so that what is tried and kept is what was looked at, and a person may write one by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from bot.runtime.jobs import Progress, Report, Result
from bot.services.ideas.answer import TIMEFRAMES, Template
from bot.services.ideas.apart import try_apart
from bot.services.ideas.asking import LONGEST_SENTENCE, Wish, ask_for
from bot.services.ideas.shelf import Origin, keep, refuse_twin, result_of, shelf, twin_of
from bot.services.ideas.specification import Bounds, Specification, checked
from bot.services.ideas.trial import Trial
from bot.services.llm.access import minds_of
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError

Files = tuple[Path, ...]


class ProposeArgs(Arguments):
    """What is wanted."""

    sentence: str = Field("", max_length=LONGEST_SENTENCE, description="the idea in plain words")
    template: Template | None = Field(None, description="the family to begin with")
    symbols: tuple[str, ...] = Field((), max_length=50, description="what it may trade; empty: all that the bot trades")
    timeframe: str | None = Field(None, description="its candles; absent: what the model thinks")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.sentence.strip() and self.template is None:
            message = f"say what is wanted: a sentence, or a template: {', '.join(Template)}"
            raise ValueError(message)
        if self.timeframe is not None and self.timeframe not in TIMEFRAMES:
            message = f"timeframe {self.timeframe!r} is none of {', '.join(TIMEFRAMES)}"
            raise ValueError(message)
        return self


class TrialArgs(Arguments):
    """What is tried, and on what."""

    specification: dict[str, Any] = Field(description="as `idea.propose` gives it")
    data: Files = Field(min_length=1, max_length=50, description="recorded candles: CSV or Parquet")


class SaveArgs(Arguments):
    """What is kept, and where."""

    specification: dict[str, Any] = Field(description="as `idea.propose` gives it")
    data: Files = Field((), max_length=50, description="recorded candles for the backtest beside it; empty: none")
    directory: Path | None = Field(None, description="where the files of sources are; absent: those of the configuration")
    sentence: str = Field("", max_length=LONGEST_SENTENCE, description="what was asked for")
    model: str = Field("", max_length=200, description="who proposed it")


class ListArgs(Arguments):
    """Which shelf."""

    directory: Path | None = Field(None, description="where the files of sources are; absent: those of the configuration")


async def propose(ground: Ground, args: ProposeArgs, report: Report) -> Result:
    """Have a strategy proposed, and judge it."""
    symbols = _symbols(ground, args.symbols)
    minds = await minds_of(ground)
    report(Progress("asking for a strategy"))
    found = await ask_for(minds, Wish(args.sentence, args.template, symbols, args.timeframe))
    told = found.specification
    directory = ground.loaded.sources_directory
    twin = None if directory is None else await asyncio.to_thread(twin_of, directory, told)
    return _told(told) | {
        "model": found.model,
        "cost": str(found.cost),
        "twin": None if twin is None else str(twin),
    }


async def backtest(ground: Ground, args: TrialArgs, report: Report) -> Result:
    """Try a strategy on recorded candles."""
    told = _read(args.specification)
    trial = await _tried(ground, told, args.data, report)
    return _told(told) | {"backtest": trial.brief()}


async def save(ground: Ground, args: SaveArgs, report: Report) -> Result:
    """Keep a strategy as a source that is switched off, with its backtest beside it."""
    told = _read(args.specification)
    directory = _directory(ground, args.directory)
    await asyncio.to_thread(refuse_twin, directory, told)  # before it takes a minute, not after
    trial = await _tried(ground, told, args.data, report) if args.data else None
    origin = Origin(args.sentence, args.model, ground.now())
    file, beside = await asyncio.to_thread(keep, directory, told, trial, origin)
    return _told(told) | {
        "file": str(file),
        "backtest_file": None if beside is None else str(beside),
        "backtest": None if trial is None else trial.brief(),
    }


async def list_ideas(ground: Ground, args: ListArgs, report: Report) -> Result:
    """What is on the shelf."""
    del report  # it is over before anyone could look
    directory = _directory(ground, args.directory)
    rows = await asyncio.to_thread(_rows, directory)
    return {"directory": str(directory), "ideas": rows}


def _rows(directory: Path) -> list[dict[str, object]]:
    rows = []
    for kept in shelf(directory):
        found = result_of(kept) or {}
        figures = {name: found.get(name) for name in ("total_return", "hold_return", "max_drawdown", "sharpe", "trades")}
        rows.append(kept.as_json() | {"figures": figures if found else None})
    return rows


async def _tried(ground: Ground, told: Specification, data: Sequence[Path], report: Report) -> Trial:
    report(Progress("backtesting", note=told.source))
    return await try_apart(told, data, ground.loaded, report)


def _read(given: dict[str, Any]) -> Specification:
    """A specification with whatever was told beside it; a person may try a symbol that the bot does not trade."""
    return checked({name: value for name, value in given.items() if name in Specification.model_fields})


def _told(told: Specification) -> dict[str, object]:
    return {"id": told.id, "source": told.source, "specification": told.model_dump(mode="json")}


def _symbols(ground: Ground, asked: Sequence[str]) -> tuple[str, ...]:
    traded = ground.loaded.settings.exchange.symbols
    strange = [each for each in asked if each not in traded]
    if strange:
        message = f"symbols: {', '.join(strange)[:100]}: the bot trades {', '.join(traded)} (exchange.symbols)"
        raise UseCaseError(message)
    return Bounds(tuple(asked) or tuple(traded)).symbols


def _directory(ground: Ground, asked: Path | None) -> Path:
    found = asked or ground.loaded.sources_directory
    if found is None:
        message = "there is no configuration to save it in: write one with `python -m bot config init DIR`, or name a directory"
        raise UseCaseError(message)
    return found


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase("idea.propose", "Have a language model propose a strategy from a sentence or a template.", ProposeArgs, propose),
    UseCase("idea.backtest", "Try a proposed strategy on recorded candles.", TrialArgs, backtest),
    UseCase("idea.save", "Keep a proposed strategy as a source that is switched off, with its backtest.", SaveArgs, save),
    UseCase("idea.list", "List the proposed strategies that were kept.", ListArgs, list_ideas, quick=True, reads=True),
)
