"""The use case of a backtest: candles from files and sources from the configuration meet on the very desk that trades.

Every enabled source takes part. One that wants larger candles than the data have gets them built; one that wants smaller ones is
left out, and the result says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from bot.backtest.engine import BacktestEngine, Curve, FactSink, Line
from bot.backtest.lookahead import Happened, LookaheadReport, check_lookahead
from bot.backtest.result import BacktestResult, Gathered, OpenPosition, SourceResult, source_result
from bot.backtest.statistics import statistics_of
from bot.core.decision import SourceSpec
from bot.core.desk import DeskConfig, Drive
from bot.core.facts import DecisionSeen, Fact, FillBooked
from bot.core.inputs import Input, TradingState
from bot.core.market import Instrument, MarketView, timeframe_ms
from bot.core.protocols import StepSource
from bot.market.recorded import RecordedMarket
from bot.services.assembly import desk_config
from bot.services.recorded_data import instrument_of, read_market
from bot.services.specs import with_settings
from bot.settings import ConfigError, Loaded, Problem, Settings, public
from bot.settings.run import BacktestOptions, FillModel
from sources.base import RuleSource
from sources.llm.params import LlmParams
from sources.loading import LoadedSource, load_sources
from sources.recorded import Cue, RecordedSource

if TYPE_CHECKING:
    from sources.llm.backtesting import BacktestMind, Rooms

Progress = Callable[[int, int], None]

_DEFAULT_SEED = 7


@runtime_checkable
class AsksModels(Protocol):
    """A source whose decisions language models made."""

    @property
    def told(self) -> Mapping[str, int]:
        """Decisions, and abstentions by their reason."""
        ...

    @property
    def leaked(self) -> int:
        """Decisions that may rest on what came after them."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run needs but the candles: who trades what, under which rules."""

    config: DeskConfig
    instruments: dict[str, Instrument]
    sources: tuple[LoadedSource, ...]
    notices: tuple[str, ...]
    rooms: Rooms | None = None

    def engine(self, market: RecordedMarket, sink: FactSink) -> BacktestEngine:
        """An engine of its own with fresh sources."""
        steps: list[StepSource] = []
        recordings: list[RecordedSource] = []
        minds: list[BacktestMind] = []
        for source in self.sources:
            if self.rooms is not None and isinstance(source.params, LlmParams):
                minds.append(self.rooms.source(source.config, source.params, market.symbols))
                continue
            step, life = source.step(market.symbols), source.live(market.symbols)
            if step is not None:
                steps.append(step)
            elif isinstance(life, RecordedSource):
                recordings.append(life)
        script = heapq.merge(*(_lines(source, market.span[0]) for source in recordings), key=attrgetter("at"))
        speakers = [source.spec for source in recordings]

        def see(fact: Fact) -> None:
            sink(fact)
            for mind in minds:
                mind.saw(fact)

        steps += minds
        told = see if minds else sink
        engine = BacktestEngine(self.config, self.instruments, steps, sink=told, scripted=script, speakers=speakers)
        for mind in minds:
            mind.books = engine.desk.briefing
        return engine


@dataclass(frozen=True, slots=True)
class _CuedLine:
    """A line of a recording, said on time."""

    cue: Cue
    spec: SourceSpec

    @property
    def at(self) -> int:
        """When, in milliseconds UTC."""
        return self.cue.at

    def say(self, view: MarketView) -> Input:
        """The input; a price it leaves open is the market's of that moment."""
        return self.cue.say(self.spec, view, self.cue.at)


def _lines(source: RecordedSource, start: int) -> Iterator[Line]:
    return (_CuedLine(cue, source.spec) for cue in source.cues(start) if cue.at >= start)


