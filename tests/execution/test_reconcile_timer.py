"""The timer of reconciliation, what it remembers, and its patience."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace

import pytest

from execution.account import ReadFailed
from execution.reconcile import ReconcileFailed, Reconciler, ReconcileRules, Reconciliation
from execution.reconcile_memory import ReconcileStateError, memory_from_json
from tests.execution.reconcile_world import BTC, OURS, RULES, SISTER, World, an_id

PATIENCE = 20.0


@dataclass(slots=True)
class Sink:
    """Everything the timer told."""

    told: list[Reconciliation | ReconcileFailed] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def on_reconciled(self, found: Reconciliation) -> None:
        self._tell(found)

    def on_reconcile_failed(self, problem: ReconcileFailed) -> None:
        self._tell(problem)

    def _tell(self, one: Reconciliation | ReconcileFailed) -> None:
        self.told.append(one)
        self._tasks.append(asyncio.create_task(self._notify()))

    async def _notify(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE), self.news:
            await self.news.wait_for(lambda: len(self.told) >= count)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_passes_follow_each_other_and_failures_are_told() -> None:
    world, sink = World(), Sink()
    world.restart(rules=replace(RULES, every_ms=5, retry_ms=5))
    world.account.fail["balances"] = [ReadFailed("down")]
    task = asyncio.create_task(world.reconciler.run(sink))
    await sink.until(3)
    await _stop(task)
    first, *others = sink.told
    assert isinstance(first, ReconcileFailed)
    assert first.what == "the balances"
    assert all(isinstance(one, Reconciliation) and one.explained for one in others)


async def test_a_pass_is_made_at_once_when_asked_for() -> None:
    world, sink = World(), Sink()
    world.restart(rules=replace(RULES, every_ms=3_600_000))
    task = asyncio.create_task(world.reconciler.run(sink))
    for count in (1, 2):
        world.reconciler.soon()
        await sink.until(count)
    await _stop(task)
    assert len(sink.told) == 2


async def test_asking_during_a_pass_makes_another_one() -> None:
    world, sink = World(), Sink()
    world.restart(rules=replace(RULES, every_ms=3_600_000))
    world.account.before["balances"] = [world.reconciler.soon]
    task = asyncio.create_task(world.reconciler.run(sink))
    world.reconciler.soon()
    await sink.until(2)
    await _stop(task)


async def test_an_order_still_missing_brings_the_next_pass_forward() -> None:
    world, sink = World(), Sink()
    world.restart(rules=replace(RULES, every_ms=3_600_000, grace_ms=20))
    await world.reconciler.once()
    client_id = world.doubt("entry")
    world.reconciler.soon()
    task = asyncio.create_task(world.reconciler.run(sink))
    await sink.until(1)
    world.at += 20
    await sink.until(2)
    await _stop(task)
    last = sink.told[1]
    assert isinstance(last, Reconciliation)
    assert last.resolved == (client_id,)


async def test_a_pass_that_hangs_fails_in_time() -> None:
    world = World()

    class Hanging(type(world.account)):  # type: ignore[misc]  # the scripted account, with one answer less
        async def balances(self) -> object:
            await asyncio.Event().wait()
            raise AssertionError

    account = Hanging(lambda: world.at, {})
    reconciler = Reconciler(account, world.tracked, lambda: world.at, replace(RULES, pass_ms=20))
    with pytest.raises(ReconcileFailed, match="longer than 20 ms"):
        await reconciler.once()
    assert reconciler.failures == 1


async def test_passes_never_overlap() -> None:
    world = World()
    running: list[int] = []
    world.account.before["open_orders"] = [lambda: running.append(world.reconciler.passes)] * 3
    await asyncio.gather(*(world.reconciler.once() for _ in range(3)))
    assert running == [0, 1, 2]


async def test_what_it_remembers_is_plain_json_and_comes_back_whole() -> None:
    world = World()
    await world.reconciler.once()
    world.account.fill(world.account.rest("web_1").venue_id, "0.1")
    world.account.fill(world.account.rest(an_id("whose?")).venue_id, "0.1")
    hidden = world.account.rest("web_2")
    world.account.fill(hidden.venue_id, "0.1")
    del world.account.orders[hidden.venue_id]
    world.account.move("USDT", "1.5")
    await world.reconciler.once()
    state = world.reconciler.snapshot()
    assert state["pending"]
    assert state["strays"]
    written = json.loads(json.dumps(state))
    assert written == state
    world.restart(written)
    assert world.reconciler.snapshot() == state


@pytest.mark.parametrize("state", [7, {}, {"version": 0}, {"version": 1}, {"version": 1, "ledger": {"began": "x"}}])
def test_a_state_of_something_else_is_refused(state: object) -> None:
    with pytest.raises(ReconcileStateError, match="begin without it"):
        memory_from_json(state)


async def test_memory_is_bounded_and_says_what_it_dropped() -> None:
    world = World()
    rules = replace(RULES, keep=3, overlap_ms=0, quiet_ms=10_000_000)
    world.restart(rules=rules)
    await world.reconciler.once()
    for number in range(10):
        world.account.fill(world.account.rest(f"web_{number}").venue_id, "0.1")
        world.account.take("BTC", number * world.account.totals["ETH"])  # never explained
        world.at += 1_000
        await world.reconciler.once()
    state = world.reconciler.snapshot()
    assert len(state["owners"]) == 3
    assert len(state["ledger"]["trades"][BTC]["ids"]) <= 4
    assert state["dropped"] == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"every_ms": 0}, "every_ms"), ({"looks": 1}, "looks"), ({"sisters": (SISTER, OURS)}, "own prefix")],
)
def test_rules_that_cannot_work_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReconcileRules(**{"symbols": (BTC,), "prefix": OURS, **changes})  # type: ignore[arg-type]  # from a table
