"""Commands to a running bot, over its real local feed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.core.decision import Fate, Tier
from bot.core.facts import DecisionFate
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Channel, Encoder, Identity
from bot.outlets.local_feed import LocalFeed

WHO = Identity(bot="main", run="run-1", mode="paper", simulated=True)


class Bot:
    """What a bot answers."""

    def __init__(self) -> None:
        self.heard: list[Command] = []

    async def __call__(self, command: Command) -> CommandResult:
        self.heard.append(command)
        if command.name == "status":
            return CommandResult(True, None, {"state": "active", "equity": 10_001.5, "sources": {"rules:x": {"paused": False}}})
        if command.name == "pause":
            return CommandResult(False, f"no source is called {command.args['source']!r}")
        if command.name == "resume":
            await asyncio.Event().wait()
        return CommandResult(True, None, {"state": "halted"})


@asynccontextmanager
async def _running(home: Path) -> AsyncIterator[tuple[Bot, LocalFeed]]:
    bot = Bot()
    feed = LocalFeed(home / "data", WHO, bot)
    await feed.start()
    try:
        yield bot, feed
    finally:
        await feed.close()


async def _start(home: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments,
        cwd=home, env=dict(os.environ), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _shell(home: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await _start(home, *arguments)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_status_shows_the_bot_and_its_world(home: Path) -> None:
    async with _running(home):
        code, out, err = await _shell(home, "status")
        assert (code, err) == (0, "")
        assert "main: PAPER SIMULATED, run run-1" in out
        assert "equity" in out
        assert "rules:x" in out
        code, out, _ = await _shell(home, "status", "--json")
        assert json.loads(out)["equity"] == 10_001.5


async def test_watch_repeats_until_it_is_interrupted(home: Path) -> None:
    async with _running(home):
        process = await _start(home, "status", "--watch", "--json", "--interval", "0.2")
        assert process.stdout is not None
        async with asyncio.timeout(20):
            for _ in range(3):
                assert json.loads(await process.stdout.readline())["state"] == "active"
            process.send_signal(2)
            await process.communicate()
        assert process.returncode == 130


async def test_kill_carries_its_arguments_and_the_actor(home: Path) -> None:
    async with _running(home) as (bot, _):
        code, out, _ = await _shell(home, "kill", "--flatten", "--reason", "drill")
        assert code == 0
        assert "halted" in out
        (command,) = bot.heard
        assert (command.name, dict(command.args), command.actor) == ("kill", {"flatten": True, "reason": "drill"}, "cli")


async def test_what_the_bot_refuses_is_a_failure_with_its_reason(home: Path) -> None:
    async with _running(home):
        code, out, err = await _shell(home, "pause", "rules:nope")
        assert (code, out) == (1, "")
        assert err == "error: no source is called 'rules:nope'\n"


async def test_a_bot_that_does_not_answer_is_a_timeout_that_says_what_may_have_happened(home: Path) -> None:
    async with _running(home):
        code, _, err = await _shell(home, "resume", "--timeout", "0.3")
        assert code == 5, err
        assert "may have been carried out" in err


async def test_decisions_are_followed_as_they_happen_and_narrowed(home: Path) -> None:
    encoder = Encoder(WHO)
    async with _running(home) as (_, feed):
        process = await _start(home, "decisions", "-f", "--source", "rules:x")
        assert process.stdout is not None
        async with asyncio.timeout(20):
            while not feed.wants(Channel.DECISIONS):
                await asyncio.sleep(0.01)
            for source in ("rules:y", "rules:x"):
                fact = DecisionFate(
                    1_700_000_000_000, "d1", source, Tier.TRADITIONAL, "BTC/USDT", Fate.OUTRANKED, reason="\x1b[2J!"
                )
                message = encoder.encode(fact)
                assert message is not None
                feed.publish(message)
            line = (await process.stdout.readline()).decode()
        assert "source=rules:x" in line
        assert "fate=outranked" in line
        assert "\x1b" not in line
        await feed.close()
        async with asyncio.timeout(20):
            _, err = await process.communicate()
        assert process.returncode == 3
        assert b"has gone away" in err
