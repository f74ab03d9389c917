"""Parameter sweeps: asked about first, run within the nodes, stopped whole, sorted by their target."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.services.quantconnect.backtest_args import By, Steps, Target
from bot.services.quantconnect.cloud import CloudBacktests, Patience
from bot.services.quantconnect.cloud_errors import ServiceTrouble, StageTimedOut
from bot.services.quantconnect.sweep import (
    OPTIMIZING,
    QUEUED,
    Cost,
    Point,
    Sweep,
    estimate,
    grid_of,
    ranked,
    sweep,
    values_of,
)
from bot.services.use_case import UseCaseError
from simulators.quantconnect.faults import BadHash, Drop, NeverCompletes, NodesBusy, RuntimeFailure
from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.client import Client
from sources.quantconnect.errors import Kind
from tests.services.cloud_service import Told, client_of, cloud_of, config, simulated

FAST = {"fast": Steps(min=3, max=7, step=2)}


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with simulated(terms={"backtest_nodes": 2}) as running:
        yield running


@pytest.fixture
async def client(simulator: QuantConnectSimulator) -> AsyncIterator[Client]:
    async with client_of(simulator) as opened:
        yield opened


async def swept(
    cloud: CloudBacktests, by: By, told: Told, target: Target = Target.SHARPE, *, limit_s: float = 60.0, keep: bool = True
) -> Sweep:
    async with cloud.build(config(), told, keep=keep) as build:
        cost = await estimate(cloud, build, FAST, target, by, told)
        return await sweep(cloud, build, FAST, target, by, told, cost=cost, limit_s=limit_s, keep=keep)


@pytest.mark.parametrize("by", list(By))
async def test_every_set_is_run_and_the_best_comes_first(simulator: QuantConnectSimulator, client: Client, by: By) -> None:
    told = Told()
    found = await swept(cloud_of(client), by, told)
    assert {point.parameters["fast"] for point in found.points} == {3, 5, 7}
    assert all(point.parameters["slow"] == 20 and not point.error for point in found.points)
    sharpe = [point.figures["sharpe_ratio"] or 0.0 for point in found.points]
    assert sharpe == sorted(sharpe, reverse=True)
    assert len(set(sharpe)) > 1, "the parameters did change something"
    assert found.best is found.points[0]
    stage = OPTIMIZING if by is By.OPTIMIZATION else QUEUED
    done = [each.done for each in told.seen if each.stage == stage]
    assert (done[-1], done) == (3, sorted(done))


async def test_both_ways_come_to_the_same_figures(client: Client) -> None:
    figures = {}
    for by in By:
        found = await swept(cloud_of(client), by, Told(), Target.RETURN)
        figures[by] = [(point.parameters["fast"], point.figures["compounding_annual_return"]) for point in found.points]
    assert [fast for fast, _ in figures[By.OPTIMIZATION]] == [fast for fast, _ in figures[By.BACKTESTS]]
    for (_, one), (_, other) in zip(*figures.values(), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


async def test_the_least_drawdown_is_the_best(client: Client) -> None:
    found = await swept(cloud_of(client), By.BACKTESTS, Told(), Target.DRAWDOWN)
    falls = [point.figures["drawdown"] or 0.0 for point in found.points]
    assert falls == sorted(falls)


async def test_an_estimate_starts_nothing(simulator: QuantConnectSimulator, client: Client) -> None:
    cloud = cloud_of(client)
    async with cloud.build(config(), Told(), keep=False) as build:
        by_credit = await estimate(cloud, build, FAST, Target.SHARPE, By.OPTIMIZATION, Told())
        by_nodes = await estimate(cloud, build, FAST, Target.SHARPE, By.BACKTESTS, Told())
    assert by_credit == Cost(3, 0.03, 45.0, 1)
    assert by_nodes == Cost(3, 0.0, None, 2)
    asked = simulator.counts()["requests"]
    assert "/optimizations/create" not in asked
    assert "/backtests/create" not in asked
    assert not simulator.world.projects


async def test_no_more_run_at_once_than_there_are_nodes(simulator: QuantConnectSimulator, client: Client) -> None:
    await swept(cloud_of(client), By.BACKTESTS, Told())
    assert simulator.counts()["requests"]["/backtests/create"] == 3, "none was refused for want of a node"


async def test_a_set_that_fails_does_not_end_the_others(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(RuntimeFailure(error="boom"))
    found = await swept(cloud_of(client), By.BACKTESTS, Told())
    assert [bool(point.error) for point in found.points] == [False, False, True]
    assert "boom" in found.points[-1].error


async def test_a_failed_point_of_an_optimization_is_last(simulator: QuantConnectSimulator, client: Client) -> None:
    cloud = cloud_of(client, client_text())
    found = await swept(cloud, By.OPTIMIZATION, Told())
    assert [point.parameters["fast"] for point in found.points if point.error] == [7]
    assert found.points[-1].error


def client_text() -> str:
    """Fails where `fast` is 7."""
    from tests.simulators.quantconnect_client import SMA

    return SMA.replace("self._above = None\n", 'self._above = None\n        assert self.get_parameter("fast", 5) != 7\n')


@pytest.mark.parametrize("by", list(By))
async def test_cancelling_leaves_nothing_running(simulator: QuantConnectSimulator, client: Client, by: By) -> None:
    told = Told(OPTIMIZING if by is By.OPTIMIZATION else QUEUED)
    simulator.inject(NeverCompletes(count=2))
    cloud = cloud_of(client, slow())
    task = asyncio.create_task(swept(cloud, by, told))
    await asyncio.wait_for(told.reached.wait(), 20)
    async with asyncio.timeout(20):
        while by is By.BACKTESTS and sum(len(each.backtests) for each in simulator.world.projects.values()) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)
    assert not simulator.world.projects
    assert not simulator._optimizing.known


def slow() -> str:
    """Takes a while: more minutes than a test waits for."""
    from tests.simulators.quantconnect_client import SMA

    return SMA.replace("Resolution.HOUR", "Resolution.MINUTE")


async def test_a_sweep_that_takes_too_long_is_stopped(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(NeverCompletes(count=3))
    with pytest.raises(StageTimedOut, match=r"the sweep did not end .*allow it more time"):
        await swept(cloud_of(client), By.BACKTESTS, Told(), limit_s=0.5)
    assert not any(each.backtests for each in simulator.world.projects.values())


async def test_an_optimization_whose_answer_was_lost_is_not_paid_for_twice(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    simulator.inject(Drop(path="/optimizations/create", after=True))
    found = await swept(cloud_of(client), By.OPTIMIZATION, Told())
    assert len(found.points) == 3
    assert len(simulator._optimizing.known) == 1


async def test_what_is_not_to_be_kept_is_deleted(simulator: QuantConnectSimulator, client: Client) -> None:
    cloud = cloud_of(client)
    kept = await cloud.run(config(), Told())
    for by in By:
        assert (await swept(cloud, by, Told(), keep=False)).points
    (project,) = simulator.world.projects.values()
    assert list(project.backtests) == [kept.id]
    assert not simulator._optimizing.known


async def test_trouble_with_the_service_ends_the_sweep_by_its_name(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(BadHash(path="/backtests/read", count=1_000))
    with pytest.raises(ServiceTrouble) as caught:
        await swept(cloud_of(client), By.BACKTESTS, Told())
    assert caught.value.kind is Kind.AUTHENTICATION


async def test_a_set_without_a_node_says_so(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(NodesBusy(count=100_000))
    found = await swept(cloud_of(client, patience=Patience(node_s=0.05)), By.BACKTESTS, Told())
    assert all("no backtest node was free" in point.error for point in found.points)
    assert found.best is None


def test_values_include_both_ends_and_have_no_rounding_noise() -> None:
    assert values_of(Steps(min=0.1, max=0.5, step=0.1)) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert values_of(Steps(min=5, max=20, step=5)) == [5, 10, 15, 20]
    assert all(isinstance(value, int) for value in values_of(Steps(min=5, max=20, step=5)))
    assert values_of(Steps(min=3, max=3, step=1)) == [3]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"quick": Steps(min=1, max=2, step=1)}, "no parameter 'quick'; it has fast, slow"),
        ({"fast": Steps(min=1, max=2, step=0.5)}, "fast takes whole numbers"),
        ({"fast": Steps(min=1, max=100, step=1), "slow": Steps(min=1, max=100, step=1)}, "10,000 sets .* larger steps"),
    ],
)
def test_what_cannot_be_swept_is_refused(steps: dict[str, Steps], said: str) -> None:
    with pytest.raises(UseCaseError, match=said):
        grid_of({"fast": "5", "slow": "20"}, steps)


def test_points_without_the_figure_come_after_those_with_it_and_failures_last() -> None:
    points = [Point({}, {}, error="boom"), Point({}, {}), Point({}, {"sharpe_ratio": 1.0}), Point({}, {"sharpe_ratio": 2.0})]
    assert ranked(points, Target.SHARPE) == [points[3], points[2], points[1], points[0]]
