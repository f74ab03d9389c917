"""What a decision of a language model costs beside the call itself: snapshot, prompt, checks and accounts, until it is proposed.

The provider is a server on loopback that answers at once, asked by the real SDK over a real socket; the time of its `ask` is
taken out of each question, and what that takes longer than the bare call is put on again, for reading the answer is ours. The
ledger and the records are those of a running bot, in SQLite on the disk: the reservation is durable before the call goes out.
What is booked after the decision has been proposed (record, reply, attribution) is in the detail. The bare call is the SDK alone,
with the same body and server, one after each question.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count as counting
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import orjson
from aiohttp import web

from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import run_loop
from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Claim, Decision, SourceSpec, Tier
from bot.core.market import MarketView
from sources.llm.asking import Ask, Reply, Role
from sources.llm.budget import Budget
from sources.llm.cache import Replies
from sources.llm.considering import Considering
from sources.llm.costs import Costs
from sources.llm.ledger import Ledger
from sources.llm.minds import Minds
from sources.llm.models import Candidate, Model
from sources.llm.opening import Access
from sources.llm.params import LlmParams
from sources.llm.past import Past
from sources.llm.prices import shipped
from sources.llm.prompt_store import PromptStore
from sources.llm.prompts.example import example_sight
from sources.llm.providers.calling import SdkProvider
from sources.llm.providers.responses import Responses
from sources.llm.records import Records
from sources.llm.router import Router
from sources.llm.source import LlmSource
from sources.llm.tables import open_tables
from sources.llm.templates import Templates
from sources.llm.thinking import Thinker
from sources.llm.thoughts import Terms

_SYMBOL = "BTC/USDT"
_TIMEFRAMES = ("5m", "1h", "4h")  # of 200 candles each
_QUESTIONS = 300
_WARMING = 20
_SPEC = SourceSpec("llm:bench", Tier.LLM)
_MODEL = "gpt-6-luna"
_GOALS_MS = {50: 3.0, 99: 10.0}
_WIDE = Budget(*(Decimal(100_000),) * 4, calls_per_minute=1_000_000)
_NEVER = {"decisions_per_hour": 10_000, "flips_per_hour": 1_000}
_ANSWER = {
    "symbol": _SYMBOL,
    "reasoning": "The trend is up on all three timeframes and the price has come back to its average.",
    "evidence": ["rsi14@5m", "ema12@1h"],
    "action": "buy",
    "confidence": 0.7,
    "size_fraction": 0.5,
    "stop_loss": 48_500.0,
    "take_profit": 54_000.0,
    "horizon_minutes": 60,
    "invalidation": "A close on 1h below 48500.",
}


def overhead(effort: Effort, peers: Peers) -> list[Result]:
    """Milliseconds of our own for a decision, p50 and p99; medians over the runs' own."""
    del peers
    count = effort.size(_QUESTIONS, 40)
    runs = [run_loop(_measured(count)) for _ in range(effort.runs)]
    results = []
    for share, most in _GOALS_MS.items():
        called, bare = _ms(runs, "called", share), _ms(runs, "bare", share)
        figures = [percentile(run.own, share / 100) * 1_000 + max(0.0, called - bare) for run in runs]
        detail = {
            "questions": count,
            "snapshot_ms": round(_ms(runs, "looked", share), 3),
            "prompt_and_advice_ms": round(_ms(runs, "prepared", share), 3),
            "reading_the_answer_ms": round(max(0.0, called - bare), 3),
            "booked_afterwards_ms": round(_ms(runs, "booked", share), 3),
        }
        name, goals, cpu = f"llm-overhead-p{share}", (Goal(most=most),), _ms(runs, "spent", share)
        figure, spread = statistics.median(figures), spread_of(figures)
        results.append(Result(name, figure, "ms", goals, {"bare-sdk-call": bare}, len(runs), spread, cpu, detail))
    return results


@dataclass(slots=True)
class _Run:
    """Seconds of each question: ours until it is proposed, parts of that, the call within, the booking, and a bare call.

    `spent` is CPU of this process for the whole question, booking included, less that of a bare call; the server's is in both.
    """

    own: list[float] = field(default_factory=list)
    looked: list[float] = field(default_factory=list)
    prepared: list[float] = field(default_factory=list)
    called: list[float] = field(default_factory=list)
    booked: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)


def _ms(runs: Sequence[_Run], part: str, share: int) -> float:
    return statistics.median(percentile(getattr(run, part), share / 100) for run in runs) * 1_000


class _Timed(SdkProvider):
    """A provider that knows how long its last answer took, and what it was asked."""

    took = 0.0
    url = ""
    asked: Ask | None = None

    async def ask(self, ask: Ask, model: Model, deadline_s: float) -> Reply:
        """The answer."""
        self.asked, began = ask, perf_counter()
        try:
            return await super().ask(ask, model, deadline_s)
        finally:
            self.took = perf_counter() - began


