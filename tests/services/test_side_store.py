"""A room's side tables are opened once for a ground, and closed with it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.journal.address import sqlite_path
from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.side_store import store_of, store_to_read
from bot.services.use_case import Ground, Missing, UseCaseError, use_case
from bot.settings import load
from bot.store.errors import StoreUnavailable
from tests.services.asking_ground import Clock, configured


class Shelf:
    """A store that knows how often it was opened, and whether it is closed."""

    opened = 0

    def __init__(self) -> None:
        self.closed = False

    @classmethod
    async def open(cls, url: str) -> Shelf:
        assert url.startswith("sqlite:///")
        cls.opened += 1
        await asyncio.sleep(0)
        return cls()

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    loaded = load(configured(tmp_path), environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    async with asyncio.timeout(30), own_ground(loaded, Secrets(tmp_path), Clock()) as made:
        yield made


async def test_all_who_ask_at_once_are_given_one_store(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf, "opened", 0)
    first, *others = await asyncio.gather(*(store_of(ground, "shelf", Shelf.open) for _ in range(5)))
    assert Shelf.opened == 1
    assert all(each is first for each in others)
    await ground.closing.aclose()
    assert first.closed


async def test_a_store_that_cannot_be_opened_is_an_answer_and_may_be_asked_for_again(ground: Ground) -> None:
    async def refuses(url: str) -> Shelf:
        message = f"no place for {url.partition(':')[0]}"
        raise StoreUnavailable(message)

    with pytest.raises(UseCaseError, match="no place for sqlite"):
        await store_of(ground, "shelf", refuses)
    assert isinstance(await store_of(ground, "shelf", Shelf.open), Shelf)


async def test_whoever_only_looks_makes_no_table(ground: Ground) -> None:
    url = ground.loaded.settings.database_url
    assert await store_to_read(ground, "shelf", Shelf.open, "shelf") is None, "there is no database yet"
    assert not sqlite_path(url).exists()
    upgrade(url)
    assert await store_to_read(ground, "shelf", Shelf.open, "shelf") is None
    with closing(sqlite3.connect(sqlite_path(url))) as connection:
        connection.execute("CREATE TABLE shelf (id TEXT)")
    found = await store_to_read(ground, "shelf", Shelf.open, "shelf")
    assert found is not None
    assert await store_to_read(ground, "shelf", Shelf.open, "shelf") is found


async def test_nothing_was_said_and_nothing_changed_where_nobody_ever_did(ground: Ground) -> None:
    url = ground.loaded.settings.database_url
    upgrade(url)
    for name, asked, found in (
        ("audit.list", {}, {"lines": [], "next": None}),
        ("chat.sessions", {}, {"sessions": []}),
        ("chat.search", {"words": "risk"}, {"messages": []}),
    ):
        case = use_case(name)
        assert await case.run(ground, case.read(asked), lambda _: None) == found
    history = use_case("chat.history")
    with pytest.raises(Missing, match="no chat session"):
        await history.run(ground, history.read({"session": "none"}), lambda _: None)
    with closing(sqlite3.connect(sqlite_path(url))) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert not {name for name in tables if name.startswith(("audit", "chat"))}
