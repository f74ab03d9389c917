"""Learning from backtests that somebody else ran: the command line does, and the running bot keeps what they teach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
from pydantic import Field

from bot.runtime.jobs import Report, Result
from bot.services.memory.telling import lesson_json
from bot.services.use_case import Arguments, Ground, UseCaseError
from research.memory.errors import EvidenceError
from research.memory.evidence import BacktestEvidence, dumped, loaded

_MOST_RETURNS = 2_000
"""A message to the bot has a largest size; the figures of more trades are kept without their single returns."""


class LearnArgs(Arguments):
    """What was found."""

    backtests: list[dict[str, Any]] = Field(min_length=1, max_length=100, description="evidence of backtests, as JSON")


def told(evidence: Sequence[BacktestEvidence]) -> Iterator[dict[str, object]]:
    """Arguments for `memory.learn`, one backtest each, so that none of them is too large to be sent."""
    for each in evidence:
        short = each if len(each.returns) <= _MOST_RETURNS else replace(each, returns=())
        yield {"backtests": [orjson.loads(dumped(short))]}


async def learn(ground: Ground, args: LearnArgs, report: Report) -> Result:
    """Keep what they teach, and say it."""
    from bot.services.memory.backtests import remember_backtest  # noqa: PLC0415 - backtests are heavy, questions are not

    del report  # it is over before anyone could look
    evidence = [_read(row) for row in args.backtests]
    lessons = [lesson_json(await remember_backtest(ground, each)) for each in evidence]
    return {"kept": ground.loaded.settings.memory.enabled, "lessons": lessons}


def _read(row: dict[str, Any]) -> BacktestEvidence:
    try:
        evidence = loaded("backtest", orjson.dumps(row).decode())
    except EvidenceError as error:
        message = f"memory.learn: backtests: {error}"
        raise UseCaseError(message) from error
    assert isinstance(evidence, BacktestEvidence)
    return evidence
