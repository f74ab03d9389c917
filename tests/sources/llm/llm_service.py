"""A small server over a real socket that answers as each test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class Service:
    """Answers with each handler of `answers` once, the last one forever."""

    answers: list[Handler] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    root: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Remember and answer."""
        text = await request.text()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.heard.append(Heard(request.path, headers, json.loads(text) if text else None))
        handler = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await handler(request)

    @property
    def body(self) -> Any:
        """What was asked last."""
        return self.heard[-1].body


@asynccontextmanager
async def serving(*answers: Handler) -> AsyncIterator[Service]:
    """A service on loopback."""
    service = Service(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        service.root = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        await runner.cleanup()


def says(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    """Answers with JSON, or with text as it is."""

    async def handler(request: web.Request) -> web.StreamResponse:
        del request
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, headers=headers, content_type="application/json")

    return handler


def streams(events: Sequence[tuple[str, Any]], *, done: bool = False) -> Handler:
    """Answers with server-sent events of (kind, body); an empty kind is left out."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "x-request-id": "req-s"})
        await response.prepare(request)
        for kind, body in events:
            name = f"event: {kind}\n" if kind else ""
            await response.write(f"{name}data: {json.dumps(body)}\n\n".encode())
        if done:
            await response.write(b"data: [DONE]\n\n")
        return response

    return handler


RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 0,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-6-luna",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": '{"side":"buy","size":0.5}', "annotations": []}],
        },
    ],
    "usage": {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100},
        "output_tokens": 200,
        "output_tokens_details": {"reasoning_tokens": 150},
        "total_tokens": 1200,
    },
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-5-5",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": '{"side":"buy","size":0.5}'},
    ],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {
        "input_tokens": 500,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 400,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 200,
        "output_tokens_details": {"thinking_tokens": 150},
        "service_tier": "standard",
    },
}
COMPLETION: dict[str, Any] = {
    "id": "c_1",
    "object": "chat.completion",
    "created": 0,
    "model": "gemini-3.5-flash-lite",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": '{"side":"buy","size":0.5}', "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1200,
        "prompt_tokens_details": {"cached_tokens": None},
        "completion_tokens_details": None,
    },
}
