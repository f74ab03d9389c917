"""The real SDKs against the simulator: every dialect answers, and every fault becomes a reason and a booked call."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import structlog

from simulators.llm.faults import Fault, Mode
from simulators.llm.server import LlmSimulator
from sources.llm.asking import Ask, LlmError, Message, Reply, Role, Schema, Speaker, Stop, Tool, Trouble
from sources.llm.checking import check_keys, try_model
from sources.llm.models import Candidate, Effort
from sources.llm.opening import Access, opened
from sources.llm.prices import shipped
from sources.llm.purse import FreePurse
from sources.llm.router import Router
from sources.llm.schemas import portable
from sources.llm.settings import AccessSettings
from tests.simulators.llm_clients import SCHEMA
from tests.sources.llm.llm_asks import NOW

TABLE = shipped()
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5", "gemini": "gemini-3.5-flash-lite", "xai": "grok-4.7"}
EVERY = pytest.mark.parametrize("name", list(MODELS))
ASK = Ask(
    Role.DECISION,
    "Decide about one symbol.",
    (Message(Speaker.USER, '{"symbol":"BTC/USDT","price":60000.1,"rsi":28,"trend":"up"}'),),
    Schema("decision", portable(SCHEMA)),
    effort=Effort.LOW,
)


@dataclass(frozen=True)
class World:
    """A simulator, and access to it as each of four providers."""

    simulator: LlmSimulator
    access: Access
    purse: FreePurse

    def candidate(self, name: str) -> Candidate:
        """The model of a provider."""
        [found] = [one for one in self.access.router.candidates(Role.DECISION) if one.model.provider == name]
        return found

    async def ask(self, name: str, ask: Ask = ASK, deadline_s: float = 10.0) -> Reply:
        """What a provider answers."""
        return await self.access.router.ask(ask, self.purse, among=(self.candidate(name),), deadline_s=deadline_s)


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    """All of it, closed at the end."""
    async with LlmSimulator() as simulator:
        addresses = {
            "openai": ("responses", simulator.url),
            "anthropic": ("messages", simulator.root),
            "gemini": ("chat", simulator.gemini_url),
            "xai": ("responses", simulator.url),
        }
        settings = AccessSettings.model_validate(
            {
                "providers": {
                    name: {"dialect": dialect, "base_url": url, "key": "DEMO_KEY"} for name, (dialect, url) in addresses.items()
                },
                "roles": {"decision": [{"provider": name, "model": model} for name, model in MODELS.items()]},
            }
        )
        key = simulator.key
        async with opened(settings, {"DEMO_KEY": key}.get, lambda: NOW, table=TABLE) as access:
            await access.warm()
            yield World(simulator, access, FreePurse())


@EVERY
async def test_every_dialect_decides_and_is_paid_what_the_simulator_billed(name: str) -> None:
    async with a_world() as world:
        reply = await world.ask(name)
        assert (reply.fault, reply.fault_detail, reply.stop) == (None, "", Stop.DONE)
        assert reply.parsed is not None
        assert reply.parsed["action"] in {"buy", "sell", "hold"}
        assert not reply.usage_estimated
        assert world.purse.spent == reply.cost > 0
        assert world.purse.open == {}
        assert reply.request_id


@EVERY
async def test_every_dialect_streams_the_same_answer(name: str) -> None:
    async with a_world() as world:
        whole = await world.ask(name)
        stream = world.access.router.stream(ASK, world.purse, among=(world.candidate(name),))
        *pieces, last = [piece async for piece in stream]
        assert isinstance(last, Reply)
        assert "".join(str(piece) for piece in pieces) == last.text == whole.text
        assert last.parsed == whole.parsed
        assert last.usage.output == whole.usage.output


@EVERY
async def test_every_dialect_uses_a_tool_and_goes_on_with_its_result(name: str) -> None:
    tool = Tool("portfolio", "The positions, the cash and the equity of the account", portable(_PARAMETERS))
    turn = Message(Speaker.USER, "What is in my portfolio?")
    async with a_world() as world:
        ask = Ask(Role.CHAT, "You help.", (turn,), tools=(tool,))
        reply = await world.ask(name, ask)
        if not reply.tool_calls:
            pytest.fail(f"the simulator used no tool: {reply.text}")
        results = tuple(Message(Speaker.TOOL, '{"cash":100}', answers=call.id) for call in reply.tool_calls)
        again = await world.ask(name, Ask(Role.CHAT, "You help.", (turn, reply.turn, *results), tools=(tool,)))
        assert again.text
        assert (again.fault, again.tool_calls) == (None, ())


_PARAMETERS = {"type": "object", "properties": {"symbol": {"type": "string"}, "limit": {"type": "integer"}}}

CALLS: list[tuple[Mode, set[Trouble]]] = [
    (Mode.BAD_REQUEST, {Trouble.BAD_REQUEST}),
    (Mode.UNAUTHORIZED, {Trouble.AUTHENTICATION}),
    (Mode.PAYMENT, {Trouble.CREDIT}),
    (Mode.FORBIDDEN, {Trouble.AUTHENTICATION}),
    (Mode.NOT_FOUND, {Trouble.BAD_REQUEST}),
    (Mode.TOO_LARGE, {Trouble.BAD_REQUEST}),
    (Mode.UNPROCESSABLE, {Trouble.BAD_REQUEST}),
    (Mode.RATE_LIMIT, {Trouble.RATE_LIMIT}),
    (Mode.QUOTA, {Trouble.CREDIT}),
    (Mode.SERVER_ERROR, {Trouble.SERVER}),
    (Mode.UNAVAILABLE, {Trouble.OVERLOAD}),
    (Mode.TIMED_OUT, {Trouble.TIMEOUT}),
    (Mode.OVERLOADED, {Trouble.OVERLOAD}),
    (Mode.HTML, {Trouble.SERVER}),
    (Mode.HTML_OK, {Trouble.UNREADABLE}),
    (Mode.HANG, {Trouble.TIMEOUT}),
    (Mode.DRIP, {Trouble.TIMEOUT}),
    (Mode.DROP, {Trouble.TRANSPORT}),
    (Mode.DROP_HEADERS, {Trouble.TRANSPORT}),
    (Mode.DROP_BODY, {Trouble.TRANSPORT}),
    (Mode.FAILED, {Trouble.SERVER, Trouble.OVERLOAD, Trouble.RATE_LIMIT}),
    (Mode.ERROR_EVENT, {Trouble.SERVER, Trouble.OVERLOAD}),
    (Mode.HUGE, {Trouble.TOO_LARGE}),
]
ANSWERS: list[tuple[Mode, set[Trouble]]] = [
    (Mode.BAD_JSON, {Trouble.SCHEMA}),
    (Mode.TRUNCATED, {Trouble.TRUNCATED}),
    (Mode.REFUSAL, {Trouble.REFUSAL}),
    (Mode.EMPTY, {Trouble.SCHEMA, Trouble.REFUSAL}),
    (Mode.NAN, {Trouble.SCHEMA}),
    (Mode.ECHO, {Trouble.SCHEMA}),
]


@EVERY
async def test_every_fault_of_a_call_is_a_trouble_within_the_deadline_and_booked(name: str) -> None:
    async with a_world() as world:
        candidate = world.candidate(name)
        for mode, troubles in CALLS:
            router, purse = Router(world.access.providers, {}, now=lambda: NOW), FreePurse()
            world.simulator.clear()
            world.simulator.inject(Fault(mode, retry_after=3600 if mode is Mode.RATE_LIMIT else None, size=2 << 20))
            begun, deadline_s = time.monotonic(), 0.5 if mode in {Mode.HANG, Mode.DRIP} else 10.0
            with structlog.testing.capture_logs() as logs, pytest.raises(LlmError) as caught:
                await router.ask(ASK, purse, among=(candidate,), deadline_s=deadline_s)
            assert caught.value.trouble in troubles, f"{mode}: {caught.value}"
            assert time.monotonic() - begun < 8, mode
            assert purse.open == {}, mode
            assert (purse.spent > 0) is caught.value.may_have_been_billed, mode
            assert world.simulator.key not in f"{caught.value}{logs}"


@EVERY
async def test_every_fault_of_an_answer_is_paid_for_and_of_no_use(name: str) -> None:
    async with a_world() as world:
        for mode, faults in ANSWERS:
            before = world.purse.spent
            world.simulator.inject(mode)
            reply = await world.ask(name)
            assert reply.fault in faults, f"{mode}: {reply.text[:80]}"
            assert reply.parsed is None
            assert world.purse.spent > before, mode
        world.simulator.inject(Mode.ABSURD)
        absurd = await world.ask(name)
        assert absurd.parsed is None or max(filter(_is_number, absurd.parsed.values())) >= 1e300, "bounds are the caller's"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


async def test_an_overloaded_provider_is_passed_over_and_the_reply_says_so() -> None:
    async with a_world() as world:
        world.simulator.inject(Fault(Mode.OVERLOADED, dialect="responses"))
        reply = await world.access.router.ask(ASK, world.purse)
        assert (reply.provider, reply.fallback) == ("anthropic", 1)


async def test_keys_are_checked_and_models_tested_at_each_provider() -> None:
    async with a_world() as world:
        checks = await check_keys(list(world.access.providers.values()))
        assert all(check.good for check in checks), checks
        assert "claude-haiku-5-5" in {model for check in checks for model in check.models}
        for name in MODELS:
            tested = await try_model(world.access.router, world.candidate(name), world.purse)
            assert tested.cost > Decimal(0)
            assert tested.trouble in {None, Trouble.SCHEMA}, tested
