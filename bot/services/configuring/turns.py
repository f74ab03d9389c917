"""One change after another: a file lock, held by whoever reads a file to write it anew, in every process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.services.use_case import UseCaseError

_LOCK = "config.lock"
_SECONDS = 5.0
_PAUSE = 0.02


@asynccontextmanager
async def own_turn(data_dir: Path) -> AsyncIterator[None]:
    """Hold the configuration of a data directory, made if it is not there; `UseCaseError` if somebody else holds it for long."""
    handle = _opened(data_dir)
    try:
        if sys.platform != "win32":
            await _locked(handle)
        yield
    finally:
        os.close(handle)


def _opened(data_dir: Path) -> int:
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        message = f"{data_dir} cannot be written to ({error.strerror or error}); see bot.data_dir"
        raise UseCaseError(message) from error


async def _locked(handle: int) -> None:
    import fcntl  # noqa: PLC0415 - POSIX only

    try:
        async with asyncio.timeout(_SECONDS):
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(_PAUSE)
                else:
                    return
    except TimeoutError:
        message = f"somebody else has been changing the configuration for {_SECONDS:g} s; try again"
        raise UseCaseError(message) from None
