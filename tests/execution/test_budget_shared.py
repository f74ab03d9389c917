"""Budgets that share one window, on a real Redis that is stopped, killed and started again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from structlog.testing import capture_logs

from execution.budget import BudgetRules, BudgetSpent, Lane
from execution.shared_budget import SharedBudget, SharedReading, SharedState
from execution.shared_room import SharedRoom
from execution.shared_window import Answer, Ask, SharedWindow, Sharing
from tests.execution.budget_clock import timed
from tests.idling import idle_seconds
from tests.servers import RedisProcess, free_port, redis_process, redis_url

ALL = dict.fromkeys(Lane, 1.0)
PATIENT = dict.fromkeys(Lane, 3_600_000)
RULES = BudgetRules(weight=100, window_ms=600, margin=0.0, shares=ALL, patience_ms=PATIENT)
LONG = BudgetRules(weight=100, window_ms=60_000, margin=0.0, shares=ALL, patience_ms=dict.fromkeys(Lane, 300))
QUICK = Sharing(member_ms=400, lease_ms=200, beat_ms=20, denied_ms=10)
WAIT = 10.0


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_url(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis of the test's own, which it may kill."""
    with redis_process(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


async def until(condition: Any, timeout: float = WAIT) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def budget(url: str, prefix: str, member: str, rules: BudgetRules = RULES, sharing: Sharing = QUICK, **more: Any) -> SharedBudget:
    return SharedBudget(url, prefix, member, rules, sharing=sharing, **more)


async def both_known(*budgets: SharedBudget) -> None:
    """Until each knows of all, and none is cautious any more."""
    await until(lambda: all(each.reading.members == len(budgets) for each in budgets))
    await until(lambda: all(each._room.cap(round(asyncio.get_running_loop().time() * 1_000)) is None for each in budgets))


async def hungry(one: SharedBudget, weight: float, lane: Lane, seconds: float, taken: list[tuple[float, float]]) -> None:
    """Take as much as can be had."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await one.take(weight, lane)
        taken.append((loop.time(), weight))


def most_in_a_window(taken: list[tuple[float, float]], window: float) -> float:
    most, total, recent = 0.0, 0.0, deque[tuple[float, float]]()
    for at, weight in sorted(taken):
        recent.append((at, weight))
        total += weight
        while recent[0][0] <= at - window:
            total -= recent.popleft()[1]
        most = max(most, total)
    return most


async def test_two_hungry_bots_share_evenly_and_never_take_more_than_the_window(shared_redis: str, prefix: str) -> None:
    first: list[tuple[float, float]] = []
    second: list[tuple[float, float]] = []
    async with budget(shared_redis, prefix, "a") as a, budget(shared_redis, prefix, "b") as b:
        await both_known(a, b)
        async with asyncio.TaskGroup() as group:
            group.create_task(hungry(a, 1, Lane.DATA, 3.0, first))
            group.create_task(hungry(b, 1, Lane.DATA, 3.0, second))
    # A millisecond is lost to rounding on either side.
    assert most_in_a_window(first + second, RULES.window_ms / 1_000 - 0.002) <= RULES.capacity
    assert len(first) + len(second) >= 0.6 * RULES.capacity * 3.0 / 0.6
    assert 0.6 <= len(first) / len(second) <= 1.7


async def test_what_one_leaves_another_may_borrow_but_for_a_reserve(shared_redis: str, prefix: str) -> None:
    async with budget(shared_redis, prefix, "busy", LONG) as busy, budget(shared_redis, prefix, "idle", LONG) as idle:
        await both_known(busy, idle)
        taken: list[tuple[float, float]] = []
        with pytest.raises(BudgetSpent):
            await hungry(busy, 1, Lane.DATA, 5.0, taken)
        assert 60 <= len(taken) <= 75  # its half, and half of the other's
        assert await idle_seconds(lambda: idle.take(20, Lane.ORDERS)) <= 0.1


async def test_an_order_goes_at_once_while_sixty_market_data_calls_wait(shared_redis: str, prefix: str) -> None:
    rules = BudgetRules(weight=100, window_ms=60_000, margin=0.0, patience_ms=PATIENT)
    async with budget(shared_redis, prefix, "a", rules) as one:
        waiting = [asyncio.create_task(one.take(10, Lane.DATA)) for _ in range(60)]
        await until(lambda: one.stats.taken[Lane.DATA] >= 3)
        await asyncio.sleep(0.05)
        assert one.stats.waiting[Lane.DATA] >= 50
        assert await idle_seconds(lambda: one.take(5, Lane.ORDERS)) <= 0.1
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_free_turn_asks_redis_nothing(shared_redis: str, prefix: str) -> None:
    rules = BudgetRules(weight=1e6, window_ms=60_000, margin=0.0)
    async with budget(shared_redis, prefix, "a", rules) as one:
        waited, _ = await timed(lambda: hungry_for(one, 3_000))
        assert one.reading.exchanges < 100
        assert waited / 3_000 < 0.001


async def hungry_for(one: SharedBudget, count: int) -> None:
    for _ in range(count):
        await one.take(1, Lane.ORDERS)


async def test_a_penalty_of_one_stops_the_others(shared_redis: str, prefix: str) -> None:
    async with budget(shared_redis, prefix, "a") as a, budget(shared_redis, prefix, "b") as b:
        await both_known(a, b)
        with capture_logs() as logs:
            a.penalise(800)
            await until(lambda: b.stats.penalty_ms > 0, timeout=0.5)
            waited, _ = await timed(lambda: b.take(1, Lane.ORDERS))
        assert 0.2 < waited <= 1.0
        assert [line["event"] for line in logs] == ["budget_penalty", "budget_penalty_shared"]
        assert a.stats.penalties == 1


async def test_what_the_venue_counted_holds_for_all(shared_redis: str, prefix: str) -> None:
    async with budget(shared_redis, prefix, "a", LONG) as a, budget(shared_redis, prefix, "b", LONG) as b:
        await both_known(a, b)
        a.observe(100)
        await until(lambda: b.stats.used >= 100)
        with pytest.raises(BudgetSpent):
            await hungry(b, 1, Lane.DATA, 5.0, [])
        assert b.stats.taken[Lane.DATA] <= 5  # what it had leased before
        assert a.stats.corrections == 1


async def test_a_bot_that_leaves_gives_up_its_share_at_once(shared_redis: str, prefix: str) -> None:
    patient = Sharing(member_ms=60_000, lease_ms=200, beat_ms=20, denied_ms=10)
    async with budget(shared_redis, prefix, "a", LONG, patient) as a:
        async with budget(shared_redis, prefix, "b", LONG, patient):
            await until(lambda: a.reading.members == 2)
            assert a.reading.fair_share <= 50
        await until(lambda: a.reading.members == 1)


async def test_a_bot_that_crashed_loses_its_share_and_its_leases(shared_redis: str, prefix: str) -> None:
    async with budget(shared_redis, prefix, "a") as a:
        crashed = await budget(shared_redis, prefix, "b").__aenter__()
        await both_known(a, crashed)
        task = asyncio.create_task(hungry(crashed, 5, Lane.DATA, 60.0, []))
        await until(lambda: crashed.stats.taken[Lane.DATA] > 5)
        for each in (task, crashed._task):
            assert each is not None
            each.cancel()
        await asyncio.gather(task, return_exceptions=True)
        crashed._state = None  # it says no farewell
        await crashed.close()
        await until(lambda: a.reading.members == 1)
        taken: list[tuple[float, float]] = []
        await hungry(a, 1, Lane.DATA, 1.5, taken)
        assert most_in_a_window(taken, 0.55) >= 80  # nearly all of the window is its own


async def test_without_redis_it_keeps_to_its_share_says_so_and_comes_back(redis_server: RedisProcess, prefix: str) -> None:
    changes: list[SharedReading] = []
    url = redis_server.url
    with capture_logs() as logs:
        async with budget(url, prefix, "a", LONG, on_change=changes.append) as a, budget(url, prefix, "b", LONG) as b:
            await both_known(a, b)
            redis_server.kill()
            await until(lambda: a.reading.state is SharedState.LOCAL)
            taken: list[tuple[float, float]] = []
            with pytest.raises(BudgetSpent):
                await hungry(a, 1, Lane.DATA, 5.0, taken)
            assert len(taken) == 50  # its fair half, and not one more
            redis_server.start()
            await until(lambda: a.reading.state is SharedState.SHARED and b.reading.members == 2)
            await until(lambda: b.stats.used >= 50)  # it told the new server, which remembers nothing
            assert a.reading.fair_share == 50
            assert a.reading.fallbacks == 1
            with pytest.raises(BudgetSpent):
                await hungry(b, 1, Lane.DATA, 5.0, [])
            assert a.stats.taken[Lane.DATA] + b.stats.taken[Lane.DATA] <= LONG.capacity
    assert [change.state for change in changes] == [SharedState.SHARED, SharedState.LOCAL, SharedState.SHARED]
    said = [line["event"] for line in logs if line["budget"].endswith("/a")]
    assert said == ["shared_budget_joined", "shared_budget_lost", "shared_budget_joined"]


async def test_a_hung_redis_holds_a_call_no_longer_than_its_timeout(redis_server: RedisProcess, prefix: str) -> None:
    async with budget(redis_server.url, prefix, "a", LONG) as one:
        await until(lambda: one.reading.state is SharedState.SHARED)
        assert redis_server.process is not None
        os.kill(redis_server.process.pid, signal.SIGSTOP)
        try:
            assert await idle_seconds(lambda: asyncio.wait_for(patiently(one, 30), 5)) <= 1.0
            assert one.reading.fallbacks == 1
        finally:
            os.kill(redis_server.process.pid, signal.SIGCONT)
        await until(lambda: one.reading.state is SharedState.SHARED)


async def patiently(one: SharedBudget, weight: float) -> None:
    while True:
        try:
            return await one.take(weight, Lane.ORDERS)
        except BudgetSpent:
            continue


async def test_a_redis_that_is_not_there_yet_holds_up_nothing(tmp_path: Path, prefix: str) -> None:
    server = RedisProcess(tmp_path / "redis", free_port())
    async with budget(server.url, prefix, "a", LONG) as one:
        assert one.reading.fallbacks == 1
        await one.take(50, Lane.ORDERS)
        with pytest.raises(BudgetSpent):
            await one.take(1, Lane.ORDERS)  # others may be there: only half until they are counted
        server.start()
        try:
            await until(lambda: one.reading.state is SharedState.SHARED)
            await until(lambda: one.reading.fair_share == 100)  # nobody else was heard of
            await one.take(45, Lane.ORDERS)
        finally:
            server.stop()


async def test_a_new_server_is_told_what_was_used_before(redis_server: RedisProcess, prefix: str) -> None:
    async with budget(redis_server.url, prefix, "a", LONG) as one:
        await hungry_for(one, 30)
        redis_server.kill()
        await until(lambda: one.reading.fallbacks == 1)
        redis_server.start()
        await until(lambda: one.reading.state is SharedState.SHARED)
        client = redis.asyncio.Redis.from_url(redis_server.url)
        seen = await SharedWindow(client, prefix, "b", 60_000, 100.0, QUICK).exchange(Ask())
        await client.aclose()
        assert seen.total >= 30


async def test_whoever_just_came_keeps_to_its_first_share_until_the_others_must_be_known(shared_redis: str, prefix: str) -> None:
    async with budget(shared_redis, prefix, "a", LONG, Sharing(member_ms=60_000, beat_ms=20, denied_ms=10)) as one:
        taken: list[tuple[float, float]] = []
        with pytest.raises(BudgetSpent):
            await hungry(one, 1, Lane.ORDERS, 5.0, taken)
        assert 45 <= len(taken) <= 50


async def test_a_url_that_is_none_is_refused_without_telling_its_password(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"redis\.url") as caught:
        budget("http://user:hunter2@nowhere", prefix, "a")
    assert "hunter2" not in str(caught.value)


@pytest.fixture
async def windows(shared_redis: str, prefix: str) -> AsyncIterator[list[SharedWindow]]:
    """The same window as four bots see it; no lease lapses within a test."""
    client = redis.asyncio.Redis.from_url(shared_redis)
    sharing = Sharing(lease_ms=60_000, member_ms=60_000)
    yield [SharedWindow(client, prefix, name, 60_000, 1_000.0, sharing) for name in ("a", "b:1", "c", "d")]
    await client.aclose()


async def test_the_script_never_grants_more_than_there_is(windows: list[SharedWindow]) -> None:
    chance = random.Random(7)
    held: list[dict[str, float]] = [{} for _ in windows]
    used = 0.0
    for _ in range(400):
        who = chance.randrange(4)
        back = [(lease, left * chance.choice([0.0, 0.3, 1.0])) for lease, left in held[who].items() if chance.random() < 0.3]
        for lease, unused in back:
            used -= int(unused * 1_000) / 1_000
            del held[who][lease]
        wanted = chance.choice([0.0, 0.2, 5.0, 70.0, 400.0])
        answer = await windows[who].exchange(Ask(chance.choice([0.5, 0.8, 1.0]), wanted * chance.random(), wanted, back))
        assert answer.granted <= wanted
        used += answer.granted
        if answer.granted:
            held[who][answer.lease] = answer.granted
        assert answer.total == pytest.approx(used, abs=1e-6)
        assert answer.total <= 1_000.0


async def test_an_idle_bot_always_finds_its_reserve(windows: list[SharedWindow]) -> None:
    for window in windows:
        await window.exchange(Ask())
    granted = [await _all_of_it(window) for window in windows[:3]]
    assert sum(granted) == pytest.approx(1_000 - 125)
    assert (await windows[3].exchange(Ask(least=125, wanted=125))).granted == 125


async def _all_of_it(window: SharedWindow) -> float:
    total = 0.0
    while (answer := await window.exchange(Ask(wanted=50.0))).granted:
        total += answer.granted
    return total


async def test_whoever_is_above_its_share_gives_way_to_one_below_it_that_waits(windows: list[SharedWindow]) -> None:
    rich, poor = windows[:2]
    await poor.exchange(Ask())
    leases: list[Answer] = []
    while (answer := await rich.exchange(Ask(least=50, wanted=50.0))).granted:
        leases.append(answer)
    assert not (await poor.exchange(Ask(least=400, wanted=400))).granted
    back = [(lease.lease, lease.granted) for lease in leases[:2]]
    assert not (await rich.exchange(Ask(least=50, wanted=50, handed_back=back))).granted
    assert (await poor.exchange(Ask(least=300, wanted=300))).granted == 300


async def test_what_was_used_alone_is_added_to_leases_that_may_have_been_used_too(windows: list[SharedWindow]) -> None:
    lease = await windows[0].exchange(Ask(wanted=50))
    answer = await windows[0].exchange(Ask(alone=10, reported=40))
    assert (lease.granted, answer.total) == (50, 60)


async def test_nobody_is_granted_more_than_it_wants_to_be_held_to(windows: list[SharedWindow]) -> None:
    granted = [(await windows[0].exchange(Ask(wanted=70, cap=100))).granted for _ in range(3)]
    assert granted == [70, 30, 0]


async def test_what_a_crashed_bot_may_have_sent_counts_until_a_window_after_its_lease(shared_redis: str, prefix: str) -> None:
    client = redis.asyncio.Redis.from_url(shared_redis)
    a, b = (SharedWindow(client, prefix, name, 400, 100.0, Sharing(lease_ms=400, member_ms=100)) for name in "ab")
    began = asyncio.get_running_loop().time()
    assert (await a.exchange(Ask(wanted=100))).granted == 100
    while not (await b.exchange(Ask(least=100, wanted=100))).granted:
        assert asyncio.get_running_loop().time() - began < WAIT
        await asyncio.sleep(0.02)
    assert asyncio.get_running_loop().time() - began >= 0.79
    await client.aclose()


def test_a_room_tells_what_it_used_alone_once() -> None:
    room = SharedRoom(LONG, QUICK)
    room.add(0, 5, Lane.ORDERS)
    assert room.untold(0) == (5, 5)
    room.add(10, 2, Lane.ORDERS)  # while the others are being told of five
    room.learn(5, 20, Answer(0, "", 1, 5, 0, corrected=False), None, told=5)
    assert room.untold(20) == (2, 7)


def test_the_first_to_be_back_does_not_take_itself_for_the_only_one() -> None:
    room = SharedRoom(LONG, QUICK)
    alone = Answer(0, "", 1, 0, 0, corrected=False)
    room.learn(0, 0, Answer(0, "", 4, 0, 0, corrected=False), None, told=0)
    room.go_local()
    room.learn(1_000, 1_000, alone, None, told=0)
    assert (room.fair_share, room.cap(1_000)) == (25, 25)
    room.learn(1_400, 1_400, alone, None, told=0)
    assert (room.fair_share, room.cap(1_400)) == (100, None)


async def test_the_window_leaves_nothing_behind(windows: list[SharedWindow], shared_redis: str, prefix: str) -> None:
    await windows[0].exchange(Ask(wanted=5, observed=100, barred=500, alone=3))
    client = redis.asyncio.Redis.from_url(shared_redis)
    keys = [key async for key in client.scan_iter(f"*{prefix}*")]
    lives = [await client.pttl(key) for key in keys]
    await client.aclose()
    assert len(keys) == 6  # nobody waits
    assert all(0 < life <= 200_000 for life in lives)
