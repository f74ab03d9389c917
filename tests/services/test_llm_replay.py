"""A recorded run in which a language model proposed replays with nobody to ask: no network, no SDK, no key."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from simulators.llm.server import LlmSimulator
from tests.services.llm_ground import Clock, standing
from tests.services.llm_run import RUN, record_run

_ALONE = """
import socket, sys

def refuse(*arguments, **named):
    raise OSError("the network is off")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
from bot.cli import main

code = main(["replay", sys.argv[1], "--data-dir", sys.argv[2], "--json"])
heavy = sorted({"openai", "anthropic", "sources.llm.opening"} & set(sys.modules))
print(heavy, code, file=sys.stderr)
"""


async def test_a_run_with_a_model_replays_byte_for_byte_with_the_network_off_and_no_sdk(tmp_path: Path) -> None:
    clock = Clock()
    budget = {"calls_per_minute": 10_000}
    async with LlmSimulator() as simulator, standing(tmp_path, simulator, clock=clock, llm__budget=budget) as ground:
        run = await record_run(ground, clock)
        asked = len(simulator.requests())
        assert run.decisions
    data = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, RUN, str(data)], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("[] 0"), done.stderr
    found = json.loads(done.stdout)
    assert found["identical"]
    assert found["inputs"] > 300
    assert len(simulator.requests()) == asked
    segments = b"".join(path.read_bytes() for path in (data / "segments").rglob("*.jsonl*"))
    assert segments, "the decisions are inputs of the run, on the disk"
