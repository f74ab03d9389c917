"""Bytes to the client, as they should go or as a fault has them go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web

from simulators.llm.faults import Fault, Mode

_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out: a whole body in one chunk, or the events of a stream."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterable[bytes]
    kind: str = "application/json"
    streams: bool = False


class Line:
    """One client's connection. Waits end when the simulator closes, too."""

    def __init__(self, request: web.Request, closing: asyncio.Event, pause: float) -> None:
        self._request, self._closing, self._pause = request, closing, pause

    async def wait(self, seconds: float) -> None:
        """Let this time pass, or less when the simulator closes."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def cut(self) -> web.StreamResponse:
        """End the connection without a word; the response goes nowhere."""
        if self._request.transport is not None:
            self._request.transport.abort()
        return web.Response(status=500)

    async def send(self, answer: Answer, fault: Fault | None) -> tuple[web.StreamResponse, str]:
        """The response and how it ended, in a word."""
        match fault.mode if fault else Mode.OK:
            case Mode.DROP_HEADERS:
                return await self._cut_short(answer, lambda _: 1), "dropped"
            case Mode.DROP_BODY:
                return await self._cut_short(answer, lambda size: size // 2), "dropped"
            case Mode.DRIP:
                assert fault is not None
                return await self._dripped(answer, fault.pace), "dripped"
        if not answer.streams:
            whole = b"".join(answer.chunks)
            return web.Response(body=whole, status=answer.status, headers=answer.headers, content_type=answer.kind), "answered"
        response = await self._opened(answer)
        for chunk in answer.chunks:
            await response.write(chunk)
            if self._pause:
                await self.wait(self._pause)
        await response.write_eof()
        return response, "answered"

    async def _opened(self, answer: Answer, length: int | None = None) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_type = answer.kind
        if length is not None:
            response.content_length = length
        await response.prepare(self._request)
        return response

    async def _cut_short(self, answer: Answer, part: Callable[[int], int]) -> web.StreamResponse:
        """Send a part of the body, of whose size it is a function, and end the connection."""
        body = b"".join(answer.chunks)
        response = await self._opened(answer, None if answer.streams else len(body) + 1)
        await response.write(body[: part(len(body))])
        self.cut()
        return response

    async def _dripped(self, answer: Answer, pace: float) -> web.StreamResponse:
        body = b"".join(answer.chunks)
        response = await self._opened(answer, None if answer.streams else len(body))
        for at in range(len(body)):
            await response.write(body[at : at + 1])
            await self.wait(pace)
            if self._closing.is_set():
                self.cut()
                return response
        await response.write_eof()
        return response


def page(status: int) -> Answer:
    """A gateway's page."""
    return Answer(status, {}, [_PAGE], "text/html")
