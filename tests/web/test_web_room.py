"""What the routes of the control room stand on."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import create_engine, insert

from benchmarks.pages import PAGES
from bot.journal import tables as t
from bot.journal.queries import Queries
from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.settings import load
from bot.web.app import create_app
from bot.web.place import WebError
from bot.web.problems import Problem
from bot.web.room import _Fresh, _Remembered
from bot.web.security.principal import Scope
from bot.web.server import open_room
from tests.app.bot_process import ROOT
from tests.web.stream.street import PATIENCE, bot


async def test_those_who_read_at_once_stand_on_one_ground(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(data)})
    upgrade(loaded.settings.database_url)
    async with asyncio.timeout(10), open_room(loaded, Secrets(data)) as room:
        first, *others = await asyncio.gather(*(room.ground() for _ in range(5)))
        assert all(each is first for each in others)


async def test_every_page_is_whole_before_anything_was_traded_or_learnt(tmp_path: Path) -> None:
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    upgrade(loaded.settings.database_url)
    async with asyncio.timeout(60), open_room(loaded, Secrets(tmp_path)) as room:
        key = (await room.access.new_token("test", Scope.ADMIN, room.now() + 60_000)).value
        door = httpx2.ASGITransport(create_app(room))
        async with httpx2.AsyncClient(
            transport=door, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}
        ) as client:
            for path in (*PAGES, "/ui/charts/quantconnect/memory"):
                answer = await client.get(path)
                assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
            memory = (await client.get("/quantconnect?tab=memory")).text
    assert "There is no memory to look at" in memory
    assert "nothing was remembered yet" in memory


@pytest.mark.parametrize("what", ["kill", "reduce", "resume"])
async def test_the_kill_switch_needs_no_journal(what: str, tmp_path: Path) -> None:
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    upgrade(loaded.settings.database_url)
    async with asyncio.timeout(30), bot(tmp_path) as running, open_room(loaded, Secrets(tmp_path)) as room:
        await room.link.until(up=True, timeout=PATIENCE)
        room.queries = Gone(loaded.settings.database_url)
        key = (await room.access.new_token("test", Scope.TRADE, room.now() + 60_000)).value
        door, bearer = httpx2.ASGITransport(create_app(room)), {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(transport=door, base_url="http://127.0.0.1", headers=bearer) as client:
            first = await client.post(f"/api/v1/risk/{what}", json={"reason": "now"})
            assert first.status_code == 428, first.text
            sent = {"Confirmation": first.json()["confirmation"]}
            assert (await client.post(f"/api/v1/risk/{what}", json={"reason": "now"}, headers=sent)).status_code == 200
        assert [each.name for each in running.asked] == [what]


async def test_while_its_bot_is_down_a_room_shows_its_own_books_and_not_those_of_a_neighbour(tmp_path: Path) -> None:
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    upgrade(loaded.settings.database_url)
    async with asyncio.timeout(30), open_room(loaded, Secrets(tmp_path)) as room:
        ran(loaded.settings.database_url, "neighbour", "r2", 2_000)
        found = await room.run()
        assert found is not None
        assert found.id == "r2", "of a bot that has none yet, anything is better than nothing"
        ran(loaded.settings.database_url, loaded.settings.bot.name, "r1", 1_000)
        room._run = None
        assert (await room.world()).run == "r1"
        assert (await room.book()).bot == loaded.settings.bot.name
        named = [await room.run_named(name) for name in ("latest", "r2", "r3")]
        assert [each and each.id for each in named] == ["r1", "r2", None]


async def test_a_room_without_a_journal_says_what_to_do(tmp_path: Path) -> None:
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    with pytest.raises(WebError, match="start the bot first"):
        async with open_room(loaded, Secrets(tmp_path)):
            raise AssertionError("it opened")


class Gone(Queries):
    """A journal that nobody may ask any more."""

    def together(self, work: Callable[[Queries], Any]) -> Any:
        raise AssertionError("the journal was asked")


def ran(url: str, name: str, run: str, started: int) -> None:
    """Have a bot of this name in the journal, with one run."""
    engine = create_engine(url)
    with engine.begin() as connection:
        book = {"bot": name, "mode": "paper", "venue": "binance", "world": "real"}
        number = connection.execute(insert(t.books).values(**book)).inserted_primary_key
        assert number is not None
        rest = {"simulated": False, "config_hash": "", "config": "{}", "code_version": "", "closed_cleanly": True}
        connection.execute(insert(t.runs).values(id=run, book=number[0], started=started, **rest))
    engine.dispose()


class Watched:
    """A question whose answers are numbered, with a clock that stands until it is moved; `broken` while it cannot be answered."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.broken = False
        self.remembered = _Remembered(lambda: self.now)

    async def ask(self) -> int:
        self.asked += 1
        if self.broken:
            raise Problem(503, "The journal cannot be read", "no such file")
        return self.asked

    async def get(self) -> int:
        found: int = await self.remembered.get(self.ask, 2.0)
        return found

    async def looked(self) -> None:
        """Let what was begun come to its end."""
        while self.remembered._task is not None:
            await asyncio.wait([self.remembered._task], timeout=5)


async def test_a_figure_serves_a_little_past_its_time_and_never_longer() -> None:
    figure = Watched()
    assert await figure.get() == 1
    figure.now += 1
    assert (await figure.get(), figure.asked) == (1, 1)
    figure.now += 10
    assert await figure.get() == 1, "the old one serves while the next is looked for"
    await figure.looked()
    assert await figure.get() == 2
    figure.now += 3_600
    assert await figure.get() == 3, "an hour later nobody is told the figure of then"


async def test_a_figure_that_cannot_be_read_any_more_is_a_problem_and_not_the_figure_of_yesterday() -> None:
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    figure = Watched()
    assert await figure.get() == 1
    figure.broken = True
    figure.now += 10
    assert await figure.get() == 1
    await figure.looked()
    figure.now += 86_400
    with pytest.raises(Problem, match="no such file"):
        await figure.get()
    figure.broken = False
    assert await figure.get() == 4, "one question more, and it is known again"
    gc.collect()
    assert unheard == []


async def test_who_changed_something_finds_it_in_the_next_status() -> None:
    told: list[dict[str, object]] = [{"state": "active"}, {"state": "active"}, {"state": "halted"}]
    kept, answers = _Fresh(), iter(told)
    begun, go = asyncio.Event(), asyncio.Event()

    async def ask() -> dict[str, object]:
        return next(answers)

    async def slow() -> dict[str, object]:
        found = next(answers)
        begun.set()
        await go.wait()
        return found

    assert await kept.get(ask) == {"state": "active"}
    assert await kept.get(ask) == {"state": "active"}, "within half a second nobody asks again"
    kept.changed()
    async with asyncio.timeout(20):
        asking = asyncio.create_task(kept.get(slow))
        await begun.wait()
        kept.changed()  # after the bot looked, and before its answer is here
        go.set()
        assert await asking == {"state": "active"}
        assert await kept.get(ask) == {"state": "halted"}
