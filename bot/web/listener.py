"""The bot's own listener for health and metrics, asked by the control room."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Response

from bot.web.problems import Problem
from bot.web.room import ControlRoom

_SECONDS = 5.0
_BYTES = 4 * 1024 * 1024


async def asked(room: ControlRoom, path: str) -> tuple[int, bytes, str]:
    """Status, body and content type of what the bot's listener answers; `Problem` 503 where there is none."""
    import aiohttp  # noqa: PLC0415 - nobody waits for it at the start

    settings = room.loaded.settings.metrics
    port = await _port_of(room)
    if not settings.enabled or not port:
        raise Problem(503, "Not served", "the bot does not run, or metrics.enabled is false")
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - recognised, not bound
    try:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"http://{host}:{port}{path}") as answer:
            body = bytearray()
            async for piece in answer.content.iter_chunked(65_536):
                body += piece
                if len(body) > _BYTES:
                    raise Problem(503, "Too long", f"the bot's {path} is longer than {_BYTES} bytes")
            return answer.status, bytes(body), answer.headers.get("content-type", "text/plain")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "No bot answers", "its listener for health and metrics is not there"
        ) from error


async def proxied(room: ControlRoom, path: str) -> Response:
    """The same as an answer of our own."""
    status, body, kind = await asked(room, path)
    return Response(body, status, media_type=kind)


async def _port_of(room: ControlRoom) -> int:
    """Where the bot's listener is: as configured, or as the bot says where it took any free port."""
    configured = room.loaded.settings.metrics.port
    if configured:
        return configured
    told = (await room.status()).get("metrics_port", 0)
    return told if isinstance(told, int) else 0
