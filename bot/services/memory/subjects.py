"""Whose record a trade or a backtest is: the names under which the memory keeps what it learns.

A subject is (symbol, strategy, timeframe). The strategy is the source's own name, such as `rules:sma-cross`; the timeframe is
that of its YAML, and `-` for a source that sees no candles and names none. What a simulated world teaches is kept apart, under
`simulated/` and the name: no demonstration may make a real decision bolder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import structlog

from bot.services.use_case import Ground
from bot.settings import Loaded
from research.memory.evidence import BacktestEvidence, Subject, TradeEvidence
from sources.config import SourceConfigError
from sources.loading import RULES, LoadedSource, load_sources

log = structlog.get_logger(__name__)

E = TypeVar("E", TradeEvidence, BacktestEvidence)

NO_TIMEFRAME = "-"
SIMULATED = "simulated/"


def subject_of(source: str, symbol: str, timeframe: str = NO_TIMEFRAME, *, simulated: bool = False) -> Subject:
    """What is learnt of a source on a symbol at a timeframe; `EvidenceError` for a name that nothing can be kept under."""
    return Subject(symbol, _apart(source) if simulated else source, timeframe)


def apart(evidence: E) -> E:
    """The evidence as that of a simulated world; what is there already stays as it is."""
    return replace(evidence, strategy=_apart(evidence.strategy))


def timeframe_of(source: LoadedSource) -> str:
    """The timeframe of a source's subjects: a rule's candles; of any other what its YAML says, `-` if it says nothing."""
    named = source.rule is not None or "timeframe" in source.config.model_fields_set
    return source.config.timeframe if named else NO_TIMEFRAME


def strategy_of(kind: str, symbol: str, timeframe: str, sources: Iterable[LoadedSource] = ()) -> str:
    """Whose record a backtest of this kind of strategy is, so that backtests and the trades of a source meet.

    A name with a colon is a source's, and stays. Else it is that of the one source of this kind, symbol and timeframe; where
    there is none or several, `rules:KIND` for a rule of the bot's own and `quantconnect:KIND` for any other. So the trades of a
    source `quantconnect:pairs` whose YAML says `timeframe: 1h` meet the cloud backtests of a strategy `pairs` at 1h.
    """
    if ":" in kind:
        return kind
    named = [
        source.config.source
        for source in sources
        if source.config.kind == kind and timeframe_of(source) == timeframe and symbol in source.symbols((symbol,))
    ]
    if len(named) == 1:
        return named[0]
    return f"{'rules' if kind in RULES else 'quantconnect'}:{kind}"


def subject_for(ground: Ground, kind: str, symbol: str, timeframe: str) -> Subject:
    """The subject of a backtest in the cloud: see `strategy_of`; the sources are those of the configuration."""
    strategy = strategy_of(kind, symbol, timeframe, configured_sources(ground))
    return subject_of(strategy, symbol, timeframe, simulated=ground.simulated)


def configured_sources(ground: Ground) -> list[LoadedSource]:
    """The sources of the configuration; none of them, with a line in the log, if one of its files is wrong."""
    return sources_of(ground.loaded)


def sources_of(loaded: Loaded) -> list[LoadedSource]:
    """The same, of settings."""
    directory = loaded.sources_directory
    if directory is None or not directory.is_dir():
        return []
    try:
        return load_sources(directory)
    except SourceConfigError as error:
        # A backtest that took minutes is not lost to a file that it has nothing to do with.
        log.warning("memory_names_by_convention", error=str(error))
        return []


def _apart(source: str) -> str:
    return source if source.startswith(SIMULATED) else SIMULATED + source
