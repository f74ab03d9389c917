"""Where real orders are sent, whatever lets more of them through asks twice, and says that it is about real money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from bot.web import problems
from bot.web.api import control, quantconnect, trading
from bot.web.security.principal import Scope
from bot.web.security.store import AccessStore
from bot.web.world import World

NOW = 1_800_000_000_000
ASKED = {
    "/sources/llm:claude/resume": ("POST", None),
    "/sources/llm:claude/threshold": ("PUT", {"threshold": 0.1}),
    "/quantconnect/signals/abc/process": ("POST", {}),
}


class Room:
    """As much of a control room as these routes stand on; what is done is only written down."""

    running = "run-1"

    def __init__(self, access: AccessStore, mode: str, simulated: bool) -> None:
        self.access = access
        self.done: list[str] = []
        self._world = World("main", "run-1", mode, "binance", simulated, True, NOW)

    async def world(self) -> World:
        return self._world

    async def ask(self, name: str, args: object, principal: object, *, nonce: object = None) -> dict[str, Any]:
        self.done.append(name)
        return {}

    command = ask


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[AccessStore]:
    store = await AccessStore.open(tmp_path, lambda: NOW)
    yield store
    await store.close()


async def client_of(room: Room) -> httpx2.AsyncClient:
    app = FastAPI()
    app.state.room = room
    problems.install(app)
    for router in (*control.ROUTERS, *trading.ROUTERS, *quantconnect.ROUTERS):
        app.include_router(router)
    token = await room.access.new_token("script", Scope.TRADE, NOW + 1_000)
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {token.value}"}
    )


@pytest.mark.parametrize("path", ASKED)
async def test_real_money_is_asked_for_twice(access: AccessStore, path: str) -> None:
    room, (method, body) = Room(access, "live", simulated=False), ASKED[path]
    async with await client_of(room) as client:
        asked = await client.request(method, path, json=body)
        assert asked.status_code == 428
        assert "real money" in asked.json()["text"]
        assert room.done == []
        sure = {"Confirmation": asked.json()["confirmation"]}
        assert (await client.request(method, path, json=body, headers=sure)).status_code == 200
    assert len(room.done) == 1


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize(("mode", "simulated"), [("paper", False), ("live", True), ("paper", True)])
async def test_paper_and_simulation_are_not_asked_twice(access: AccessStore, path: str, mode: str, simulated: bool) -> None:
    room, (method, body) = Room(access, mode, simulated), ASKED[path]
    async with await client_of(room) as client:
        assert (await client.request(method, path, json=body)).status_code == 200
    assert len(room.done) == 1


async def test_the_kill_switch_says_whose_money_it_sells(access: AccessStore) -> None:
    texts = []
    for mode in ("live", "paper"):
        async with await client_of(Room(access, mode, simulated=False)) as client:
            texts.append((await client.post("/risk/kill", json={"flatten": True})).json()["text"])
        await access.revoke("script")
    assert "LIVE: real orders, real money" in texts[0]
    assert "LIVE" not in texts[1]
