"""Waiting for something outside this task to be so: looked at again and again, never for ever."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

_PAUSE_SECONDS = 0.03


class NeverHappened(Exception):  # noqa: N818 - it names what happened
    """A drill waited for something in vain; the message says for what, and how long."""


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = 20.0) -> None:
    """Return as soon as the condition holds; `NeverHappened` after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                held = condition()
                if await held if inspect.isawaitable(held) else held:
                    return
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        message = f"{what} did not happen within {seconds:g} s"
        raise NeverHappened(message) from None
