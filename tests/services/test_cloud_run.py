"""Backtests in the cloud, from a configuration to a result: the real client and the simulated service, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from copy import copy

import pytest

from bot.services.quantconnect.cloud import COMPILING, GENERATING, READING, RUNNING, WAITING, Patience
from bot.services.quantconnect.cloud_errors import (
    AlgorithmFailed,
    BuildFailed,
    CloudError,
    NoFreeNode,
    ServiceTrouble,
    StageTimedOut,
    TextRefused,
    Vanished,
)
from bot.services.quantconnect.cloud_projects import FOLDER, MARK, UPLOADING
from bot.services.quantconnect.conversion import Outcome
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
    Refuse,
    RuntimeFailure,
    Slow,
)
from simulators.quantconnect.quirks import NAMES
from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.client import Client
from sources.quantconnect.errors import Kind
from sources.quantconnect.lean.config import BacktestConfig
from sources.quantconnect.lean.generating import LeanProject
from tests.services.cloud_service import BROKEN, QUIET, Told, client_of, cloud_of, config, simulated
from tests.services.cloud_service import project as project_of
from tests.simulators.quantconnect_client import SMA


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with simulated() as running:
        yield running


@pytest.fixture
async def client(simulator: QuantConnectSimulator) -> AsyncIterator[Client]:
    async with client_of(simulator) as opened:
        yield opened


def backtests(simulator: QuantConnectSimulator) -> int:
    return sum(len(each.backtests) for each in simulator.world.projects.values())


async def test_a_configuration_becomes_a_result_and_every_stage_is_told(client: Client) -> None:
    told = Told()
    found = await cloud_of(client).run(config(), told)
    assert told.stages == [GENERATING, UPLOADING, COMPILING, WAITING, RUNNING, READING]
    assert found.outcome is Outcome.COMPLETE
    assert found.statistics is not None
    assert found.statistics.equity_start == 10_000
    assert found.statistics.trades == len(found.trades) > 2
    assert found.orders
    assert found.insights
    assert found.parameters == {"fast": 5, "slow": 20}
    assert (found.trades[0].symbol, found.currency) == ("BTC/USDT", "USDT")
    assert found.name.startswith("sma-rsi BTC/USDT 2026-")


async def test_the_project_is_ours_and_is_used_again(simulator: QuantConnectSimulator, client: Client) -> None:
    cloud, told = cloud_of(client), Told()
    await cloud.run(config(), told)
    await cloud.run(config(), told)
    (project,) = simulator.world.projects.values()
    assert project.name == f"{FOLDER}sma-rsi BTC-USDT"
    assert project.description.startswith(MARK)
    assert len(project.backtests) == 2
    writes = simulator.counts()["requests"]["/files/update"]
    assert writes == 1, "the second time nothing had changed"


async def test_a_project_of_somebody_else_is_never_touched(simulator: QuantConnectSimulator, client: Client) -> None:
    theirs = simulator.upload(f"{FOLDER}sma-rsi BTC-USDT", {"main.py": "theirs = 1\n"})
    for _ in range(2):
        await cloud_of(client).run(config(), Told())
    assert theirs.files["main.py"].content == "theirs = 1\n"
    assert not theirs.backtests
    names = [each.name for each in simulator.world.projects.values()]
    assert names == [f"{FOLDER}sma-rsi BTC-USDT", f"{FOLDER}sma-rsi BTC-USDT 1"]


async def test_two_that_share_a_project_run_what_each_of_them_wrote(simulator: QuantConnectSimulator, client: Client) -> None:
    cloud = cloud_of(client)
    other = copy(cloud)  # as `with_patience` does, with another text
    other._generate = lambda _: project_of(QUIET)
    async with asyncio.TaskGroup() as group:
        trading, quiet = (group.create_task(each.run(config(), Told())) for each in (cloud, other))
    assert len(simulator.world.projects) == 1
    assert (trading.result().outcome, quiet.result().outcome) == (Outcome.COMPLETE, Outcome.NO_TRADES)


async def test_what_is_not_to_be_kept_is_deleted(simulator: QuantConnectSimulator, client: Client) -> None:
    found = await cloud_of(client).run(config(), Told(), keep=False)
    assert found.trades
    assert not simulator.world.projects


async def test_a_project_that_was_there_before_stays_when_a_run_is_not_kept(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    cloud = cloud_of(client)
    kept = await cloud.run(config(), Told())
    await cloud.run(config(), Told(), keep=False)
    (project,) = simulator.world.projects.values()
    assert list(project.backtests) == [kept.id]


async def test_a_changed_text_is_uploaded_and_files_that_went_are_deleted(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    await cloud_of(client).run(config(), Told())
    (project,) = simulator.world.projects.values()
    simulator._projects.put(project, "old.py", "this is no python")
    changed = SMA.replace('self.log("long")', 'self.log("up")')
    await cloud_of(client, changed).run(config(), Told())
    assert project.files["main.py"].content == changed
    assert "old.py" not in project.files
    assert "research.ipynb" in project.files


async def test_line_breaks_that_the_service_changed_are_no_difference(simulator: QuantConnectSimulator, client: Client) -> None:
    cloud = cloud_of(client)
    await cloud.run(config(), Told())
    (project,) = simulator.world.projects.values()
    simulator._projects.put(project, "main.py", SMA.replace("\n", "\r\n").rstrip())
    await cloud.run(config(), Told())
    assert simulator.counts()["requests"]["/files/update"] == 1


async def test_a_build_error_says_file_and_line(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(CompileError(line=7, message="unexpected indent"))
    with pytest.raises(BuildFailed, match=r"main\.py:7: .*unexpected indent.*; correct") as caught:
        await cloud_of(client).run(config(), Told())
    assert (caught.value.errors[0].file, caught.value.errors[0].line) == ("main.py", 7)
    assert backtests(simulator) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class A(QCAlgorithm:\n", r"main\.py:1: does not parse"),
        ("from AlgorithmImports import *\nx = 1\n", r"main\.py:\d"),
        (SMA + "#" * 32_000, "32,000"),
    ],
)
async def test_a_text_that_cannot_run_is_never_sent(
    simulator: QuantConnectSimulator, client: Client, text: str, said: str
) -> None:
    with pytest.raises(TextRefused, match=said):
        await cloud_of(client, text).run(config(), Told())
    assert not simulator.counts()["requests"]


async def test_parsing_that_another_thread_disturbed_is_done_again(client: Client) -> None:
    cloud, disturbed = cloud_of(client), iter([True, True])

    def generate(_: BacktestConfig) -> LeanProject:
        if next(disturbed, False):
            message = "AST constructor recursion depth mismatch (before=33, after=26)"
            raise SystemError(message)
        return project_of()

    cloud._generate = generate
    assert (await cloud.run(config(), Told())).outcome is Outcome.COMPLETE


async def test_a_compile_that_hangs_is_begun_anew(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(CompileStuck())
    found = await cloud_of(client).run(config(), Told())
    assert found.outcome is Outcome.COMPLETE
    assert simulator.counts()["requests"]["/compile/create"] == 2


async def test_a_compile_that_always_hangs_times_out(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(CompileStuck(count=2))
    with pytest.raises(StageTimedOut, match=r"compiling did not end within 0.3 s; try again later"):
        await cloud_of(client, patience=Patience(compile_s=0.3)).run(config(), Told())


async def test_a_compile_that_is_not_known_yet_is_waited_for(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(CompileLag(count=2))
    assert (await cloud_of(client).run(config(), Told())).outcome is Outcome.COMPLETE


async def test_a_busy_node_is_waited_for(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(NodesBusy(count=3))
    told = Told()
    found = await cloud_of(client).run(config(), told)
    assert found.outcome is Outcome.COMPLETE
    assert sum(each.stage == WAITING for each in told.seen) == 4
    assert backtests(simulator) == 1


async def test_no_free_node_is_named_with_what_holds_it(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(NeverCompletes())
    cloud = cloud_of(client, patience=Patience(node_s=0.3))
    async with asyncio.TaskGroup() as group:
        told = Told(RUNNING)
        first = group.create_task(cloud.run(config(), told))
        await asyncio.wait_for(told.reached.wait(), 20)
        with pytest.raises(NoFreeNode, match=r"1 of 1 nodes busy: arbiter/sma-rsi BTC-USDT.*delete"):
            await cloud.run(config(name="other"), Told())
        first.cancel()
    assert backtests(simulator) == 0


async def test_a_runtime_error_comes_with_its_stack_trace_and_stays_to_be_looked_at(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    with pytest.raises(AlgorithmFailed, match=r"in initialize.*boom.*correct the strategy") as caught:
        await cloud_of(client, BROKEN).run(config(), Told())
    assert caught.value.initializing
    assert "main.py" in caught.value.trace
    assert backtests(simulator) == 1


async def test_an_error_on_data_is_one_while_it_ran(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(RuntimeFailure(error="division by zero"))
    with pytest.raises(AlgorithmFailed, match="while it ran: division by zero"):
        await cloud_of(client).run(config(), Told(), keep=False)
    assert not simulator.world.projects


async def test_a_strategy_that_never_trades_is_an_outcome_with_a_remedy(client: Client) -> None:
    found = await cloud_of(client, QUIET).run(config(), Told())
    assert found.outcome is Outcome.NO_TRADES
    assert found.statistics is not None
    assert (found.statistics.trades, found.statistics.total_return) == (0, 0)
    assert any("never traded" in notice and "loosen" in notice for notice in found.notices)


async def test_a_status_that_says_completed_from_the_start_is_not_believed(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    simulator.inject(LyingStatus("Completed."))
    found = await cloud_of(client).run(config(), Told())
    assert found.statistics is not None
    assert found.backtest.completed


async def test_half_statistics_are_waited_for(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(HalfStatistics(reads=5))
    told = Told()
    found = await cloud_of(client).run(config(), told)
    assert found.outcome is Outcome.COMPLETE
    assert any(each.note == "waiting for the statistics" for each in told.seen)


async def test_statistics_that_stay_half_make_a_partial_result(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(HalfStatistics(reads=None))
    found = await cloud_of(client).run(config(), Told())
    assert found.outcome is Outcome.PARTIAL
    assert found.backtest.total_performance is None
    assert found.trades, "they are read page by page"
    assert found.statistics is not None
    assert any("half" in notice and "again later" in notice for notice in found.notices)


async def test_a_chart_that_cannot_be_read_is_said_and_the_rest_is_there(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    plotting = SMA.replace('self.log("long")', 'self.plot("Mine", "price", 1)')
    simulator.inject(Refuse("Chart not found", path="/backtests/chart/read"))
    with pytest.raises(ServiceTrouble, match="Chart not found"):
        await cloud_of(client, plotting).run(config(), Told())
    assert backtests(simulator) == 1, "it has ended: it can be read later"
    told = Told("charts")
    task = asyncio.create_task(cloud_of(client, plotting).run(config(), told))
    await asyncio.wait_for(told.reached.wait(), 20)
    simulator.inject(Refuse("Chart not found", path="/backtests/chart/read"))
    found = await task
    assert found.equity
    assert len(found.charts) == 4, "all but one, its own among them or not"
    assert any("could not be read: Chart not found" in notice for notice in found.notices)


async def test_a_run_that_takes_too_long_is_deleted(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(NeverCompletes())
    with pytest.raises(StageTimedOut, match=r"running did not end within 0.3 s; it was deleted"):
        await cloud_of(client, patience=Patience(run_s=0.3)).run(config(), Told())
    assert backtests(simulator) == 0


async def test_a_run_that_stands_still_is_deleted(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(NeverCompletes(running=False))
    with pytest.raises(StageTimedOut, match="stood still"):
        await cloud_of(client, patience=Patience(stalled_s=0.3)).run(config(), Told())
    assert backtests(simulator) == 0


@pytest.mark.parametrize("stage", [COMPILING, RUNNING])
async def test_cancelling_cleans_up_all_that_was_made_for_it(
    simulator: QuantConnectSimulator, client: Client, stage: str
) -> None:
    simulator.inject(CompileStuck() if stage == COMPILING else NeverCompletes())
    told = Told(stage)
    task = asyncio.create_task(cloud_of(client).run(config(), told))
    await asyncio.wait_for(told.reached.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    assert not simulator.world.projects


async def test_cancelling_leaves_a_project_that_was_there_before(simulator: QuantConnectSimulator, client: Client) -> None:
    cloud = cloud_of(client)
    kept = await cloud.run(config(), Told())
    simulator.inject(NeverCompletes())
    told = Told(RUNNING)
    task = asyncio.create_task(cloud.run(config(), told))
    await asyncio.wait_for(told.reached.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (project,) = simulator.world.projects.values()
    assert list(project.backtests) == [kept.id]


async def test_cancelling_before_its_id_is_known_leaves_no_backtest(simulator: QuantConnectSimulator, client: Client) -> None:
    cloud = cloud_of(client)
    async with cloud.build(config(), Told()) as build:
        for fault in (NeverCompletes(), Drop(path="/backtests/create", after=True), Slow(seconds=5, path="/backtests/list")):
            simulator.inject(fault)
        task = asyncio.create_task(cloud.execute(build, "lost", {}, Told()))
        async with asyncio.timeout(20):
            while not simulator.counts()["requests"].get("/backtests/list"):
                await asyncio.sleep(0.01)
        assert backtests(simulator) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert backtests(simulator) == 0


async def test_a_backtest_that_nobody_can_find_at_first_is_not_left_running(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    tries = client._transport.limits.tries
    for fault in (NeverCompletes(), Drop(path="/backtests/create", after=True), Page(path="/backtests/list", count=tries)):
        simulator.inject(fault)
    with pytest.raises(ServiceTrouble, match="waiting for a node"):
        await cloud_of(client).run(config(), Told())
    assert simulator.counts()["faults"]["never_completes"] == 1
    assert backtests(simulator) == 0


async def test_a_creation_whose_answer_was_lost_is_found_and_not_made_twice(
    simulator: QuantConnectSimulator, client: Client
) -> None:
    simulator.inject(Drop(path="/backtests/create", after=True))
    found = await cloud_of(client).run(config(), Told())
    assert found.outcome is Outcome.COMPLETE
    assert backtests(simulator) == 1


@pytest.mark.parametrize("what", ["project", "backtest"])
async def test_what_somebody_deleted_meanwhile_is_said_to_be_gone(
    simulator: QuantConnectSimulator, client: Client, what: str
) -> None:
    simulator.inject(NeverCompletes())
    told = Told(RUNNING)
    task = asyncio.create_task(cloud_of(client).run(config(), told))
    await asyncio.wait_for(told.reached.wait(), 20)
    simulator.inject(Deleted(what="project" if what == "project" else "backtest"))
    with pytest.raises(Vanished, match=rf"{what} .* is gone: .*start again"):
        await asyncio.wait_for(task, 20)


async def test_a_page_instead_of_an_answer_is_sat_out(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(Page(path="/backtests/read", count=6))
    assert (await cloud_of(client).run(config(), Told())).outcome is Outcome.COMPLETE


async def test_pages_without_end_are_named_after_the_outage(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(Page(path="/backtests/read", count=10_000))
    with pytest.raises(ServiceTrouble, match=r"running: .*unreadable.*; try again later") as caught:
        await cloud_of(client, patience=Patience(outage_s=0.3)).run(config(), Told())
    assert caught.value.kind is Kind.UNREADABLE
    assert backtests(simulator) == 0, "it is deleted, or it would hold the node"


async def test_a_clock_that_is_off_is_named(simulator: QuantConnectSimulator) -> None:
    async with client_of(simulator, now=lambda: 1_000_000_000.0) as late, client_of(simulator, token="wrong") as stranger:
        simulator.inject(BadHash(count=1_000))
        for client in (late, stranger):
            with pytest.raises(ServiceTrouble, match=r"uploading: .*clock") as caught:
                await cloud_of(client).run(config(), Told())
            assert caught.value.kind is Kind.AUTHENTICATION


async def test_a_clock_that_is_behind_is_put_right(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(ClockSkew(seconds=8_000))
    assert (await cloud_of(client).run(config(), Told())).outcome is Outcome.COMPLETE


async def test_it_survives_every_quirk_of_the_service() -> None:
    async with (
        simulated(quirks=dict.fromkeys(NAMES, 0.7), seed=5, terms={"loading_reads": 1}) as simulator,
        client_of(simulator) as client,
    ):
        found = await cloud_of(client).run(config(), Told())
        assert found.outcome is Outcome.COMPLETE
        assert found.statistics is not None
        assert len(found.trades) == found.statistics.trades > 2
        assert client.stats.bad_rows == 0


def test_every_failure_is_one_line() -> None:
    trouble: CloudError = AlgorithmFailed("run", "a\nb", "c\nd", initializing=False)
    assert "\n" not in str(trouble)
