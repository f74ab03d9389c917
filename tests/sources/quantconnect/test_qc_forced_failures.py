"""Every failure that the simulator can be made to show, as the real client, or the real webhook listener, meets it.

`MET` has one case for each fault, by its name on the admin plane; that none is missing is a test of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal, get_args

import pytest

from simulators.quantconnect import faults
from simulators.quantconnect.demo import ALGORITHM
from simulators.quantconnect.faults import fault_reader
from simulators.quantconnect.quirks import NAMES
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from sources.quantconnect.client import Client
from sources.quantconnect.client_live import Plan, paper
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_backtest import Stage
from sources.quantconnect.models_live import LiveStatus
from sources.quantconnect.models_project import CompileState
from sources.quantconnect.settings import Credentials
from tests.sources.quantconnect.qc_port import Port, params
from tests.sources.quantconnect.test_qc_simulator import PATIENT, client_of, compiled, ended
from tests.sources.quantconnect.test_qc_source_whole import SECRET, running, source_of

Case = Callable[[QuantConnectSimulator, Client], Awaitable[None]]
MET: dict[str, Case] = {}


def meets(fault: str) -> Callable[[Case], Case]:
    """The case of a fault."""

    def put(case: Case) -> Case:
        MET[fault] = case
        return case

    return put


async def refusal(asked: Awaitable[object]) -> QcError:
    """The error that a call ends with."""
    with pytest.raises(QcError) as caught:
        await asked
    return caught.value


@meets("status")
async def status(simulator: QuantConnectSimulator, client: Client) -> None:
    kinds = {401: Kind.AUTHENTICATION, 403: Kind.AUTHENTICATION, 404: Kind.NOT_FOUND, 413: Kind.BAD_REQUEST}
    for code, kind in kinds.items():
        for body in ("empty", "html", "json"):
            simulator.inject(faults.Status(code, body=body))
            error = await refusal(client.projects.list())
            assert (error.kind, error.status, error.transient) == (kind, code, False)
    for code, kind in {500: Kind.SERVER, 503: Kind.SERVER, 429: Kind.RATE_LIMIT}.items():
        simulator.inject(faults.Status(code))
        assert await client.projects.list() == ()  # it asks again
        simulator.inject(faults.Status(code, count=PATIENT.tries))
        assert (await refusal(client.projects.list())).kind is kind


@meets("page")
async def page(simulator: QuantConnectSimulator, client: Client) -> None:
    for cut in (False, True):
        simulator.inject(faults.Page(count=PATIENT.tries, cut=cut))
        error = await refusal(client.projects.list())
        assert (error.kind, error.transient) == (Kind.UNREADABLE, True)
        assert await client.projects.list() == ()
    simulator.inject(faults.Page(path="/projects/create", cut=True))
    assert (await refusal(client.projects.create("a"))).may_have_happened
    assert len(await client.projects.list()) == 1


@meets("refuse")
async def refuse(simulator: QuantConnectSimulator, client: Client) -> None:
    kinds = {
        faults.NO_SPARE_NODES: Kind.CAPACITY,
        faults.SLOW_DOWN: Kind.RATE_LIMIT,
        faults.NO_COMPILE: Kind.BAD_REQUEST,
        faults.NO_DEPLOYMENT: Kind.NOT_FOUND,
        faults.INTERNAL: Kind.SERVER,
        "UserID not valid: 7": Kind.AUTHENTICATION,
        "Invalid argument": Kind.BAD_REQUEST,
    }
    for text, kind in kinds.items():
        for under in ("errors", "messages", "Message"):
            simulator.inject(faults.Refuse(text, count=10, under=under))
            error = await refusal(client.projects.list())
            assert (error.kind, error.status) == (kind, 200)
            assert text.split(":")[0] in error.reason
            simulator.inject(faults.Clear())


@meets("bad_hash")
async def bad_hash(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(faults.BadHash())
    error = await refusal(client.authenticate())
    assert (error.kind, error.transient) == (Kind.AUTHENTICATION, False)
    assert "QUANTCONNECT_API_TOKEN" in str(error)
    assert "Hash: " not in str(error)


@meets("slow")
async def slow(simulator: QuantConnectSimulator, client: Client) -> None:
    await client.authenticate()
    async with client_of(simulator, limits=replace(PATIENT, call_s=0.2)) as hasty:
        simulator.inject(faults.Slow(0.5))
        error = await refusal(hasty.authenticate())
        assert (error.kind, error.transient) == (Kind.TRANSPORT, True)
        assert "no answer within" in error.reason


@meets("drop")
async def drop(simulator: QuantConnectSimulator, client: Client) -> None:
    for after in (False, True):
        simulator.inject(faults.Drop(path="/projects/create", after=after))
        assert (await refusal(client.projects.create(f"{after}"))).may_have_happened
        simulator.inject(faults.Drop(path="/projects/read", after=after))
        assert len(await client.projects.list()) == int(after)


@meets("clock_skew")
async def clock_skew(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(faults.ClockSkew(-90_000))
    await client.authenticate()
    assert client.stats.clock_offset_s == pytest.approx(-90_000, abs=5)


@meets("rate_limit")
async def rate_limit(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(faults.RateLimit(1))
    await client.authenticate()
    error = await refusal(client.authenticate())
    assert error.kind is Kind.RATE_LIMIT
    assert (error.retry_after_s or 0) > 1
    assert client.stats.penalties == 1


@meets("compile_error")
async def compile_error(simulator: QuantConnectSimulator, client: Client) -> None:
    project = await client.projects.create("a")
    simulator.inject(faults.CompileError(line=7, message="no such name"))
    build = await client.compiles.finished(project.project_id)
    assert build.state is CompileState.BUILD_ERROR
    assert [(one.file, one.line) for one in build.errors] == [("main.py", 7)]
    assert "no such name" in build.errors[0].text


@meets("compile_stuck")
async def compile_stuck(simulator: QuantConnectSimulator, client: Client) -> None:
    async with client_of(simulator, sleep=_at_once) as quick:
        project = await quick.projects.create("a")
        simulator.inject(faults.CompileStuck(count=2))
        error = await refusal(quick.compiles.finished(project.project_id))
        assert "does not end within 120 s, twice" in error.reason
        simulator.inject(faults.CompileStuck())
        assert (await quick.compiles.finished(project.project_id)).state is CompileState.BUILD_SUCCESS


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)


@meets("compile_lag")
async def compile_lag(simulator: QuantConnectSimulator, client: Client) -> None:
    project, compile_id = await compiled(client)
    simulator.inject(faults.CompileLag(count=2))
    begun = await client.backtests.create(project, compile_id, "late")
    await client.backtests.delete(project, begun.backtest_id)
    simulator.inject(faults.CompileLag(count=PATIENT.compile_tries))
    error = await refusal(client.backtests.create(project, compile_id, "never"))
    assert (error.kind, error.compile_unknown) == (Kind.BAD_REQUEST, True)


@meets("nodes_busy")
async def nodes_busy(simulator: QuantConnectSimulator, client: Client) -> None:
    project, compile_id = await compiled(client)
    simulator.inject(faults.NodesBusy())
    error = await refusal(client.backtests.create(project, compile_id, "one"))
    assert (error.kind, error.transient, error.may_have_happened) == (Kind.CAPACITY, True, False)
    simulator.inject(faults.NodesBusy(count=3))
    begun = await client.backtests.create(project, compile_id, "two", wait_for_node_s=10)
    await client.backtests.delete(project, begun.backtest_id)


@meets("half_statistics")
async def half_statistics(simulator: QuantConnectSimulator, client: Client) -> None:
    project, compile_id = await compiled(client)
    for reads in (3, None):
        simulator.inject(faults.HalfStatistics(reads=reads))
        begun = await client.backtests.create(project, compile_id, "half")
        found = await ended(client, project, begun.backtest_id, Stage.UNSETTLED)
        assert (found.completed, found.statistics, found.total_performance) == (True, None, None)
        if reads is not None:
            await ended(client, project, begun.backtest_id)
            continue
        for _ in range(10):
            assert (await client.backtests.read(project, begun.backtest_id)).stage is Stage.UNSETTLED


@meets("never_completes")
async def never_completes(simulator: QuantConnectSimulator, client: Client) -> None:
    project, compile_id = await compiled(client)
    for runs in (True, False):
        simulator.inject(faults.NeverCompletes(running=runs))
        begun = await client.backtests.create(project, compile_id, "stuck")
        found = [await client.backtests.read(project, begun.backtest_id) for _ in range(6)]
        assert {one.stage for one in found} == {Stage.RUNNING}
        assert found[-1].progress == (0.37 if runs else 0.0)
        await client.backtests.delete(project, begun.backtest_id)


@meets("lying_status")
async def lying_status(simulator: QuantConnectSimulator, client: Client) -> None:
    project, compile_id = await compiled(client)
    simulator.inject(faults.LyingStatus("Completed."))
    begun = await client.backtests.create(project, compile_id, "lies")
    assert (begun.status, begun.stage) == ("Completed.", Stage.RUNNING)
    assert (await ended(client, project, begun.backtest_id)).statistics is not None


@meets("runtime_failure")
async def runtime_failure(simulator: QuantConnectSimulator, client: Client) -> None:
    project, compile_id = await compiled(client)
    simulator.inject(faults.RuntimeFailure("boom", initializing=True))
    begun = await client.backtests.create(project, compile_id, "fails")
    found = await ended(client, project, begun.backtest_id, Stage.FAILED)
    assert (found.error, found.has_initialize_error) == ("boom", True)
    deployed = await simulator.deploy()
    simulator.inject(faults.RuntimeFailure("out of memory", where="live"))
    live = await client.live.read(deployed.project.id)
    assert (live.status, live.active) == (LiveStatus.RUNTIME_ERROR, False)
    assert [one.error for one in await client.live.list(status=LiveStatus.RUNTIME_ERROR)] == ["out of memory"]


@meets("deleted")
async def deleted(simulator: QuantConnectSimulator, client: Client) -> None:
    project, compile_id = await compiled(client)
    begun = await client.backtests.create(project, compile_id, "gone")
    simulator.inject(faults.Deleted("backtest"))
    error = await refusal(client.backtests.read(project, begun.backtest_id))
    assert (error.kind, "deleted" in error.reason) == (Kind.NOT_FOUND, True)
    simulator.inject(faults.Deleted("project"))
    assert not (await refusal(client.projects.read(project))).transient


@meets("live_stuck")
async def live_stuck(simulator: QuantConnectSimulator, client: Client) -> None:
    project, compile_id = await compiled(client, ALGORITHM)
    (node,) = (await client.projects.nodes(project)).nodes.live
    ends = {"DeployError": LiveStatus.DEPLOY_ERROR, "Undefined": LiveStatus.UNDEFINED, "Initializing": LiveStatus.INITIALIZING}
    for word, status in ends.items():
        simulator.inject(faults.LiveStuck(word))
        await client.live.deploy(Plan(project, compile_id, node.id, paper({"USDT": 10_000})))
        async with asyncio.timeout(20):
            while (found := await client.live.read(project)).status is not status:
                await asyncio.sleep(0.02)
        assert found.active is (word == "Initializing")
        if word != "DeployError":
            await client.live.stop(project)


@meets("webhook")
async def webhook(simulator: QuantConnectSimulator, client: Client) -> None:
    del client
    port = Port(clock=lambda: round(time.time() * 1_000))
    said = params(insights={}, webhook={"enabled": True, "port": 0, "window": "1m"}, markets=("binance",))
    source = source_of(said, Credentials(webhook_secret=SECRET))
    async with running(source, port):
        await asyncio.wait_for(source.listening.wait(), 10)
        url = f"http://127.0.0.1:{source.webhook_port}/quantconnect"
        silent = {"threshold": "9"}  # the algorithm says only what it is told to
        await simulator.deploy(parameters={"webhook": url, "secret": SECRET, **silent})

        async def emitted(how: Literal["twice", "tampered", "late", "lost"] | None) -> str:
            if how is not None:
                simulator.inject(faults.Webhook(how, seconds=0.1))
            return str((await simulator.emit("BTC/USDT", "up", confidence=0.9))["id"])

        sent = [await emitted(how) for how in ("twice", "late", "lost", "tampered", None)]
        await port.until(lambda: any(one.external_id == sent[-1] for one in port.decisions))
    heard = [one.external_id for one in port.decisions]
    assert [heard.count(name) for name in sent[:3]] == [1, 1, 0]  # the lost one is for the polls to find
    assert source.counts["webhook_refused_replayed"] == 1
    assert source.counts["webhook_taken"] == 4  # a shared secret does not bind the body, as HMAC would


@meets("quirk")
async def quirk(simulator: QuantConnectSimulator, client: Client) -> None:
    for name in NAMES:
        simulator.inject(fault_reader().validate_python({"fault": "quirk", "name": name}))
    project, compile_id = await compiled(client)
    await client.projects.update(project, parameters={"fast": 10, "slow": 30})
    assert [(one.key, one.value) for one in (await client.projects.read(project)).parameters] == [("fast", "10"), ("slow", "30")]
    begun = await client.backtests.create(project, compile_id, "odd")
    assert (await ended(client, project, begun.backtest_id)).statistics is not None
    assert client.stats.bad_rows == 0


@meets("clear")
async def clear(simulator: QuantConnectSimulator, client: Client) -> None:
    simulator.inject(faults.Status(401, count=100))
    simulator.inject(faults.ClockSkew(90_000))
    simulator.inject(faults.RateLimit(1))
    simulator.inject(faults.Clear())
    for _ in range(3):
        await client.authenticate()


def test_no_forced_failure_is_left_out() -> None:
    known = {fault.__dataclass_fields__["fault"].default for fault in get_args(faults.Fault)}
    assert set(MET) == known


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in MET.items()])
async def test_every_forced_failure_is_met_by_name(case: Case) -> None:
    async with QuantConnectSimulator(Terms(creates_at_once=50)) as simulator, client_of(simulator) as client:
        await case(simulator, client)
