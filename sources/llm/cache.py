"""Replies that are already there: for ever and exactly, for replay and audit; and for the length of a candle, to save a call.

Only answers that led to a decision are kept, never errors or abstentions. A reply is found by what was asked: provider, model,
effort, versions of schema and template, and the canonical market state.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Connection, Row, text

from bot.store.database import Database
from sources.llm.asking import Reply, Stop, ToolCall, Usage
from sources.llm.models import Effort
from sources.llm.paging import page
from sources.llm.records import DECIDED

_LOCK = "llm-replies"


class NotRecorded(LookupError):  # noqa: N818 - a state of the records
    """Nobody has recorded the answer to this question; the message names the model and the snapshot, and the remedy."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an answer depends on. `state` is canonical JSON: the same market state is the same text."""

    provider: str
    model: str
    effort: Effort | None
    schema_version: str
    template_version: str  # with the template's name, such as decide@3
    state: str

    @property
    def state_hash(self) -> str:
        """SHA-256 of the market state."""
        return hashlib.sha256(self.state.encode()).hexdigest()

    @property
    def key(self) -> str:
        """SHA-256 of all of it."""
        parts = (
            self.provider,
            self.model,
            self.effort.value if self.effort else "",
            self.schema_version,
            self.template_version,
            self.state,
        )
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class RecordedReply:
    """An answer and its question. `number` counts the answers to the same question, from 1."""

    question: Question
    reply: Reply
    ts: int
    run: str
    source: str
    number: int


