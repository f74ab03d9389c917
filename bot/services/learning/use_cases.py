"""What people ask about calibration, and what they decide: feedback, freezing, unfreezing, beginning anew.

Whatever only reads answers as of a moment: `as_of` (ms UTC), now if it is not given. A source's name also finds what a simulated
world taught of it, which is listed under `simulated/`; to change that, name it so, unless the bot that is asked is in that world.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

from bot.runtime.jobs import Report, Result
from bot.services.learning import answers
from bot.services.learning.opening import HELD, calibration_of, calibration_to_read, named, plain, policy_of
from bot.services.memory.subjects import configured_sources
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError
from research.calibration.feedback import Feedback, Opined
from research.calibration.states import LEARNING, SourceState, closed_since, maps_in_force
from research.memory.errors import ResearchError
from research.memory.evidence import LAST_MS

if TYPE_CHECKING:
    from research.calibration.sql import SqlCalibration

A = TypeVar("A", bound=Arguments)


class About(Arguments):
    """Which source, and as of when."""

    source: str | None = Field(None, description="a source's name, such as rules:sma-cross; absent: all")
    as_of: int | None = Field(None, ge=0, le=LAST_MS, description="nothing learnt later is seen (ms UTC); absent: now")


class CurveArgs(About):
    """Which part of a source's record."""

    model: str | None = Field(None, description="a model's name; absent: each, and all together")
    action: Literal["buy", "sell"] | None = Field(None, description="buy or sell; absent: both, apart")


class OutcomeArgs(About):
    """How much is told."""

    limit: int = Field(50, ge=1, le=1_000, description="closed decisions, the newest")


class FeedbackArgs(Arguments):
    """What somebody says of a decision; without `opined`, what was said is listed."""

    decision: str | None = Field(None, min_length=1, max_length=200, description="the decision's id")
    opined: Opined | None = Field(None, description="useful or wrong; absent: list")
    note: str = Field("", max_length=200, description="why, in a line")
    author: str = Field("operator", min_length=1, max_length=60, description="who says so; the newest word of each counts")
    limit: int = Field(50, ge=1, le=1_000, description="how many are listed, the newest")


class SourceArgs(Arguments):
    """Whose calibration, and who decides."""

    source: str = Field(min_length=1, max_length=200, description="a source's name, such as rules:sma-cross")
    author: str = Field("operator", min_length=1, max_length=60, description="who decides")
    note: str = Field("", max_length=200, description="why, in a line")


class FreezeArgs(SourceArgs):
    """How it is frozen."""

    to: Literal["now", "identity"] = Field("now", description="now: the maps stay as they are | identity: as stated, no map")


async def _asked(ground: Ground, args: About) -> answers.Asked:
    """What is known of the sources asked about, as of the moment asked about."""
    store = await calibration_to_read(ground)
    at = ground.now() if args.as_of is None else args.as_of
    settings = ground.loaded.settings.learning
    policy = policy_of(settings)
    states, feedback = await store.states(), await store.feedback(at)
    known = {*await store.sources(at), *states}
    closed = {}
    for source in sorted(one for one in known if args.source is None or args.source in {one, plain(one)}):
        parts = await store.parts(source, at, policy.window * 2)
        closed[source] = await asyncio.to_thread(closed_since, parts, states.get(source, LEARNING), at, feedback, policy)
    return answers.Asked(at, settings.calibrate.value, closed, states, feedback, policy)


async def calibration(ground: Ground, args: CurveArgs) -> Result:
    """Curves, scores and maps."""
    asked = await _asked(ground, args)
    return await asyncio.to_thread(answers.calibration, asked, args.model, args.action)


async def outcomes(ground: Ground, args: OutcomeArgs) -> Result:
    """Closed decisions, newest first."""
    return answers.outcomes(await _asked(ground, args), args.limit)


async def insights(ground: Ground, args: About) -> Result:
    """In words."""
    asked = await _asked(ground, args)
    return await asyncio.to_thread(answers.insights, asked)


async def thresholds(ground: Ground, args: About) -> Result:
    """What the closed decisions speak for."""
    asked = await _asked(ground, args)
    return answers.thresholds(asked, adjusted=ground.loaded.settings.learning.adjust_threshold)


