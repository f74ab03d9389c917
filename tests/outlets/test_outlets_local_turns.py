"""Whose turn it is on one connection: what makes the bot safer waits for nobody, and what waits is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Identity
from bot.outlets.local_client import LocalClient
from bot.outlets.local_feed import LocalFeed, LocalSettings
from tests.outlets.feed_facts import PATIENCE


class Busy:
    """A handler whose `slow` commands take until they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, command: Command) -> CommandResult:
        self.begun.append(command.name)
        if command.name == "slow":
            await self.go.wait()
        return CommandResult(ok=True)

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.begun) < count:
                await asyncio.sleep(0)


@asynccontextmanager
async def connected(place: Path, identity: Identity, busy: Busy, **settings: Any) -> AsyncIterator[LocalClient]:
    feed = LocalFeed(place, identity, busy, LocalSettings(**settings))
    await feed.start()
    try:
        async with await LocalClient.connect(place) as client:
            yield client
    finally:
        busy.go.set()
        await feed.close()


async def test_a_kill_is_carried_out_behind_any_number_of_slow_commands(tmp_path: Path, identity: Identity) -> None:
    busy = Busy()
    async with connected(tmp_path, identity, busy, commands_in_flight=2) as client, asyncio.TaskGroup() as group:
        slow = [group.create_task(client.command("slow")) for _ in range(20)]
        await busy.until_begun(2)
        assert (await client.command("kill", timeout=PATIENCE)).ok
        assert busy.begun == ["slow", "slow", "kill"]
        busy.go.set()
    assert all(task.result().ok for task in slow)


async def test_more_commands_than_may_wait_are_refused_and_not_done(tmp_path: Path, identity: Identity) -> None:
    busy = Busy()
    async with (
        connected(tmp_path, identity, busy, commands_in_flight=1, commands_waiting=2) as client,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(client.command("slow")) for _ in range(5)]
        done, _ = await asyncio.wait(tasks, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        assert all(task.result().refused for task in done)
        busy.go.set()
    assert sorted(task.result().ok for task in tasks) == [False, False, True, True, True]
    assert len(busy.begun) == 3
