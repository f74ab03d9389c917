"""The use cases of cloud backtests, as the command line and the API ask for them: JSON in, JSON out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.outlets.envelope import JobChanged, JobState
from bot.runtime.jobs import Jobs
from bot.services.quantconnect.backtest_cases import HELD
from bot.services.quantconnect.cloud import RUNNING, CloudBacktests
from bot.services.quantconnect.cloud_errors import AlgorithmFailed, ServiceTrouble, TextRefused
from bot.services.use_case import Ground, UseCaseError, use_case
from simulators.quantconnect.faults import NeverCompletes, Page, RuntimeFailure
from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.errors import Kind
from tests.services.cloud_service import Told, client_of, hurried, simulated
from tests.services.qc_ground import Clock, standing

NOW = 1_790_000_000_000
CONFIG: dict[str, object] = {
    "symbol": "BTC/USDT", "start": "2026-01-06", "end": "2026-01-31", "timeframe": "1h", "capital": "10000",
    "strategy": {"kind": "sma-rsi", "params": {"fast": 5, "slow": 20}},
}  # fmt: skip


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with simulated() as running:
        yield running


@pytest.fixture
async def ground(simulator: QuantConnectSimulator, tmp_path: Path) -> AsyncIterator[Ground]:
    """A ground whose client and backtests do not like to wait."""
    async with standing(simulator.url, tmp_path, Clock(NOW)) as made, client_of(simulator) as client:
        made.held["quantconnect.client"] = client
        made.held[HELD] = CloudBacktests(client, made.now, sleep=hurried)
        yield made


async def do(ground: Ground, name: str, **args: object) -> Any:
    """What came of it, through JSON as over the feed."""
    case = use_case(name)
    given = orjson.loads(orjson.dumps(args))
    told: Mapping[str, object] = await case.run(ground, case.read(given), Told())
    return orjson.loads(orjson.dumps(dict(told)))


async def test_a_backtest_with_all_that_may_come_of_it(simulator: QuantConnectSimulator, ground: Ground, tmp_path: Path) -> None:
    told = await do(ground, "qc.backtest", config=CONFIG, analyse=True, out=str(tmp_path / "out"))
    assert told["outcome"] == "complete"
    assert told["trades"] == len(told["trade_list"]) > 2
    assert told["parameters"] == {"buy_below_rsi": 70.0, "fast": 5, "position_size": 0.95, "rsi": 14, "slow": 20}
    assert told["lesson"]["subject"]["symbol"] == "BTC/USDT"
    assert told["lesson"]["figures"]["trades"] == told["trades"]
    assert {Path(path).name for path in told["files"]} == {
        "result.json", "trades.csv", "equity.csv", "main.py", "tear-sheet.html"
    }  # fmt: skip
    assert "QCAlgorithm" in (tmp_path / "out" / "algorithm" / "main.py").read_text()
    (project,) = simulator.world.projects.values()
    assert told["reference"] == f"{project.id}/{next(iter(project.backtests))}"


async def test_what_was_run_is_listed_read_and_deleted(simulator: QuantConnectSimulator, ground: Ground) -> None:
    told = await do(ground, "qc.backtest", config=CONFIG)
    simulator.upload("theirs", {"main.py": "pass\n"})
    (row,) = (await do(ground, "qc.backtests"))["backtests"]
    assert row["reference"] == told["reference"]
    assert row["sharpe_ratio"] == pytest.approx(told["reported"]["statistics"]["sharpe_ratio"])
    whole = await do(ground, "qc.backtest-result", project=told["project"], backtest=told["backtest"])
    assert whole["sharpe"] == told["sharpe"]
    assert len(whole["order_list"]) == told["orders"]
    assert len(whole["equity_curve"]) == len(whole["drawdown_curve"]) > 20
    assert whole["insights"]
    assert "Benchmark" in whole["charts"]
    gone = await do(ground, "qc.delete-backtest", project=told["project"], backtest=told["backtest"])
    assert gone == {"deleted": told["reference"]}
    assert (await do(ground, "qc.backtests", project=told["project"]))["backtests"] == []


async def test_a_backtest_of_somebody_else_is_read_but_never_deleted(simulator: QuantConnectSimulator, ground: Ground) -> None:
    theirs = simulator.upload("theirs", {"main.py": "pass\n"})
    with pytest.raises(UseCaseError, match=r"theirs .* was not made by the bot"):
        await do(ground, "qc.delete-backtest", project=theirs.id, backtest="abcd")
    assert (await do(ground, "qc.backtests", project=theirs.id))["backtests"] == []


async def test_a_backtest_that_is_not_kept_leaves_nothing(simulator: QuantConnectSimulator, ground: Ground) -> None:
    told = await do(ground, "qc.backtest", config=CONFIG, keep=False)
    assert told["kept"] is False
    assert not simulator.world.projects


async def test_cloud_and_local_results_are_compared(ground: Ground) -> None:
    one = await do(ground, "qc.backtest", config=CONFIG)
    other = await do(ground, "qc.backtest", config=CONFIG | {"strategy": {"kind": "breakout"}})
    local = {name: one[name] for name in one if name != "reported"} | {"sharpe": 99.0}
    told = await do(ground, "qc.compare", backtests=[one["reference"], other["reference"]], results={"local": local})
    assert told["names"][0] == "local"
    sharpe = next(row for row in told["figures"] if row["name"] == "sharpe")
    assert (sharpe["values"][1], sharpe["best"]) == (one["sharpe"], [0])
    assert told["correlation"][0][1] == pytest.approx(1.0), "the same run twice"
    assert told["correlation"][1][2] < 1.0
    assert all(len(row) == 4 for row in told["curves"])


async def test_a_sweep_without_a_yes_only_tells_its_cost(simulator: QuantConnectSimulator, ground: Ground) -> None:
    steps = {"fast": {"min": 4, "max": 6, "step": 2}}
    told = await do(ground, "qc.sweep", config=CONFIG, parameters=steps, by="optimization")
    assert (told["started"], told["cost"]["points"], told["cost"]["credit"]) == (False, 2, 0.02)
    assert told == await do(ground, "qc.estimate", config=CONFIG, parameters=steps, by="optimization")
    assert not simulator.world.projects
    with pytest.raises(UseCaseError, match=r"0\.02 QCC and may cost 0\.01; nothing was started"):
        await do(ground, "qc.sweep", config=CONFIG, parameters=steps, by="optimization", confirmed=True, most_credit=0.01)
    assert "/optimizations/create" not in simulator.counts()["requests"]


@pytest.mark.parametrize("by", ["optimization", "backtests"])
async def test_a_sweep_with_a_yes_is_run(ground: Ground, by: str) -> None:
    steps = {"fast": {"min": 4, "max": 6, "step": 2}}
    told = await do(ground, "qc.sweep", config=CONFIG, parameters=steps, by=by, target="return", confirmed=True)
    assert told["started"] is True
    assert {point["parameters"]["fast"] for point in told["points"]} == {4, 6}
    assert told["best"] == told["points"][0]
    assert told["best"]["parameters"]["slow"] == 20


async def test_an_export_needs_no_service(simulator: QuantConnectSimulator, ground: Ground, tmp_path: Path) -> None:
    told = await do(ground, "qc.export", config=CONFIG | {"strategy": {"kind": "sma-cross"}}, out=str(tmp_path / "lean"))
    assert "QCAlgorithm" in told["files"]["main.py"]
    assert (tmp_path / "lean" / "main.py").read_text() == told["files"]["main.py"]
    assert told["warmup"] > 0
    sharp = await do(ground, "qc.export", config=CONFIG | {"strategy": {"kind": "sma-cross"}}, language="csharp")
    assert "QCAlgorithm" in sharp["files"]["Main.cs"]
    assert not simulator.counts()["requests"]


async def test_a_strategy_that_nobody_knows_is_refused_before_anything_is_sent(
    simulator: QuantConnectSimulator, ground: Ground
) -> None:
    for name in ("qc.backtest", "qc.export"):
        with pytest.raises(TextRefused, match="crystal-ball"):
            await do(ground, name, config=CONFIG | {"strategy": {"kind": "crystal-ball"}})
    assert not simulator.counts()["requests"]


async def test_one_that_runs_and_one_that_failed_are_told_apart(simulator: QuantConnectSimulator, ground: Ground) -> None:
    simulator.inject(RuntimeFailure(error="boom"))
    with pytest.raises(AlgorithmFailed, match="boom"):
        await do(ground, "qc.backtest", config=CONFIG)
    (project,) = simulator.world.projects.values()
    failed = next(iter(project.backtests))
    with pytest.raises(AlgorithmFailed, match="boom"):
        await do(ground, "qc.backtest-result", project=project.id, backtest=failed)
    simulator.inject(NeverCompletes())
    compile_id = next(iter(project.compiles))
    begun = await ground.held["quantconnect.client"].backtests.create(project.id, compile_id, "endless")
    with pytest.raises(UseCaseError, match=r"still runs \(.*%\); read it when it has ended"):
        await do(ground, "qc.backtest-result", project=project.id, backtest=begun.backtest_id)


async def test_trouble_has_a_kind_and_a_remedy(simulator: QuantConnectSimulator, ground: Ground) -> None:
    simulator.inject(Page(count=1_000))
    with pytest.raises(ServiceTrouble, match="try again later") as caught:
        await do(ground, "qc.backtests")
    assert caught.value.kind is Kind.UNREADABLE


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("qc.backtest", {"config": CONFIG | {"end": "2025-01-01"}}, "config: "),
        ("qc.backtest", {"config": CONFIG, "limit": "soon"}, "limit: "),
        ("qc.compare", {"backtests": ["7/abcd"]}, "1 cannot be compared; give 2"),
        ("qc.compare", {"backtests": ["abcd", "7/abcd"]}, "backtests.0: "),
        ("qc.sweep", {"config": CONFIG, "parameters": {"fast": {"min": 5, "max": 1, "step": 1}}}, "above max"),
        ("qc.sweep", {"config": CONFIG, "parameters": {}}, "parameters: "),
        ("qc.delete-backtest", {"project": 1, "backtest": "../x"}, "backtest: "),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(name: str, args: dict[str, object], said: str) -> None:
    with pytest.raises(UseCaseError, match=f"{name}: .*{said}"):
        use_case(name).read(args)


async def test_a_memory_that_cannot_be_used_does_not_take_the_result_with_it(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "arbiter.db").write_text("this is no database")
    told = await do(ground, "qc.backtest", config=CONFIG, analyse=True)
    assert told["trades"] > 2
    assert told["lesson"] is None
    assert any(notice.startswith("it was not remembered: ") for notice in told["notices"])


async def test_a_directory_that_cannot_be_used_is_refused_before_anything_is_run(
    simulator: QuantConnectSimulator, ground: Ground, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UseCaseError, match=r"out: .*name one that is yours"):
        await do(ground, "qc.backtest", config=CONFIG, out=str(tmp_path / "file" / "out"))
    assert not simulator.counts()["requests"]


async def test_a_job_that_is_cancelled_has_cleaned_up_before_it_is_over(simulator: QuantConnectSimulator, ground: Ground) -> None:
    simulator.inject(NeverCompletes())
    running = asyncio.Event()
    told: list[JobChanged] = []

    def tell(change: JobChanged) -> None:
        told.append(change)
        if change.stage == RUNNING:
            running.set()

    case = use_case("qc.backtest")
    jobs = Jobs(lambda: NOW, tell)
    job = jobs.start(case.name, {}, lambda report: case.run(ground, case.read({"config": CONFIG}), report), "test")
    await asyncio.wait_for(running.wait(), 20)
    assert (await jobs.cancel(job.id)).state is JobState.CANCELLED
    assert not simulator.world.projects
    assert [change.stage for change in told if change.state is JobState.RUNNING][-1] == RUNNING
