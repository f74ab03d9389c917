"""The questions that were asked: what a model was told, what it said, and what came of that. Texts are redacted."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import Field

from bot.journal.records import JournaledDecision
from bot.runtime.jobs import Report, Result
from bot.services.llm.cost_cases import LAST_MS
from bot.services.llm.figures import usage_json, usd
from bot.services.llm.kept import Kept, kept_of
from bot.services.llm.profits import journaled, realised
from bot.services.use_case import Arguments, Ground, Missing, UseCase, UseCaseError
from bot.store.errors import StoreUnavailable
from sources.llm.costs import CallRow
from sources.llm.records import RecordLine, RecordTexts

_MOST_OF_ONE = 16
_PAGE = 200


class QuestionArgs(Arguments):
    """Which questions: those of a source, run or template, or one by its own id or that of the decision it led to."""

    id: str | None = Field(None, min_length=1, max_length=64, description="one question with its texts: its id or its decision's")
    source: str | None = Field(None, max_length=64, description="only those of this source")
    run: str | None = Field(None, max_length=64, description="only those of this run")
    template: str | None = Field(None, max_length=64, description="only those of this prompt template")
    limit: int = Field(20, ge=1, le=_PAGE, description="how many, the newest")
    before_ts: int | None = Field(None, ge=0, le=LAST_MS, description="`ts` of the last line of the page before")
    before_id: str = Field("", max_length=64, description="`id` of the last line of the page before")


async def decisions(ground: Ground, args: QuestionArgs, report: Report) -> Result:
    """Questions, newest first, with what became of their decisions."""
    del report
    kept = await kept_of(ground)
    try:
        if args.id is not None:
            return await _one(ground, kept, args.id)
        before = None if args.before_ts is None else (args.before_ts, args.before_id)
        lines = await kept.records.lines(
            source=args.source, run=args.run, template=args.template, limit=args.limit, before=before
        )
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    url = ground.loaded.settings.database_url
    known = await journaled(url, [line.decision for line in lines if line.decision])
    pnl = await realised(url) if known else {}
    return {"simulated": ground.simulated, "questions": [_line(line, known, pnl) for line in lines]}


async def _one(ground: Ground, kept: Kept, id_: str) -> Result:
    """All records of a decision, or the one of this id, with their texts and calls."""
    lines = await kept.records.lines(decision=id_, limit=_MOST_OF_ONE) or await _by_id(kept, id_)
    if not lines:
        message = f"no question or decision {id_!r} is recorded (any more); `llm decisions` lists those that are"
        raise Missing(message)
    url = ground.loaded.settings.database_url
    ids = [line.decision for line in lines if line.decision]
    known, pnl = await journaled(url, ids), await realised(url) if ids else {}
    calls = await kept.costs.of_decision(ids[0]) if ids else []
    told = [_line(line, known, pnl) | _texts(await kept.records.texts(line.id)) for line in lines]
    return {"simulated": ground.simulated, "questions": told, "calls": [_call(call) for call in calls]}


async def _by_id(kept: Kept, id_: str) -> list[RecordLine]:
    """The record of this id, looked for page by page; ids say nothing of their time."""
    before: tuple[int, str] | None = None
    for _ in range(50):
        page = await kept.records.lines(limit=1_000, before=before)
        found = [line for line in page if line.id == id_]
        if found or len(page) < 1_000:
            return found
        before = page[-1].ts, page[-1].id
    return []


def _line(line: RecordLine, known: Mapping[str, JournaledDecision], pnl: Mapping[str, Decimal]) -> dict[str, object]:
    made = known.get(line.decision or "")
    return {
        "id": line.id,
        "ts": line.ts,
        "source": line.source,
        "role": line.role.value,
        "symbol": line.symbol,
        "outcome": line.outcome,
        "provider": line.provider,
        "model": line.model,
        "template": f"{line.template}@{line.template_version}" if line.template else "",
        "run": line.run,
        "decision": line.decision,
        "call": line.call,
        "prompt_hash": line.prompt_hash,
        "prompt_size": line.prompt_size,
        "reply_size": line.reply_size,
        "action": None if made is None else made.action.value,
        "confidence": None if made is None else made.confidence,
        "raw_confidence": None if made is None else made.raw_confidence,
        "fate": None if made is None or made.fate is None else made.fate.value,
        "denial": None if made is None else made.denial,
        "reason": None if made is None else made.fate_reason,
        "usd": None if made is None else usd(made.cost),
        "pnl": usd(pnl.get(line.decision or "")),
    }


def _texts(texts: RecordTexts | None) -> dict[str, object]:
    if texts is None:
        return {"prompt": None, "reply": None, "validation": None, "clamps": []}
    clamps = [dict(clamp) for clamp in texts.clamps]
    return {"prompt": texts.prompt, "reply": texts.reply, "validation": texts.validation, "clamps": clamps}


def _call(call: CallRow) -> dict[str, object]:
    return {
        "id": call.id,
        "ts": call.ts,
        "provider": call.provider,
        "model": call.model,
        "state": call.state,
        "outcome": call.outcome,
        "fallback": call.fallback,
        "usd": usd(call.usd),
        "latency_ms": call.latency_ms,
        "tokens": usage_json(call.usage),
    }


CASES: tuple[UseCase[Any], ...] = (
    UseCase(
        "llm.decisions", "Questions that were asked, and what came of them.", QuestionArgs, decisions, quick=True, reads=True
    ),
)
