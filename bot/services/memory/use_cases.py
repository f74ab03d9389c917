"""What people ask the memory, which answers as of a moment: `as_of` (ms UTC), now if it is not given. `learn` alone changes it.

A subject is named by any of symbol, strategy and timeframe; what is left open matches all. A strategy also finds what a simulated
world taught of it, which is listed under `simulated/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import Field

from bot.runtime.jobs import Report, Result
from bot.services.memory.beliefs import recalling
from bot.services.memory.learning import LearnArgs, learn
from bot.services.memory.opening import memory_to_read, policy_of
from bot.services.memory.subjects import SIMULATED
from bot.services.memory.telling import lesson_json, named
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError
from research.memory.confidence import NO_CONFIDENCE, Confidence, adjusted
from research.memory.errors import ResearchError
from research.memory.evidence import LAST_MS, Subject, TradeEvidence
from research.memory.lessons import Lesson, Origin
from research.memory.parameters import RobustParameters
from research.memory.policy import MemoryPolicy
from research.memory.store import InMemoryStore, MemoryStore

A = TypeVar("A", bound="About")

_DAY_MS = 86_400_000
_DAYS_SHOWN = 30
_MOST_LOOK_UPS = 500


class About(Arguments):
    """Which subjects, and as of when."""

    symbol: str | None = Field(None, description="such as BTC/USDT")
    strategy: str | None = Field(None, description="a source's name, such as rules:sma-cross")
    timeframe: str | None = Field(None, description="such as 1h, - for none")
    as_of: int | None = Field(None, ge=0, le=LAST_MS, description="nothing learnt later is seen (ms UTC); absent: now")


class LessonArgs(About):
    """How much is told."""

    limit: int = Field(20, ge=1, le=1_000, description="lessons per subject, the newest")


class HistoryArgs(About):
    """Over which time."""

    since: int | None = Field(None, ge=0, le=LAST_MS, description="first moment (ms UTC); absent: 30 days before the last")
    points: int = Field(30, ge=2, le=_MOST_LOOK_UPS, description="moments, evenly spaced, the first and the last among them")


async def subjects(store: MemoryStore, policy: MemoryPolicy, found: Sequence[Subject], args: About, at: int) -> Result:
    """What anything is known about, with how far it is to be believed."""
    rows = [named(each) | _confidence_json(await store.confidence(each, at), policy) for each in found]
    return {"as_of": at, "subjects": rows}


async def lessons(store: MemoryStore, policy: MemoryPolicy, found: Sequence[Subject], args: LessonArgs, at: int) -> Result:
    """What was learnt, newest first."""
    told = [lesson for each in found for lesson in await store.lessons(each, at, args.limit)]
    told.sort(key=lambda lesson: -lesson.known_at)
    return {"as_of": at, "lessons": [lesson_json(lesson) for lesson in told]}


async def confidence(store: MemoryStore, policy: MemoryPolicy, found: Sequence[Subject], args: About, at: int) -> Result:
    """How far each subject is to be believed, and what that would make of its decisions."""
    rows = [named(each) | _confidence_json(await store.confidence(each, at), policy) for each in found]
    return {"as_of": at, "min_trades": policy.min_trades, "strength": policy.strength, "confidence": rows}


async def parameters(store: MemoryStore, policy: MemoryPolicy, found: Sequence[Subject], args: About, at: int) -> Result:
    """The parameters that the history of backtests recommends; null where it cannot tell."""
    rows = [named(each) | {"recommended": _parameters_json(await store.parameters(each, at))} for each in found]
    return {"as_of": at, "parameters": rows}


async def recommendations(store: MemoryStore, policy: MemoryPolicy, found: Sequence[Subject], args: About, at: int) -> Result:
    """What to do about each subject, by its newest lesson of trades and its newest of a backtest."""
    rows: list[dict[str, object]] = []
    for each in found:
        newest = await store.lessons(each, at, 1_000)
        for origin in (Origin.TRADES, Origin.BACKTEST):
            lesson = next((one for one in newest if one.origin is origin), None)
            if lesson is not None:
                rows.append(_recommended(lesson))
    return {"as_of": at, "recommendations": rows}


async def history(store: MemoryStore, policy: MemoryPolicy, found: Sequence[Subject], args: HistoryArgs, at: int) -> Result:
    """How far each subject was believed over time: at each moment only what was known then counts."""
    since = max(0, at - _DAYS_SHOWN * _DAY_MS) if args.since is None else args.since
    if since >= at:
        message = f"memory.history: since: {since} is not before {at}; give an earlier moment, or a later as_of"
        raise UseCaseError(message)
    if len(found) * args.points > _MOST_LOOK_UPS:
        most = max(2, _MOST_LOOK_UPS // len(found))
        message = (
            f"memory.history: points: {args.points} for {len(found)} subjects are too many; name the subject, or ask for {most}"
        )
        raise UseCaseError(message)
    moments = [since + (at - since) * step // (args.points - 1) for step in range(args.points)]
    rows = []
    for each in found:
        believed = zip(moments, await _believed(store, policy, each, moments), strict=True)
        points = [{"at": moment} | _confidence_json(told, policy) for moment, told in believed]
        rows.append(named(each) | {"points": points})
    return {"as_of": at, "history": rows}


async def _believed(
    store: MemoryStore, policy: MemoryPolicy, subject: Subject, moments: Sequence[int]
) -> Sequence[Confidence | None]:
    """The confidence at each moment. Where all the evidence fits into a look-up, it is read only once."""
    recalls = recalling(store)
    if recalls is not None:
        evidence = await recalls.evidence(subject, moments[-1])
        trades = sum(isinstance(each, TradeEvidence) for each in evidence)
        if max(trades, len(evidence) - trades) < policy.window:
            copy = InMemoryStore(policy)
            copy.add(evidence)
            return await asyncio.to_thread(lambda: [copy.confidence_now(subject, moment) for moment in moments])
    return [await store.confidence(subject, moment) for moment in moments]


def _confidence_json(found: Confidence | None, policy: MemoryPolicy) -> dict[str, object]:
    """With `factor`, by which a decision's confidence would be multiplied."""
    told = NO_CONFIDENCE if found is None else found
    return {
        "confidence": None if found is None else told.value,
        "quality": told.quality,
        "credibility": told.credibility,
        "trades": told.trades,
        "proven": told.proven,
        "factor": adjusted(found, 1.0, policy).factor,
    }


