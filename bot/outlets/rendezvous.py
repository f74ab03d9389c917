"""Where a client finds the bot: `feed.json` in the data directory, readable by its owner alone, there only while the bot runs.

It holds the token, so whoever can read it may command the bot. A file that a crash left behind is recognised (its process is
gone, or its port refuses) and never trusted.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from bot.outlets.errors import NotRunning

FEED_FILE = "feed.json"


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """How to reach one running bot."""

    host: str
    port: int
    token: str = field(repr=False)
    pid: int
    run: str

    def write(self, data_dir: Path) -> None:
        """Put the file in place, whole and with mode 0600 from its first byte."""
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = data_dir / f".{FEED_FILE}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(asdict(self)))
        draft.replace(data_dir / FEED_FILE)

    def remove(self, data_dir: Path) -> None:
        """Take the file away, unless another run has put its own there."""
        try:
            if Rendezvous.read(data_dir).token == self.token:
                (data_dir / FEED_FILE).unlink(missing_ok=True)
        except NotRunning:
            return

    @classmethod
    def read(cls, data_dir: Path) -> Rendezvous:
        """What the file says. `NotRunning` if there is none, it cannot be understood, or its process is gone."""
        path = data_dir / FEED_FILE
        try:
            found = TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except FileNotFoundError:
            message = f"no bot is running in {data_dir} (there is no {FEED_FILE})"
            raise NotRunning(message) from None
        except (OSError, ValidationError):
            # The validation error would quote the token.
            message = (
                f"{path} cannot be read: it is not from a bot of this version, or not yours; delete it and start the bot again"
            )
            raise NotRunning(message) from None
        if not _alive(found.pid):
            message = f"no bot is running in {data_dir} ({FEED_FILE} was left by process {found.pid}, which is gone)"
            raise NotRunning(message)
        return found


def _alive(pid: int) -> bool:
    if os.name == "nt":  # there, signal 0 would end the process; the connection will tell
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
