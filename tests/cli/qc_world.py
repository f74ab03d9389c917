"""A simulator of QuantConnect, and the command line beside it: in a thread, so that the simulator's loop goes on."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms

QUICK = Terms(
    compile_reads=0,
    loading_reads=0,
    live_stage=0.0,
    snapshot=0.02,
    queued_reads=0,
    running_reads=0,
    half_reads=0,
    creates_at_once=100,
)
PATIENCE_S = 60.0


class Shell:
    """Runs commands against a simulator: code, stdout, stderr."""

    def __init__(
        self, simulator: QuantConnectSimulator, cli: Callable[..., tuple[int, str, str]], patch: pytest.MonkeyPatch
    ) -> None:
        self.simulator = simulator
        self._cli = cli
        self._patch = patch
        for name, value in self.variables().items():
            patch.setenv(name, value)

    def variables(self) -> dict[str, str]:
        """Where the simulator is and who asks it."""
        return {
            "QUANTCONNECT_USER_ID": self.simulator.user,
            "QUANTCONNECT_API_TOKEN": self.simulator.token,
            "ARBITER_QUANTCONNECT__BASE_URL": self.simulator.url,
            "ARBITER_QUANTCONNECT__CALLS": "100000",
        }

    async def __call__(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        """`python -m bot qc WORDS`."""
        self._patch.setattr(sys, "stdin", io.StringIO(stdin))
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(self._cli, "qc", *words)


async def started(home: Path, words: Sequence[str]) -> asyncio.subprocess.Process:
    """The same as a process of its own, which can be interrupted."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "qc", *words,
        cwd=home, env=dict(os.environ), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
