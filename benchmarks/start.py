"""How soon it is there and how much it takes: `--help`, the first decision of `--demo`, memory at rest.

The memory is that of the whole `--demo`, whose simulated exchange lives in the same process: more than a bot with a venue takes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from time import perf_counter, sleep

import psutil

from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, spread_of

_BOT = (sys.executable, "-m", "bot")
_REST = 10.0
_PATIENCE = 60.0
_MIB = 1 << 20


def start(effort: Effort, peers: Peers) -> list[Result]:
    """Seconds to the help, seconds to the first decision, MB at rest."""
    del peers
    helps = [_help() for _ in range(effort.runs)]
    demos = [_demo(effort.seconds(_REST)) for _ in range(effort.runs)]
    figures = (
        ("start-help", "s", helps, 0.3),
        ("start-first-decision", "s", [first for first, _ in demos], 4.0),
        ("start-memory", "MB", [memory for _, memory in demos], 250.0),
    )
    return [
        Result(item, statistics.median(values), unit, (Goal(most=most),), {}, len(values), spread_of(values))
        for item, unit, values, most in figures
    ]


def _help() -> float:
    began = perf_counter()
    subprocess.run([*_BOT, "--help"], check=True, capture_output=True, timeout=_PATIENCE)
    return perf_counter() - began


def _demo(rest: float) -> tuple[float, float]:
    """Seconds until the first decision is printed, and resident MB after `rest` more seconds."""
    with _running() as process:
        began = perf_counter()
        assert process.stdout is not None
        for line in process.stdout:
            if b" decision " in line:
                break
        else:
            message = f"the demo ended with {process.wait(5)} before its first decision; try `python -m bot --demo`"
            raise RuntimeError(message)
        first = perf_counter() - began
        sleep(rest)
        return first, psutil.Process(process.pid).memory_info().rss / _MIB


@contextmanager
def _running() -> Iterator[subprocess.Popen[bytes]]:
    """A `--demo` of its own books; ended politely, by force when it does not end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*_BOT, "--demo", "--no-redis", "--no-web", "--seed", "7", "--data-dir", folder]
        environment = {**os.environ, "ARBITER_METRICS__ENABLED": "false", "ARBITER_WEB__ENABLED": "false"}
        with (Path(folder) / "stderr").open("wb") as stderr:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment)
        alarm = Timer(_PATIENCE, process.kill)
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            process.terminate()
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