def backtest(options: BacktestOptions, loaded: Loaded, progress: Progress) -> BacktestResult | LookaheadReport:
    """Run what the options ask for; `progress` is told the bars done and the bars there are.

    `RecordedDataError` for data that cannot be used, `ConfigError` or `SourceConfigError` for a configuration that cannot.
    """
    market = read_market(options.data, symbols=options.symbols, start=options.start, end=options.end)
    with _rooms(options, loaded) as rooms:
        plan = plan_for(market, options, loaded, rooms)
        if options.lookahead_check:
            seed = _DEFAULT_SEED if options.seed is None else options.seed
            return check_lookahead(market, lambda data, until: happenings(plan, data, until), seed=seed, progress=progress)
        return run_backtest(plan, market, options, loaded.settings, progress)


def _rooms(options: BacktestOptions, loaded: Loaded) -> AbstractContextManager[Rooms | None]:
    """Language models, where they are asked for; what they take is loaded only then."""
    if options.llm_replies is None and not options.allow_leak:
        return nullcontext()
    from bot.services.llm.past_minds import past_minds  # noqa: PLC0415 - brings the database and the templates

    return past_minds(options, loaded)


def plan_for(market: RecordedMarket, options: BacktestOptions, loaded: Loaded, rooms: Rooms | None = None) -> Plan:
    """Who trades what in these data; `ConfigError` if nobody can. `rooms` have the language models that may be asked."""
    settings = loaded.settings
    currency = settings.paper.currency
    timeframe = next(iter(market.series.values())).timeframe
    if options.timeframe is not None and not _fits(options.timeframe, timeframe):
        remedy = f"give a multiple of {timeframe}"
        raise ConfigError(Problem("command line", "--timeframe", options.timeframe, f"the data have {timeframe} candles", remedy))
    for symbol in market.symbols:
        if symbol.partition("/")[2] != currency:
            remedy = "name symbols of that currency with --symbols, or set paper.currency"
            raise ConfigError(Problem("configuration", "paper.currency", currency, f"{symbol} is not priced in it", remedy))
    described = [with_settings(source, settings) for source in _enabled(options, loaded)]
    local, notices = _local(described, minds=rooms is not None)
    sources, coarse = _fitting(local, timeframe)
    sources, elsewhere = _present(sources, market.symbols)
    config = desk_config(settings, drive=Drive.CANDLES, drive_timeframe=timeframe, next_open=options.fill is FillModel.NEXT_OPEN)
    instruments = {name: instrument_of(series, settings.paper) for name, series in market.series.items()}
    return Plan(config, instruments, tuple(sources), (*notices, *coarse, *elsewhere), rooms)


def run_backtest(
    plan: Plan, market: RecordedMarket, options: BacktestOptions, settings: Settings, progress: Progress
) -> BacktestResult:
    """One run over the whole market."""
    gathered = Gathered()
    engine = plan.engine(market, gathered.see)
    total = len(market)
    progress(0, total)
    began = perf_counter()
    for done in engine.run(market.candles()):
        progress(done, total)
    seconds = perf_counter() - began
    books, gaps, curve = engine.desk.portfolio, market.gaps(), engine.curve
    start, end = market.span
    stopped = _stopped_by_drawdown(plan, curve)
    statistics = statistics_of(
        curve.at,
        curve.equity,
        curve.exposure,
        [float(trade.pnl) for trade in gathered.trades],
        start=float(plan.config.balance),
        began=start,
        fees=float(books.fees),
    )
    return BacktestResult(
        data=tuple(path.name for path in options.data),
        symbols=market.symbols,
        timeframe=plan.config.drive_timeframe,
        start=start,
        end=end,
        fill=options.fill.value,
        currency=books.currency,
        bars=engine.bars,
        gaps=len(gaps),
        missing_candles=sum(gap.count for gap in gaps),
        seconds=seconds,
        statistics=statistics,
        hold_return=_hold_return(market),
        sources=_source_results(plan, engine, gathered),
        curve=curve,
        fills=tuple(gathered.fills),
        trades=tuple(gathered.trades),
        overrides=tuple(gathered.overrides),
        open_positions=_open_positions(engine),
        halted=engine.desk.state.risk.state is TradingState.HALTED,
        notices=(*plan.notices, *stopped, *_notices(engine), *_kept(plan)),
        config=public(settings),
        leak_risk=any(source.leaked for source in engine.sources if isinstance(source, AsksModels)),
    )


