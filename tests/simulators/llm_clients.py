"""The real SDKs pointed at the simulator, and what they ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai

from simulators.llm.gate import Terms
from simulators.llm.server import LlmSimulator

PATIENCE = 20.0
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "symbol", "action", "confidence", "size_fraction", "stop_loss", "take_profit", "horizon_minutes", "invalidation",
        "reasoning", "evidence",
    ],
    "properties": {
        "symbol": {"type": "string", "enum": ["BTC/USDT", "DOGE/USDT"]},
        "action": {"type": "string", "enum": ["buy", "sell", "hold"]},
        "confidence": {"type": "number", "description": "0 to 1"},
        "size_fraction": {"type": "number", "description": "0 to 1"},
        "stop_loss": {"type": ["number", "null"]},
        "take_profit": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "horizon_minutes": {"type": "integer"},
        "invalidation": {"type": "string"},
        "reasoning": {"type": "string"},
        "evidence": {"type": "array", "items": {"type": "string"}},
    },
}  # fmt: skip
TOOLS = {
    "portfolio": "The positions, the cash and the equity of the account",
    "recent_decisions": "What the bot decided lately, with reasons",
}
PARAMETERS = {"type": "object", "properties": {"symbol": {"type": "string"}, "limit": {"type": "integer"}}}


@dataclass(frozen=True)
class Clients:
    """A simulator and clients of it that neither retry nor look at the environment."""

    simulator: LlmSimulator
    gpt: openai.AsyncOpenAI
    gemini: openai.AsyncOpenAI
    claude: anthropic.AsyncAnthropic
    http: httpx2.AsyncClient

    async def decide(self, dialect: str, text: str, model: str = "demo", **more: Any) -> str:
        """The text of an answer to a question for a decision, in any dialect."""
        if dialect == "responses":
            form = {"format": {"type": "json_schema", "name": "decision", "strict": True, "schema": SCHEMA}}
            options: dict[str, Any] = {"model": model, "input": text, "text": form, **more}
            return str((await self.gpt.responses.create(**options)).output_text)
        if dialect == "chat":
            shape = {"type": "json_schema", "json_schema": {"name": "decision", "strict": True, "schema": SCHEMA}}
            said: list[Any] = [{"role": "user", "content": text}]
            found = await self.gpt.chat.completions.create(model=model, messages=said, response_format=shape, **more)  # type: ignore[call-overload]
            return found.choices[0].message.content or ""
        config: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
        asked: list[Any] = [{"role": "user", "content": text}]
        reply = await self.claude.messages.create(model=model, max_tokens=4096, messages=asked, output_config=config, **more)
        return "".join(block.text for block in reply.content if block.type == "text")


@asynccontextmanager
async def service(terms: Terms = Terms(), **more: Any) -> AsyncIterator[Clients]:  # noqa: B008 - frozen
    """A running simulator with its clients."""
    async with (
        LlmSimulator(terms, **more) as running,
        httpx2.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE) as first,
        httpx2.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE) as second,
    ):
        keys: dict[str, Any] = {"api_key": running.key, "max_retries": 0, "timeout": PATIENCE}
        yield Clients(
            running,
            openai.AsyncOpenAI(base_url=running.url, http_client=first, **keys),
            openai.AsyncOpenAI(base_url=running.gemini_url, http_client=first, **keys),
            anthropic.AsyncAnthropic(base_url=running.root, http_client=second, **keys),
            first,
        )


def snapshot(slope: float = 20.0, held: float = 0.0, **more: Any) -> dict[str, Any]:
    """A market that moves by `slope` a candle, with some noise."""
    closes = [60_000 + slope * at + (at * 7919 % 13) for at in range(60)]
    positions = [{"symbol": "BTC/USDT", "amount": held, "thesis": "it rose"}] if held else []
    return {
        "symbol": "BTC/USDT",
        "price": closes[-1],
        "timeframes": {"15m": {"close": closes}, "1h": {"candles": [[0, c, c, c, c, 1.0] for c in closes]}},
        "positions": positions,
        "evidence_ids": ["price", "15m.rsi", "1h.trend"],
        **more,
    }


def asked(document: dict[str, Any]) -> str:
    """A user message with a snapshot in it."""
    return f"Decide on this market.\n{json.dumps(document, separators=(',', ':'))}\nAnswer in the given form."
