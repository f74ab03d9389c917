"""What takes long takes its own threads: whoever comes to stop trading is recognised all the same."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.settings import load
from bot.web.security.principal import Scope
from bot.web.server import open_room
from tests.app.bot_process import ROOT

MANY = 60
LONGEST = 60.0


async def test_whoever_comes_is_recognised_while_the_journal_and_everything_else_hangs(tmp_path: Path) -> None:
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    upgrade(loaded.settings.database_url)
    go_on = threading.Event()
    async with open_room(loaded, Secrets(tmp_path)) as room:
        key = (await room.access.new_token("program", Scope.TRADE, room.now() + 600_000)).value
        reads = [asyncio.create_task(room.read(lambda _: go_on.wait(LONGEST))) for _ in range(MANY)]
        others = [asyncio.create_task(asyncio.to_thread(go_on.wait, LONGEST)) for _ in range(MANY)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(10):
                found = await room.access.token(key)
        finally:
            go_on.set()
            done = await asyncio.gather(*reads, *others)
    assert found is not None
    assert found.name == "program"
    assert all(done)


async def test_a_hanging_journal_leaves_the_other_threads_free(tmp_path: Path) -> None:
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    upgrade(loaded.settings.database_url)
    go_on = threading.Event()
    async with open_room(loaded, Secrets(tmp_path)) as room:
        reads = [asyncio.create_task(room.read(lambda _: go_on.wait(LONGEST))) for _ in range(MANY)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(10):
                assert await asyncio.to_thread(lambda: "free") == "free"
        finally:
            go_on.set()
            await asyncio.gather(*reads)
