"""Randomised schedules of faults on a virtual clock: hundreds of them in a process of their own, so that no other drill waits."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Broken, Ground

_PROGRAM = "import sys; from bot.drill.trials_random import main; sys.exit(main(int(sys.argv[1])))"
_TOLD = 700
_LEAST_SECONDS = 60.0
_SECONDS_EACH = 5.0
_COUNTS = 4


def drill(seeds: int) -> Drill:
    """The drill that draws this many schedules."""
    promise = "No schedule of faults, drawn by chance, loses or doubles an order or a trade"
    return Drill("random-faults", promise, partial(_drawn, seeds), seconds=_LEAST_SECONDS + seeds * _SECONDS_EACH)


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
        raise Broken(said[:_TOLD] or problems.decode(errors="replace").strip()[-_TOLD:])
    return said


def main(seeds: int) -> int:
    """Draw the schedules and tell how it went; 1 if one broke a promise, which is told in its smallest form."""
    from bot import logs  # noqa: PLC0415 - not for whoever only lists the drills
    from bot.drill.virtual.run import run  # noqa: PLC0415

    logs.configure(level="error")
    outcomes = run(seeds, stop_at=1)
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(dict(outcome.counts))
    broken = [outcome for outcome in outcomes if not outcome.kept]
    for outcome in broken:
        sys.stdout.write(f"{outcome}\n")
    if not broken:
        told = ", ".join(f"{count} {name}" for name, count in counts.most_common(_COUNTS))
        sys.stdout.write(f"{len(outcomes)} schedules, nothing found ({told})\n")
    return 1 if broken else 0
