"""What the tests of the chat share: models that say what a test wants, a desk that notes what it is told, a run to look at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.core.decision import Action, Decision, Fate, Tier
from bot.core.facts import DecisionFate, DecisionSeen, EquitySampled, Fact, PositionChanged
from bot.core.orders import ZERO
from bot.outlets.command import CommandResult
from bot.services.chat.desk import HELD
from bot.services.use_case import Ground
from tests.services.asking_ground import asking
from tests.services.tear_sheets import AT, BTC, a_run, start_of
from tests.sources.llm.llm_service import Handler, Service, serving, streams

KEY = "key-of-the-test-0123456789"
SOURCES = {"rules:sma-cross": "on", "llm:claude": "on", "rules:old": "paused"}
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050}


@dataclass
class NotedDesk:
    """A desk that does nothing but remember."""

    told: Mapping[str, Any] | None = field(
        default_factory=lambda: {"sources": SOURCES, "state": "active", "mode": "paper", "simulated": True, "positions": {}}
    )
    commands: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    ok: bool = True

    async def status(self) -> Mapping[str, Any] | None:
        """As it was made."""
        return self.told

    async def command(self, name: str, args: Mapping[str, object]) -> CommandResult:
        """Noted."""
        self.commands.append((name, dict(args)))
        return CommandResult(self.ok, None if self.ok else "the desk would not", {"state": "halted"})


def says(*pieces: str, finish: str = "stop") -> Handler:
    """An answer in pieces."""
    return streams([("", _chunk({"content": piece})) for piece in pieces] + _end(finish), done=True)


def calls(*wanted: tuple[str, Any], words: str = "") -> Handler:
    """An answer that wants tools used; arguments that are text are sent as they are."""
    first = [("", _chunk({"content": words}))] if words else []
    made = [
        (
            "",
            _chunk(
                {
                    "tool_calls": [
                        {
                            "index": at,
                            "id": f"call_{at}",
                            "type": "function",
                            "function": {
                                "name": name,
                                "arguments": given if isinstance(given, str) else json.dumps(given),
                            },
                        }
                    ]
                }
            ),
        )
        for at, (name, given) in enumerate(wanted)
    ]
    return streams(first + made + _end("tool_calls"), done=True)


def breaks(*pieces: str) -> Handler:
    """An answer that breaks off."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(f"data: {json.dumps(_chunk({'content': piece}))}\n\n".encode())
        assert request.transport is not None
        request.transport.abort()
        return response

    return handler


def hangs(piece: str) -> Handler:
    """An answer that begins, and then nothing until whoever asked has left."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"data: {json.dumps(_chunk({'content': piece}))}\n\n".encode())
        await asyncio.Event().wait()
        return response

    return handler


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def _end(finish: str) -> list[tuple[str, Any]]:
    return [("", _chunk({}, finish)), ("", _chunk({}) | {"choices": [], "usage": USAGE})]


def results(service: Service, request: int = -1) -> list[str]:
    """What the tools had answered before that request, in order."""
    return [turn["content"] for turn in service.heard[request].body["messages"] if turn["role"] == "tool"]


@asynccontextmanager
async def scripted(
    place: Path, answers: Sequence[Handler], desk: NotedDesk | None = None, **settings: Any
) -> AsyncIterator[tuple[Ground, Service, NotedDesk]]:
    """A ground whose model says what the test wants."""
    noted = desk or NotedDesk()
    async with serving(*answers) as service, asking(service.root, KEY, place, "gemini", **settings) as ground:
        ground.held[HELD] = noted
        yield ground, service, noted


def a_decision(reasoning: str, source: str = "llm:claude") -> Decision:
    """A decision with these words."""
    return Decision("d-evil", source, Tier.LLM, BTC, Action.BUY, 0.8, AT, AT + 60_000, 100.0, reasoning=reasoning)


async def recorded(place: Path, reasoning: str = "the trend is up") -> None:
    """A run in the journal: a decision with these words, a position, what the book is worth."""
    seen = a_decision(reasoning)
    facts: list[Fact] = [
        DecisionSeen(AT + 1, seen),
        DecisionFate(AT + 2, seen.id, seen.source, Tier.LLM, BTC, Fate.HELD, reason=reasoning[:100]),
        PositionChanged(AT + 400, BTC, ZERO + 2, ZERO + 100, 110.0, ZERO, 20.0, seen.source, 95.0, 120.0),
        EquitySampled(AT + 400, ZERO + 9_800, 10_020.0, 20.0, ZERO, ZERO, 10_020.0, 0.0, 0.02),
    ]
    await a_run(place / "data", start_of(), source="rules:sma-cross", more=facts)
