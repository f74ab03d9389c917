"""The client and the simulated service, over real sockets: whole lives, with quirks and forced failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from simulators.quantconnect.demo import ALGORITHM
from simulators.quantconnect.faults import (
    BadHash,
    ClockSkew,
    CompileError,
    CompileLag,
    CompileStuck,
    Deleted,
    Drop,
    HalfStatistics,
    LyingStatus,
    NeverCompletes,
    NodesBusy,
    Page,
    RateLimit,
    RuntimeFailure,
    Slow,
    Status,
)
from simulators.quantconnect.quirks import NAMES
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from sources.quantconnect.client import Client
from sources.quantconnect.client_live import Plan, paper
from sources.quantconnect.client_optimizations import Search
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_backtest import Backtest, Stage
from sources.quantconnect.models_live import LiveStatus
from sources.quantconnect.models_optimization import Range
from sources.quantconnect.models_project import CompileState
from sources.quantconnect.models_trade import InsightDirection
from tests.sources.quantconnect.qc_service import QUICK

SHORT = ALGORITHM.replace("self.set_end_date(2026, 1, 31)", "self.set_end_date(2026, 1, 2)")
PATIENT = replace(QUICK, call_s=30, attempt_s=20)


async def sleep(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.02))


def client_of(simulator: QuantConnectSimulator, **more: Any) -> Client:
    options: dict[str, Any] = {"base_url": simulator.url, "limits": PATIENT, "sleep": sleep, **more}
    return Client(simulator.user, options.pop("token", simulator.token), **options)


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with QuantConnectSimulator(Terms(creates_at_once=50), quirks=dict.fromkeys(NAMES, 0.7), seed=3) as running:
        yield running


@pytest.fixture
async def client(simulator: QuantConnectSimulator) -> AsyncIterator[Client]:
    async with client_of(simulator) as opened:
        yield opened


async def compiled(client: Client, text: str = SHORT) -> tuple[int, str]:
    project = await client.projects.create("sma")
    await client.files.write(project.project_id, "main.py", text)
    build = await client.compiles.finished(project.project_id)
    assert build.state is CompileState.BUILD_SUCCESS, build.logs
    return project.project_id, build.compile_id


async def ended(client: Client, project_id: int, backtest_id: str, last: Stage = Stage.DONE) -> Backtest:
    async with asyncio.timeout(30):
        while (found := await client.backtests.read(project_id, backtest_id)).stage is not last:
            assert found.stage in {Stage.RUNNING, Stage.UNSETTLED}, found.error
            await asyncio.sleep(0.02)
    return found


async def test_a_backtest_from_project_to_results(client: Client) -> None:
    await client.authenticate()
    project_id, compile_id = await compiled(client)
    begun = await client.backtests.create(project_id, compile_id, "run", {"period": 10})
    found = await ended(client, project_id, begun.backtest_id)
    assert found.statistics is not None
    assert found.runtime_statistics is not None
    assert found.total_performance is not None
    orders = [order async for order in client.backtests.orders(project_id, begun.backtest_id)]
    assert found.statistics.total_orders == len(orders) > 0
    assert found.statistics.end_equity == pytest.approx(found.runtime_statistics.equity, abs=0.02)
    assert found.parameter_set == {"period": "10"}
    insights = [insight async for insight in client.backtests.insights(project_id, begun.backtest_id)]
    assert len({insight.id for insight in insights}) == len(insights) > 100
    assert all(insight.direction in {InsightDirection.UP, InsightDirection.DOWN} for insight in insights)
    assert all(0.5 <= (insight.confidence or 0) <= 0.95 for insight in insights)
    trades = [trade async for trade in client.backtests.trades(project_id, begun.backtest_id)]
    assert trades
    assert all(trade.entry_time and trade.exit_time and trade.entry_time <= trade.exit_time for trade in trades)
    start, end = (found.backtest_start or 0) // 1_000, (found.backtest_end or 0) // 1_000
    chart = await client.backtests.chart(project_id, begun.backtest_id, "Strategy Equity", start, end + 86_400)
    assert any(series.values for series in chart.series.values())
    assert "<html" in (await client.backtests.report(project_id, begun.backtest_id)).lower()
    assert isinstance([line async for line in client.backtests.log(project_id, begun.backtest_id)], list)
    (row,) = await client.backtests.list(project_id)
    assert (row.backtest_id, row.name) == (begun.backtest_id, "run")
    await client.backtests.update(project_id, begun.backtest_id, name="again", note="kept")
    await client.backtests.set_tags(project_id, begun.backtest_id, ["a"])
    assert (await client.backtests.read(project_id, begun.backtest_id)).name == "again"
    await client.backtests.delete(project_id, begun.backtest_id)
    with pytest.raises(QcError):
        await client.backtests.read(project_id, begun.backtest_id)
    assert client.stats.bad_rows == 0


async def test_projects_files_and_nodes(client: Client) -> None:
    first, second = await client.projects.create("same"), await client.projects.create("same")
    assert first.name != second.name
    await client.projects.update(first.project_id, name="renamed", description="d", parameters={"fast": 10, "slow": "30"})
    read = await client.projects.read(first.project_id)
    assert (read.name, {row.key: row.value for row in read.parameters}) == ("renamed", {"fast": "10", "slow": "30"})
    await client.files.create(first.project_id, "lib/rules.py", "# 策略\r\n")
    assert (await client.files.read(first.project_id, "lib/rules.py")).content == "# 策略\r\n"
    with pytest.raises(QcError):
        await client.files.create(first.project_id, "lib/rules.py", "")
    await client.files.rename(first.project_id, "lib/rules.py", "rules.py")
    assert {"main.py", "rules.py"} <= {file.name for file in await client.files.list(first.project_id)}
    await client.files.delete(first.project_id, "rules.py")
    with pytest.raises(QcError, match=r"32,000 characters"):
        await client.files.write(first.project_id, "main.py", "x" * 32_001)
    nodes = await client.projects.nodes(first.project_id)
    assert len(nodes.nodes.backtest) == 1
    await client.projects.set_nodes(first.project_id, [nodes.nodes.backtest[0].id])
    assert {row.project_id for row in await client.projects.list()} >= {first.project_id, second.project_id}
    await client.projects.delete(first.project_id)
    with pytest.raises(QcError) as caught:
        await client.projects.read(first.project_id)
    assert caught.value.kind in {Kind.BAD_REQUEST, Kind.NOT_FOUND}


async def test_the_account_and_the_versions(client: Client, simulator: QuantConnectSimulator) -> None:
    assert (await client.account()).organization_id == simulator.organization
    assert [row.id for row in await client.organizations()] == [simulator.organization]
    assert (await client.organization(simulator.organization)).name
    assert await client.versions()
    assert await client.environments()


async def test_the_object_store(client: Client, simulator: QuantConnectSimulator) -> None:
    organization, large = simulator.organization, "é" * 20_000
    await client.objects.put(organization, "signals/latest.json", b'{"a":1}')
    await client.objects.put(organization, "signals/large.txt", large.encode())
    assert await client.objects.text(organization, "signals/latest.json") == '{"a":1}'
    assert await client.objects.text(organization, "signals/large.txt") == large
    assert len((await client.objects.list(organization, "signals")).objects) == 2
    await client.objects.delete(organization, "signals")
    with pytest.raises(QcError):
        await client.objects.properties(organization, "signals/latest.json")


async def test_an_optimization(client: Client) -> None:
    project_id, compile_id = await compiled(client)
    search = Search(project_id, "grid", compile_id, [Range(name="period", min=10, max=20, step=10)])
    cost = await client.optimizations.estimate(search)
    assert cost.time is not None
    begun = await client.optimizations.create(search, estimated_cost=cost.balance or 0.01)
    async with asyncio.timeout(60):
        while not (found := await client.optimizations.read(begun.optimization_id)).status.finished:
            await asyncio.sleep(0.05)
    assert {row.parameter_set["period"] for row in found.backtests.values()} == {"10", "20"}
    assert all(row.statistics is not None and row.statistics.total_orders for row in found.backtests.values())
    assert [row.optimization_id for row in await client.optimizations.list(project_id)] == [begun.optimization_id]
    with pytest.raises(QcError):
        await client.optimizations.abort(begun.optimization_id)
    await client.optimizations.rename(begun.optimization_id, "other")
    await client.optimizations.delete(begun.optimization_id)


async def test_a_live_algorithm_from_deployment_to_its_end(client: Client, simulator: QuantConnectSimulator) -> None:
    project_id, compile_id = await compiled(client, ALGORITHM)
    with pytest.raises(QcError) as caught:
        await client.live.read(project_id)
    assert caught.value.kind is Kind.NOT_FOUND
    (node, *_) = (await client.projects.nodes(project_id)).nodes.live
    deployed = await client.live.deploy(Plan(project_id, compile_id, node.id, paper({"USDT": 10_000})))
    async with asyncio.timeout(30):
        while (found := await client.live.read(project_id)).status is not LiveStatus.RUNNING:
            assert found.active, found.status
            await asyncio.sleep(0.02)
    assert (found.deploy_id, found.brokerage) == (deployed.deploy_id, "PaperBrokerage")
    await simulator.emit("BTCUSDT", "up", confidence=0.9)
    async with asyncio.timeout(30):
        while not (insights := [insight async for insight in client.live.insights(project_id)]):
            await asyncio.sleep(0.05)
    assert {insight.ticker for insight in insights} <= {"BTCUSDT", "ETHUSDT"}
    portfolio = await client.live.portfolio(project_id)
    assert portfolio.cash["USDT"].amount > 0
    assert isinstance([order async for order in client.live.orders(project_id)], list)
    assert [line async for line in client.live.log(project_id, deployed.deploy_id)]
    assert [row.deploy_id for row in await client.live.list(status=LiveStatus.RUNNING)] == [deployed.deploy_id]
    await client.live.command(project_id, {"$type": "OrderCommand", "symbol": {"id": "BTCUSDT 18N", "value": "BTCUSDT"}})
    await client.live.liquidate(project_id)
    async with asyncio.timeout(30):
        while (found := await client.live.read(project_id)).active:
            await asyncio.sleep(0.02)
    assert found.status is LiveStatus.LIQUIDATED
    assert len(await client.live.export_insights(deployed.deploy_id)) >= len(insights)


async def test_wrong_credentials_and_a_clock_that_is_off_are_named(simulator: QuantConnectSimulator, client: Client) -> None:
    async with client_of(simulator, token="wrong") as wrong:
        with pytest.raises(QcError, match="QUANTCONNECT_API_TOKEN") as caught:
            await wrong.authenticate()
        assert caught.value.kind is Kind.AUTHENTICATION
    simulator.inject(ClockSkew(8_000))
    await client.authenticate()  # by the service's clock, once it has refused ours
    assert client.stats.clock_offset_s == pytest.approx(8_000, abs=5)
    simulator.inject(ClockSkew(0))
    await client.authenticate()
    assert client.stats.clock_offset_s == 0.0
    simulator.inject(BadHash())
    with pytest.raises(QcError, match="Hash doesn't match"):
        await client.authenticate()
    await client.authenticate()


@pytest.mark.parametrize(
    "fault",
    [Status(500, count=2), Status(502, count=2, body="html"), Page(count=2), Page(count=2, cut=True), Drop(count=2), Slow(0.1)],
)
async def test_reads_live_through_faults_of_answers(simulator: QuantConnectSimulator, client: Client, fault: Any) -> None:
    project = await client.projects.create("a")
    simulator.inject(fault)
    assert (await client.projects.read(project.project_id)).project_id == project.project_id


@pytest.mark.parametrize("after", [False, True])
async def test_a_backtest_whose_answer_was_lost_is_found_in_the_list_and_never_started_twice(
    simulator: QuantConnectSimulator, client: Client, after: bool
) -> None:
    project_id, compile_id = await compiled(client)
    simulator.inject(Drop(path="/backtests/create", after=after))
    with pytest.raises(QcError) as caught:
        await client.backtests.create(project_id, compile_id, "lost")
    assert caught.value.may_have_happened
    assert len(await client.backtests.list(project_id)) == int(after)


async def test_one_node_is_waited_for_and_deleting_frees_it(simulator: QuantConnectSimulator, client: Client) -> None:
    project_id, compile_id = await compiled(client)
    simulator.inject(NeverCompletes(count=2))
    first = await client.backtests.create(project_id, compile_id, "first")
    with pytest.raises(QcError) as caught:
        await client.backtests.create(project_id, compile_id, "second")
    assert caught.value.kind is Kind.CAPACITY
    waiting = asyncio.ensure_future(client.backtests.create(project_id, compile_id, "second", wait_for_node_s=20))
    await client.backtests.delete(project_id, first.backtest_id)
    second = await waiting
    await client.backtests.delete(project_id, second.backtest_id)


async def test_forced_failures_of_jobs_have_names(simulator: QuantConnectSimulator, client: Client) -> None:
    project_id, compile_id = await compiled(client)
    simulator.inject(CompileError(line=7))
    build = await client.compiles.finished(project_id)
    assert (build.state, build.errors[0].line) == (CompileState.BUILD_ERROR, 7)
    simulator.inject(CompileStuck())
    assert (await client.compiles.finished(project_id)).state is CompileState.BUILD_SUCCESS
    simulator.inject(CompileLag(count=2))
    simulator.inject(RuntimeFailure(error="boom", initializing=True))
    begun = await client.backtests.create(project_id, compile_id, "fails")
    found = await ended(client, project_id, begun.backtest_id, Stage.FAILED)
    assert "boom" in found.error
    simulator.inject(HalfStatistics(reads=2))
    simulator.inject(LyingStatus())
    simulator.inject(NodesBusy())
    begun = await client.backtests.create(project_id, compile_id, "halves", wait_for_node_s=5)
    stages = [(await client.backtests.read(project_id, begun.backtest_id)).stage for _ in range(2)]
    assert Stage.DONE not in stages
    await ended(client, project_id, begun.backtest_id)
    simulator.inject(Deleted("backtest"))
    with pytest.raises(QcError, match="has been deleted") as caught:
        await client.backtests.read(project_id, begun.backtest_id)
    assert caught.value.kind is Kind.NOT_FOUND
    simulator.inject(Deleted("project"))
    with pytest.raises(QcError) as caught:
        await client.backtests.list(project_id)
    assert not caught.value.transient


async def test_the_default_budget_keeps_below_a_limit_of_thirty_a_minute(simulator: QuantConnectSimulator) -> None:
    simulator.inject(RateLimit(30))
    limits = replace(PATIENT, requests=30, window_s=60, burst=29, call_s=0.5)
    async with client_of(simulator, limits=limits) as client:
        ends = await asyncio.gather(*(client.authenticate() for _ in range(40)), return_exceptions=True)
        assert sum(end is None for end in ends) == 29
        assert client.stats.penalties == 0
        assert all(isinstance(end, QcError) and end.kind is Kind.RATE_LIMIT for end in ends if end is not None)


async def test_a_client_without_a_budget_obeys_retry_after(simulator: QuantConnectSimulator) -> None:
    simulator.inject(RateLimit(3))
    async with client_of(simulator, limits=replace(PATIENT, call_s=1)) as client:
        ends = [await _end(client) for _ in range(6)]
        assert [end is None for end in ends] == [True, True, True, False, False, False]
        last = ends[-1]
        assert last is not None
        assert (last.kind, (last.retry_after_s or 0) > 1) == (Kind.RATE_LIMIT, True)
        assert client.stats.requests == 4


async def _end(client: Client) -> QcError | None:
    try:
        await client.authenticate()
    except QcError as error:
        return error
    return None
