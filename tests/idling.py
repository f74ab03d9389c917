"""How long something waits, on a machine that has other things to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def idle_seconds(work: Callable[[], Awaitable[object]]) -> float:
    """How long the work took, less the time in which this loop was held up: by the work's own computing, or by other processes.

    What is left was spent waiting. It is measured by a timer of ten milliseconds, whose delays are summed.
    """
    loop, held_up = asyncio.get_running_loop(), 0.0

    async def watch() -> None:
        nonlocal held_up
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            held_up += max(0.0, loop.time() - due)

    watching = asyncio.create_task(watch())
    try:
        began = loop.time()
        await work()
        took = loop.time() - began
        await asyncio.sleep(0.02)  # the timer tells of a delay only after it
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    return took - held_up
