"""A ground on which language models of the simulator, or of a scripted server, are asked through the real SDKs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from bot.runtime.jobs import Progress
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.use_case import Ground, use_case
from bot.settings import load
from bot.settings.template import bot_yaml, risk_yaml

NOW = 1_795_000_000_000
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5", "gemini": "gemini-3.5-flash-lite", "xai": "grok-4.7"}
_DIALECTS = {"openai": "responses", "anthropic": "messages", "gemini": "chat", "xai": "responses"}


def addresses(root: str) -> dict[str, str]:
    """The base URL of each provider at a simulator or a server of one's own."""
    return {"openai": f"{root}/v1", "anthropic": root, "gemini": f"{root}/v1beta/openai/", "xai": f"{root}/v1"}


def configured(place: Path) -> Path:
    """A directory with the shipped settings and an empty place for sources."""
    folder = place / "config"
    (folder / "sources").mkdir(parents=True, exist_ok=True)
    (folder / "bot.yaml").write_text(bot_yaml(), encoding="utf-8")
    (folder / "risk.yaml").write_text(risk_yaml(), encoding="utf-8")
    return folder


def llm_of(root: str, *names: str) -> dict[str, Any]:
    """The section `llm` that asks these providers, in this order, at that address."""
    urls = addresses(root)
    chosen = names or ("openai",)
    return {
        "providers": {name: {"dialect": _DIALECTS[name], "base_url": urls[name], "key": "DEMO_KEY"} for name in chosen},
        "roles": {"decision": [{"provider": name, "model": MODELS[name]} for name in chosen]},
    }


class Clock:
    """The time of the ground, in ms; it stands still."""

    def __init__(self, at: int = NOW) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


@asynccontextmanager
async def asking(
    root: str, key: str, place: Path, *names: str, now: Clock | None = None, **overrides: object
) -> AsyncIterator[Ground]:
    """A ground whose models are at `root`; `overrides` are settings with `__` for the dot."""
    given: dict[str, object] = {"bot.data_dir": place / "data"}
    for name, value in llm_of(root, *names).items():
        given[f"llm.{name}"] = value
    given |= {name.replace("__", "."): value for name, value in overrides.items()}
    loaded = load(configured(place), overrides=given, environ={})
    (place / "data").mkdir(exist_ok=True)
    async with own_ground(loaded, Secrets(place / "data", {"DEMO_KEY": key}), now or Clock()) as ground:
        ground.keys = {"DEMO_KEY": key}
        yield ground


class Told:
    """Hears of progress."""

    def __init__(self) -> None:
        self.all: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.all.append(progress)


async def do(ground: Ground, name: str, told: Told | None = None, **args: object) -> Mapping[str, Any]:
    """A use case as the command line and the API ask for it, and its answer as the feed would carry it."""
    case = use_case(name)
    found = await case.run(ground, case.read(args), told or Told())
    answer: Mapping[str, Any] = json.loads(orjson.dumps(found))
    return answer
