"""Where the control room listens: the socket, and the file that tells. No framework here: the trading process needs it too."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

PLACE_FILE = "web.json"
_UNREAD_MS = 30_000


class WebError(Exception):
    """The control room cannot be opened; the text is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the control room listens."""

    host: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address in a browser; a wildcard address is reached as this machine."""
        shown = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104 - recognised, not bound
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    @classmethod
    def read(cls, data_dir: Path) -> Place | None:
        """Where the control room of a data directory listens; None if none runs."""
        try:
            found = orjson.loads((data_dir / PLACE_FILE).read_bytes())
            place = cls(str(found["host"]), int(found["port"]), int(found["pid"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return place if place.alive else None

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True

    def write(self, data_dir: Path) -> None:
        """Tell it, at once and whole."""
        draft = data_dir / f".{PLACE_FILE}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps({"host": self.host, "port": self.port, "pid": self.pid}))
        draft.replace(data_dir / PLACE_FILE)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there; `WebError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # whoever never reads is let go: each connection inherits it
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        made.bind((host, port))
        made.listen(128)
    except OSError as error:
        made.close()
        remedy = "choose another by --web-port N (0: any free one), or leave the control room out by --no-web"
        message = f"the control room cannot listen on {host}:{port} ({error.strerror or error}); {remedy}"
        raise WebError(message) from error
    return made


@contextlib.contextmanager
def told(data_dir: Path, place: Place) -> Iterator[None]:
    """Say in the data directory where the control room is, for as long as it is.

    Where another one was told of, that is told of again at the end if it is still there; what a later one told is left alone.
    """
    before = Place.read(data_dir)
    place.write(data_dir)
    try:
        yield
    finally:
        if Place.read(data_dir) == place:
            if before is not None and before.alive:
                before.write(data_dir)
            else:
                (data_dir / PLACE_FILE).unlink(missing_ok=True)
