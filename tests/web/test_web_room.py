"""What the routes of the control room stand on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.settings import load
from bot.web.place import WebError
from bot.web.server import open_room
from tests.app.bot_process import ROOT


async def test_those_who_read_at_once_stand_on_one_ground(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(data)})
    upgrade(loaded.settings.database_url)
    async with asyncio.timeout(10), open_room(loaded, Secrets(data)) as room:
        first, *others = await asyncio.gather(*(room.ground() for _ in range(5)))
        assert all(each is first for each in others)


async def test_a_room_without_a_journal_says_what_to_do(tmp_path: Path) -> None:
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    with pytest.raises(WebError, match="start the bot first"):
        async with open_room(loaded, Secrets(tmp_path)):
            raise AssertionError("it opened")
