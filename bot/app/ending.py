"""How a run is told to end, and how it makes sure that it does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator

import structlog

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """While the run opens there is nothing to finish: SIGTERM is what SIGINT is, a cancellation that closes what is open."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGINT and SIGTERM ask the run to stop; a second one is left to Python."""
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)

    def ask() -> None:
        stop.set()
        for each in caught:
            loop.remove_signal_handler(each)

    for each in caught:
        loop.add_signal_handler(each, ask)
    try:
        yield
    finally:
        for each in caught:
            loop.remove_signal_handler(each)


async def within(name: str, closing: Awaitable[None], seconds: float) -> None:
    """Wait for something to close, but not for ever; the process is about to end, so what hangs is named and left."""
    try:
        async with asyncio.timeout(seconds):
            await closing
    except TimeoutError:
        log.error("close_timed_out", part=name, seconds=seconds)


async def aside(work: Callable[[], object]) -> None:
    """Do long work in a thread that the end of the process does not wait for; it must bear being cut short anywhere."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def labour() -> None:
        error: BaseException | None = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001 - handed to who awaits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop may have gone
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=labour, name="aside", daemon=True).start()
    await done
