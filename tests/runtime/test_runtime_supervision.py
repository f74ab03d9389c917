"""Supervised tasks and hosted sources: they fail alone, they end when told, and who will not end is let go."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from bot.core.decision import Action, Fate, SourceSpec
from bot.core.facts import CommandDone, DecisionFate, DecisionSeen, FillBooked
from bot.core.protocols import SourcePort
from bot.runtime.supervision import Supervisor, release
from tests.factories import RULE, a_decision, a_source
from tests.idling import idle_seconds
from tests.runtime.shell_rig import running


async def stubborn() -> None:
    """Swallows every cancellation."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def test_a_task_that_fails_is_counted_and_started_again() -> None:
    supervisor, runs, again = Supervisor(), 0, asyncio.Event()

    async def fails_once() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            message = "no"
            raise ValueError(message)
        again.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(supervisor.keep("feed", fails_once, pause=0.01))
    await asyncio.wait_for(again.wait(), 20)
    assert supervisor.restarts == {"feed": 1}
    assert supervisor.failing == {}
    assert await release([task], 1) == []


async def test_while_a_task_is_down_it_is_named_with_its_error() -> None:
    supervisor, failed = Supervisor(), asyncio.Event()

    async def fails() -> None:
        failed.set()
        message = "no network"
        raise ConnectionError(message)

    supervisor.start("feed", fails)
    await failed.wait()
    await asyncio.sleep(0)
    assert supervisor.failing == {"feed": "ConnectionError: no network"}
    await supervisor.stop(1)
    assert supervisor.abandoned == []


class Failing:
    """A task that fails each time it is let go."""

    def __init__(self) -> None:
        self.tries = 0
        self.go = asyncio.Event()
        self.trying = asyncio.Event()

    async def __call__(self) -> None:
        self.tries += 1
        self.trying.set()
        await self.go.wait()
        self.go.clear()
        message = f"try {self.tries}"
        raise OSError(message)

    async def fail(self) -> None:
        self.trying.clear()
        self.go.set()
        await asyncio.wait_for(self.trying.wait(), 20)


async def test_a_task_that_keeps_failing_is_in_trouble_while_it_tries_again_until_it_was_well_for_a_minute() -> None:
    now = [1_000.0]
    supervisor, failing = Supervisor(clock=lambda: now[0]), Failing()
    task = asyncio.create_task(supervisor.keep("feed", failing, pause=0.001))
    await asyncio.wait_for(failing.trying.wait(), 20)
    await failing.fail()
    assert supervisor.troubles == {}, "it failed once and runs again"
    now[0] += 5
    await failing.fail()
    assert supervisor.failing == {}, "it tries again"
    assert supervisor.troubles == {"feed": "OSError: try 2"}
    now[0] += 59
    assert supervisor.troubles == {"feed": "OSError: try 2"}
    now[0] += 2
    assert supervisor.troubles == {}
    await failing.fail()
    assert supervisor.troubles == {}, "it had long been well: that counts as its first failure"
    assert await release([task], 1) == []


async def test_a_task_that_ended_is_in_no_trouble() -> None:
    supervisor, runs = Supervisor(), 0

    async def fails_twice() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise OSError

    await asyncio.wait_for(supervisor.keep("once", fails_twice, pause=0.001), 20)
    assert supervisor.troubles == {}


async def test_two_tasks_cannot_have_one_name() -> None:
    supervisor = Supervisor()
    supervisor.start("feed", lambda: asyncio.sleep(3600))
    with pytest.raises(ValueError, match="feed runs already"):
        supervisor.start("feed", lambda: asyncio.sleep(3600))
    await supervisor.stop(1)


async def test_a_task_that_swallows_one_cancellation_is_asked_again() -> None:
    swallowed = 0

    async def reluctant() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1

    task = asyncio.create_task(reluctant())
    await asyncio.sleep(0)
    assert await release([task], 2) == []
    assert task.done()


def test_a_task_that_will_not_end_is_let_go_in_time_and_does_not_hold_up_the_loops_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "asyncio")  # its destruction while pending is asyncio's to mention

    async def main() -> tuple[float, list[str]]:
        supervisor = Supervisor()
        supervisor.start("source x", stubborn)
        await asyncio.sleep(0)
        return await idle_seconds(lambda: supervisor.stop(0.3)), supervisor.abandoned

    took, abandoned = asyncio.run(asyncio.wait_for(main(), 20))
    assert abandoned == ["source x"]
    assert took < 1


class Talker:
    """A live source that says what it is told to, and then whatever `then` does."""

    def __init__(self, spec: SourceSpec, proposals: int = 1) -> None:
        self.spec = spec
        self.proposals = proposals
        self.said = 0
        self.ended = asyncio.Event()

    async def run(self, port: SourcePort) -> None:
        try:
            while self.said < self.proposals:
                self.said += 1
                await port.propose(a_decision(Action.BUY, self.spec.name, port.now(), name=f"{self.spec.name}-{self.said}"))
            await asyncio.sleep(3600)
        finally:
            self.ended.set()


async def test_a_live_source_is_heard_paused_and_removed_while_the_bot_runs(tmp_path: Path) -> None:
    async with running(tmp_path, ()) as rig:
        rig.quote(100.0)
        talker = Talker(a_source("rules:talker"))
        rig.host.add_life(talker)
        (fill,) = await rig.facts.count(FillBooked)
        assert fill.source == "rules:talker"
        rig.host.set_paused("rules:talker", True, "test")
        await rig.propose(Action.SELL, "rules:talker")
        await rig.facts.until(lambda: Fate.DENIED in [fate.fate for fate in rig.facts.of(DecisionFate)])
        await rig.host.remove("rules:talker", "test")
        assert talker.ended.is_set()
        await rig.facts.until(lambda: "source-removed" in [done.command for done in rig.facts.of(CommandDone)])
        assert "rules:talker" not in rig.host.specs
        with pytest.raises(KeyError):
            await rig.host.remove("rules:talker", "test")


async def test_a_source_that_proposes_without_end_is_slowed_and_can_be_stopped_while_it_waits(tmp_path: Path) -> None:
    async with running(tmp_path, ()) as rig:
        rig.quote(100.0)
        talker = Talker(a_source("rules:talker"), proposals=10**9)
        rig.host.add_life(talker)
        await rig.facts.count(DecisionSeen, 300)
        assert len(rig.inbox) <= 300
        rig.host.quiet()
        waited = await idle_seconds(lambda: rig.supervisor.stop(1.0))
        assert talker.ended.is_set()
        assert waited < 0.5


async def test_a_source_that_fails_takes_nobody_with_it(tmp_path: Path) -> None:
    class Failing(Talker):
        async def run(self, port: SourcePort) -> None:
            self.ended.set()
            message = "broken"
            raise RuntimeError(message)

    async with running(tmp_path) as rig:
        failing = Failing(a_source("rules:failing"))
        rig.host.add_life(failing)
        await asyncio.wait_for(failing.ended.wait(), 20)
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        assert "source rules:failing" in rig.supervisor.failing


async def test_a_name_is_taken_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        with pytest.raises(ValueError, match="already here"):
            rig.host.add_life(Talker(a_source(RULE)))
