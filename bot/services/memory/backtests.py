"""What a backtest teaches: the bot's own results as evidence, and evidence kept.

Trades, win rate, profit factor and returns are those of the source's trades in the book, one per opening decision. Where a source
was alone on one symbol, the Sharpe ratio, the drawdown and the return are those of the equity curve; where several shared the
book, the curve is nobody's own, and they follow from the source's trades as if each had staked all there was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum

from pydantic import BaseModel

from bot.backtest.result import BacktestResult, SourceResult
from bot.core.decision import derive_id
from bot.services.memory.opening import memory_of, policy_of
from bot.services.memory.subjects import apart, subject_of
from bot.services.memory.trades import ClosedTrade, by_subject, trades_of
from bot.services.use_case import Ground, UseCaseError
from research.memory.errors import ResearchError
from research.memory.evidence import BacktestEvidence, Parameters, Scalar, Subject
from research.memory.figures import figures_of_trades
from research.memory.lessons import Lesson, lesson_of_backtest
from sources.loading import LoadedSource

_LONGEST = 200
_MOST_RETURNS = 10_000


async def remember_backtest(ground: Ground, evidence: BacktestEvidence) -> Lesson:
    """Keep what a backtest teaches, and say it. With `memory.enabled: false` it is said and not kept.

    In a simulated world it is kept under that world's names. `UseCaseError` if the memory cannot be used.
    """
    if ground.simulated:
        evidence = apart(evidence)
    settings = ground.loaded.settings
    if settings.memory.enabled:
        store = await memory_of(ground)
        try:
            await store.remember([evidence])
        except ResearchError as error:
            raise UseCaseError(str(error)) from error
    return lesson_of_backtest(evidence, policy_of(settings.memory))


def analyse_backtest(result: BacktestResult, known_at: int, sources: Iterable[LoadedSource] = ()) -> tuple[BacktestEvidence, ...]:
    """What a local backtest that was finished at `known_at` (ms UTC) says of each of its sources, on each symbol.

    `sources` are those that took part: they give the parameters, and the symbols that a source which never traded was there for.
    """
    by_name = {source.config.source: source for source in sources}
    traded = by_subject(trades_of(result.trades))
    alone = len(result.sources) == 1 and len(result.symbols) == 1
    return tuple(
        _evidence(result, known_at, each, symbol, traded.get((each.name, symbol), []), by_name.get(each.name), alone)
        for each in result.sources
        for symbol in _symbols(result, each, traded, by_name.get(each.name))
    )


def parameters_of(source: LoadedSource) -> Parameters:
    """A source's parameters as plain values, nested ones by dotted names; what is no scalar is its text."""
    return dict(_plain(source.params.model_dump(mode="python")))


def _symbols(
    result: BacktestResult,
    source: SourceResult,
    traded: Mapping[tuple[str, str], Sequence[ClosedTrade]],
    loaded: LoadedSource | None,
) -> list[str]:
    """The symbols that a source was there for: those it is configured for, else those it traded, else all of the data."""
    if loaded is not None:
        wanted = loaded.symbols(result.symbols)
        return [symbol for symbol in result.symbols if symbol in wanted]
    return [symbol for symbol in result.symbols if (source.name, symbol) in traded] or list(result.symbols)


def _evidence(
    result: BacktestResult,
    known_at: int,
    source: SourceResult,
    symbol: str,
    trades: Sequence[ClosedTrade],
    loaded: LoadedSource | None,
    alone: bool,
) -> BacktestEvidence:
    subject = subject_of(source.name, symbol, source.timeframe)
    figures = figures_of_trades([trade.evidence(subject) for trade in trades])
    statistics = result.statistics
    returns = tuple(trade.profit for trade in trades)
    return BacktestEvidence(
        subject.symbol,
        subject.strategy,
        subject.timeframe,
        known_at=known_at,
        began=result.start,
        until=result.end,
        trades=len(trades),
        total_return=statistics.total_return if alone else math.prod(1.0 + max(profit, -1.0) for profit in returns) - 1.0,
        max_drawdown=statistics.max_drawdown if alone else figures.max_drawdown,
        sharpe=statistics.sharpe if alone else figures.sharpe,
        win_rate=figures.win_rate,
        profit_factor=figures.profit_factor,
        returns=returns if len(returns) <= _MOST_RETURNS else (),
        parameters={} if loaded is None else parameters_of(loaded),
        reference=_reference(result, subject),
    )


def _reference(result: BacktestResult, subject: Subject) -> str:
    """Which run it was, the same for the same data: not more than fits on a line."""
    told = f"local backtest on {', '.join(result.data)}"
    return told if len(told) <= _LONGEST and told.isprintable() else f"local backtest {derive_id(told, subject)}"


def _plain(given: Mapping[str, object], above: str = "") -> Iterator[tuple[str, Scalar]]:
    for name, value in given.items():
        where = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _plain(value, f"{where}.")
        elif value is not None:
            yield where, _scalar(value)


def _scalar(value: object) -> Scalar:
    if isinstance(value, BaseModel):
        value = value.model_dump_json()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bool | int | float):
        return value
    said = str(value)
    return said if len(said) <= _LONGEST and said.isprintable() else derive_id(said)
