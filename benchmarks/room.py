"""The real control room for a benchmark: `python -m bot web` in a process of its own, and a token for it."""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from bot.web.security.principal import Scope
from bot.web.security.store import AccessStore

_PATIENCE = 20.0


@asynccontextmanager
async def control_room(data_dir: Path) -> AsyncIterator[tuple[int, int]]:
    """Its process and its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening, _process(data_dir, listening) as process:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        if not line:
            message = "the control room did not start; try `python -m bot web`"
            raise RuntimeError(message)
        yield process.pid, int(urlsplit(orjson.loads(line)["address"]).port or 0)


@contextmanager
def _process(data_dir: Path, listening: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    handed = listening.fileno()
    command = [sys.executable, "-m", "bot", "web", "--data-dir", str(data_dir), "--handed", str(handed)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=(handed,)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


async def token(data_dir: Path, scope: Scope = Scope.READ) -> str:
    """A new bearer token for the control room of this data directory."""
    access = await AccessStore.open(data_dir, _now)
    try:
        return (await access.new_token(f"bench-{secrets.token_hex(4)}", scope, _now() + 3_600_000)).value
    finally:
        await access.close()


def _now() -> int:
    return time.time_ns() // 1_000_000