class _Port:
    """The example's market and books; a decision is heard of when it is proposed."""

    def __init__(self) -> None:
        self._sight = example_sight(_SYMBOL, _TIMEFRAMES)
        self._at = self._sight.briefing.at
        self.proposed = 0.0

    @property
    def view(self) -> MarketView:
        """The market."""
        return self._sight.view

    def briefing(self) -> Briefing:
        """The books."""
        return self._sight.briefing

    def now(self) -> int:
        """The example's own moment."""
        return self._at

    async def propose(self, decision: Decision) -> None:
        """This is where our time ends."""
        del decision
        self.proposed = perf_counter()

    async def claim(self, claim: Claim) -> None:
        """Nobody waits here."""

    async def abstain(self, abstention: Abstention) -> None:
        """Nothing may go wrong here."""
        message = f"{abstention.reason}: {abstention.detail}"
        raise RuntimeError(message)


@dataclass(frozen=True, slots=True)
class _Rig:
    source: LlmSource
    considering: Considering
    thinker: Thinker
    provider: _Timed
    model: Model
    port: _Port


async def _measured(count: int) -> _Run:
    run = _Run()
    async with _rig() as rig, _bare_client(rig.provider) as bare:
        for number in range(-_WARMING, count):
            rig.thinker.live.position_changed(_SYMBOL)  # no answer serves twice
            rig.provider.took = 0.0
            spent, began = process_time(), perf_counter()
            await rig.source.decide(_SYMBOL, port=rig.port)
            ended, spent = perf_counter(), process_time() - spent
            assert rig.provider.took > 0  # somebody was asked
            own = rig.port.proposed - began - rig.provider.took
            before = process_time()
            took = await bare(rig)
            spent -= process_time() - before
            if number >= 0:
                run.own.append(own)
                run.called.append(rig.provider.took)
                run.booked.append(ended - rig.port.proposed)
                run.bare.append(took)
                run.spent.append(spent)
                await _parts(run, rig)
    return run


async def _parts(run: _Run, rig: _Rig) -> None:
    """The snapshot and the prompt once more, each by itself."""
    began = perf_counter()
    snapshot = rig.considering.look(_SYMBOL, rig.port, rig.port.briefing())
    looked = perf_counter()
    await rig.thinker.prepare(snapshot)
    run.looked.append(looked - began)
    run.prepared.append(perf_counter() - looked)


@asynccontextmanager
async def _rig() -> AsyncIterator[_Rig]:
    """A source as a bot has it, with a server that always says the same."""
    model, port = shipped().model("local", _MODEL), _Port()
    candidate = Candidate(model)
    params = LlmParams.model_validate({"timeframes": _TIMEFRAMES, "circuit": _NEVER})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "journal.db"
        with closing(sqlite3.connect(file)) as journal:
            journal.execute("PRAGMA journal_mode = WAL")  # as the bot's journal, which is there before the side tables are
        database = await open_tables(f"sqlite:///{file}")
        try:
            async with _serving() as root:
                provider = _Timed("local", Responses(), f"{root}/v1", "none", now=port.now)
                provider.url = f"{root}/v1"
                ledger = await Ledger.open(database, _WIDE, now=port.now, told=lambda _: None)
                try:
                    access = Access(Router({"local": provider}, {Role.DECISION: (candidate,)}, now=port.now), {}, {})
                    stores = Records(database, str), Replies(database), PromptStore(database, port.now), Costs(database)
                    minds = Minds(access, ledger, *stores, database, port.now, "bench")
                    thinker = Thinker(_SPEC.name, params, minds, Templates(minds.prompts, _hours().__next__), every_s=300.0)
                    past = Past(_SPEC.name)
                    terms = Terms(_SPEC, params, _TIMEFRAMES, 7_200_000)
                    considering = Considering(terms, thinker, past)
                    source = LlmSource(terms, (_SYMBOL,), _TIMEFRAMES[0], thinker, considering, past)
                    yield _Rig(source, considering, thinker, provider, model, port)
                finally:
                    await ledger.close()
                    await provider.close()
        finally:
            await database.close()


def _hours() -> Iterator[int]:
    """A clock that is an hour later at each look: between two candles what was read of the database has grown old."""
    return counting(0, 3_600_000)


@asynccontextmanager
async def _bare_client(provider: _Timed) -> AsyncIterator[Callable[[_Rig], Awaitable[float]]]:
    """The SDK alone; gives what times a call of what was asked last."""
    import openai

    async with openai.AsyncOpenAI(api_key="none", base_url=provider.url, max_retries=0) as client:

        async def timed(rig: _Rig) -> float:
            assert provider.asked is not None
            body = Responses().request(provider.asked, rig.model)
            began = perf_counter()
            await client.responses.create(**body)
            return perf_counter() - began

        yield timed


@asynccontextmanager
async def _serving() -> AsyncIterator[str]:
    """A server that gives one answer at once."""
    text = orjson.dumps(_ANSWER).decode()
    message = {"type": "message", "id": "m", "status": "completed", "role": "assistant"}
    usage = {"input_tokens": 4_000, "output_tokens": 300, "total_tokens": 4_300}
    answer: dict[str, Any] = {
        "id": "r", "object": "response", "created_at": 0, "status": "completed", "error": None, "incomplete_details": None,
        "model": _MODEL, "output": [{**message, "content": [{"type": "output_text", "text": text, "annotations": []}]}],
        "usage": {**usage, "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 100}},
    }  # fmt: skip
    body = orjson.dumps(answer)

    async def respond(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/responses", respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
