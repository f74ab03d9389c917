"""From log events to errors: a handler beside those that write, which hears what the bot and its libraries say above INFO."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from bot.logs import RedactingHandler, Redactor
from bot.services.monitoring.error_book import ErrorBook, Kind

_LONGEST_EVENT = 120
_LONGEST_SAMPLE = 500
_PLAIN = frozenset(
    {"event", "level", "logger", "timestamp", "exception", "stack", "exc_info", "stack_info", "_record", "_logger"}
)
_VARIES = re.compile(r"0x[0-9a-fA-F]+|\d+")
_RAISED = re.compile(r"^[ |+]*((?:[A-Za-z_]\w*\.)*[A-Z]\w*)(?:: |$)", re.MULTILINE)


class ErrorHandler(RedactingHandler):
    """Counts into a book. What it cannot read is counted in `failed`: it must not fail whoever logs."""

    def __init__(self, book: ErrorBook, redactor: Redactor, now: Callable[[], int]) -> None:
        """`now` is in ms UTC."""
        super().__init__(redactor, logging.WARNING)
        self.failed = 0
        self._book = book
        self._now = now

    def emit(self, record: logging.LogRecord) -> None:
        """Count it, and keep a line of it where one is wanted."""
        try:
            at, fields = self._now(), record.msg if isinstance(record.msg, dict) else None
            kind = self._structured(fields, record) if fields is not None else self._foreign(record)
            if self._book.note(kind, at):
                line = _line(self.redactor, fields, record)
                self._book.show(kind, at, _plain(self.redactor.text(line))[:_LONGEST_SAMPLE])
        except Exception:  # noqa: BLE001 - the boundary to whoever logs; logging it would come back here
            self.failed += 1

    def _structured(self, fields: Mapping[str, Any], record: logging.LogRecord) -> Kind:
        level = str(fields.get("level", record.levelname.lower()))
        return Kind(self._named(fields.get("event", "")), str(fields.get("logger", record.name)), level, _raised(fields, record))

    def _foreign(self, record: logging.LogRecord) -> Kind:
        return Kind(self._named(record.msg), record.name, record.levelname.lower(), _raised({}, record))

    def _named(self, event: object) -> str:
        """The event without what differs from time to time."""
        first = next(iter(self.redactor.text(str(event)).splitlines()), "")
        return _VARIES.sub("#", _plain(first))[:_LONGEST_EVENT]


def _plain(told: str) -> str:
    """Text that every database takes."""
    return told.replace("\x00", "").encode(errors="replace").decode()


def _raised(fields: Mapping[str, Any], record: logging.LogRecord) -> str:
    """The name of the exception's type."""
    if record.exc_info and record.exc_info[0] is not None:
        return record.exc_info[0].__name__
    told = fields.get("exception")
    found = _RAISED.findall(told) if isinstance(told, str) else []
    return str(found[-1]).rpartition(".")[2] if found else ""


def _line(redactor: Redactor, fields: dict[str, Any] | None, record: logging.LogRecord) -> str:
    """The event and its fields in one line, with the last line of a traceback."""
    if fields is None:
        return " ".join(record.getMessage().split())
    shown = redactor.fields(None, "", dict(fields))
    parts = [str(shown.get("event", "")), *(f"{name}={value}" for name, value in shown.items() if name not in _PLAIN)]
    told = fields.get("exception")
    if isinstance(told, str) and told.strip():
        parts.append(told.strip().splitlines()[-1].strip())
    return " ".join(" ".join(parts).split())
