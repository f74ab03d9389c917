"""No process outlives the job that started it, whenever the job is stopped."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from simulators.quantconnect.jobs import Crew, Worker, cancel
from simulators.quantconnect.server import QuantConnectSimulator
from tests.simulators.quantconnect_client import Client

PATIENCE = 30.0


def children() -> set[int]:
    """The processes that are this one's own, dead ones that nobody has buried included."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended while we looked
                continue
            if int(fields[1]) == os.getpid():
                found.add(int(folder.name))
    return found


async def listened(worker: Worker) -> None:
    messages = worker.messages()
    try:
        async for _ in messages:
            pass
    finally:
        await messages.aclose()


async def stopped_after(turns: int) -> set[int]:
    """What is left of a worker that is given up after so many turns of the loop."""
    before, crew = children(), Crew()
    task = crew.start(listened(Worker({"mode": "nothing"})), "job")
    for _ in range(turns):
        await asyncio.sleep(0)
    cancel(task)
    async with asyncio.timeout(PATIENCE):
        await crew.close()
    return children() - before


Runs = Callable[[Coroutine[Any, Any, set[int]]], set[int]]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 5, 6, 8, 12])
def test_a_job_that_is_stopped_while_its_process_starts_leaves_none_behind(run: Runs, turns: int) -> None:
    left: list[set[int]] = []
    thread = threading.Thread(target=lambda: left.append(run(stopped_after(turns))))  # its loop, policy and end are its own
    thread.start()
    thread.join(PATIENCE)
    assert left == [set()]


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
async def test_a_backtest_that_is_deleted_right_after_it_was_created_leaves_no_process_and_a_free_node(turns: int) -> None:
    before = children()
    async with QuantConnectSimulator() as simulator, Client(simulator) as client:
        project = await client.project()
        backtest = await client.begun(project)
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.good("/backtests/delete", projectId=project, backtestId=backtest)
        again = await client.begun(project)
        await client.good("/backtests/delete", projectId=project, backtestId=again)
        await client.good("/projects/delete", projectId=project)
        async with asyncio.timeout(PATIENCE):
            while children() - before:
                await asyncio.sleep(0.01)
    assert simulator.counts()["events"].get("internal_errors", 0) == 0


async def test_closing_the_service_ends_every_process_of_it() -> None:
    before = children()
    async with QuantConnectSimulator() as simulator, Client(simulator) as client:
        await client.begun(await client.project())
        await simulator.deploy()
        assert children() - before
    assert children() - before == set()
