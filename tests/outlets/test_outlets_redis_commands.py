from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from structlog.testing import capture_logs

from bot.outlets.admission import Admission, AdmissionLimits, wall_ms
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Identity, masking
from bot.outlets.errors import OutletError
from bot.outlets.listener import ListenerSettings
from bot.outlets.local_client import LocalClient
from bot.outlets.outlets import Outlets, OutletSettings
from bot.outlets.redis_commands import RedisCommands, RedisCommandSettings
from bot.outlets.redis_feed import FeedState, RedisSettings
from bot.outlets.signing import ANSWERS, COMMANDS, canonical, opened, signed, signed_command
from tests.outlets.feed_facts import PATIENCE
from tests.servers import RedisProcess, free_port

RUN = "run-1"
SECRET = "s3cret-of-the-commands-0123456789abcdef"
CANARY = "canary-77aa-never-answered"
COMMANDER = Path(__file__).parents[2] / "examples" / "commander.py"


class Bot:
    """Remembers what it is asked; `hold` waits until it may go on."""

    def __init__(self) -> None:
        self.asked: list[Command] = []
        self.go = asyncio.Event()

    async def __call__(self, command: Command) -> CommandResult:
        self.asked.append(command)
        match command.name:
            case "hold":
                await self.go.wait()
            case "tell":
                told = {"password": "hunter2", "note": f"it is {CANARY}", "tokens": 7, "proposal": [{"token": "abc"}]}
                return CommandResult(True, None, told)
            case "long":
                return CommandResult(True, None, {"text": "x" * 300_000})
        return CommandResult(True, None, {"count": len(self.asked)})


@pytest.fixture
def bot() -> Bot:
    return Bot()


