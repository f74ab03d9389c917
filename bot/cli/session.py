"""One run, as the person at the terminal lives through it."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Coroutine
from typing import Any, TextIO, TypeVar, cast

import orjson
import structlog

from bot import logs
from bot.cli.exits import ExitCode
from bot.cli.output import wants_colour
from bot.cli.screen import Ink, banner, fact_line, minute_line, notice_line, summary_table
from bot.cli.streams import PatientStream
from bot.core.facts import Fact
from bot.secrets import Secrets
from bot.settings import BannerFacts, Loaded, MinuteFacts, RunOptions, RunSummary, load

log = structlog.get_logger(__name__)

T = TypeVar("T")
_GONE = frozenset({errno.EBADF, errno.ENOTCONN})


class Screen:
    """Writes what happens to a stream, line by line. A stream whose reader has gone is left alone; trading goes on."""

    def __init__(self, stream: TextIO, ink: Ink, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._stream = stream
        self._ink = ink
        self._clock = clock
        self.lost = 0

    def started(self, facts: BannerFacts) -> None:
        """The banner."""
        self._write(*banner(facts, self._ink), "")

    def saw(self, fact: Fact) -> None:
        """A line, if the fact deserves one."""
        line = fact_line(fact, self._ink)
        if line is not None:
            self._write(line)

    def minute(self, facts: MinuteFacts) -> None:
        """The minute's line."""
        self._write(minute_line(facts, self._ink))

    def noticed(self, text: str) -> None:
        """A notice."""
        self._write(notice_line(self._clock(), text, self._ink))

    def ended(self, facts: RunSummary) -> None:
        """The table."""
        self._write("", *summary_table(facts, self._ink))

    def _write(self, *lines: str) -> None:
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += len(lines)


def prepare(loaded: Loaded, stderr: TextIO) -> Secrets:
    """Secrets, and logs that know them."""
    settings = loaded.settings
    secrets = Secrets(settings.bot.data_dir)
    logs.configure(level=settings.bot.log_level.value, secrets=secrets.values(), stream=stderr, file=settings.bot.log_file)
    return secrets


def trade(options: RunOptions, stdout: TextIO, stderr: TextIO) -> ExitCode:
    """Run the bot and show it. With `--json`, stdout gets exactly one JSON object and everything else goes to stderr."""
    from bot.runtime.process import loading

    with loading():
        from bot.app import run

    loaded = load(options.config, overrides=options.overrides())
    with PatientStream(stderr) as patient_stderr, PatientStream(stdout) as patient_stdout:
        secrets = prepare(loaded, cast("TextIO", patient_stderr))
        stream = patient_stderr if options.json else patient_stdout
        screen = Screen(cast("TextIO", stream), Ink(wants_colour(stderr if options.json else stdout)))
        summary = run_loop(run(options, loaded, secrets, screen))
        screen.ended(summary)
    if options.json:
        stdout.write(orjson.dumps(summary.as_json()).decode() + "\n")
        stdout.flush()
    return ExitCode.HALTED if summary.halted else ExitCode.OK


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where there is one, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(unheard)
        return runner.run(main)


def unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody awaits goes to the log. uvloop tells so of a connection that was gone before it was made: that is no defect."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in _GONE:
        log.warning("connection_gone_at_once", reason=str(error))
    else:
        loop.default_exception_handler(context)
