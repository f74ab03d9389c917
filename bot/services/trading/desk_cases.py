"""The use cases `desk.*`: what waits and stands, the sources, the positions, and the one setting of a source that people turn."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bot.runtime.jobs import Report, Result
from bot.services.trading import positions, queue, sources
from bot.services.trading.at_desk import at_desk
from bot.services.use_case import Arguments, Ground, UseCase


class NoArgs(Arguments):
    """Nothing is to be said."""


class ThresholdArgs(Arguments):
    """Whose threshold, and who sets it."""

    source: str = Field(min_length=1, max_length=200, description="a source's name, such as rules:sma-cross")
    threshold: float = Field(ge=0.0, le=1.0, description="the least confidence it is heard with (0..1)")
    author: str = Field("operator", min_length=1, max_length=60, description="who decides; kept in the audit")


async def _queue(ground: Ground, args: NoArgs, report: Report) -> Result:
    del args, report
    where = at_desk(ground)
    return queue.queue_json(where.desk, where.now)


async def _sources(ground: Ground, args: NoArgs, report: Report) -> Result:
    del args, report
    return sources.sources_json(at_desk(ground))


async def _set_threshold(ground: Ground, args: ThresholdArgs, report: Report) -> Result:
    del report
    return await sources.set_threshold(at_desk(ground), args.source, args.threshold, args.author)


async def _positions(ground: Ground, args: NoArgs, report: Report) -> Result:
    del args, report
    where = at_desk(ground)
    return positions.positions_json(where.desk, where.now)


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase(
        "desk.queue", "What waits to be heard, what stands, who is thinking and which orders work, now", NoArgs, _queue, True
    ),
    UseCase(
        "desk.sources", "Every source, its settings, what ails it, what it earned and would have earned", NoArgs, _sources, True
    ),
    UseCase("desk.set-threshold", "Hear a source from another confidence on", ThresholdArgs, _set_threshold, True),
    UseCase("desk.positions", "What is held, how it is guarded, and the lots it is made of", NoArgs, _positions, True),
)
