"""A simulator of language models, and the command line beside it: in a thread, so that the simulator's loop goes on."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import pytest

from simulators.llm.server import LlmSimulator
from tests.services.llm_ground import MODELS, llm_settings

PATIENCE_S = 60.0


class Shell:
    """Runs commands against a simulator: code, stdout, stderr."""

    def __init__(self, simulator: LlmSimulator, cli: Callable[..., tuple[int, str, str]], patch: pytest.MonkeyPatch) -> None:
        self.simulator = simulator
        self._cli = cli
        self._patch = patch
        told = llm_settings(simulator)
        patch.setenv("ARBITER_LLM__PROVIDERS", orjson.dumps(told["providers"]).decode())
        patch.setenv("ARBITER_LLM__ROLES", orjson.dumps(told["roles"]).decode())
        for name in MODELS:
            patch.setenv(f"{name.upper()}_API_KEY", simulator.key)

    async def __call__(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        """`python -m bot WORDS`."""
        self._patch.setattr(sys, "stdin", io.StringIO(stdin))
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(self._cli, *words)


@asynccontextmanager
async def a_shell(cli: Callable[..., tuple[int, str, str]], patch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    """A shell with a simulator of its own."""
    async with LlmSimulator() as simulator:
        yield Shell(simulator, cli, patch)
