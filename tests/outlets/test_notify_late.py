"""What a person hears late: digests, what was tried again, what an outage held up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from bot.core.effects import Severity
from bot.outlets.notifying.channel import Channel, ChannelRules, Outcome
from bot.outlets.notifying.service import AppriseService
from bot.outlets.topics import Topic
from tests.outlets.notify_hook import Hook, Kept, notice, open_channel, standing_hook


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with standing_hook() as hook:
        yield hook


async def test_a_digest_that_is_too_long_keeps_the_loudest_and_the_newest_and_says_how_many_it_leaves_out(hook: Hook) -> None:
    kept = Kept()
    async with open_channel(hook, kept, digest=60.0, mark="[arbiter] ") as channel:
        for number in range(60):
            severity = Severity.WARNING if number in {0, 40} else Severity.INFO
            channel.offer(Topic.FILLS, notice(f"<{number}>{'x' * 100}", severity))
        await channel.settle(5.0)
    (post,) = hook.posts
    *lines, last = post["message"].splitlines()
    numbers = [int(found) for found in re.findall(r"<(\d+)>", post["message"])]
    assert numbers == sorted(numbers), "in the order in which it happened"
    assert {0, 40, 59} <= set(numbers)
    assert numbers[1:] == list(range(60 - len(numbers) + 1, 60)), "the newest of the quiet ones"
    assert all(line.endswith("x" * 100) for line in lines), "whole lines"
    assert last == f"... and {60 - len(lines)} more"
    assert 2_800 < len(post["message"]) <= 3_000
    assert post["title"] == "[arbiter] 60 notices"


async def test_a_line_that_fills_a_digest_is_cut_and_the_others_are_counted(hook: Hook) -> None:
    kept = Kept()
    async with open_channel(hook, kept, digest=60.0) as channel:
        for text in ("x" * 3_000, "y" * 3_000):
            channel.offer(Topic.FILLS, notice(text))
        await channel.settle(5.0)
    message = hook.posts[0]["message"]
    assert message.startswith("00:00:01 Market data: yyy")
    assert message.endswith("y\n... and 1 more")
    assert len(message) <= 3_000


async def test_a_critical_notice_outlives_an_outage_that_others_do_not(hook: Hook) -> None:
    hook.answers, kept = [500] * 21, Kept()
    async with open_channel(hook, kept, attempts=2, pause=0.001, longest_pause=0.01) as channel:
        channel.offer(Topic.FEEDS, notice("a fault"))
        (row,) = await kept.ended(1)
        assert (row.outcome, row.attempts) == (Outcome.FAILED, 2)
        channel.offer(Topic.TRADING, notice("halted", Severity.CRITICAL))
        (*_, row) = await kept.ended(2)
        assert (row.outcome, row.attempts) == (Outcome.DELIVERED, 20)


def test_by_default_a_channel_outlives_minutes_without_a_network_and_for_a_critical_notice_nearly_half_an_hour() -> None:
    rules = ChannelRules()

    def tried(attempts: int) -> float:
        return sum(min(rules.pause * 2.0**number, rules.longest_pause) for number in range(attempts - 1))

    assert tried(rules.attempts) > 5 * 60
    assert tried(rules.critical_attempts) > 25 * 60


async def test_what_comes_late_says_when_it_happened(hook: Hook) -> None:
    hook.answers, kept, now = [500, 500], Kept(), [1_000]
    channel = Channel("phone", AppriseService(hook.url), ChannelRules(pause=0.001), lambda: now[0], record=kept)
    task = asyncio.create_task(channel.run())
    channel.offer(Topic.FEEDS, notice("stalled"))
    (row,) = await kept.ended(1)
    assert [post["message"] for post in hook.posts] == ["stalled", "stalled\n(at 00:00:01 UTC)", "stalled\n(at 00:00:01 UTC)"]
    assert (row.text, row.at) == ("stalled\n(at 00:00:01 UTC)", 1_000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_was_collected_for_longer_than_a_minute_says_when_it_happened(hook: Hook) -> None:
    kept, now = Kept(), [1_000]
    channel = Channel("phone", AppriseService(hook.url), ChannelRules(digest=3_600.0), lambda: now[0], record=kept)
    task = asyncio.create_task(channel.run())
    channel.offer(Topic.FEEDS, notice("stalled"))
    now[0] += 3_600_000
    await channel.settle(5.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [post["message"] for post in hook.posts] == ["stalled\n(at 00:00:01 UTC)"]