class Line:
    """A sender's side: publishes on the one channel and reads the other."""

    def __init__(self, client: Redis, channels: Any, prefix: str) -> None:
        self._client = client
        self._channels = channels
        self._prefix = prefix

    async def send(self, payload: bytes) -> None:
        await self._client.publish(f"{self._prefix}.{COMMANDS}", payload)

    async def answer(self) -> dict[str, Any]:
        """The next answer; it must be signed."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self._channels.get_message(ignore_subscribe_messages=True, timeout=1)
                if message is not None:
                    told = opened(SECRET, ANSWERS, message["data"])
                    assert told is not None
                    return told

    async def ask(self, command: str, **more: Any) -> dict[str, Any]:
        await self.send(signed_command(SECRET, "main", command, **{"run": RUN, **more}))
        return await self.answer()


@asynccontextmanager
async def listening(
    url: str, prefix: str, identity: Identity, bot: Bot, **changes: Any
) -> AsyncIterator[tuple[RedisCommands, Line]]:
    settings = replace(RedisCommandSettings(url, prefix, SECRET, first_backoff=0.02, last_backoff=0.05), **changes)
    outlet = RedisCommands(settings, identity, Admission(identity, bot, AdmissionLimits(seconds=5)), masking([CANARY]))
    client = Redis.from_url(url)
    channels = client.pubsub()
    await outlet.start()
    try:
        await outlet.wait_for(FeedState.UP, timeout=PATIENCE)
        await channels.subscribe(f"{prefix}.{ANSWERS}")
        await channels.get_message(timeout=PATIENCE)
        yield outlet, Line(client, channels, prefix)
    finally:
        bot.go.set()
        await outlet.close()
        await channels.aclose()  # type: ignore[no-untyped-call]
        await client.aclose()


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_signed_command_is_carried_out_and_answered(redis_at: str, prefix: str, identity: Identity, bot: Bot) -> None:
    async with listening(redis_at, prefix, identity, bot) as (outlet, line):
        told = await line.ask("pause", args={"source": "rules:ü", "deep": [1, 2.5, None, True]}, actor="anna", nonce="n" * 20)
        assert {name: told[name] for name in ("nonce", "ok", "error", "result", "repeated", "run", "bot")} == {
            "nonce": "n" * 20,
            "ok": True,
            "error": None,
            "result": {"count": 1},
            "repeated": False,
            "run": "run-1",
            "bot": "main",
        }
        assert outlet.stats().commands == 1
    assert bot.asked == [Command("pause", {"source": "rules:ü", "deep": [1, 2.5, None, True]}, "redis:anna", "n" * 20)]
    assert outlet.stats().state is FeedState.OFF


async def test_a_repetition_is_answered_as_before_and_an_expired_one_is_told_so(
    redis_at: str, prefix: str, identity: Identity, bot: Bot
) -> None:
    async with listening(redis_at, prefix, identity, bot) as (_, line):
        payload = signed_command(SECRET, "main", "kill")
        await line.send(payload)
        await line.send(payload)
        first, again = await line.answer(), await line.answer()
        assert (first["result"], again["result"]) == ({"count": 1}, {"count": 1})
        assert sorted([first["repeated"], again["repeated"]]) == [False, True]
        late = await line.ask("kill", seconds=-1.0)
        assert (late["ok"], late["refused"]) == (False, True)
        assert "expired" in late["error"]
        reused = await line.ask("reduce", nonce=first["nonce"])
        assert "was used before, for another command" in reused["error"]
        elsewhen = await line.ask("kill", run="run-0")
        assert "started again as 'run-1'" in elsewhen["error"]
    assert len(bot.asked) == 1


def tampered(name: str, value: object) -> bytes:
    message = json.loads(signed_command(SECRET, "main", "kill", {"flatten": False}))
    return canonical({**message, name: value})


STRANGE = {
    "another secret": signed_command("x" * 40, "main", "kill"),
    "changed arguments": tampered("args", {"flatten": True}),
    "a later expiry": tampered("expires", wall_ms() + 200_000),
    "another name": tampered("actor", "root"),
    "no mac": tampered("mac", None),
    "a mac that is no text": tampered("mac", "ÿ" * 64),
    "an answer": signed(SECRET, ANSWERS, {"v": 1, "bot": "main", "command": "kill", "args": {}, "nonce": "n" * 20}),
    "no JSON": b"kill",
    "not UTF-8": b'{"mac":"\xff\xfe"}',
    "a list": b"[]",
    "a number that is none": b'{"mac":"x","v":NaN}',
    "half a pair": b'{"mac":"x","v":"\\ud800"}',
    "a deep hole": b"[" * 16_000,
}


@pytest.mark.parametrize("command", ["resume", "pause", "unpause", "do", "reconcile", "add-source", "hold"])
async def test_no_copy_of_what_is_not_safe_can_act_after_a_restart(
    redis_at: str, prefix: str, identity: Identity, bot: Bot, command: str
) -> None:
    async with listening(redis_at, prefix, identity, bot) as (_, line):
        for _ in range(2):
            told = await line.ask(command, run=None)
            assert (told["ok"], told["refused"], told["run"]) == (False, True, RUN)
            assert "needs `run`" in told["error"]
            assert RUN in told["error"]
    assert bot.asked == []


@pytest.mark.parametrize("command", ["kill", "reduce", "status", "job", "jobs"])
async def test_what_makes_the_bot_safer_or_only_looks_needs_no_run(
    redis_at: str, prefix: str, identity: Identity, bot: Bot, command: str
) -> None:
    async with listening(redis_at, prefix, identity, bot) as (_, line):
        assert (await line.ask(command, run=None))["ok"]


async def test_whatever_is_not_signed_is_met_with_silence_counted_and_logged_once(
    redis_at: str, prefix: str, identity: Identity, bot: Bot
) -> None:
    with capture_logs() as logs:
        async with listening(redis_at, prefix, identity, bot) as (outlet, line):
            for payload in STRANGE.values():
                await line.send(payload)
            await line.send(b"x" * 20_000)
            await line.send(signed_command(SECRET, "other", "kill"))
            await line.send(signed(SECRET, COMMANDS, {"v": 2, "bot": "main"}))
            told = await line.ask("status", nonce="the-first-answer-of-all")
            assert told["nonce"] == "the-first-answer-of-all"
            ignored = {why: count for why, count in outlet.stats().ignored.items() if count}
    assert ignored == {"unsigned": len(STRANGE), "too-long": 1, "other-bot": 1, "other-version": 1}
    assert [command.name for command in bot.asked] == ["status"]
    told_of = [entry["why"] for entry in logs if entry["event"] == "redis_command_ignored"]
    assert sorted(told_of) == sorted(ignored)
    assert SECRET not in str(logs)


async def test_a_signed_message_that_is_no_command_is_refused_with_an_answer(
    redis_at: str, prefix: str, identity: Identity, bot: Bot
) -> None:
    good = {"v": 1, "bot": "main", "command": "kill", "args": {}, "actor": "a", "nonce": "n" * 20, "expires": wall_ms() + 60_000}
    async with listening(redis_at, prefix, identity, bot) as (outlet, line):
        changes: list[dict[str, object]] = [
            {"command": ["kill"]},
            {"args": []},
            {"args": {"x": 10**40}},
            {"actor": ""},
            {"actor": "x" * 60},
            {"actor": "two\nlines"},
            {"nonce": 7},
            {"expires": "soon"},
            {"expires": wall_ms() + 900_000},
        ]
        for change in changes:
            await line.send(signed(SECRET, COMMANDS, {**good, **change}))
            told = await line.answer()
            assert (told["ok"], told["refused"]) == (("x" in str(change.get("args")), "x" not in str(change.get("args")))), change
        assert outlet.stats().state is FeedState.UP
    assert [command for command in bot.asked if "x" not in command.args] == []


async def test_an_answer_holds_no_secret_and_is_not_longer_than_allowed(
    redis_at: str, prefix: str, identity: Identity, bot: Bot
) -> None:
    async with listening(redis_at, prefix, identity, bot) as (_, line):
        told = await line.ask("tell")
        assert told["result"] == {"password": "***", "note": "it is ***", "tokens": 7, "proposal": [{"token": "***"}]}
        long = await line.ask("long")
        assert (long["ok"], long["result"]) == (True, None)
        assert "too long" in long["error"]


async def test_too_many_commands_are_not_tried_but_the_bot_can_still_be_halted(
    redis_at: str, prefix: str, identity: Identity, bot: Bot
) -> None:
    async with listening(redis_at, prefix, identity, bot, rate=3, in_flight=2) as (outlet, line):
        for _ in range(2):
            await line.send(signed_command(SECRET, "main", "hold", run=RUN))
        await until(lambda: len(bot.asked) == 2)
        await line.send(signed_command(SECRET, "main", "resume", run=RUN))
        await until(lambda: outlet.stats().ignored["busy"] == 1)
        assert (await line.ask("kill"))["ok"]
        bot.go.set()
        await line.answer()
        await line.answer()
        for _ in range(20):
            await line.send(signed_command(SECRET, "main", "resume", run=RUN))
        await line.send(signed_command(SECRET, "main", "kill", nonce="halt-it-halt-it-halt-it"))
        async with asyncio.timeout(PATIENCE):
            while (await line.answer())["nonce"] != "halt-it-halt-it-halt-it":
                pass
        assert outlet.stats().ignored["too-fast"] >= 10


async def test_a_flood_leaves_the_loop_its_turns(redis_at: str, prefix: str, identity: Identity, bot: Bot) -> None:
    async with listening(redis_at, prefix, identity, bot, flood=50, pause=0.005) as (outlet, line):
        loop = asyncio.get_running_loop()
        worst = 0.0
        flood = asyncio.create_task(asyncio.wait_for(_flood(line, 2_000), PATIENCE))
        while outlet.stats().ignored["unsigned"] < 100:
            before = loop.time()
            await asyncio.sleep(0)
            worst = max(worst, loop.time() - before)
        await flood
        assert worst < 0.25


async def _flood(line: Line, count: int) -> None:
    for _ in range(count):
        await line.send(b"{}")


async def test_it_comes_back_when_redis_does(redis_server: RedisProcess, prefix: str, identity: Identity, bot: Bot) -> None:
    settings = RedisCommandSettings(redis_server.url, prefix, SECRET, first_backoff=0.02, last_backoff=0.05)
    outlet = RedisCommands(settings, identity, Admission(identity, bot))
    await outlet.start()
    try:
        await outlet.wait_for(FeedState.UP, timeout=PATIENCE)
        await asyncio.to_thread(redis_server.kill)
        await outlet.wait_for(FeedState.DOWN, timeout=PATIENCE)
        await asyncio.to_thread(redis_server.start)
        await outlet.wait_for(FeedState.UP, timeout=PATIENCE)
        client = Redis.from_url(redis_server.url)
        await client.publish(f"{prefix}.{COMMANDS}", signed_command(SECRET, "main", "kill"))
        await until(lambda: bot.asked)
        await client.aclose()
    finally:
        await outlet.close()


class Wire:
    """Stands between a client and Redis; while `cut` is set it swallows everything and tells nobody."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._there = (str(parts.hostname), int(parts.port or 0))
        self._open: set[asyncio.StreamWriter] = set()
        self.cut = False

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        finally:
            server.close()
            for writer in self._open:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._there)
        self._open |= {writer, up_writer}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, up_writer), self._pass(up_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(65_536):
            if not self.cut:
                writer.write(said)
        writer.close()


async def test_a_line_that_fell_silent_is_noticed_and_made_anew(redis_at: str, prefix: str, identity: Identity, bot: Bot) -> None:
    wire = Wire(redis_at)
    async with wire.url() as url, listening(url, prefix, identity, bot, idle=0.2, timeout=0.5) as (outlet, _):
        wire.cut = True
        await outlet.wait_for(FeedState.DOWN, timeout=PATIENCE)
        wire.cut = False
        await outlet.wait_for(FeedState.UP, timeout=PATIENCE)
        client = Redis.from_url(redis_at)
        await client.publish(f"{prefix}.{COMMANDS}", signed_command(SECRET, "main", "kill"))
        await until(lambda: bot.asked)
        await client.aclose()


async def test_a_quiet_line_stays_up(redis_at: str, prefix: str, identity: Identity, bot: Bot) -> None:
    async with listening(redis_at, prefix, identity, bot, idle=0.05, timeout=0.2) as (outlet, line):
        with contextlib.suppress(TimeoutError):
            await outlet.wait_for(FeedState.DOWN, timeout=0.6)
        assert outlet.stats().state is FeedState.UP
        assert (await line.ask("status"))["ok"]


async def test_a_short_secret_is_refused_at_the_start_and_nothing_shows_it(identity: Identity, bot: Bot) -> None:
    settings = RedisCommandSettings("redis://:hunter2@127.0.0.1:1/0", "x", "short-secret")
    assert "short-secret" not in repr(settings)
    assert "hunter2" not in repr(settings)
    with pytest.raises(OutletError, match="REDIS_COMMAND_SECRET has less than 32 characters"):
        await RedisCommands(settings, identity, Admission(identity, bot)).start()


@asynccontextmanager
async def outlets(
    tmp_path: Path, url: str, prefix: str, identity: Identity, bot: Bot, secret: str | None
) -> AsyncIterator[Outlets]:
    settings = OutletSettings(
        tmp_path, RedisSettings(url, prefix), listener=ListenerSettings(port=free_port()), command_secret=secret
    )
    out = Outlets(identity, settings, now=wall_ms, handler=bot)
    await out.start()
    try:
        yield out
    finally:
        await out.close()


async def test_without_the_secret_nobody_listens(
    tmp_path: Path, redis_at: str, prefix: str, identity: Identity, bot: Bot
) -> None:
    async with outlets(tmp_path, redis_at, prefix, identity, bot, None) as out:
        await out.redis.wait_for(FeedState.UP, timeout=PATIENCE)
        client = Redis.from_url(redis_at)
        assert await client.publish(f"{prefix}.{COMMANDS}", signed_command(SECRET, "main", "kill")) == 0
        await client.aclose()
        assert out.commands is None
        assert out.stats().redis_commands is None


async def test_a_nonce_is_known_whichever_way_it_came_first(
    tmp_path: Path, redis_at: str, prefix: str, identity: Identity, bot: Bot
) -> None:
    nonce = secrets.token_urlsafe(18)
    async with outlets(tmp_path, redis_at, prefix, identity, bot, SECRET) as out, await LocalClient.connect(tmp_path) as local:
        assert out.commands is not None
        await out.commands.wait_for(FeedState.UP, timeout=PATIENCE)
        client = Redis.from_url(redis_at)
        await client.publish(f"{prefix}.{COMMANDS}", signed_command(SECRET, "main", "kill", nonce=nonce))
        await until(lambda: bot.asked)
        again = await local.command("kill", nonce=nonce)
        await client.aclose()
    assert (again.ok, again.repeated) == (True, True)
    assert len(bot.asked) == 1


async def test_the_example_commander_sends_a_command_and_prints_the_answer(
    redis_at: str, prefix: str, identity: Identity, bot: Bot
) -> None:
    async def run(*arguments: str, secret: str = SECRET) -> tuple[int | None, str, str]:
        environment = {**os.environ, "REDIS_COMMAND_SECRET": secret}
        command = [sys.executable, str(COMMANDER), "--url", redis_at, "--prefix", prefix, "--bot", "main", *arguments]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
        )
        out, err = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode, out.decode(), err.decode()

    async with listening(redis_at, prefix, identity, bot):
        code, out, _ = await run("kill", "--args", '{"reason": "genug für heute"}', "--actor", "anna", "--nonce", "n" * 20)
        assert (code, json.loads(out)["ok"]) == (0, True)
        code, out, _ = await run("kill", "--args", '{"reason": "genug für heute"}', "--nonce", "n" * 20)
        assert (code, json.loads(out)["repeated"]) == (0, True)
        code, out, err = await run("status", "--seconds", "0.3", secret="y" * 40)
        assert (code, out) == (2, "")
        assert "no answer" in err
    assert bot.asked == [Command("kill", {"reason": "genug für heute"}, "redis:anna", "n" * 20)]
    code, _, err = await run("status")
    assert (code, "nobody listens there" in err) == (2, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(args=st.dictionaries(st.text(max_size=10), JSON, max_size=4), flip=st.integers(0, 10_000))
def test_what_was_signed_opens_as_it_was_and_nothing_else_does(args: dict[str, Any], flip: int) -> None:
    message = {"v": 1, "bot": "main", "args": args}
    payload = signed(SECRET, COMMANDS, message)
    found = opened(SECRET, COMMANDS, payload)
    assert found is not None
    assert {name: found[name] for name in message} == message
    assert opened(SECRET, COMMANDS, json.dumps(found, indent=2).encode()) == found
    assert opened(SECRET, ANSWERS, payload) is None
    place = flip % len(payload)
    bent = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
    assert opened(SECRET, COMMANDS, bent) in (None, found)
