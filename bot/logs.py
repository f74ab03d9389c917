"""Logs go to stderr: coloured lines on a terminal, JSON lines off it; stdout belongs to whoever asked for JSON.

Redaction happens twice: keys that look secret lose their values before anything is rendered, and known secret values are starred
out of the finished line, whatever brought them there (a message, a repr, a traceback).
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

STARS = "***"
_SECRET_KEY = re.compile(
    r"(?i)(^|[_\-.])(secret|password|passwd|passphrase|token|authorization|cookie|signature|credentials?)($|[_\-.](key|value|header)$)"
    r"|(api|private|master|access|secret)[_\-]?(key|secret|token)$"
)
_URL_PASSWORD = re.compile(r"(://[^/\s:@'\"]*:)[^/\s@'\"]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}")
_SHORTEST = 6
_DEEPEST = 8


_LOUD = (
    "ccxt", "aiohttp", "asyncio", "apscheduler", "sqlalchemy", "alembic", "redis", "urllib3", "httpx2", "openai", "anthropic",
)  # fmt: skip


class Redactor:
    """Knows the secret values of this process and takes them out of text. Values below six characters are left to their keys."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(*values)

    def add(self, *values: str) -> None:
        """Learn more values; in JSON, they may be written with escapes, and those are learnt too."""
        for value in values:
            if len(value) >= _SHORTEST:
                self._values |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
        if self._values:
            longest_first = sorted(self._values, key=lambda value: (-len(value), value))
            self._pattern = re.compile("|".join(re.escape(value) for value in longest_first))

    def text(self, text: str) -> str:
        """The text without known values, passwords in URLs and authorization headers."""
        if self._pattern is not None:
            text = self._pattern.sub(STARS, text)
        return _BEARER.sub(rf"\1 {STARS}", _URL_PASSWORD.sub(rf"\1{STARS}@", text))

    def fields(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """A processor: stars for the values of keys that look secret, at any depth."""
        del logger, method
        for key in list(event):
            event[key] = _shown(key, event[key], 0)
        return event


def _is_secret(key: object) -> bool:
    return isinstance(key, str) and _SECRET_KEY.search(key) is not None


def _shown(key: object, value: object, depth: int) -> object:
    """Stars for what is under a secret key, else the value with its own depths seen through."""
    if _is_secret(key):
        return value if value is None or value == "" else STARS
    if depth >= _DEEPEST:
        return value
    if isinstance(value, Mapping):
        return {name: _shown(name, below, depth + 1) for name, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(None, below, depth + 1) for below in value]
    return value


class _Rendered:
    """The last processor: a renderer, and the redactor over what it wrote."""

    def __init__(self, renderer: Processor, redactor: Redactor) -> None:
        self._renderer = renderer
        self._redactor = redactor

    def learn(self, *values: str) -> None:
        """Star these values out too."""
        self._redactor.add(*values)

    def __call__(self, logger: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> str:
        line = self._renderer(logger, method, event)
        return self._redactor.text(line.decode() if isinstance(line, bytes) else str(line))


def _json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def wants_colour(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Whether ANSI colours may go to this stream: a terminal, and no NO_COLOR."""
    given = os.environ if environ is None else environ
    return stream.isatty() and not given.get("NO_COLOR") and given.get("TERM") != "dumb"


def configure(
    *,
    level: str = "info",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    as_json: bool | None = None,
    file: Path | None = None,
) -> Redactor:
    """Set up structlog and, behind it, the standard library's logging; call it once, at the start of a process.

    `as_json` None means JSON unless the stream (stderr, if None) is a terminal. A log file always holds JSON lines. Raises
    `OSError` if the file cannot be opened. The redactor is returned so that secrets which are learnt later can be added to it.
    """
    stream = sys.stderr if stream is None else stream
    redactor = Redactor(secrets)
    json_lines = _Rendered(structlog.processors.JSONRenderer(serializer=_json), redactor)
    if as_json if as_json is not None else not stream.isatty():
        shown: Processor = json_lines
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=wants_colour(stream), exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
        )
        shown = _Rendered(console, redactor)
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    handlers: list[logging.Handler] = [_handler(logging.StreamHandler(stream), shown, before, redactor)]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(_handler(logging.FileHandler(file, encoding="utf-8"), json_lines, before, redactor))
    _install(handlers, level)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    return redactor


class RedactingHandler(logging.Handler):
    """A handler that keeps what it hears, and must know the secrets for it."""

    def __init__(self, redactor: Redactor, level: int) -> None:
        super().__init__(level)
        self.redactor = redactor


def learn(*values: str) -> None:
    """Star these secret values out of every line of this process from now on."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RedactingHandler):
            handler.redactor.add(*values)
        formatter = handler.formatter
        if isinstance(formatter, structlog.stdlib.ProcessorFormatter):
            for processor in formatter.processors:
                if isinstance(processor, _Rendered):
                    processor.learn(*values)


def _handler(handler: logging.Handler, last: Processor, before: list[Processor], redactor: Redactor) -> logging.Handler:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before[:4],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redactor.fields,
            last,
        ],
    )
    handler.setFormatter(formatter)
    return handler


def _install(handlers: list[logging.Handler], level: str) -> None:
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
            old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # Libraries speak too much below warning, and some of them print requests with their keys.
    for name in _LOUD:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
