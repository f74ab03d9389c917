"""A bot in a process of its own, as a person starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[2]


def clean_environment(place: Path, **settings: str) -> dict[str, str]:
    """The environment without what the runner of the tests has set; metrics take any free port, and there is no control room."""
    foreign = ("_API_KEY", "_API_SECRET", "_API_TOKEN")
    kept = {name: value for name, value in os.environ.items() if not (name.startswith("ARBITER_") or name.endswith(foreign))}
    ours = {"ARBITER_METRICS__PORT": "0", "ARBITER_WEB__ENABLED": "false"}
    return {**kept, "ARBITER_KEY_FILE": str(place / "master.key"), "COLUMNS": "100", **ours, **settings}


def eventually(condition: Callable[[], bool], what: str, timeout: float = 40.0) -> None:
    """Look until something outside this process is so."""
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            message = f"{what} did not happen within {timeout:g} s"
            raise AssertionError(message)
        time.sleep(0.02)


@dataclass
class Bot:
    """`python -m bot ...` with a data directory of its own; stdout and stderr go to files there."""

    place: Path
    arguments: tuple[str, ...]
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Bot:
        """Start it; does not wait."""
        self.place.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bot", *self.arguments, "--data-dir", str(self.data)]
        environment = clean_environment(self.place, **self.settings)
        with (self.place / "stdout").open("wb") as out, (self.place / "stderr").open("wb") as err:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err)
        return self

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.place / "data"

    @property
    def stdout(self) -> str:
        """What it printed so far."""
        return (self.place / "stdout").read_text()

    @property
    def stderr(self) -> str:
        """What it told the person and the log so far."""
        return (self.place / "stderr").read_text()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    def wait_for(self, text: str, timeout: float = 40.0) -> None:
        """Until the text is on stderr."""

        def there() -> bool:
            assert self.process is not None
            found = text in self.stderr
            assert found or self.process.poll() is None, f"the bot ended with {self.process.returncode}:\n{self.stderr[-3000:]}"
            return found

        eventually(there, f"{text!r} on stderr", timeout)

    def wait(self, timeout: float = 60.0) -> int:
        """Until it ends; its exit code."""
        assert self.process is not None
        return self.process.wait(timeout)

    def signalled(self, how: signal.Signals, timeout: float = 40.0) -> tuple[int, float]:
        """Send a signal; the exit code and how many seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(how)
        return self.process.wait(timeout), time.monotonic() - began

    def told(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found: dict[str, Any] = orjson.loads(self.stdout)
        return found

    def tell(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run another command of the bot on the same data directory."""
        return subprocess.run(
            [sys.executable, "-m", "bot", *arguments, "--data-dir", str(self.data)],
            cwd=ROOT,
            env=clean_environment(self.place, **self.settings),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait(10)