def happenings(plan: Plan, market: RecordedMarket, until: int) -> list[Happened]:
    """Every decision and fill of a run of its own that ends with the bars that close at `until`."""
    found: list[Happened] = []

    def see(fact: Fact) -> None:
        if isinstance(fact, DecisionSeen | FillBooked):
            found.append(Happened(fact.at, repr(fact)))

    engine = plan.engine(market, see)
    for _ in engine.run(candle for candle in market.candles() if candle.at <= until):
        pass
    return found


def _enabled(options: BacktestOptions, loaded: Loaded) -> list[LoadedSource]:
    """The sources that take part: those that are switched on, or those that the options name, whether they are or not."""
    directory = loaded.sources_directory
    where = str(directory or "configuration")
    if directory is None or not directory.is_dir():
        fault, remedy = "there are no sources", "write them with `python -m bot config init DIR` and give --config DIR"
        raise ConfigError(Problem(where, "sources", "", fault, remedy))
    overrides = {} if options.timeframe is None else {"*": {"timeframe": options.timeframe}}
    found = load_sources(directory, overrides)
    if options.sources is None:
        enabled = [source for source in found if source.config.enabled]
        if not enabled:
            raise ConfigError(
                Problem(where, "enabled", "", "no source is switched on", "set `enabled: true` in one of its files")
            )
        return enabled
    by_name = {source.config.source: source for source in found}
    for name in options.sources:
        if name not in by_name:
            raise ConfigError(Problem(where, "--source", name, "no such source", f"name one of {', '.join(by_name)}"))
    chosen = (by_name[name] for name in options.sources)
    return [replace(source, config=source.config.model_copy(update={"enabled": True})) for source in chosen]


def _local(sources: Sequence[LoadedSource], *, minds: bool) -> tuple[list[LoadedSource], list[str]]:
    """The sources that can be asked about the past, and what is to be said of the others; `ConfigError` if there is none."""
    local = [source for source in sources if source.service is None or (minds and isinstance(source.params, LlmParams))]
    asked = [source for source in sources if source not in local]
    if not local:
        first, remedy = asked[0], "switch on a rule, or name one with --source"
        if isinstance(first.params, LlmParams):
            remedy += "; or have a language model answer from its records with --llm-replies any"
        fault = "it speaks with a service outside, which knows nothing of the past"
        raise ConfigError(Problem(str(first.file), "kind", str(first.config.kind), fault, remedy))
    return local, [f"{source.config.source} is left out: a backtest asks no service outside" for source in asked]


def _fitting(sources: Sequence[LoadedSource], base: str) -> tuple[list[LoadedSource], list[str]]:
    """The sources whose candles the data have or can be joined to, and what is to be said about the others.

    `ConfigError` if there is none.
    """
    fitting = [source for source in sources if all(_fits(wanted, base) for wanted in _candles(source))]
    unfit = [source for source in sources if source not in fitting]
    if not unfit:
        return fitting, []
    remedy = f"give finer data, or --timeframe {base} to run every source on the {base} candles"
    if not fitting:
        first = unfit[0]
        more = f" (nor those of {len(unfit) - 1} more)" if len(unfit) > 1 else ""
        fault = f"the data have {base} candles, which cannot give these{more}, so no source is left to run"
        raise ConfigError(Problem(str(first.file), "timeframe", first.config.timeframe, fault, remedy))
    names = ", ".join(f"{source.config.source} ({source.config.timeframe})" for source in unfit)
    return fitting, [f"left out, because {base} data cannot give their candles: {names}; {remedy}"]


def _candles(source: LoadedSource) -> tuple[str, ...]:
    """The candles that a source wants to see."""
    if isinstance(source.params, LlmParams):
        return (source.config.timeframe, *source.params.timeframes)
    return () if source.rule is None else (source.config.timeframe,)


