"""A trial in a process of its own, so that its arithmetic costs trading nothing. It knows no keys, and ends with its asker.

It is told on stdin what to try, and answers in lines of JSON: how far it is, and at last the result or one line of error.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from bot.runtime.jobs import Progress, Report
from bot.services.ideas.specification import Specification
from bot.services.ideas.trial import Trial, try_out
from bot.services.use_case import UseCaseError, explained
from bot.settings import Loaded

_LONGEST_S = 1_800.0
_LARGEST_LINE = 256 << 20
_END_S = 5.0
_TOLD = 100  # lines of progress at most
_SECRET = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")


async def try_apart(specification: Specification, data: Sequence[Path], loaded: Loaded, report: Report) -> Trial:
    """Run the trial in a process of its own; `UseCaseError` says in one line why there is none."""
    # What is pickled goes to our own child by a pipe; nothing is ever unpickled here.
    told = pickle.dumps((specification.model_dump(mode="json"), tuple(data), loaded))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=_environment(),
        limit=_LARGEST_LINE,
    )
    try:
        async with asyncio.timeout(_LONGEST_S):
            return Trial(await _heard(process, told, report))
    except TimeoutError:
        message = f"the backtest took longer than {_LONGEST_S:g} s: give fewer candles"
        raise UseCaseError(message) from None
    finally:
        await _end(process)


async def _heard(process: asyncio.subprocess.Process, told: bytes, report: Report) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(told)
    process.stdin.write_eof()
    async for line in process.stdout:
        said: Mapping[str, Any] = orjson.loads(line)
        if "error" in said:
            raise UseCaseError(str(said["error"]))
        if "result" in said:
            return dict(said["result"])
        report(Progress("backtesting", float(said["done"]), float(said["total"])))
    message = "the backtest ended without a result; its last words are on the bot's stderr"
    raise UseCaseError(message)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nothing of it stays, also where nobody waits for its answer any more."""
    if process.returncode is None:
        process.kill()
    async with asyncio.timeout(_END_S):
        await process.wait()


def _environment() -> dict[str, str]:
    """The environment without secrets and settings: those that it needs are told to it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ARBITER_") and not name.endswith(_SECRET)}


def main() -> None:
    """The child."""
    from bot import logs  # noqa: PLC0415 - only the child logs by itself

    logs.configure(level="error")
    given, data, loaded = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    said = 0

    def progress(done: int, total: int) -> None:
        nonlocal said
        if done * _TOLD >= said * total:
            said += 1
            _say({"done": done, "total": total})

    try:
        trial = try_out(Specification.model_validate(given), data, loaded, progress)
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        _say({"error": line})
    else:
        _say({"result": trial.result})


def _say(told: Mapping[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(told, default=str) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
