"""Virtual time passes only when there is nothing to do, and the same program always runs the same."""

from __future__ import annotations

import asyncio
import time

import pytest

from bot.drill.virtual.loop import EPOCH_MS, Deadlock, VirtualLoop, run_virtual


def test_a_day_passes_at_once() -> None:
    async def program(loop: VirtualLoop) -> int:
        await asyncio.sleep(86_400)
        return loop.now()

    began = time.monotonic()
    assert run_virtual(program) == EPOCH_MS + 86_400_000
    assert time.monotonic() - began < 5


def test_time_stands_still_while_something_is_ready() -> None:
    async def program(loop: VirtualLoop) -> tuple[int, int]:
        before = loop.now()
        for _ in range(1_000):
            await asyncio.sleep(0)
        return before, loop.now()

    before, after = run_virtual(program)
    assert before == after


def test_waiting_for_what_can_never_come_is_an_error() -> None:
    async def program(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(Deadlock, match="nothing is ready"):
        run_virtual(program)


def test_timers_of_one_moment_ring_in_the_order_in_which_they_were_set() -> None:
    async def program(loop: VirtualLoop) -> list[int]:
        rung: list[int] = []
        for number in range(200):
            loop.call_at(1.0, rung.append, number)
        await asyncio.sleep(2)
        return rung

    assert run_virtual(program) == list(range(200))


def test_cancelled_timers_do_not_ring_and_do_not_move_time() -> None:
    async def program(loop: VirtualLoop) -> float:
        for number in range(500):
            loop.call_later(100 + number, pytest.fail).cancel()
        await asyncio.sleep(1)
        return loop.time()

    assert run_virtual(program) == 1.0


def test_timeouts_count_virtual_seconds() -> None:
    async def program(loop: VirtualLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await loop.create_future()
        return loop.time()

    assert run_virtual(program) == 30.0


def test_milliseconds_are_whole_however_they_add_up() -> None:
    async def program(loop: VirtualLoop) -> list[int]:
        seen = []
        for _ in range(1_000):
            await asyncio.sleep(0.001)
            seen.append(loop.now() - EPOCH_MS)
        return seen

    assert run_virtual(program) == list(range(1, 1_001))


def test_what_is_left_running_is_cancelled() -> None:
    ended: list[str] = []

    async def rest() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            ended.append("cancelled")

    async def program(loop: VirtualLoop) -> None:
        task = loop.create_task(rest())
        await asyncio.sleep(1)
        assert not task.done()

    run_virtual(program)
    assert ended == ["cancelled"]
