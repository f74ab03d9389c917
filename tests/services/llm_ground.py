"""A simulator of language models, and the ground that use cases of them stand on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from bot.runtime.jobs import Progress
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.llm.access import minds_of
from bot.services.use_case import Ground, use_case
from bot.settings import load
from simulators.llm.server import LlmSimulator
from tests.services.memory_life import configured

NOW = 1_795_000_000_000  # 2026-11-18
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5", "gemini": "gemini-3.5-flash-lite", "xai": "grok-4.7"}


def llm_settings(simulator: LlmSimulator, names: tuple[str, ...] = tuple(MODELS)) -> dict[str, Any]:
    """The section `llm` that has these providers answered for by the simulator."""
    addresses = {
        "openai": ("responses", simulator.url),
        "anthropic": ("messages", simulator.root),
        "gemini": ("chat", simulator.gemini_url),
        "xai": ("responses", simulator.url),
    }
    return {
        "providers": {
            name: {"dialect": dialect, "base_url": url, "key": f"{name.upper()}_API_KEY"}
            for name, (dialect, url) in addresses.items()
        },
        "roles": {"decision": [{"provider": name, "model": MODELS[name]} for name in names]},
    }


class Clock:
    """The time of the ground, in ms; it moves when it is told to."""

    def __init__(self, at: int = NOW) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


@asynccontextmanager
async def standing(
    home: Path,
    simulator: LlmSimulator,
    *,
    keys: tuple[str, ...] = tuple(MODELS),
    names: tuple[str, ...] = tuple(MODELS),
    clock: Clock | None = None,
    **overrides: object,
) -> AsyncIterator[Ground]:
    """A ground whose providers are the simulator; `keys` are those that a key is there for, `names` those that are asked."""
    given: dict[str, object] = {"bot.data_dir": str(home / "data"), "llm": llm_settings(simulator, names)}
    given |= {name.replace("__", "."): value for name, value in overrides.items()}
    loaded = load(configured(home), environ={}, overrides=given)
    known = {f"{name.upper()}_API_KEY": simulator.key for name in keys}
    async with own_ground(loaded, Secrets(home / "data", known), clock or Clock()) as ground:
        yield ground


class Told:
    """Hears of progress."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def __call__(self, progress: Progress) -> None:
        self.stages.append(progress.stage)


async def do(ground: Ground, case_name: str, told: Told | None = None, /, **args: object) -> Any:
    """A use case as the command line and the API ask for it: its answer as it comes over the wire."""
    case = use_case(case_name)
    found: Mapping[str, Any] = await case.run(ground, case.read(args), told or Told())
    return json.loads(orjson.dumps(found))


async def settled(ground: Ground) -> None:
    """Until the ledger has written what answers cost: whoever has an answer does not wait for that."""
    minds = await minds_of(ground)
    async with asyncio.timeout(10):
        while (await minds.costs.total(0, 2**53)).held:
            await asyncio.sleep(0.01)
