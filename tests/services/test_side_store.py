"""A room's side tables are opened once for a ground, and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.side_store import store_of
from bot.services.use_case import Ground, UseCaseError
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
