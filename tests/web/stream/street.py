"""A bot's feed, a link to it, and a control room with nothing but its streams, all over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvicorn
from fastapi import FastAPI

from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Encoder, Identity, Publishable
from bot.outlets.local_feed import LocalFeed, LocalSettings
from bot.web import problems
from bot.web.security.principal import Scope
from bot.web.security.store import AccessStore
from bot.web.stream.ending import abort_unread
from bot.web.stream.link import BotLink
from bot.web.stream.ring import Ring
from bot.web.stream.routes import router
from bot.web.world import World

PATIENCE = 20.0


def now() -> int:
    return time.time_ns() // 1_000_000


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


@dataclass
class Bot:
    """What the control room sees of a bot: its feed. `say` publishes what happened."""

    feed: LocalFeed
    encoder: Encoder
    asked: list[Command]

    def say(self, *events: Publishable) -> None:
        for event in events:
            self.feed.publish(self.encoder.encode(event))


@asynccontextmanager
async def bot(data_dir: Path, run: str = "run-1", **settings: Any) -> AsyncIterator[Bot]:
    identity = Identity("main", run, "paper", simulated=True)
    asked: list[Command] = []

    async def handler(command: Command) -> CommandResult:
        asked.append(command)
        return CommandResult(ok=True, result={"run": run})

    feed = LocalFeed(data_dir, identity, handler, LocalSettings(**settings))
    await feed.start()
    try:
        yield Bot(feed, Encoder(identity), asked)
    finally:
        await feed.close()


@dataclass
class RoomOfStreams:
    link: BotLink
    ring: Ring
    access: AccessStore
    now: Callable[[], int] = now
    loaded: Any = None
    secrets: Any = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    journal: bool = True

    async def world(self) -> World:
        if not self.journal:
            raise problems.Problem(503, "The journal cannot be read", "it is gone")
        hello = self.link.hello
        return World("main", "" if hello is None else hello.run, "paper", "", True, hello is not None, None)


class QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class House:
    """The served control room; `http` carries a token that may read, `stranger` none."""

    room: RoomOfStreams
    url: str
    http: aiohttp.ClientSession
    stranger: aiohttp.ClientSession
    server: uvicorn.Server
    serving: asyncio.Task[None]
    token: str

    async def stop(self) -> float:
        """Stop as the control room's process does; how many seconds it took."""
        began = time.perf_counter()
        self.room.stopping.set()
        self.server.should_exit = True
        await asyncio.wait([self.serving], timeout=0.5)
        abort_unread(self.server.server_state.connections)
        await asyncio.wait_for(self.serving, PATIENCE)
        return time.perf_counter() - began


@asynccontextmanager
async def house(data_dir: Path, *, ring: Ring | None = None, send_buffer: int = 0) -> AsyncIterator[House]:
    async with AsyncExitStack() as closing:
        kept = ring or Ring(now=now)
        access = await AccessStore.open(data_dir, now)
        closing.push_async_callback(access.close)
        link = await closing.enter_async_context(BotLink(data_dir, now, kept))
        room = RoomOfStreams(link, kept, access)
        token = (await access.new_token("reader", Scope.READ, now() + 3_600_000)).value
        app = FastAPI()
        app.state.room = room
        app.include_router(router)
        problems.install(app)
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if send_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listening.bind(("127.0.0.1", 0))
        server = QuietServer(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=3, ws_max_size=65_536
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        headers = {"Authorization": f"Bearer {token}"}
        http = await closing.enter_async_context(aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)))
        stranger = await closing.enter_async_context(aiohttp.ClientSession())
        made = House(room, f"http://127.0.0.1:{listening.getsockname()[1]}", http, stranger, server, serving, token)
        await until(lambda: server.started)
        try:
            yield made
        finally:
            if not serving.done():
                await made.stop()


@dataclass
class Event:
    """One server-sent event."""

    name: str = "message"
    id: str = ""
    data: str = ""

    @property
    def json(self) -> Any:
        return orjson.loads(self.data)


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Events as a browser dispatches them, and those without data too, for their ids."""
    event, empty = Event(), True
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        match name:
            case "":
                if not empty:
                    yield event
                event, empty = Event(), True
            case "id":
                event.id, empty = value, False
            case "event":
                event.name, empty = value, False
            case "data":
                event.data, empty = value, False
            case _:
                continue


@asynccontextmanager
async def listening(
    house: House, path: str = "/api/v1/stream", after: str | None = None, **params: str
) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of an open stream, behind the one that tells where it begins."""
    headers = {} if after is None else {"Last-Event-ID": after}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE)
    async with house.http.get(house.url + path, headers=headers, params=params, timeout=timeout) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream"), await response.text()
        events = read_events(response)
        await anext(events)
        yield events


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(PATIENCE):
        return [await anext(events) for _ in range(count)]