def _fits(timeframe: str, base: str) -> bool:
    return timeframe_ms(timeframe) % timeframe_ms(base) == 0


def _present(sources: Sequence[LoadedSource], symbols: Sequence[str]) -> tuple[list[LoadedSource], list[str]]:
    """The sources that trade any of the symbols; `ConfigError` if there is none."""
    here = [source for source in sources if any(symbol in symbols for symbol in source.symbols(symbols))]
    if not here:
        first = sources[0]
        fault = f"the data have only {', '.join(symbols)}"
        raise ConfigError(Problem(str(first.file), "symbols", ", ".join(first.config.symbols), fault, "name one of those"))
    absent = [source for source in sources if source not in here]
    return here, [f"{source.config.source} is left out: the data have none of its symbols" for source in absent]


def _stopped_by_drawdown(plan: Plan, curve: Curve) -> list[str]:
    """Whether and since when the drawdown limit kept entries out: the most common reason why a run falls silent."""
    limit, peak = plan.config.limits.max_drawdown, float(plan.config.balance)
    if limit is None:
        return []
    for at, equity in zip(curve.at, curve.equity, strict=True):
        peak = max(peak, equity)
        if equity <= peak * (1.0 - limit):
            day = datetime.fromtimestamp(at / 1_000, UTC).date()
            return [f"the drawdown reached risk.max_drawdown ({limit:.0%}) on {day}: no entries while it lasts"]
    return []


def _hold_return(market: RecordedMarket) -> float:
    changes = [float(series.close[-1] / series.open[0]) - 1.0 for series in market.series.values()]
    return sum(changes) / len(changes)


def _source_results(plan: Plan, engine: BacktestEngine, gathered: Gathered) -> tuple[SourceResult, ...]:
    earned, shadows = engine.desk.portfolio.attribution(), engine.desk.state.shadows
    opening = float(plan.config.balance)
    results = []
    for source in plan.sources:
        name, shadow = source.config.source, shadows[source.config.source]
        timeframe = source.config.timeframe if _candles(source) else "-"
        pnl, alone = earned.get(name, 0.0), shadow.portfolio.equity - opening
        results.append(source_result(name, source.config.tier.label, timeframe, gathered, pnl, alone, shadow.trades))
    return tuple(results)


def _open_positions(engine: BacktestEngine) -> tuple[OpenPosition, ...]:
    return tuple(
        OpenPosition(symbol, str(held.amount), None if held.average is None else str(held.average), held.mark, held.unrealised)
        for symbol, held in engine.desk.portfolio.positions.items()
        if held.amount
    )


def _notices(engine: BacktestEngine) -> list[str]:
    """What the desk wanted a person to know, and which rules broke."""
    told: dict[str, int] = {}
    for notice in engine.performer.notices:
        told[notice.title] = told.get(notice.title, 0) + 1
    notices = [title if times == 1 else f"{title} ({times} times)" for title, times in told.items()]
    notices += [
        f"{source.spec.name} failed on {source.faults} symbol(s) and was silenced there; the log says why"
        for source in engine.sources
        if isinstance(source, RuleSource) and source.faults
    ]
    return [*notices, *_of_models(engine)]


def _kept(plan: Plan) -> Iterator[str]:
    if plan.rooms is not None and plan.rooms.minds.asks:
        yield "its answers are recorded: the same backtest with `--llm-replies any` asks nobody"


def _of_models(engine: BacktestEngine) -> Iterator[str]:
    """How the sources that ask language models fared, and whether what they said can be trusted."""
    for source in engine.sources:
        if not isinstance(source, AsksModels):
            continue
        told = dict(source.told)
        decided = told.pop("decisions", 0)
        rest = ", ".join(f"{reason} {number}" for reason, number in told.items())
        yield f"{source.spec.name} decided {decided} times" + (f" and abstained: {rest}" if rest else "")
        if source.leaked:
            why = "are about a past that its models may know: expect less of it live"
            yield f"LEAK RISK: {source.leaked} decisions of {source.spec.name} {why}"