def _parameters_json(found: RobustParameters | None) -> dict[str, object] | None:
    return None if found is None else asdict(found) | {"parameters": dict(found.parameters)}


def _recommended(lesson: Lesson) -> dict[str, object]:
    return named(lesson.subject) | {
        "origin": lesson.origin.value,
        "known_at": lesson.known_at,
        "rating": lesson.rating.value,
        "risk": lesson.risk.value,
        "trades": lesson.figures.trades,
        **asdict(lesson.recommendations),
    }


Answers = Callable[[MemoryStore, MemoryPolicy, Sequence[Subject], A, int], Awaitable[Result]]


def _case(name: str, about: str, args: type[A], answers: Answers[A]) -> UseCase[A]:
    """A quick use case that looks something up; whatever the store cannot do is one line."""

    async def run(ground: Ground, asked: A, report: Report) -> Mapping[str, object]:
        del report  # it is over before anyone could look
        at = ground.now() if asked.as_of is None else asked.as_of
        store = await memory_to_read(ground)
        try:
            found = [each for each in await store.subjects(at) if _meant(each, asked)]
            return await answers(store, policy_of(ground.loaded.settings.memory), found, asked, at)
        except ResearchError as error:
            raise UseCaseError(str(error)) from error

    return UseCase(f"memory.{name}", about, args, run, quick=True, reads=True)


def _meant(subject: Subject, asked: About) -> bool:
    strategy = asked.strategy
    return (
        asked.symbol in {None, subject.symbol}
        and asked.timeframe in {None, subject.timeframe}
        and (strategy is None or strategy in {subject.strategy, subject.strategy.removeprefix(SIMULATED)})
    )


USE_CASES: tuple[UseCase[Any], ...] = (
    _case("subjects", "What the memory knows anything about.", About, subjects),
    _case("lessons", "What backtests and closed trades taught.", LessonArgs, lessons),
    _case("confidence", "How far each strategy is believed on a symbol at a timeframe.", About, confidence),
    _case("parameters", "The parameters that the history of backtests recommends.", About, parameters),
    _case("history", "How far each strategy was believed over time.", HistoryArgs, history),
    _case("recommendations", "What to do about each strategy: position size, entries, overall.", About, recommendations),
    UseCase("memory.learn", "Keep what backtests teach that were run elsewhere.", LearnArgs, learn, quick=True),
)
