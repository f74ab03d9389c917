"""Connections that take up room and say nothing, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from websockets.asyncio.client import connect

from bot.web.prompt import PromptProtocol
from bot.web.server import configured
from tests.web.security.web_world import SLOW_SECONDS, World

SECONDS = 20.0
HEAD_SECONDS = 0.3


class Hasty(PromptProtocol):
    head_seconds = HEAD_SECONDS


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(world: World) -> AsyncIterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        world.app,
        http=Hasty,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, SECONDS)
        listening.close()


async def _closed(reader: asyncio.StreamReader) -> None:
    """Wait until the server has hung up."""
    with contextlib.suppress(ConnectionError):
        while await asyncio.wait_for(reader.read(65_536), SECONDS):
            pass


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n"], ids=["nothing", "a line", "half"]
)
async def test_a_head_that_never_ends_is_hung_up_on(world: World, said: bytes) -> None:
    async with serving(world) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        await _closed(reader)
        writer.close()


async def test_a_second_head_that_never_ends_is_hung_up_on_too(world: World) -> None:
    async with serving(world) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert head.startswith(b"HTTP/1.1 200")
        writer.write(b"GET /login HTTP/1.1\r\n")
        await _closed(reader)
        writer.close()


async def test_a_websocket_outlives_the_time_for_a_head(world: World) -> None:
    assert SLOW_SECONDS >= 2 * HEAD_SECONDS
    token = (await world.bearer())["Authorization"]
    async with serving(world) as port:
        uri = f"ws://127.0.0.1:{port}/api/v1/ws/slow"
        first = asyncio.get_running_loop().time()
        async with connect(uri, additional_headers={"Authorization": token}) as socket_:
            await asyncio.wait_for(socket_.recv(), SECONDS)
            assert asyncio.get_running_loop().time() - first >= 2 * HEAD_SECONDS


async def test_a_request_that_takes_its_time_to_answer_is_answered(world: World) -> None:
    token = (await world.bearer())["Authorization"]
    async with serving(world) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /ui/slow HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {token}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert head.startswith(b"HTTP/1.1 200")
        writer.close()


async def test_the_control_room_itself_is_served_that_way(world: World) -> None:
    config = configured(world.app)
    assert config.http is PromptProtocol
    assert config.limit_concurrency is not None
