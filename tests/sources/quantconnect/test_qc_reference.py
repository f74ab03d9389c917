"""§2.1 and §7 of the reference, row by row: each has one case here, whose id names the row.

`TRANSPORT` holds the two tables of §2.1: how the service is spoken to, and the five habits of its back end. `TROUBLE` holds what
users have reported. Most rows are a law that another module tests from all sides; the case here is the shortest proof of the row.
§3.4 and §3.5 are in test_qc_reference_figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from simulators.quantconnect.faults import ClockSkew, Deleted, NeverCompletes, NodesBusy
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from sources.quantconnect.auth import headers_at
from sources.quantconnect.client_live import Plan, paper
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.insights import Heading, of_insight
from sources.quantconnect.limits import Limits
from sources.quantconnect.models_backtest import Backtest, Stage
from sources.quantconnect.models_live import LiveAlgorithm, Portfolio
from sources.quantconnect.models_optimization import Optimization
from sources.quantconnect.models_project import CompileState, Project
from sources.quantconnect.models_statistics import PortfolioStatistics
from sources.quantconnect.models_trade import Insight, Order
from sources.quantconnect.wire import BASE_URL
from tests.sources.quantconnect.qc_answers import FAILED, FINISHED, HOLDING, INSIGHT, LIVE, OPTIMIZATION, ORDER, PROJECT, QUEUED
from tests.sources.quantconnect.qc_service import QUICK, Page, client_of, no, serving
from tests.sources.quantconnect.test_qc_simulator import client_of as client_to
from tests.sources.quantconnect.test_qc_simulator import compiled

Check = Callable[[], Awaitable[None]]
TRANSPORT: dict[str, Check] = {}
TROUBLE: dict[str, Check] = {}


def row(table: dict[str, Check], name: str) -> Callable[[Check], Check]:
    """The case of a row."""

    def put(check: Check) -> Check:
        assert name not in table
        table[name] = check
        return check

    return put


async def answered(simulator: QuantConnectSimulator, method: str, path: str, **body: Any) -> dict[str, Any]:
    """What the simulated service answers to a request that our client would not make."""
    headers = headers_at(simulator.user, simulator.token, int(simulator.world.clock()))
    async with aiohttp.ClientSession() as http, http.request(method, simulator.url + path, headers=headers, **body) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json(content_type=None)
        return found


@row(TRANSPORT, "base")
async def base() -> None:
    assert BASE_URL == "https://www.quantconnect.com/api/v2"
    async with serving(authenticate={}) as service, client_of(service) as client:  # any other host is a setting
        await client.authenticate()


@row(TRANSPORT, "method: POST and JSON for everything, {} for an empty call")
async def method() -> None:
    async with serving(authenticate={}, projects__read={"projects": [PROJECT]}) as service, client_of(service) as client:
        await client.authenticate()
        await client.projects.read(7)
        assert service.asked == [("authenticate", {}), ("projects/read", {"projectId": 7})]
        assert {headers["Content-Type"] for headers in service.headers} == {"application/json"}


@row(TRANSPORT, "GET also accepted")
async def get() -> None:
    async with QuantConnectSimulator() as simulator:
        project = simulator.upload("a", {"main.py": "x = 1\n"})
        assert await answered(simulator, "GET", "/authenticate") == {"success": True}
        found = await answered(simulator, "GET", "/files/read", params={"projectId": str(project.id), "name": "main.py"})
        assert found["files"][0]["content"] == "x = 1\n"


@row(TRANSPORT, "form bodies also accepted")
async def form() -> None:
    async with QuantConnectSimulator() as simulator, client_to(simulator) as client:
        project = simulator.upload("a", {"main.py": ""})
        form = {"projectId": project.id, "parameters[0][key]": "fast", "parameters[0][value]": "10", "files[0][name]": "b.py"}
        assert (await answered(simulator, "POST", "/projects/update", data={**form, "files[0][content]": "y"}))["success"]
        assert [(one.key, one.value) for one in (await client.projects.read(project.id)).parameters] == [("fast", "10")]
        assert (await client.files.read(project.id, "b.py")).content == "y"


@row(TRANSPORT, "multipart: only object/set")
async def multipart() -> None:
    async with serving(object__set={}, object__delete={}) as service, client_of(service) as client:
        await client.objects.put("org", "a/k", b"\x00v")
        await client.objects.delete("org", "a/k")
        kinds = [headers["Content-Type"].partition(";")[0] for headers in service.headers]
        assert kinds == ["multipart/form-data", "application/json"]
        assert service.asked[0][1] == {"organizationId": "org", "key": "a/k", "objectData": b"\x00v"}


@row(TRANSPORT, "no trailing slash, a leading one is fine")
async def slashes() -> None:
    async with serving(lean__versions__read={"versions": []}) as service:
        service.url += "/"  # as somebody may have written it
        async with client_of(service) as client:
            assert await client.versions() == ()
    async with QuantConnectSimulator() as simulator:
        assert (await answered(simulator, "POST", "//authenticate", json={}))["success"]


@row(TRANSPORT, "response type: JSON under any type; HTML or nothing at 5xx")
async def response_type() -> None:
    page = Page(b'{"success": true}', 200, {"Content-Type": "text/html"})
    script: Any = [page, Page(b"", 500), Page(b"<html>502</html>", 502), page]
    async with serving(authenticate=script) as service, client_of(service) as client:
        await client.authenticate()
        await client.authenticate()
        assert len(service.asked) == 4


@row(TRANSPORT, "time-outs used by official clients")
async def timeouts() -> None:
    limits = Limits()
    assert (limits.attempt_s, limits.call_s) == (30.0, 60.0)
    assert limits.connect_s <= 60.0


@row(TRANSPORT, "1 an empty map is sent as []")
async def empty_maps() -> None:
    found = Backtest.model_validate(
        {**QUEUED, "statistics": [], "runtimeStatistics": [], "parameterSet": [], "rollingWindow": []}
    )
    assert (found.statistics, found.runtime_statistics, found.parameter_set, found.rolling_window) == (None, None, {}, {})
    project = Project.model_validate({**PROJECT, "parameters": [], "libraries": []})
    assert (project.parameters, project.libraries) == ((), ())
    assert Optimization.model_validate({**OPTIMIZATION, "backtests": []}).backtests == {}


@row(TRANSPORT, "2 a list may arrive as a map with numeric keys")
async def numbered_maps() -> None:
    rows = {"1": {"key": "slow", "value": 30}, "0": {"key": "fast", "value": "10"}}
    found = Project.model_validate({**PROJECT, "parameters": rows}).parameters
    assert [(one.key, one.value) for one in found] == [("fast", "10"), ("slow", "30")]


@row(TRANSPORT, "3 field-name casing varies with age")
async def casing() -> None:
    assert Portfolio.model_validate({"Holdings": {"BTCUSDT 18N": HOLDING}}).holdings["BTCUSDT 18N"].quantity == 0.1
    figures = {key: value for key, value in FINISHED.items() if key not in {"charts", "runtimeStatistics"}}
    found = Backtest.model_validate({**figures, "Charts": {"Drawdown": {}}, "RuntimeStatistics": {"Equity": "$1.00"}})
    assert (found.chart_names, found.runtime_statistics and found.runtime_statistics.equity) == (("Drawdown",), 1.0)
    symbol = {"Value": "BTCUSDT", "ID": "BTCUSDT 18N", "Permtick": "BTCUSDT"}
    order = Order.model_validate({**{key: value for key, value in ORDER.items() if key != "symbol"}, "Symbol": symbol})
    assert (order.symbol.id, order.symbol.value) == ("BTCUSDT 18N", "BTCUSDT")


@row(TRANSPORT, "4 numbers may be texts, dates blank or ISO, both UTC")
async def texts() -> None:
    assert PortfolioStatistics.model_validate({"sharpeRatio": "0.9103"}).sharpe_ratio == 0.9103
    for date in ("2026-03-02 11:00:00", "2026-03-02T11:00:00Z"):
        assert LiveAlgorithm.model_validate({**LIVE, "launched": date}).launched == 1_772_449_200_000


@row(TRANSPORT, "5 a deleted backtest may be null")
async def null_backtest() -> None:
    async with serving(backtests__read={"backtest": None}) as service, client_of(service) as client:
        with pytest.raises(QcError, match="deleted") as caught:
            await client.backtests.read(7, "b1")
        assert caught.value.kind is Kind.NOT_FOUND


@row(TROUBLE, "complete with only half the statistics")
async def half_statistics() -> None:
    half = {**FINISHED, "statistics": [], "totalPerformance": None, "runtimeStatistics": {"Probabilistic Sharpe Ratio": "0%"}}
    assert Backtest.model_validate(half).stage is Stage.UNSETTLED
    assert Backtest.model_validate(FINISHED).stage is Stage.DONE


async def _killed(error: str) -> None:
    raw = {**FAILED, "error": error, "stacktrace": None, "progress": 0.4, "hasInitializeError": False}
    async with serving(backtests__read={"backtest": raw}) as service, client_of(service) as client:
        found = await client.backtests.read(7, "b1")
    assert (found.stage, found.error, found.progress) == (Stage.FAILED, error, 0.4)


@row(TROUBLE, "killed: one time step above 10 min")
async def time_step() -> None:
    await _killed("Algorithm.OnData() Error: the algorithm took longer than 10 minutes on a single time loop")


@row(TROUBLE, "times out after 12 h")
async def twelve_hours() -> None:
    await _killed("Backtest exceeded the maximum run time of 12 hours and was stopped")


@row(TROUBLE, "Invalid argument after an endpoint changed meaning")
async def changed_meaning() -> None:
    async with serving(live__read=no("Invalid argument"), live__list={"running": []}) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.live.read(7, "L-stopped")
        assert (caught.value.kind, caught.value.transient) == (Kind.BAD_REQUEST, False)
        with pytest.raises(QcError) as caught:
            await client.live.list()
        assert caught.value.kind is Kind.UNREADABLE


@row(TROUBLE, "the API changed under the client: portfolio path and shape")
async def changed_shape() -> None:
    moved: list[dict[str, Any]] = [{"portfolio": None}, {"holdings": {}, "cash": {}}, {"Portfolio": {"Cash": {}}}]
    async with serving(live__portfolio__read=list(moved)) as service, client_of(service) as client:
        for _ in moved:
            with pytest.raises(QcError) as caught:
                await client.live.portfolio(7)
            assert caught.value.kind is Kind.UNREADABLE
    async with serving(live__portfolio__read=Page(b"Not Found", 404)) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.live.portfolio(7)
        assert caught.value.kind is Kind.NOT_FOUND


@row(TROUBLE, "strict models break on a new null field")
async def new_nulls() -> None:
    assert LiveAlgorithm.model_validate({**LIVE, "liveResults": None, "new": {"deep": [None]}}).active
    (member,) = Project.model_validate({**PROJECT, "collaborators": [{"uid": None, "name": "Me"}]}).collaborators
    assert member.uid is None


@row(TROUBLE, "an empty 500 shown as invalid credentials")
async def empty_500() -> None:
    async with serving(authenticate=Page(b"", 500)) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.authenticate()
    assert (caught.value.kind, caught.value.transient) == (Kind.SERVER, True)


@row(TROUBLE, "the poller of optimizations stopped on status new")
async def new_optimization() -> None:
    found = [Optimization.model_validate({**OPTIMIZATION, "status": word}).status for word in ("new", "running", "completed")]
    assert [status.finished for status in found] == [False, False, True]


@row(TROUBLE, "no spare nodes; a stuck backtest is deleted to free its node")
async def no_nodes() -> None:
    async with QuantConnectSimulator() as simulator, client_to(simulator) as client:
        project, compile_id = await compiled(client)
        simulator.inject(NeverCompletes())
        stuck = await client.backtests.create(project, compile_id, "stuck")
        with pytest.raises(QcError, match="delete a running backtest") as caught:
            await client.backtests.create(project, compile_id, "next")
        assert (caught.value.kind, caught.value.may_have_happened) == (Kind.CAPACITY, False)
        await client.backtests.delete(project, stuck.backtest_id)
        simulator.inject(NodesBusy())  # a free node is late, too
        assert (await client.backtests.create(project, compile_id, "next", wait_for_node_s=5)).name == "next"


@row(TROUBLE, "Too many backtest requests; please slow down.")
async def slow_down() -> None:
    async def pause(_: float) -> None:
        await asyncio.sleep(0.06)  # beyond the window of the service, as the 20 s of the client are

    async with (
        QuantConnectSimulator(Terms(creates_at_once=1, creates_window=0.05)) as simulator,
        client_to(simulator, sleep=pause) as client,
    ):
        project, compile_id = await compiled(client)
        simulator.inject(NeverCompletes(count=2))
        for name in ("one", "two"):
            begun = await client.backtests.create(project, compile_id, name, wait_for_node_s=10)
            await client.backtests.delete(project, begun.backtest_id)
        assert client.stats.retries > 0


@row(TROUBLE, "Compile id not found right after compiling; a forgotten compile")
async def compile_lag() -> None:
    unknown = no("Compile id not found")
    script: Any = [unknown, unknown, {"backtest": QUEUED}]
    async with serving(backtests__create=script) as service, client_of(service) as client:
        assert (await client.backtests.create(7, "aa-bb", "run")).name == "sma 10/30"
    async with serving(backtests__create=unknown) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.backtests.create(7, "", "run")
        assert (caught.value.kind, caught.value.compile_unknown) == (Kind.BAD_REQUEST, True)
        assert len(service.asked) == QUICK.compile_tries


@row(TROUBLE, "file size quotas changed")
async def file_quotas() -> None:
    for most in ("32,000", "64,000", "128,000", "256,000"):
        refusal = no(f"File exceeds the maximum size of {most} characters.")
        async with serving(files__create=refusal) as service, client_of(service) as client:
            with pytest.raises(QcError, match=most) as caught:
                await client.files.create(7, "main.py", "x")
            assert caught.value.kind is Kind.BAD_REQUEST


@row(TROUBLE, "encoding: Chinese text, stray newlines")
async def encoding() -> None:
    content = "# 策略\r\n\tx = '\u2028'\n\n\n"
    async with QuantConnectSimulator() as simulator, client_to(simulator) as client:
        project = (await client.projects.create("a")).project_id
        await client.files.write(project, "main.py", content)
        assert (await client.files.read(project, "main.py")).content == content


@row(TROUBLE, "duplicate project names")
async def duplicate_names() -> None:
    async with QuantConnectSimulator() as simulator, client_to(simulator) as client:
        first, second = await client.projects.create("a"), await client.projects.create("a")
    assert first.name == "a"
    assert second.name != first.name
    assert second.project_id != first.project_id


@row(TROUBLE, "null holdings in live packets")
async def null_holdings() -> None:
    answer: dict[str, Any] = {"portfolio": {"holdings": None, "cash": {}}}
    async with serving(live__portfolio__read=answer) as service, client_of(service) as client:
        with pytest.raises(QcError, match="holdings") as caught:
            await client.live.portfolio(7)
        assert caught.value.kind is Kind.UNREADABLE


@row(TROUBLE, "a faulty build of the engine: its version can be pinned")
async def pinned() -> None:
    async with serving(live__create={"deployId": "L-1"}, projects__update={}) as service, client_of(service) as client:
        await client.live.deploy(Plan(7, "aa-bb", "LN-1", paper({"USDT": 1}), version_id="17800"))
        await client.projects.update(7, version_id=17_800)
    assert [body["versionId"] for _, body in service.asked] == ["17800", 17_800]


@row(TROUBLE, "OAuth authorise URL with projectId -1 gives 404")
async def oauth() -> None:
    async with QuantConnectSimulator() as simulator, client_to(simulator) as client:
        assert not hasattr(client.live, "authorize")  # OAuth is nothing for a bot
        with pytest.raises(QcError) as caught:
            await client.projects.read(-1)
        assert caught.value.kind is Kind.BAD_REQUEST
    async with serving() as service, client_of(service) as client:  # nothing but 404
        with pytest.raises(QcError) as caught:
            await client.live.read(-1)
        assert (caught.value.kind, caught.value.transient) == (Kind.NOT_FOUND, False)


@row(TROUBLE, "insights confused with trading signal: the score is post-hoc")
async def scores() -> None:
    scored = {
        **INSIGHT,
        "confidence": None,
        "direction": "down",
        "scoreDirection": 0.9,
        "scoreMagnitude": 0.9,
        "scoreFinal": True,
    }
    signal = of_insight(Insight.model_validate(scored))
    assert (signal.heading, signal.confidence) == (Heading.DOWN, None)


@row(TROUBLE, "clock skew")
async def clock_skew() -> None:
    async with QuantConnectSimulator() as simulator, client_to(simulator) as client:
        for skew in (8_000, -8_000):
            simulator.inject(ClockSkew(skew))
            await client.authenticate()
            assert client.stats.clock_offset_s == pytest.approx(skew, abs=5)
    async with serving(authenticate=no("Hash doesn't match.")) as service:
        async with client_of(service, now=lambda: 0.0) as client:
            with pytest.raises(QcError, match="clock") as caught:
                await client.authenticate()
        assert caught.value.kind is Kind.AUTHENTICATION


@row(TROUBLE, "compile stuck in queue: 120 s, then one new compile")
async def compile_stuck() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    hangs: Any = {"compileId": "aa-bb", "state": "InQueue"}
    built = {"compileId": "cc-dd", "state": "BuildSuccess", "logs": []}
    async with serving(compile__create=[hangs, built], compile__read=hangs) as service:
        limits = replace(QUICK, requests=100_000, burst=50_000)
        async with client_of(service, limits, sleep=sleep) as client:
            found = await client.compiles.finished(7)
    assert (found.compile_id, found.state) == ("cc-dd", CompileState.BUILD_SUCCESS)
    assert sum(slept) == pytest.approx(120)
    assert len(service.bodies("compile/create")) == 2


@row(TROUBLE, "a deleted project")
async def deleted_project() -> None:
    async with QuantConnectSimulator() as simulator, client_to(simulator) as client:
        project = (await client.projects.create("a")).project_id
        simulator.inject(Deleted("project"))
        with pytest.raises(QcError) as caught:
            await client.backtests.list(project)
        assert not caught.value.transient


@pytest.mark.parametrize("check", [pytest.param(check, id=f"2.1 {name}") for name, check in TRANSPORT.items()])
async def test_every_row_of_the_transport_holds(check: Check) -> None:
    await check()


@pytest.mark.parametrize("check", [pytest.param(check, id=f"7 {name}") for name, check in TROUBLE.items()])
async def test_every_reported_trouble_is_come_through(check: Check) -> None:
    await check()
