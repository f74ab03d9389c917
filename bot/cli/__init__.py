"""The command line. Nothing heavy is imported until a command runs, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and say how it went, as an exit code (see `bot.cli.exits`)."""
    from bot.cli.app import app

    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="python -m bot")
    except SystemExit as end:
        return _quietly(end.code)
    return 0


def _quietly(code: object) -> int:
    """The code as a number; a reader of our output that went away (`| head`) is not our failure."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code if isinstance(code, int) else 0 if code is None else 1
