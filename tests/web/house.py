"""A demonstration with its control room, as a person starts it; and who asks it over a real socket."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from bot.web.security.principal import Scope
from bot.web.security.store import AccessStore
from tests.app.bot_process import Bot, eventually

_LINK = re.compile(r"control room: (http://[0-9.:]+)(/enter\?key=\S+)")
_LIFE_MS = 3_600_000


@dataclass
class House:
    """A bot in the simulated world and its control room; `url` is the address, `link` the one-time way in."""

    bot: Bot
    url: str
    link: str
    _tokens: dict[Scope, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.bot.data

    def token(self, scope: Scope = Scope.ADMIN) -> str:
        """A bearer token of this scope."""
        if scope not in self._tokens:
            self._tokens[scope] = _apart(lambda: _token(self.data, scope))
        return self._tokens[scope]

    def fresh_link(self) -> str:
        """Another one-time way in, as `bot web-link` makes them."""
        return f"{self.url}/enter?key={_apart(lambda: _link(self.data))}"

    def client(self, scope: Scope = Scope.ADMIN) -> httpx2.Client:
        """A program with a token of this scope; close it."""
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token(scope)}"}, timeout=40.0)

    def ask(self, path: str, **query: Any) -> Any:
        """The JSON at an address of the API."""
        with self.client() as client:
            answer = client.get(f"/api/v1{path}", params=query)
            answer.raise_for_status()
            return answer.json()

    def decided(self, least: int = 1) -> None:
        """Wait until so many decisions are in the journal."""
        eventually(lambda: len(self.ask("/decisions", limit=500)["items"]) >= least, f"{least} decisions", 60.0)


@contextmanager
def house(place: Path, *arguments: str, **settings: str) -> Iterator[House]:
    """Start it, wait until the control room is open, and stop it at the end."""
    given = {"ARBITER_WEB__ENABLED": "true", "ARBITER_WEB__PORT": "0", **settings}
    bot = Bot(place, ("--demo", "--no-redis", "--seed", "7", *arguments), given).start()
    try:
        eventually(lambda: _LINK.search(bot.stdout) is not None, "the control room opened", 60.0)
        found = _LINK.search(bot.stdout)
        assert found is not None
        yield House(bot, found[1], found[1] + found[2])
    finally:
        bot.end()


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file there with what it holds. A running bot writes beside and moves into place: what is gone is looked for anew."""
    until = time.monotonic() + 20.0
    while True:
        try:
            return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        except FileNotFoundError:
            if time.monotonic() > until:
                raise


def _apart(work: Callable[[], Coroutine[Any, Any, str]]) -> str:
    """What it comes to in a thread of its own: the browser's driver has a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result(30)


async def _token(data_dir: Path, scope: Scope) -> str:
    store = await AccessStore.open(data_dir, _now)
    try:
        made = await store.new_token(f"test-{secrets.token_hex(4)}", scope, _now() + _LIFE_MS)
        return made.value
    finally:
        await store.close()


async def _link(data_dir: Path) -> str:
    store = await AccessStore.open(data_dir, _now)
    try:
        return await store.issue_link()
    finally:
        await store.close()


def _now() -> int:
    return time.time_ns() // 1_000_000
