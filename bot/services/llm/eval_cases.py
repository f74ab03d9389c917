"""`llm.eval`: several models about the snapshots of a recorded run, side by side.

It compares what they say, how far their confidence comes true, what they cost, and what their decisions would have earned after
that cost, next to buying and holding, holding cash, and the same decisions at random moments. Recorded answers cost nothing;
what has to be asked is estimated first, and asked only within `spend`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import combinations
from statistics import fmean
from typing import Any

from pydantic import Field

from bot.core.desk import DeskConfig
from bot.core.facts import ShadowClosed
from bot.core.state import DeskState
from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.journal.reading import segment_paths
from bot.journal.records import Run
from bot.runtime.jobs import Progress, Report, Result
from bot.services.llm.access import minds_of
from bot.services.llm.eval_asking import Asker, Moment, Opinion, Panel
from bot.services.llm.eval_market import BUY_AND_HOLD, CASH, Earning, Stage, bought_and_held, script_of, shuffled
from bot.services.llm.figures import usd
from bot.services.llm.provider_cases import access_settings
from bot.services.llm.sources import source_of
from bot.services.use_case import Arguments, Ground, Missing, UseCase, UseCaseError
from bot.store.errors import StoreUnavailable
from research.calibration.evidence import Closed
from sources.llm.asking import Role
from sources.llm.minds import Minds
from sources.llm.models import Candidate
from sources.llm.opening import model_of
from sources.llm.prices import shipped
from sources.llm.settings import CandidateSettings

_SEED = 7


class EvalArgs(Arguments):
    """Which run, which models, and what may be spent on answers that are not recorded."""

    run: str = Field(min_length=1, max_length=64, description="a recorded run, or `latest`")
    models: tuple[str, ...] = Field(min_length=1, max_length=8, description="as provider/model, or the model alone")
    source: str | None = Field(
        None, max_length=64, description="with the bounds of this source; absent: the first that asks models"
    )
    most: int = Field(100, ge=1, le=2_000, description="snapshots, the oldest of the run")
    spend: Decimal | None = Field(None, ge=0, le=10_000, description="USD that may be spent; absent: only the estimate is told")
    rounds: int = Field(10, ge=1, le=100, description="random runs that each model is compared with")
    seed: int = Field(_SEED, ge=0, description="of these")


@dataclass(frozen=True, slots=True)
class Trial:
    """What one model came to. Money is in the accounting currency, `usd` in USD; shares are 0..1, None without anything to share.

    `pnl_after_cost` takes a USD for a unit of the currency. `random_pnl` is the mean of the random runs, `beat_random` the share
    of them that earned less. `brier`, `ece` are of `closed` hypothetical trades.
    """

    model: str
    asked: int
    recorded: int
    actions: Mapping[str, int]
    abstentions: Mapping[str, int]
    with_run: float | None
    confidence: float | None
    usd: str
    paid: str
    pnl: float | None
    pnl_after_cost: float | None
    fees: float | None
    trades: int
    wins: int
    closed: int
    brier: float | None
    ece: float | None
    ece_low: float | None
    ece_high: float | None
    random_pnl: float | None
    beat_random: float | None


async def evaluate(ground: Ground, args: EvalArgs, report: Report) -> Result:
    """The estimate, and where it may be spent, the comparison."""
    minds = await minds_of(ground)
    config, params = source_of(ground, args.source)
    candidates = chosen(ground, minds, args.models)
    run, initial = await asyncio.to_thread(_run, ground, args.run)
    asker = Asker(ground, minds, config, params)
    report(Progress("looking up recorded answers"))
    try:
        panel = await asker.panel(run.id, candidates, args.most)
        told = _estimate(panel, run, config.source)
        if args.spend is None and panel.missing:
            return told | {"compared": False}
        if panel.usd > (args.spend or 0):
            calls = f"{len(panel.missing)} calls may cost {usd(panel.usd)} USD"
            message = f"llm.eval: {calls}, more than the {args.spend or 0} that may be spent"
            raise UseCaseError(message)
        opinions = await asker.opinions(panel, report)
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    report(Progress("trading the answers"))
    stage, why = _stage(ground, run, initial)
    earned = None if stage is None else await asyncio.to_thread(_earned, stage, opinions, panel.moments, args)
    trials = [_trial(name, opinions[name], earned, args.rounds) for name in opinions]
    return told | {
        "compared": True,
        "trials": [asdict(trial) for trial in trials],
        "agreement": _agreement(opinions),
        "baselines": {} if earned is None else {name: _baseline(earned[name]) for name in (BUY_AND_HOLD, CASH)},
        "market": {"quotes": 0 if stage is None else stage.quotes, "missing": why},
        "currency": ground.loaded.settings.paper.currency if stage is None else stage.config.currency,
        "seed": args.seed,
        "rounds": args.rounds,
    }


def chosen(ground: Ground, minds: Minds, names: Sequence[str]) -> list[Candidate]:
    """The models of these names, each once; a name without its provider is looked for among the configured candidates."""
    known = {str(one): one for role in Role for one in minds.router.candidates(role)}
    settings, table = access_settings(ground), shipped()
    found: dict[str, Candidate] = {}
    for name in names:
        same = [one for label, one in known.items() if name in {label, one.model.name}]
        provider, slash, model = name.partition("/")
        if same:
            one = same[0]
        elif slash and provider in settings.providers:
            one = Candidate(model_of(CandidateSettings(provider=provider, model=model), table))
        else:
            configured = ", ".join(known) or "none"
            write = f"write provider/model; providers are {', '.join(settings.providers)}"
            message = f"llm.eval: models: {name!r}: {write}, and those that are asked are {configured}"
            raise UseCaseError(message)
        if one.model.provider in minds.disabled:
            message = f"llm.eval: models: {one}: {minds.disabled[one.model.provider]}"
            raise UseCaseError(message)
        found[str(one)] = one
    return list(found.values())


def _run(ground: Ground, wanted: str) -> tuple[Run, object]:
    try:
        with Queries(ground.loaded.settings.database_url) as queries:
            run = queries.run(wanted)
            if run is None:
                known = ", ".join(each.id for each in queries.runs(limit=5)) or "none was recorded yet"
                message = f"there is no run {wanted}; the newest are: {known}"
                raise Missing(message)
            return run, queries.initial_snapshot(run.id)
    except JournalError as error:
        raise UseCaseError(str(error)) from error


def _stage(ground: Ground, run: Run, initial: object) -> tuple[Stage | None, str]:
    """The recorded market, or why there is none."""
    paths = segment_paths(ground.loaded.settings.bot.data_dir, run.id)
    match initial:
        case {"config": DeskConfig() as config, "desk": DeskState() as state}:
            if paths:
                return Stage(config, paths, tuple(state.instruments.values())), ""
            return None, f"run {run.id} has no segment files: restore them to see what the answers would have earned"
    return None, f"run {run.id} has no initial snapshot that this version can read"


def _estimate(panel: Panel, run: Run, source: str) -> dict[str, object]:
    return {
        "run": run.id,
        "simulated": run.simulated,
        "bounds_of": source,
        "snapshots": len(panel.moments),
        "first": panel.moments[0].at,
        "last": panel.moments[-1].at,
        "models": [str(one) for one in panel.candidates],
        "recorded": len(panel.known),
        "calls": len(panel.missing),
        "usd_at_most": usd(panel.usd),
        "unpriced": sorted({str(candidate) for _, candidate in panel.unpriced}),
    }


def _earned(
    stage: Stage, opinions: Mapping[str, Sequence[Opinion]], moments: Sequence[Moment], args: EvalArgs
) -> Mapping[str, Earning]:
    """What every model, its random twins and the baselines would have earned."""
    scripts = {name: script_of(name, each) for name, each in opinions.items()}
    for name, each in opinions.items():
        dice = random.Random(f"{args.seed} {name}")  # noqa: S311 - it draws moments, no secrets
        scripts |= {_twin(name, number): shuffled(_twin(name, number), each, moments, dice) for number in range(args.rounds)}
    scripts |= {BUY_AND_HOLD: bought_and_held(moments), CASH: []}
    return stage.earnings(scripts)


def _twin(name: str, number: int) -> str:
    return f"random:{number}:{name}"


def _trial(name: str, opinions: Sequence[Opinion], earned: Mapping[str, Earning] | None, rounds: int) -> Trial:
    from research.calibration.curve import reliability  # noqa: PLC0415 - numpy

    cost, paid = sum((one.cost for one in opinions), Decimal(0)), sum((one.paid for one in opinions), Decimal(0))
    mine = None if earned is None else earned[name]
    traded = any(one.trades for one in opinions)
    twins = [] if earned is None or not traded else [earned[_twin(name, number)].pnl for number in range(rounds)]
    decided = [one.wanted.confidence for one in opinions if one.wanted is not None]
    stated = {decision.id: decision.confidence for decision in script_of(name, opinions)}
    record = (
        None
        if mine is None
        else reliability([_closed(name, one, stated[one.decision_id]) for one in mine.closed if one.decision_id in stated])
    )
    return Trial(
        model=name,
        asked=len(opinions),
        recorded=sum(one.recorded for one in opinions),
        actions=dict(Counter(one.word for one in opinions)),
        abstentions=dict(Counter(one.reason for one in opinions if one.reason)),
        with_run=_share([one.word == _said(one.moment) for one in opinions]),
        confidence=fmean(decided) if decided else None,
        usd=f"{cost:f}",
        paid=f"{paid:f}",
        pnl=None if mine is None else mine.pnl,
        pnl_after_cost=None if mine is None else mine.pnl - float(cost),
        fees=None if mine is None else mine.fees,
        trades=0 if mine is None else mine.trades,
        wins=0 if mine is None else mine.wins,
        closed=0 if record is None else record.closed,
        brier=None if record is None else record.brier.score,
        ece=None if record is None else record.error,
        ece_low=None if record is None else record.error_low,
        ece_high=None if record is None else record.error_high,
        random_pnl=fmean(twins) if twins else None,
        beat_random=None if mine is None else _share([mine.pnl > twin for twin in twins]),
    )


def _said(moment: Moment) -> str:
    """What the run itself was answered."""
    return str((moment.first.reply.parsed or {}).get("action", "abstain"))


def _closed(name: str, trade: ShadowClosed, stated: float) -> Closed:
    profit = float(trade.pnl) / float(trade.entry * trade.amount)
    return Closed("llm:eval", name, "buy", trade.symbol, stated, stated, trade.at, profit, trade.decision_id)


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def _agreement(opinions: Mapping[str, Sequence[Opinion]]) -> list[dict[str, object]]:
    """How often each pair says the same of a snapshot; to abstain is to say something, too."""
    found: list[dict[str, object]] = []
    for one, other in combinations(opinions, 2):
        pairs = list(zip(opinions[one], opinions[other], strict=True))
        both = [(a, b) for a, b in pairs if a.trades and b.trades]
        found.append(
            {
                "one": one,
                "other": other,
                "share": _share([a.word == b.word for a, b in pairs]),
                "both_trade": len(both),
                "opposed": sum(a.word != b.word for a, b in both),
            }
        )
    return found


def _baseline(one: Earning) -> dict[str, object]:
    return {"pnl": one.pnl, "fees": one.fees, "trades": one.trades}


CASES: tuple[UseCase[Any], ...] = (UseCase("llm.eval", "Compare models on the snapshots of a recorded run.", EvalArgs, evaluate),)
