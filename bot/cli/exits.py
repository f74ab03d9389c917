"""Exit codes, and the one place where an error becomes a line and a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell is told. Stable: scripts rely on it."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_RUNNING = 3
    CONFIG = 4
    TIMEOUT = 5
    HALTED = 6
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """For the help text and the reference."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILURE: "failed; the line on stderr says why",
    ExitCode.USAGE: "the command line was wrong",
    ExitCode.NOT_RUNNING: "no bot is running in this data directory",
    ExitCode.CONFIG: "the configuration or a secret cannot be used",
    ExitCode.TIMEOUT: "no answer in time",
    ExitCode.HALTED: "the run ended halted by risk",
    ExitCode.INTERRUPTED: "Ctrl-C",
}
_OUR_ROOMS = frozenset({"bot", "sources", "execution", "research", "simulators"})
EXIT_CODES = "Exit codes: " + " · ".join(f"{code.value} {code.meaning}" for code in ExitCode)


class StopError(Exception):
    """A command ends here, with a code and one line."""

    def __init__(self, code: ExitCode, line: str) -> None:
        super().__init__(line)
        self.code = code


def code_of(error: BaseException) -> ExitCode | None:
    """The code of an error that is an answer; None for one that is a defect.

    Errors that our own rooms define are answers: their text is one line for a person.
    """
    from bot.market.ccxt_venue import UnknownExchange, UnknownSymbol
    from bot.outlets.errors import NotRunning
    from bot.secrets import SecretError
    from bot.settings import ConfigError
    from sources.config import SourceConfigError

    if isinstance(error, StopError):
        return error.code
    if isinstance(error, (ConfigError, SecretError, SourceConfigError, UnknownExchange, UnknownSymbol)):
        return ExitCode.CONFIG
    if isinstance(error, NotRunning):
        return ExitCode.NOT_RUNNING
    if timed_out(error):
        return ExitCode.TIMEOUT
    ours = type(error).__module__.partition(".")[0] in _OUR_ROOMS
    return ExitCode.FAILURE if ours or isinstance(error, OSError) else None


def timed_out(error: BaseException) -> bool:
    """Whether nobody answered in time. A `TimeoutError` is an `OSError`, so a client may have taken it for a lost connection."""
    from bot.outlets.errors import Disconnected

    return isinstance(error, TimeoutError) or (isinstance(error, Disconnected) and isinstance(error.__cause__, TimeoutError))


def one_line(error: BaseException) -> str:
    """An error as a single line; a time-out has no text of its own."""
    text = " ".join(str(error).split())
    if isinstance(error, TimeoutError) and not text:
        return "no answer in time; is the machine overloaded, or the bot stuck?"
    return text or type(error).__name__


@contextmanager
def guarded() -> Iterator[None]:
    """Turn what a command raises into one line on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(ExitCode.OK) from None
    except Exception as error:
        if _is_usage(error):
            raise
        raise SystemExit(_report(error)) from None


def _is_usage(error: Exception) -> bool:
    """Whether it is Typer's own way of ending or of complaining about the arguments."""
    import typer

    return isinstance(error, (typer.Exit, typer.Abort, typer.TyperException))


def _report(error: Exception) -> ExitCode:
    from bot.logs import Redactor

    errors = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
    first = errors[0]
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    code = code_of(first)
    redactor = Redactor(_known_values())
    if code is not None:
        sys.stderr.write(redactor.text(f"error: {one_line(first)}\n"))
        return code
    import traceback

    sys.stderr.write(redactor.text("".join(traceback.format_exception(error))))
    sys.stderr.write(redactor.text(f"error: unexpected {type(first).__name__}: {one_line(first)}\n"))
    return ExitCode.FAILURE


def _known_values() -> tuple[str, ...]:
    """Secrets that the environment holds: enough to keep them out of a traceback without opening the encrypted file again."""
    from bot.secrets import MASTER_KEY, PREFIX, WELL_KNOWN

    return tuple(
        value
        for name, value in os.environ.items()
        if value and (name in WELL_KNOWN or name == MASTER_KEY or name.startswith(PREFIX))
    )
