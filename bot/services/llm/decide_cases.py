"""Asking for a decision on demand. A dry run, the default, shows everything and tells the desk nothing; it is paid for too.

With `send` the source of the running bot is asked, and what it decides goes the way of all its decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic import Field

from bot.core.decision import Abstention, Decision
from bot.core.protocols import SourcePort
from bot.runtime.jobs import Progress, Report, Result
from bot.services.llm.access import minds_of
from bot.services.llm.figures import usage_json, usd
from bot.services.llm.prompt_cases import prompts_folder
from bot.services.llm.sources import source_of
from bot.services.running import running
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError
from sources.llm.leaks import Guard
from sources.llm.loading import llm_source, timeframes
from sources.llm.minds import prompt_text
from sources.llm.snapshot import Snapshot
from sources.llm.source import NotAsked
from sources.llm.thinking import Said
from sources.llm.thoughts import Considered, Thought


class DecideArgs(Arguments):
    """About what, as whom, and whether the desk is told."""

    symbol: str = Field(pattern=r"^[^/\s]+/[^/\s]+$", max_length=40, description="such as BTC/USDT")
    source: str | None = Field(None, max_length=64, description="as this source would; absent: the first that asks models")
    send: bool = Field(False, description="have the source of the running bot propose what it decides")


@runtime_checkable
class Decides(Protocol):
    """A source that can be asked on demand."""

    async def decide(self, symbol: str, *, dry_run: bool = False, port: SourcePort | None = None) -> Considered:
        """Ask now; a dry run tells the desk nothing."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who is asked, and where it looks (None: where it always does)."""

    name: str
    source: Decides
    port: SourcePort | None


async def decide(ground: Ground, args: DecideArgs, report: Report) -> Result:
    """Snapshot, prompt, calls, checks, and what comes of them."""
    report(Progress("looking at the market"))
    asked = _of_the_bot(ground, args) or await _of_our_own(ground, args)
    report(Progress("asking", note=asked.name))
    try:
        found = await asked.source.decide(args.symbol, dry_run=not args.send, port=asked.port)
    except NotAsked as error:
        raise UseCaseError(str(error)) from error
    return considered_json(found) | {
        "source": asked.name,
        "sent": args.send and found.decision is not None,
        "dry_run": not args.send,
        "simulated": ground.simulated,
    }


def _of_the_bot(ground: Ground, args: DecideArgs) -> _Asked | None:
    """The running bot's source. `UseCaseError` where it is to propose and cannot; None where it need not."""
    bot = running(ground)
    names = [] if bot is None else [name for name in bot.names() if isinstance(bot.source(name), Decides)]
    name = args.source or (names[0] if names else None)
    if bot is not None and name in names:
        return _Asked(name, bot.source(name), None)
    if args.send:
        known = f"its sources that can be asked are: {', '.join(names) or 'none'}" if bot is not None else "no bot is running"
        message = f"{name or 'no source'} cannot propose: {known}; without --send it is asked as a dry run"
        raise UseCaseError(message)
    return None


async def _of_our_own(ground: Ground, args: DecideArgs) -> _Asked:
    """A source for this one question: the bot's market where one runs, else the venue's, and the books of somebody who begins."""
    config, params = source_of(ground, args.source)
    minds, bot = await minds_of(ground), running(ground)
    if args.symbol not in (config.symbols or (args.symbol,)):
        config = config.model_copy(update={"symbols": (args.symbol,)})
    port = bot.port if bot is not None else None
    if port is None and ground.simulated:
        message = "the market of this world is simulated, and only its bot knows it: ask for a source of that bot"
        raise UseCaseError(message)
    if port is None:
        from bot.services.market_look import StillPort, fresh_books, look_at_venue  # noqa: PLC0415 - numpy

        settings, shown = ground.loaded.settings, timeframes(config, params)
        view = await look_at_venue(settings, [args.symbol], shown, params.depth, ground.now)
        port = StillPort(view, fresh_books(settings, ground.now()), ground.now)
    guard = Guard(value for value in ground.secrets.values() if value)
    source = llm_source(config, params, (args.symbol,), minds, prompts=prompts_folder(ground), guard=guard)
    return _Asked(config.source, source, port)


def considered_json(found: Considered) -> dict[str, object]:
    """A consideration in plain values: what was seen, what each model was told and said, what the checks made of it."""
    snapshot = found.snapshot
    return {
        "symbol": found.symbol,
        "trigger": found.trigger.value,
        "skipped": found.skipped,
        "usd": usd(found.cost),
        "decision": None if found.decision is None else decision_json(found.decision),
        "abstention": None if found.abstention is None else _abstention(found.abstention),
        "snapshot": None
        if snapshot is None
        else {
            "hash": snapshot.hash,
            "at": snapshot.at,
            "price": snapshot.price,
            "candle": snapshot.candle_id,
            "body": snapshot.body,
        },
        "thoughts": [_thought(one) for one in found.thoughts],
    }


def _snapshot(one: Snapshot) -> dict[str, object]:
    return {"hash": one.hash, "at": one.at, "price": one.price, "candle": one.candle_id, "body": one.body}


def decision_json(decision: Decision) -> dict[str, object]:
    """A decision as it would be proposed; times are ms UTC."""
    return {
        "id": decision.id,
        "action": decision.action.value,
        "confidence": decision.confidence,
        "price": decision.price,
        "size_fraction": decision.size_fraction,
        "stop_loss": decision.stop_loss,
        "take_profit": decision.take_profit,
        "trailing": decision.trailing,
        "created": decision.created,
        "expires": decision.expires,
        "reasoning": decision.reasoning,
        "evidence": dict(decision.evidence),
        "usd": usd(decision.cost),
    }


def _abstention(one: Abstention) -> dict[str, object]:
    return {"reason": one.reason, "detail": one.detail}


def _thought(thought: Thought) -> dict[str, object]:
    prepared = thought.prepared
    return {
        "template": None if prepared is None else prepared.template.label,
        "news": None if prepared is None else prepared.snapshot.body["news_state"],
        "advice": None if prepared is None else prepared.advice.value,
        "prompt": None if prepared is None else prompt_text(prepared.ask),
        "problem": None if thought.problem is None else {"reason": thought.problem.reason, "detail": str(thought.problem)},
        "answers": [_answer(thought, number, said) for number, said in enumerate(thought.said)],
    }


def _answer(thought: Thought, number: int, said: Said) -> dict[str, object]:
    reply, problem, answer = said.consultation.reply, thought.problems.get(number), thought.answers.get(number)
    clamps: Sequence[Mapping[str, object]] = next(
        (vote.wanted.clamps for vote in thought.votes if vote.member == said.member), ()
    )
    return {
        "member": said.member,
        "cached": said.cached,
        "usd": usd(said.cost),
        "latency_ms": None if reply is None else reply.latency_ms,
        "tokens": None if reply is None else usage_json(reply.usage),
        "fallback": None if reply is None else reply.fallback,
        "reply": None if reply is None else reply.text,
        "answer": None if answer is None else answer.model_dump(mode="json"),
        "problem": None if problem is None else {"reason": problem.reason, "detail": str(problem)},
        "clamps": [dict(clamp) for clamp in clamps],
    }


CASES: tuple[UseCase[Any], ...] = (
    UseCase("llm.decide", "Ask for a decision now; a dry run unless it is to be sent.", DecideArgs, decide),
)