async def feedback(ground: Ground, args: FeedbackArgs) -> Result:
    """Say something of a decision, or list what was said."""
    at = ground.now()
    if args.opined is None:
        store = await calibration_to_read(ground)
        said = await store.feedback(at, args.decision, args.limit)
        return {"as_of": at, "feedback": [answers.feedback_json(each) for each in reversed(said)]}
    if args.decision is None:
        message = "learning.feedback: decision: name the decision that this is about"
        raise UseCaseError(message)
    await asyncio.to_thread(_refuse_unknown, ground.loaded.settings.database_url, args.decision)
    given = Feedback(args.decision, args.opined, at, args.author, args.note)
    store = await calibration_of(ground)
    await store.say(given)
    await _heed(ground)
    return {"as_of": at, "feedback": [answers.feedback_json(given)]}


async def freeze(ground: Ground, args: FreezeArgs) -> Result:
    """Keep the maps of a source as they are, or keep it to what it states."""
    store, at = await calibration_of(ground), ground.now()
    source, before = await _found(ground, store, args.source)
    policy = policy_of(ground.loaded.settings.learning)
    maps = {}
    if args.to == "now":
        parts = await store.parts(source, at, policy.window * 2)
        closed = await asyncio.to_thread(closed_since, parts, before, at, await store.feedback(at), policy)
        maps = await asyncio.to_thread(maps_in_force, closed, before, policy)
    state = SourceState(frozen=True, since=before.since, maps=maps, at=at, author=args.author, note=args.note)
    return await _decided(ground, store, source, state)


async def unfreeze(ground: Ground, args: SourceArgs) -> Result:
    """Let it learn again, from all that became known since it was begun."""
    store = await calibration_of(ground)
    source, before = await _found(ground, store, args.source)
    state = replace(before, frozen=False, maps={}, at=ground.now(), author=args.author, note=args.note)
    return await _decided(ground, store, source, state)


async def reset(ground: Ground, args: SourceArgs) -> Result:
    """Begin anew: what is known until now is kept, and no longer learnt from."""
    store, at = await calibration_of(ground), ground.now()
    source, _ = await _found(ground, store, args.source)
    return await _decided(ground, store, source, SourceState(since=at, at=at, author=args.author, note=args.note))


async def _found(ground: Ground, store: SqlCalibration, source: str) -> tuple[str, SourceState]:
    """The source as it is known here, and what was decided about it; `UseCaseError` if nobody has heard of it."""
    states = await store.states()
    meant = named(source, simulated=ground.simulated)
    ours = {named(each.config.source, simulated=ground.simulated) for each in configured_sources(ground)}
    known = {*await store.sources(ground.now()), *states, *ours}
    if meant not in known:
        message = f"learning: source: {source!r} is not known; there are {', '.join(sorted(known)) or 'none yet'}"
        raise UseCaseError(message)
    return meant, states.get(meant, LEARNING)


async def _decided(ground: Ground, store: SqlCalibration, source: str, state: SourceState) -> Result:
    await store.put_state(source, state)
    await _heed(ground)
    return {"as_of": state.at, "source": source} | answers.source_state_json(state)


async def _heed(ground: Ground) -> None:
    """Let a running bot take it up at once."""
    live = ground.held.get(HELD)
    if live is not None:
        await live.recall()


def _refuse_unknown(url: str, decision: str) -> None:
    from bot.journal.queries import Queries  # noqa: PLC0415 - SQLAlchemy is slow to import

    with Queries(url) as journal:
        if not journal.decisions(id=decision, limit=1):
            message = f"learning.feedback: decision: {decision!r} is in no journal of this bot; see `python -m bot decisions`"
            raise UseCaseError(message)


def _case(name: str, about: str, args: type[A], does: Callable[[Ground, A], Awaitable[Result]]) -> UseCase[A]:
    """A quick use case; whatever the store cannot do is one line."""

    async def run(ground: Ground, asked: A, report: Report) -> Result:
        del report  # it is over before anyone could look
        try:
            return await does(ground, asked)
        except ResearchError as error:
            raise UseCaseError(str(error)) from error

    return UseCase(f"learning.{name}", about, args, run, quick=True, reads=issubclass(args, About))


USE_CASES: tuple[UseCase[Any], ...] = (
    _case("calibration", "How far stated confidences come true, per source, model and action.", CurveArgs, calibration),
    _case("outcomes", "What came of closed decisions, and what they count in learning.", OutcomeArgs, outcomes),
    _case("insights", "What calibration found, in words.", About, insights),
    _case("thresholds", "The least confidence that each source's results speak for.", About, thresholds),
    _case("feedback", "Say whether a decision was useful or wrong, or list what was said.", FeedbackArgs, feedback),
    _case("freeze", "Keep the calibration of a source as it is.", FreezeArgs, freeze),
    _case("unfreeze", "Let the calibration of a source learn again.", SourceArgs, unfreeze),
    _case("reset", "Begin the calibration of a source anew.", SourceArgs, reset),
)
