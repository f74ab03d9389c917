"""The control room as the bot sees it: a process of its own, started, watched, and started again.

It cannot hurt trading: it has no part of the desk, a lower priority, and nothing waits for it. The bot holds the socket, so the
address is taken before the first order and stays while the process is replaced; the process ends when its standard input does, so
none outlives a bot that was killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson
import structlog

from bot.secrets import Secrets
from bot.settings import ConfigError, Loaded, Problem, Settings
from bot.web.place import bind
from bot.web.security.binding import refusal

log = structlog.get_logger(__name__)

TASK = "control-room"
"""Its name as a task of the bot, which is ready without it."""

_READY_SECONDS = 60.0
_LEAVE_SECONDS = 0.5


class ControlRoomDown(Exception):  # noqa: N818 - it names what happened
    """The control room's process ended, or never got ready."""


class ControlRoomProcess:
    """Keeps it running: `run` belongs to the supervisor, which calls it again whenever it fails."""

    def __init__(self, loaded: Loaded, secrets: Secrets, told: Callable[[str], None]) -> None:
        """Takes the address; `ConfigError` if it may not be used, `WebError` if it cannot be had. `told` hears where it is."""
        web = loaded.settings.web
        why = refusal(web.host, secrets)
        if why is not None:
            raise ConfigError(Problem("configuration", "web.host", web.host, why, "listen on 127.0.0.1, or set the password"))
        self._socket = bind(web.host, web.port)
        self._directory = loaded.directory
        self._settings = loaded.settings
        self._told = told
        self.url = ""
        self.starts = 0
        self._announced = False
        self.up = False

    async def run(self) -> None:
        """Start it and stay with it until cancelled; `ControlRoomDown` when it ends by itself."""
        self.starts += 1
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *_arguments(self._directory, self._socket.fileno()),
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            pass_fds=(self._socket.fileno(),),
            env=_environment(self._settings),
            start_new_session=True,
        )
        try:
            await self._until_ready(process)
            self.up = True
            code = await process.wait()
        finally:
            self.up = False
            await _end(process)
        message = f"it ended with code {code}"
        raise ControlRoomDown(message)

    def close(self) -> None:
        """Give the address back."""
        self._socket.close()

    async def _until_ready(self, process: Process) -> None:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_READY_SECONDS):
                line = orjson.loads(await process.stdout.readuntil(b"\n"))
                self.url = line["address"]
        except (TimeoutError, EOFError, ValueError, LookupError) as error:
            message = "it did not get ready; the log above says why"
            raise ControlRoomDown(message) from error
        # A link that somebody has followed is used up, and a browser that is in stays in: it is told once.
        if not self._announced:
            self._announced = True
            self._told(f"control room: {line['url']}")
        else:
            log.info("control_room_back", url=self.url)


def _arguments(directory: Path | None, socket: int) -> list[str]:
    config = [] if directory is None else ["--config", str(directory)]
    return ["web", "--handed", str(socket), *config]


def _environment(settings: Settings) -> dict[str, str]:
    """Ours, and where things are: a database's URL may hold a password, so it is no argument."""
    place = {"ARBITER_BOT__DATA_DIR": str(settings.bot.data_dir.absolute()), "ARBITER_BOT__NAME": settings.bot.name}
    if settings.journal.url is not None:
        place["ARBITER_JOURNAL__URL"] = settings.journal.url
    return {**os.environ, **place}


async def _end(process: Process) -> None:
    """Let it go: politely, then not."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            if process.stdin is not None:
                process.stdin.close()
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await process.wait()
    with suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
    await process.wait()
