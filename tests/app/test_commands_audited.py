"""What operators do to a running bot, found again in its audit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest

from bot.outlets.local_client import LocalClient, new_nonce
from tests.app.bot_process import Bot
from tests.servers import free_port

CANARY = "canary-5b1e77c0-never-kept"


@pytest.fixture(scope="module")
def running_bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    bot = Bot(tmp_path_factory.mktemp("audited"), ("--demo", "--json", "--no-redis", "--seed", "5"))
    bot.settings |= {"ARBITER_METRICS__PORT": str(free_port()), "ARBITER_SECRET_CANARY": CANARY}
    bot.start()
    try:
        bot.wait_for(" decision ", 60)
        yield bot
    finally:
        bot.end()


async def lines_of(client: LocalClient, **wanted: object) -> list[dict[str, Any]]:
    answer = await client.command("do", {"use_case": "audit.list", "args": wanted})
    assert answer.ok, answer.error
    found: Any = answer.result
    return list(found["result"]["lines"])


async def newest(client: LocalClient, command: str, lines: int = 1) -> list[dict[str, Any]]:
    """The lines of a command, once there are so many."""
    async with asyncio.timeout(10):
        while len(found := await lines_of(client, command=command)) < lines:
            await asyncio.sleep(0.02)
    return found


def brief(line: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("actor", "command", "target", "outcome", *names))


async def test_every_change_is_written_down_with_what_was_before_and_after(running_bot: Bot) -> None:
    async with await LocalClient.connect(running_bot.data, actor="control-room") as client:
        nonce = new_nonce()
        await client.command("kill", {"reason": f"because {CANARY}"}, nonce=nonce, actor="web:anna")
        await client.command("kill", {"reason": f"because {CANARY}"}, nonce=nonce, actor="web:anna")
        await client.command("resume")
        await client.command("pause", {"source": "rules:donchian"})
        await client.command("pause", {"source": "rules:nobody"})
        await client.command("status")
        await client.command("do", {"use_case": "memory.subjects"})
        await client.command("do", {"use_case": "learning.thresholds"})
        refused = await client.command("kill", {"flatten": "perhaps"})
        assert (refused.ok, refused.refused) == (False, True)
        kills = await newest(client, "kill", 2)
        (resumed,), (nobody, paused) = await newest(client, "resume"), await newest(client, "pause", 2)
        everything = await lines_of(client, limit=500)
    assert [line["command"] for line in everything] == ["kill", "pause", "pause", "resume", "kill"]
    assert brief(kills[0], "after") == ("control-room", "kill", "", "refused", kills[0]["before"])
    assert brief(kills[1], "nonce", "args") == ("web:anna", "kill", "", "ok", nonce, {"reason": "because ***"})
    assert kills[1]["before"] == {"state": "active", "reason": ""}
    assert kills[1]["after"] == {"state": "halted", "reason": "web:anna: because ***"}
    assert (kills[1]["simulated"], kills[1]["mode"]) == (True, "demo")
    assert resumed["before"]["state"] == "halted"
    assert resumed["after"]["state"] == "active"
    assert brief(paused) == ("control-room", "pause", "rules:donchian", "ok")
    assert (paused["before"]["paused"], paused["after"]["paused"]) == (False, True)
    assert brief(nobody, "before", "after") == ("control-room", "pause", "rules:nobody", "refused", None, None)
    assert CANARY not in orjson.dumps(everything).decode()


async def test_a_use_case_is_written_down_under_its_own_name(running_bot: Bot) -> None:
    async with await LocalClient.connect(running_bot.data) as client:
        for use_case, args in (
            ("learning.freeze", {"source": "rules:donchian", "note": "look at it"}),
            ("llm.prompt-activate", {"name": "decide", "version": 99}),
        ):
            await client.command("do", {"use_case": use_case, "args": args})
        (frozen,), (refused,) = await newest(client, "learning.freeze"), await newest(client, "llm.prompt-activate")
    assert brief(frozen) == ("cli", "learning.freeze", "rules:donchian", "ok")
    assert (frozen["before"]["frozen"], frozen["after"]["frozen"]) == (False, True)
    assert isinstance(frozen["before"]["threshold"], float)
    assert brief(refused, "before") == ("cli", "llm.prompt-activate", "decide", "refused", {"active": 0, "newest": 0})
    assert "99" in refused["detail"]


async def test_a_job_is_written_down_as_it_begins_and_as_it_ends(running_bot: Bot) -> None:
    async with await LocalClient.connect(running_bot.data) as client:
        asked = await client.command("do", {"use_case": "chat.confirm", "args": {"proposal": "nosuch", "token": CANARY}})
        assert asked.result is not None, asked.error
        job = asked.result["job"]
        ended, began = await newest(client, "chat.confirm", 2)
    assert brief(began, "detail") == ("cli", "chat.confirm", "nosuch", "ok", f"began as {job}")
    assert brief(ended) == ("cli", "chat.confirm", "nosuch", "failed")
    assert ended["detail"].startswith(f"{job} failed: ")
    assert ended["args"]["token"] == "***"


def test_the_status_says_how_the_audit_does(running_bot: Bot) -> None:
    status = orjson.loads(running_bot.tell("status", "--json").stdout)
    assert status["audit"]["dropped"] == 0
    assert status["audit"]["failures"] == 0
