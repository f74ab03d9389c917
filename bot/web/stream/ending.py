"""How a stream ends: when its reader goes, when the control room stops, or when its reader is not known any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Receive

from bot.web.security.gate import known

_GRACE_SECONDS = 0.25
_RECHECK_SECONDS = 10.0


async def until_any(work: Coroutine[Any, Any, None], *ends: Coroutine[Any, Any, object], close: Callable[[], None]) -> None:
    """Do the work until it is done or one of the ends has come.

    The work is then asked to `close`, given a moment to end by itself, and cancelled if it does not: it may be stuck in writing
    to a client that never reads. Its own failure is raised.
    """
    doing = asyncio.create_task(work, name="stream")
    ending = [asyncio.create_task(end, name="stream-end") for end in ends]
    try:
        await asyncio.wait([doing, *ending], return_when=asyncio.FIRST_COMPLETED)
        close()
        await asyncio.wait([doing], timeout=_GRACE_SECONDS)
    finally:
        close()
        for task in (doing, *ending):
            task.cancel()
        await asyncio.gather(doing, *ending, return_exceptions=True)
    if not doing.cancelled() and (fault := doing.exception()) is not None:
        raise fault


async def until_disconnected(receive: Receive) -> None:
    """Until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_unknown(connection: HTTPConnection, seconds: float = _RECHECK_SECONDS) -> None:
    """Until whoever opened the connection is no longer known: logged out, revoked or expired. Looked up every `seconds`."""
    while True:
        await asyncio.sleep(seconds)
        del connection.state.principal  # the gate remembers it for as long as the request lasts
        if await known(connection) is None:
            return


def abort_unread(connections: Iterable[object]) -> int:
    """Abort what is still open to clients that do not read: closing waits for them for ever. How many there were.

    `connections` are those of uvicorn's `server_state`; to be called when a stopping server has given its streams a moment.
    """
    transports = [getattr(connection, "transport", None) for connection in connections]
    unread = [found for found in transports if isinstance(found, asyncio.Transport) and found.get_write_buffer_size()]
    for transport in unread:
        transport.abort()
    return len(unread)
