"""What people ask of the sources that hear QuantConnect: how they are, to ask now, to decide on one signal now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from bot.core.decision import SourceSpec, Tier
from bot.services.running import HELD, Running
from bot.services.use_case import Ground, UseCaseError
from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.settings import PollParams, QuantConnectParams
from sources.quantconnect.source import QuantConnectSource
from tests.services.qc_ground import QUICK, Clock, do, project_of, standing
from tests.services.test_qc_signals import emitted
from tests.sources.quantconnect.qc_port import Port

NAME = "quantconnect:asked"


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with QuantConnectSimulator(QUICK) as running:
        yield running


@pytest.fixture
async def now() -> Clock:
    return Clock(time.time_ns() // 1_000_000)


@pytest.fixture
async def ground(simulator: QuantConnectSimulator, tmp_path: Path, now: Clock) -> AsyncIterator[Ground]:
    async with standing(simulator.url, tmp_path, now) as made:
        yield made


@asynccontextmanager
async def heard(ground: Ground, project: int, now: Clock, symbol: str = "BTC/USDT") -> AsyncIterator[Port]:
    """A bot whose only source hears a project, has polled once, and will not again by itself."""
    port, polled = Port(clock=now), asyncio.Event()

    async def never(seconds: float) -> None:
        del seconds
        polled.set()
        await asyncio.Event().wait()

    said = QuantConnectParams(projects=(project,), insights=PollParams(enabled=True), base_url=ground.quantconnect.base_url)
    spec = SourceSpec(NAME, Tier.QUANTCONNECT, Decimal(1))
    source = QuantConnectSource(spec, said, 3_600_000, (symbol,), ground.quantconnect, budget=ground.budget, sleep=never)
    ground.held[HELD] = Running(port, {NAME: source}.get, lambda: (NAME,))
    task = asyncio.create_task(source.run(port))
    try:
        await asyncio.wait_for(polled.wait(), 20)
        yield port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_signal_that_no_poll_brought_is_decided_on_once(
    simulator: QuantConnectSimulator, ground: Ground, now: Clock
) -> None:
    project = project_of(simulator)
    await do(ground, "qc.deploy", project=project)
    async with heard(ground, project, now) as port:
        name = await emitted(simulator, project, "BTC/USDT")
        now.at = time.time_ns() // 1_000_000 + 1_000
        shown = await do(ground, "qc.signal", id=name)
        assert (shown["journaled"], shown["known"], shown["fresh"]["verdict"]) == (None, False, "new")
        done = await do(ground, "qc.process", id=name)
        assert done["outcome"] == "proposed"
        assert [one.id for one in port.live()] == [done["decision"]]
        again = await do(ground, "qc.process", id=name, project=project)
        assert (again["outcome"], again["decision"]) == ("known", None), "nobody writes a journal here"
        fetched = await do(ground, "qc.fetch", source=NAME)
        assert fetched["sources"][0]["came"] == {"duplicate": 1}
        assert len(port.decisions) == 1


async def test_a_signal_of_a_market_that_is_not_traded_is_refused_with_the_reason(
    simulator: QuantConnectSimulator, ground: Ground, now: Clock
) -> None:
    project = project_of(simulator)
    await do(ground, "qc.deploy", project=project)
    async with heard(ground, project, now, "SOL/USDT") as port:
        name = await emitted(simulator, project, "BTC/USDT")
        with pytest.raises(UseCaseError, match="quantconnect:asked does not trade BTC/USDT"):
            await do(ground, "qc.process", id=name)
        assert port.decisions == []


async def test_a_project_that_no_source_goes_by_is_not_traded_on_request(
    simulator: QuantConnectSimulator, ground: Ground, now: Clock
) -> None:
    listened, other = project_of(simulator), project_of(simulator)
    await do(ground, "qc.deploy", project=other)
    async with heard(ground, listened, now) as port:
        name = await emitted(simulator, other, "BTC/USDT")
        with pytest.raises(UseCaseError, match=f"no running source goes by the insights of project {other}"):
            await do(ground, "qc.process", id=name, project=other)
        assert port.decisions == []


async def test_the_status_tells_routes_and_budget_and_what_no_bot_can_do(
    simulator: QuantConnectSimulator, ground: Ground, now: Clock
) -> None:
    alone = await do(ground, "qc.status")
    assert (alone["configured"], alone["sources"]) == (True, [])
    with pytest.raises(UseCaseError, match="running bot"):
        await do(ground, "qc.process", id="any")
    with pytest.raises(UseCaseError, match="no source that hears QuantConnect runs"):
        await do(ground, "qc.fetch")
    project = project_of(simulator)
    async with heard(ground, project, now):
        (source,) = (await do(ground, "qc.status"))["sources"]
        assert (source["projects"], source["routes"][0]["healthy"]) == ([project], False)
        with pytest.raises(UseCaseError, match="there are quantconnect:asked"):
            await do(ground, "qc.fetch", source="quantconnect:other")
