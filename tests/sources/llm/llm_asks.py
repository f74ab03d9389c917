"""Questions, models and providers for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sources.llm.asking import Ask, Message, Role, Schema, Speaker
from sources.llm.models import Dialect, Model
from sources.llm.prices import shipped
from sources.llm.providers.calling import SdkProvider
from sources.llm.providers.chat import Chat
from sources.llm.providers.messages import Messages
from sources.llm.providers.responses import Responses
from sources.llm.providers.speech import Speech

KEY = "sk-secret-0123456789abcdef"
NOW = 1_795_000_000_000  # 2026-11-18
SCHEMA = Schema(
    "decision",
    {
        "type": "object",
        "properties": {"side": {"type": "string", "enum": ["buy", "sell", "hold"]}, "size": {"type": "number"}},
        "required": ["side", "size"],
        "additionalProperties": False,
    },
)
NAMES = {Dialect.RESPONSES: "gpt-6-luna", Dialect.MESSAGES: "claude-haiku-5-5", Dialect.CHAT: "gemini-3.5-flash-lite"}
SPEECHES: dict[Dialect, type[Any]] = {Dialect.RESPONSES: Responses, Dialect.MESSAGES: Messages, Dialect.CHAT: Chat}


def an_ask(**changes: Any) -> Ask:
    """A question with a schema."""
    asked = Ask(Role.DECISION, "You trade.", (Message(Speaker.USER, "BTC/USDT is at 60000.1"),), SCHEMA)
    return replace(asked, **changes)


def a_model(dialect: Dialect, provider: str = "p") -> Model:
    """A model of the shipped table."""
    return shipped().model(provider, NAMES[dialect])


@asynccontextmanager
async def a_provider(dialect: Dialect, base_url: str, **options: Any) -> AsyncIterator[SdkProvider]:
    """A provider, closed at the end; `base_url` is the server's root."""
    speech: Speech = SPEECHES[dialect]()
    url = base_url if dialect is Dialect.MESSAGES else f"{base_url}/v1"
    provider = SdkProvider("p", speech, url, options.pop("key", KEY), now=lambda: NOW, **options)
    await provider.open()
    try:
        yield provider
    finally:
        await provider.close()
