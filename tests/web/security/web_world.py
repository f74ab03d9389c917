"""A small application behind the real doors: what is tried here is the gate, not what lies behind it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import BaseModel
from starlette.middleware import Middleware

from bot.secrets import Secrets
from bot.settings import Loaded, load
from bot.web import problems
from bot.web.problems import Problem
from bot.web.security.confirming import require_confirmation
from bot.web.security.forms import form_of
from bot.web.security.gate import Admin, Reader, Trader, csrf_token, principal_of_websocket
from bot.web.security.idempotency import IdempotentRoute, makes_safer, nonce_of, require_same_run
from bot.web.security.middleware import BodyLimit, HostCheck, SameRun, SecurityHeaders, Throttle
from bot.web.security.pages import router as doors
from bot.web.security.principal import Principal, Scope
from bot.web.security.store import AccessStore

HOST = "127.0.0.1:8080"
ORIGIN = f"http://{HOST}"
COOKIE = "arbiter_session_8080"
START = 1_800_000_000_000
SLOW_SECONDS = 1.0
PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """Time that passes when told."""

    at: int = START

    def __call__(self) -> int:
        return self.at


@dataclass
class World:
    """The application, its room, and how often it really did something."""

    loaded: Loaded
    secrets: Secrets
    access: AccessStore
    now: Clock
    done: list[str] = field(default_factory=list)
    noted: list[tuple[str, str, str, object]] = field(default_factory=list)
    answers: list[Problem] = field(default_factory=list)
    running: str = "20260101-000000-0001"
    app: FastAPI = field(default_factory=FastAPI)

    async def note(
        self, principal: Principal, command: str, target: str, before: Mapping[str, object] | None, after: object
    ) -> None:
        del before
        self.noted.append((principal.actor, command, target, after))

    def client(self, address: str = "127.0.0.1", **options: Any) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.app, client=(address, 4711), raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url=ORIGIN, **options)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[tuple[httpx2.AsyncClient, dict[str, str]]]:
        """A browser that is logged in, and the headers that its script sends with a change."""
        made = await self.access.new_session()
        async with self.client(cookies={COOKIE: made.key}) as client:
            csrf = (await client.get("/csrf")).text
            yield client, {"Origin": ORIGIN, "X-CSRF-Token": csrf}

    async def bearer(self, scope: Scope = Scope.ADMIN, name: str = "script") -> dict[str, str]:
        """The header of a new token."""
        made = await self.access.new_token(name, scope, self.now() + 86_400_000)
        return {"Authorization": f"Bearer {made.value}"}


class Order(BaseModel):
    """What is sent to the command that is tried."""

    size: int


def application(world: World) -> FastAPI:
    """Routes of every kind."""
    app = FastAPI(
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(HostCheck, room=world),
            Middleware(BodyLimit),
            Middleware(Throttle, room=world),
            Middleware(SameRun, room=world),
        ]
    )
    app.state.room = world
    problems.install(app)
    app.include_router(doors)
    app.include_router(_pages())
    app.include_router(_commands(world), prefix="/api/v1")
    app.include_router(_outcomes(world), prefix="/api/v1")
    return app


def _pages() -> APIRouter:
    router = APIRouter()

    @router.get("/")
    async def overview(principal: Reader) -> HTMLResponse:
        return HTMLResponse(f"hello {principal.name}")

    @router.get("/csrf")
    async def csrf(request: Request, principal: Reader) -> Response:
        del principal
        return Response(csrf_token(request))

    @router.get("/ui/tiles")
    async def tiles(principal: Reader) -> HTMLResponse:
        return HTMLResponse(principal.name)

    @router.get("/ui/slow")
    async def slow(principal: Reader) -> HTMLResponse:
        await asyncio.sleep(SLOW_SECONDS)
        return HTMLResponse(principal.name)

    @router.websocket("/api/v1/ws/slow")
    async def slow_socket(websocket: WebSocket) -> None:
        principal = await principal_of_websocket(websocket)
        await websocket.accept()
        await asyncio.sleep(SLOW_SECONDS)
        await websocket.send_text(principal.actor)
        await websocket.close()

    @router.get("/static/app.css")
    async def style() -> Response:
        return Response("", headers={"Cache-Control": "public, max-age=60"}, media_type="text/css")

    @router.websocket("/api/v1/ws")
    async def socket(websocket: WebSocket) -> None:
        principal = await principal_of_websocket(websocket)
        await websocket.accept()
        await websocket.send_text(principal.actor)
        await websocket.close()

    return router


def _commands(world: World) -> APIRouter:
    router = APIRouter(route_class=IdempotentRoute)

    @router.get("/me")
    async def me(principal: Reader) -> dict[str, str]:
        return {"actor": principal.actor, "scope": principal.scope.label}

    @router.post("/orders")
    async def order(request: Request, given: Order, principal: Trader) -> dict[str, object]:
        world.done.append(principal.actor)
        return {"size": given.size, "number": len(world.done), "nonce": nonce_of(request)}

    @router.put("/limits")
    async def limits(request: Request, principal: Admin) -> dict[str, int]:
        size = len(await request.body())
        world.done.append(principal.actor)
        return {"bytes": size}

    @router.post("/kill")
    async def kill(request: Request, principal: Trader, how: str = "stop") -> dict[str, int]:
        await require_confirmation(request, principal, "kill", {"how": how}, f"Everything will {how}.")
        world.done.append(how)
        return {"number": len(world.done)}

    @router.post("/form")
    async def fields(request: Request, principal: Trader) -> dict[str, str]:
        del principal
        return dict(await form_of(request))

    @router.post("/breaks")
    async def breaks(principal: Trader, status: int) -> None:
        world.done.append(principal.actor)
        if status == 500:
            raise RuntimeError
        raise Problem(status, "no")

    @router.post("/streams")
    async def streams(principal: Trader) -> StreamingResponse:
        world.done.append(principal.actor)

        async def parts() -> AsyncIterator[bytes]:
            yield b"a part"

        return StreamingResponse(parts())

    return router


def _outcomes(world: World) -> APIRouter:
    router = APIRouter(route_class=IdempotentRoute)

    @router.post("/halt")
    @makes_safer
    async def halt(request: Request, principal: Trader) -> dict[str, str]:
        world.done.append(principal.actor)
        return {"nonce": str(nonce_of(request))}

    @router.post("/doubts")
    async def doubts(request: Request, principal: Trader) -> dict[str, object]:
        world.done.append(str(nonce_of(request)))
        if world.answers:
            raise world.answers.pop(0)
        require_same_run(world.running)
        return {"number": len(world.done)}

    return router


def raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Headers as they travel, so that they may hold what a client would refuse to send."""
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


@cache
def _settings(host: str) -> Loaded:
    return load(None, overrides={"web.host": host})


def make_world(
    tmp_path: Path, access: AccessStore, clock: Clock, *, host: str = "127.0.0.1", environ: dict[str, str] | None = None
) -> World:
    made = World(_settings(host), Secrets(tmp_path / "data", environ or {}), access, clock)
    made.app = application(made)
    return made


@contextmanager
def full(path: Path, *tables: str, changes: Sequence[str] = ("INSERT", "UPDATE", "DELETE")) -> Iterator[None]:
    """A disk that has no room for such changes to these tables of the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for table in tables:
            for change in changes:
                fault = "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
                file.execute(f"CREATE TRIGGER full_{table}_{change} BEFORE {change} ON {table} {fault}")
        try:
            yield
        finally:
            for table in tables:
                for change in changes:
                    file.execute(f"DROP TRIGGER full_{table}_{change}")