class Replies:
    """The exact layer. It only grows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, question: Question, reply: Reply, *, outcome: str, ts: int, run: str = "", source: str = "") -> bool:
        """Keep an answer that led to a decision; False, and nothing is kept, for any other. Raises `StoreUnavailable`."""
        if reply.fault is not None or outcome != DECIDED:
            return False
        row = {
            "cache_key": question.key,
            "ts": ts,
            "run": run,
            "source": source,
            "provider": question.provider,
            "model": question.model,
            "effort": question.effort.value if question.effort else "",
            "schema_version": question.schema_version,
            "template_version": question.template_version,
            "state_hash": question.state_hash,
            "prompt_hash": reply.prompt_hash,
            "body": _dumped(reply),
        }
        await self._database.alone(_LOCK, lambda connection: _keep(connection, row, question.state))
        return True

    async def of_run(self, run: str, *, limit: int = 100, after: RecordedReply | None = None) -> list[RecordedReply]:
        """The answers of a run in the order of their times; the next page is that after the last one here."""
        last = (after.ts, after.question.key, after.number) if after else (-1, "", 0)
        asked = text(
            "SELECT r.*, s.body AS state FROM llm_replies r JOIN llm_states s ON s.hash = r.state_hash "
            "WHERE r.run = :run AND (r.ts > :ts OR (r.ts = :ts AND "
            "(r.cache_key > :key OR (r.cache_key = :key AND r.number > :number)))) "
            "ORDER BY r.ts, r.cache_key, r.number LIMIT :limit"
        )
        values = {"run": run, "ts": last[0], "key": last[1], "number": last[2], "limit": page(limit)}
        found = await self._database.run(lambda connection: connection.execute(asked, values).all())
        return [_recorded(row) for row in found]


class Recorded:
    """Answers from what was recorded, and never asks anybody: for replay, backtest and evaluation.

    Of one `run`, the nth time a question is asked gets its nth answer in that run, so that the run repeats itself. Without a run
    it gets the first answer that was ever recorded, however many were since.
    """

    def __init__(self, database: Database, run: str | None = None) -> None:
        self._database = database
        self._run = run
        self._asked: dict[tuple[str, ...], int] = {}  # as many as the run has questions

    async def reply(self, question: Question) -> Reply:
        """The answer to a question, or `NotRecorded`. Raises `StoreUnavailable`."""
        about = f"the market state {question.state_hash[:12]} ({question.template_version})"
        return await self._reply({"cache_key": question.key}, f"{question.provider}/{question.model} about {about}")

    async def to_prompt(self, prompt_hash: str, provider: str, model: str) -> Reply:
        """The same by the hash of the prompt, for who has only that."""
        named = {"prompt_hash": prompt_hash, "provider": provider, "model": model}
        return await self._reply(named, f"{provider}/{model} to the prompt {prompt_hash[:12]}")

    async def _reply(self, named: Mapping[str, str], what: str) -> Reply:
        asked_before = self._asked.get(tuple(named.values()), 0) if self._run is not None else 0
        of_run = " AND run = :run" if self._run is not None else ""
        asked = text(
            f"SELECT body FROM llm_replies WHERE {' AND '.join(f'{name} = :{name}' for name in named)}{of_run} "  # noqa: S608
            "ORDER BY ts, number LIMIT 1 OFFSET :skipped"
        )
        values = {**named, "skipped": asked_before, **({} if self._run is None else {"run": self._run})}
        row = await self._database.run(lambda connection: connection.execute(asked, values).one_or_none())
        if row is None:
            where = f"in run {self._run}" if self._run is not None else "in any run"
            again = f" a {asked_before + 1}. time" if asked_before else ""
            message = f"no answer of {what} is recorded {where}{again}: record one by a live run, or choose the run that has it"
            raise NotRecorded(message)
        if self._run is not None:
            self._asked[tuple(named.values())] = asked_before + 1
        return _loaded(row.body)


@dataclass(frozen=True, slots=True)
class Situation:
    """What makes two live questions the same: made by `LiveReplies.situation`, so that it belongs to the position of then."""

    source: str
    symbol: str
    candle: int
    candle_ms: int
    indicators: tuple[tuple[str, float], ...]
    position: str
    changes: int


class LiveReplies:
    """The live layer, in memory: an answer serves again for the same closed candle, indicators and position.

    It does so for the length of a candle at most. `now` gives ms UTC, `ttl_ms` shortens the time, `most` bounds how many are
    kept; the longest unused go first.
    """

    def __init__(self, now: Callable[[], int], *, ttl_ms: int | None = None, most: int = 500) -> None:
        self._now = now
        self._ttl_ms = ttl_ms
        self._most = most
        self._kept: OrderedDict[Situation, tuple[int, Reply]] = OrderedDict()
        self._changes: dict[str, int] = {}  # as many as there are symbols
        self.hits = 0
        self.misses = 0

    def situation(
        self,
        source: str,
        symbol: str,
        *,
        candle: int,
        candle_ms: int,
        indicators: Mapping[str, float],
        position: str,
        digits: int = 3,
    ) -> Situation:
        """Of a closed candle (its ts and length, ms), with indicators rounded to significant digits and the position in words."""
        rounded = tuple(sorted((name, float(f"{value:.{digits}g}")) for name, value in indicators.items()))
        return Situation(source, symbol, candle, candle_ms, rounded, position, self._changes.get(symbol, 0))

    def position_changed(self, symbol: str) -> None:
        """Forget all answers about a symbol, also those that are still under way."""
        self._changes[symbol] = self._changes.get(symbol, 0) + 1
        for situation in [each for each in self._kept if each.symbol == symbol]:
            del self._kept[situation]

    def get(self, situation: Situation) -> Reply | None:
        """The answer, at no cost; None if there is none that still holds."""
        expires, reply = self._kept.get(situation, (0, None))
        if reply is None or self._now() >= expires or self._changes.get(situation.symbol, 0) != situation.changes:
            self._kept.pop(situation, None)
            self.misses += 1
            return None
        self._kept.move_to_end(situation)
        self.hits += 1
        return replace(reply, cost=Decimal(0), usage=Usage(), latency_ms=0)

    def put(self, situation: Situation, reply: Reply, outcome: str) -> bool:
        """Keep an answer that led to a decision; False for any other, or if the position has changed since it was asked for."""
        if reply.fault is not None or outcome != DECIDED or self._changes.get(situation.symbol, 0) != situation.changes:
            return False
        life = situation.candle_ms if self._ttl_ms is None else min(self._ttl_ms, situation.candle_ms)
        self._kept[situation] = (self._now() + life, reply)
        self._kept.move_to_end(situation)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return True


def _keep(connection: Connection, row: Mapping[str, Any], state: str) -> None:
    connection.execute(
        text("INSERT INTO llm_states (hash, body) VALUES (:hash, :body) ON CONFLICT (hash) DO NOTHING"),
        {"hash": row["state_hash"], "body": state},
    )
    counted = text("SELECT coalesce(max(number), 0) FROM llm_replies WHERE cache_key = :key")
    number = int(connection.execute(counted, {"key": row["cache_key"]}).scalar_one()) + 1
    columns = ", ".join((*row, "number"))
    values = ", ".join(f":{name}" for name in (*row, "number"))
    insert = text(f"INSERT INTO llm_replies ({columns}) VALUES ({values})")  # noqa: S608 - names of columns, from this module
    connection.execute(insert, {**row, "number": number})


def _recorded(row: Row[Any]) -> RecordedReply:
    effort = Effort(row.effort) if row.effort else None
    question = Question(row.provider, row.model, effort, row.schema_version, row.template_version, row.state)
    return RecordedReply(question, _loaded(row.body), int(row.ts), str(row.run), str(row.source), int(row.number))


def _dumped(reply: Reply) -> str:
    """Canonical JSON of a reply, without what came over the wire: the record of the question has that."""
    told = {
        "text": reply.text,
        "parsed": reply.parsed,
        "usage": asdict(reply.usage),
        "cost": str(reply.cost),
        "latency_ms": reply.latency_ms,
        "request_id": reply.request_id,
        "stop": reply.stop,
        "provider": reply.provider,
        "model": reply.model,
        "prompt_hash": reply.prompt_hash,
        "tool_calls": [asdict(call) for call in reply.tool_calls],
        "fallback": reply.fallback,
        "effort": reply.effort,
        "usage_estimated": reply.usage_estimated,
        "reported_cost": None if reply.reported_cost is None else str(reply.reported_cost),
    }
    # Not by orjson, which refuses what a model may well write: half a surrogate pair, or NaN.
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def _loaded(body: str) -> Reply:
    told: dict[str, Any] = json.loads(body)
    calls: Sequence[dict[str, Any]] = told["tool_calls"]
    return Reply(
        text=told["text"],
        parsed=told["parsed"],
        usage=Usage(**told["usage"]),
        cost=Decimal(told["cost"]),
        latency_ms=told["latency_ms"],
        request_id=told["request_id"],
        stop=Stop(told["stop"]),
        provider=told["provider"],
        model=told["model"],
        prompt_hash=told["prompt_hash"],
        tool_calls=tuple(ToolCall(**call) for call in calls),
        fallback=told["fallback"],
        usage_estimated=told["usage_estimated"],
        effort=None if told["effort"] is None else Effort(told["effort"]),
        reported_cost=None if told["reported_cost"] is None else Decimal(told["reported_cost"]),
    )
