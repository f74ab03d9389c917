"""What people ask of notifications, before a real web hook: the address stays secret, and a test says the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.core.effects import Notify, Severity
from bot.outlets.envelope import Identity
from bot.outlets.notify import Notifications
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.notifying.opening import HELD, open_channels
from bot.services.use_case import Ground, UseCaseError, use_case
from bot.settings import load
from tests.outlets.notify_hook import CANARY, Hook, standing_hook
from tests.services.llm_ground import do

NOW = 1_795_000_000_000


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with standing_hook() as hook:
        yield hook


def channel(secret: str, **more: object) -> dict[str, object]:
    return {"url_secret": secret, **more}


@asynccontextmanager
async def standing(home: Path, hook: Hook, channels: dict[str, Any] | None = None, **settings: object) -> AsyncIterator[Ground]:
    """A ground whose secret HOOK is the address of the hook; its channel `phone` leads there unless others are given."""
    given: dict[str, object] = {"bot.data_dir": str(home / "data")}
    given["notifications"] = {"channels": channels or {"phone": channel("HOOK")}, **settings}
    (home / "data").mkdir(exist_ok=True)
    loaded = load(None, environ={}, overrides=given)
    environ = {"ARBITER_SECRET_HOOK": hook.url, "ARBITER_SECRET_BAD": f"nonsense://{CANARY}"}
    async with own_ground(loaded, Secrets(home / "data", environ), lambda: NOW) as ground:
        yield ground


async def test_a_test_arrives_says_so_and_is_logged(tmp_path: Path, hook: Hook) -> None:
    async with standing(tmp_path, hook) as ground:
        found = await do(ground, "notify.test", channel="phone")
        logged = await do(ground, "notify.log")
    assert (found["delivered"], found["detail"]) == (True, "")
    assert hook.posts[0]["title"] == "[arbiter] Test message"
    (row,) = logged["deliveries"]
    assert (row["channel"], row["outcome"], row["at"]) == ("phone", "delivered", NOW)
    assert CANARY not in repr((found, logged))


async def test_a_test_that_fails_says_why_without_the_address(tmp_path: Path, hook: Hook) -> None:
    hook.answers = [500]
    async with standing(tmp_path, hook) as ground:
        refused = await do(ground, "notify.test", channel="phone")
        hook.silent.clear()
    assert refused["delivered"] is False
    assert "500" in refused["detail"]
    async with standing(tmp_path, hook, timeout="200ms") as ground:
        silent = await do(ground, "notify.test", channel="phone")
        logged = await do(ground, "notify.log", channel="phone")
    assert "no answer within 0.2 s" in silent["detail"]
    assert [row["outcome"] for row in logged["deliveries"]] == ["failed", "failed"]
    assert CANARY not in repr((refused, silent, logged))


async def test_a_channel_that_is_disabled_can_be_tried_and_one_that_is_not_there_cannot(tmp_path: Path, hook: Hook) -> None:
    channels = {"phone": channel("HOOK", enabled=False), "none": channel("NOPE"), "bad": channel("BAD")}
    async with standing(tmp_path, hook, channels) as ground:
        assert (await do(ground, "notify.test", channel="phone"))["delivered"] is True
        for name, remedy in (("none", "secrets set NOPE"), ("bad", "no address"), ("who", "there are phone, none, bad")):
            with pytest.raises(UseCaseError, match=remedy) as caught:
                await do(ground, "notify.test", channel=name)
            assert CANARY not in str(caught.value)
    assert len(hook.posts) == 1


async def test_the_channels_are_listed_with_masked_addresses_and_the_reason_where_one_is_off(tmp_path: Path, hook: Hook) -> None:
    channels = {
        "phone": channel("HOOK", severity="info", topics=["stops"], digest="5m"),
        "off": channel("HOOK", enabled=False),
        "none": channel("NOPE"),
        "bad": channel("BAD"),
    }
    async with standing(tmp_path, hook, channels, topics={"fills": False}) as ground:
        found = await do(ground, "notify.channels")
    rows = {row["channel"]: row for row in found["channels"]}
    assert (found["running"], found["silent_topics"]) == (False, ["fills"])
    phone = rows["phone"]
    assert (phone["state"], phone["severity"], phone["topics"], phone["digest_ms"]) == ("on", "info", ["stops"], 300_000)
    assert phone["url"].startswith(f"json://user:****@127.0.0.1:{hook.port}/")
    assert {name: (row["state"], bool(row["why"])) for name, row in rows.items() if name != "phone"} == {
        "off": ("off", True),
        "none": ("off", True),
        "bad": ("off", True),
    }
    assert not list((tmp_path / "data").iterdir()), "to look makes nothing"
    assert CANARY not in repr(found)


def _delivered(listed: Mapping[str, Any]) -> int:
    (phone,) = (row for row in listed["channels"] if row["channel"] == "phone")
    return int(phone["delivered"])


async def test_a_running_bot_tells_its_channels_logs_it_and_answers_for_them(tmp_path: Path, hook: Hook) -> None:
    channels = {"phone": channel("HOOK", severity="info"), "none": channel("NOPE")}
    async with standing(tmp_path, hook, channels, topics={"budget": False}) as ground:
        settings = ground.loaded.settings
        opened = open_channels(settings, ground.secrets, Identity("arbiter", "r1", "paper", simulated=True), ground.now)
        assert list(opened.off) == ["none"]
        notifications = Notifications(channels=opened.on, admits=opened.admits, archive=opened.log)
        ground.held[HELD] = opened
        await do(ground, "notify.log")
        await notifications.start()
        notifications.put(Notify(Severity.CRITICAL, "Trading is halted", f"cli: key {hook.url}"))
        notifications.put(Notify(Severity.WARNING, "80 % of an LLM budget is spent", "topic off"))
        await hook.heard(1)
        tried = await do(ground, "notify.test", channel="phone")
        async with asyncio.timeout(20):  # what was heard is counted once its answer is back
            while not _delivered(listed := await do(ground, "notify.channels")):
                await asyncio.sleep(0.01)
        await notifications.close(5.0)
        assert tried["delivered"] is True
    async with standing(tmp_path, hook, channels) as ground:
        logged = await do(ground, "notify.log", limit=1)
        rest = await do(ground, "notify.log", limit=1, before=logged["next"])
    assert (listed["running"], _delivered(listed)) == (True, 1)
    titles = {row["title"] for row in (*logged["deliveries"], *rest["deliveries"])}
    assert titles == {"[arbiter PAPER SIMULATED] Trading is halted", "[arbiter] Test message"}
    assert rest["next"] is None
    assert [post["type"] for post in hook.posts] == ["failure", "info"]
    shown = repr((hook.posts, logged, rest, listed))
    database = (tmp_path / "data" / "arbiter.db").read_bytes()
    assert CANARY not in shown
    assert CANARY.encode() not in database


async def test_only_the_log_is_read_by_whoever_wants_and_all_answer_at_once() -> None:
    cases = {name: use_case(f"notify.{name}") for name in ("channels", "test", "log")}
    assert all(case.quick for case in cases.values())
    assert [name for name, case in cases.items() if case.reads] == ["log"]
    with pytest.raises(UseCaseError, match="limit"):
        cases["log"].read({"limit": 0})
