"""One bot for each data directory: a lock that lasts as long as the process, however that ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from bot.outlets.errors import AlreadyRunning
from bot.settings import ConfigError, Problem

LOCK_FILE = "bot.lock"


@contextlib.contextmanager
def alone_in(data_dir: Path) -> Iterator[None]:
    """Hold the directory, made if it is not there, before anything in it is touched.

    `AlreadyRunning` if another process holds it, `ConfigError` if it cannot be written to.

    The file stays, empty but for the process id: what counts is the lock, which the system takes back from whoever dies.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        fault = f"cannot be written to ({error.strerror or error})"
        problem = Problem("configuration", "bot.data_dir", str(data_dir), fault, "choose a directory of your own")
        raise ConfigError(problem) from error
    if sys.platform == "win32":  # there the local feed alone refuses a second bot
        os.close(handle)
        yield
        return
    import fcntl  # noqa: PLC0415 - POSIX only

    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "another one"
            message = f"process {holder} already runs a bot in {data_dir}; stop it, or choose another --data-dir"
            raise AlreadyRunning(message) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)
