"""Peers: the same work, done by others, in their own interpreter."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

_TIMEOUT = 1_800
_FOLDER = Path(__file__).with_name("peers")


class PeerFailed(RuntimeError):  # noqa: N818 - it names what happened
    """A peer's script ended badly; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class PeerTimes:
    """Seconds of each run, and how many trades the peer made."""

    seconds: tuple[float, ...]
    trades: int
    version: str

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True)
class Peers:
    """Where the peers are installed; without an interpreter nothing is compared."""

    interpreter: Path | None = None

    def run(self, script: str, data: Path, runs: int) -> PeerTimes | None:
        """Times of `peers/SCRIPT.py` on the data, None without peers. `PeerFailed` if it does not come through."""
        if self.interpreter is None:
            return None
        command = [str(self.interpreter), str(_FOLDER / f"{script}.py"), str(data), str(runs)]
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False, env={**os.environ, "PYTHONPATH": ""})
        if done.returncode:
            message = f"{script} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-1_500:]}"
            raise PeerFailed(message)
        told = orjson.loads(done.stdout.splitlines()[-1])
        sys.stderr.write(f"# {script}: {told}\n")
        return PeerTimes(tuple(told["seconds"]), told["trades"], told["version"])
