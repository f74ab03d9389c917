"""An answer that is lost on the way from the bot: the control room never has the same change made twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from bot.journal.upgrade import upgrade
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Identity
from bot.outlets.local_feed import LocalFeed, LocalSettings
from bot.secrets import Secrets
from bot.settings import load
from bot.web.app import create_app
from bot.web.problems import Problem
from bot.web.room import ControlRoom
from bot.web.security.idempotency import _only_run
from bot.web.security.principal import Principal, Scope
from bot.web.server import open_room
from tests.app.bot_process import ROOT

PATIENCE = 20.0
PAUSE = "/api/v1/sources/trend/pause"


@dataclass
class Bot:
    """A bot that does what it is told, and answers only while `answers` is set."""

    done: list[str] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    result: CommandResult = field(default_factory=lambda: CommandResult(ok=True, result={"paused": True}))

    async def __call__(self, command: Command) -> CommandResult:
        self.done.append(command.nonce)
        await self.answers.wait()
        return self.result


@asynccontextmanager
async def running(data: Path, bot: Bot, run: str) -> AsyncIterator[LocalFeed]:
    feed = LocalFeed(data, Identity("main", run, "paper", simulated=True), bot, LocalSettings())
    await feed.start()
    try:
        yield feed
    finally:
        await feed.close()


@asynccontextmanager
async def program(data: Path) -> AsyncIterator[tuple[ControlRoom, httpx2.AsyncClient]]:
    """The whole control room, and a program that has a token and sends the same key with everything."""
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(data)})
    upgrade(loaded.settings.database_url)
    async with asyncio.timeout(60), open_room(loaded, Secrets(data)) as room:
        key = (await room.access.new_token("program", Scope.TRADE, room.now() + 600_000)).value
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "the change"}
        door = httpx2.ASGITransport(create_app(room))
        async with httpx2.AsyncClient(transport=door, base_url="http://127.0.0.1", headers=headers, timeout=PATIENCE) as client:
            yield room, client


async def until_asked(bot: Bot) -> None:
    async with asyncio.timeout(PATIENCE):
        while not bot.done:
            await asyncio.sleep(0.001)


async def test_a_bot_that_dies_before_its_answer_never_has_it_done_twice(tmp_path: Path) -> None:
    first, second = Bot(), Bot()
    second.answers.set()
    async with program(tmp_path) as (room, client):
        async with running(tmp_path, first, "run-1"):
            await room.link.until(up=True, timeout=PATIENCE)
            asked = asyncio.create_task(client.post(PAUSE))
            await until_asked(first)
        lost = await asked
        await room.link.until(up=False, timeout=PATIENCE)
        async with running(tmp_path, second, "run-2"):
            await room.link.until(up=True, timeout=PATIENCE)
            again = await client.post(PAUSE)
    assert (lost.status_code, lost.json()["unknown"]) == (503, True)
    assert (again.status_code, again.json()["title"]) == (409, "Nobody knows")
    assert len(first.done) == 1
    assert second.done == []


async def test_a_bot_that_fails_in_the_middle_is_not_told_to_do_it_again(tmp_path: Path) -> None:
    bot = Bot(result=CommandResult(ok=False, error="the venue does not answer"))
    bot.answers.set()
    async with program(tmp_path) as (room, client), running(tmp_path, bot, "run-1"):
        await room.link.until(up=True, timeout=PATIENCE)
        answers = [await client.post(PAUSE) for _ in range(2)]
    assert [(each.status_code, each.json()["title"], each.json()["unknown"]) for each in answers] == [
        (409, "Not finished", True)
    ] * 2
    assert len(bot.done) == 1


async def test_what_the_bot_refused_may_be_tried_again_under_its_key(tmp_path: Path) -> None:
    bot = Bot(result=CommandResult(ok=False, error="no such source", refused=True))
    bot.answers.set()
    async with program(tmp_path) as (room, client), running(tmp_path, bot, "run-1"):
        await room.link.until(up=True, timeout=PATIENCE)
        refused = await client.post(PAUSE)
        bot.result = CommandResult(ok=True, result={"paused": True})
        done = await client.post(PAUSE)
    assert (refused.status_code, refused.json()["title"]) == (409, "Not done")
    assert (done.status_code, done.json()) == (200, {"paused": True})


async def test_what_is_sent_again_reaches_no_other_run_than_that_which_knows_it(tmp_path: Path) -> None:
    bot = Bot()
    bot.answers.set()
    async with program(tmp_path) as (room, _), running(tmp_path, bot, "run-2"):
        await room.link.until(up=True, timeout=PATIENCE)
        pinned = _only_run.set("run-1")
        try:
            with pytest.raises(Problem) as caught:
                await room.command("pause", {"source": "trend"}, Principal("program", Scope.TRADE, "token", "1"))
        finally:
            _only_run.reset(pinned)
    assert (caught.value.status, caught.value.unknown) == (409, True)
    assert bot.done == []


async def test_a_bot_that_hangs_is_asked_once_for_all_who_want_to_know_how_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.web.room._STATUS_ANSWER_SECONDS", 0.2)
    bot = Bot()
    async with program(tmp_path) as (room, _), running(tmp_path, bot, "run-1"):
        await room.link.until(up=True, timeout=PATIENCE)
        async with asyncio.timeout(PATIENCE):
            told = await asyncio.gather(*(room.status() for _ in range(200)), return_exceptions=True)
        bot.answers.set()
    assert {(each.status, each.title) for each in told if isinstance(each, Problem)} == {(503, "The bot does not answer")}
    assert len(told) == 200
    assert len(bot.done) == 1
