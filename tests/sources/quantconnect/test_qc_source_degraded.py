"""Every failure state of the source, on every route it can strike: it is seen, it names what to do, and it passes by itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import orjson
import pytest

from simulators.quantconnect import faults
from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.polling import CALM_S, RouteState
from sources.quantconnect.settings import Credentials
from sources.quantconnect.source import QuantConnectSource
from tests.sources.quantconnect.qc_answers import FAILED, FINISHED, HOLDING, ORDER, QUEUED
from tests.sources.quantconnect.qc_port import LIVE, NOW, PROJECT, Port, paged, params, row
from tests.sources.quantconnect.qc_service import QUICK, Page, Script, no, serving
from tests.sources.quantconnect.test_qc_source_webhook import signed
from tests.sources.quantconnect.test_qc_source_whole import BODY, SECRET, Beat, post, running, source_of, told

ORGANIZATION = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
MESSAGE = b'{"id": "o1", "symbol": "BTCUSDT", "side": "buy", "price": 1.0, "time": "2026-03-02T11:00:00Z", "ttl": 3600}'
STORED = {"key": "latest.json", "size": len(MESSAGE), "md5": "m", "preview": MESSAGE.decode()}
BUILT = {"compileId": "aa-bb", "state": "BuildSuccess", "logs": []}
HASTY = replace(QUICK, call_s=0.6)
FILL = {**ORDER, "lastFillTime": "2026-03-02T11:00:00Z"}


@dataclass(frozen=True, slots=True)
class Way:
    """A route that polls: how it is switched on, what the service says while all is well, and which call trouble strikes."""

    params: dict[str, Any]
    answers: dict[str, Script]
    struck: str


WAYS = {
    "insights:7": Way(
        {"insights": {"enabled": True}},
        {"live/read": LIVE, "live/insights/read": paged([row(10)])},
        "live/insights/read",
    ),
    "orders:7": Way({"orders": {"enabled": True}}, {"live/read": LIVE, "live/orders/read": paged([FILL], "orders")}, "live/read"),
    "portfolio:7": Way(
        {"portfolio": {"enabled": True}},
        {"live/read": LIVE, "live/portfolio/read": {"portfolio": {"holdings": {"BTCUSDT 18N": HOLDING}, "cash": {}}}},
        "live/portfolio/read",
    ),
    "objects:latest.json": Way(
        {"objects": {"enabled": True, "organization": ORGANIZATION, "keys": ["latest.json"]}},
        {"object/properties": {"metadata": STORED}},
        "object/properties",
    ),
    "backtest:7": Way(
        {"backtest": {"enabled": True, "project": PROJECT, "wait_for_node": "1s"}},
        {
            "compile/create": BUILT,
            "backtests/create": {"backtest": QUEUED},
            "backtests/read": {"backtest": FINISHED},
            "backtests/read/insights": paged([row(10)]),
            "backtests/delete": {},
            "backtests/list": {"backtests": [], "count": 0},
        },
        "backtests/create",
    ),
}
TROUBLES: dict[str, tuple[Script, str]] = {
    "wrong credentials": (no("Hash doesn't match. UID: 1 Hash: ab Timestamp: 2"), "check QUANTCONNECT_USER_ID"),
    "no credentials taken": (Page(b"", 401), "check QUANTCONNECT_USER_ID"),
    "a deleted project": (no("Invalid argument"), "bad_request"),
    "an HTML page": (Page(b"<html>maintenance</html>", 200), "a web page instead of an answer"),
    "a gateway's page": (Page(b"<html>502</html>", 502), "the trouble is at QuantConnect"),
    "an empty 500": (Page(b"", 500), "try again later"),
    "too many requests": (Page(b"", 429), "lower the request budget"),
    "a cut connection": (Page(drop=True), "check the network"),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_every_route_shows_its_trouble_and_recovers_by_itself(name: str, trouble: str) -> None:
    way, (answer, remedy) = WAYS[name], TROUBLES[trouble]
    port, beat = Port(), Beat()
    async with serving() as service:
        service.answers = {**way.answers, way.struck: answer}
        said = params(**{"insights": {}, "base_url": service.url, **way.params})
        source = source_of(said, sleep=_through(beat), limits=HASTY)
        async with running(source, port):
            await told(beat, 1)
            (state,) = ill(source)
            assert state.name == name
            assert remedy in state.trouble
            assert {one.reason for one in port.abstentions} == {"degraded"}
            assert port.decisions == []
            service.answers = dict(way.answers)
            await beat.next(1)
            await told(beat, 2)
            assert ill(source) == []
            assert port.abstentions[-1].reason == "recovered"
            assert [one.symbol for one in port.live()] == ["BTC/USDT"]


RUNS: dict[str, tuple[dict[str, Script], str]] = {
    "no free node": ({"backtests/create": no(faults.NO_SPARE_NODES)}, "delete a running backtest"),
    "slow down": ({"backtests/create": no(faults.SLOW_DOWN)}, "lower the request budget"),
    "a forgotten compile": ({"backtests/create": no(faults.NO_COMPILE)}, "Compile id not found"),
    "a compile error": (
        {"compile/create": {**BUILT, "state": "BuildError", "logs": ["main.py: invalid syntax on line 12"]}},
        "main.py:12",
    ),
    "a strategy that raises": ({"backtests/read": {"backtest": FAILED}}, "exception occurred: boom"),
    "a backtest that somebody deleted": ({"backtests/read": {"backtest": None}}, "deleted"),
}


@pytest.mark.parametrize("trouble", RUNS)
async def test_a_signal_backtest_that_cannot_run_is_degraded_until_it_can(trouble: str) -> None:
    way, (answers, remedy) = WAYS["backtest:7"], RUNS[trouble]
    port, beat = Port(), Beat()
    async with serving() as service:
        service.answers = {**way.answers, **answers}
        source = source_of(params(insights={}, base_url=service.url, **way.params), sleep=_through(beat), limits=HASTY)
        async with running(source, port):
            await told(beat, 1)
            assert remedy in ill(source)[0].trouble
            service.answers = dict(way.answers)
            await beat.next(1)
            await told(beat, 2)
            assert ill(source) == []
            assert len(port.live()) == 1


def ill(source: QuantConnectSource) -> list[RouteState]:
    """What is in trouble now."""
    return list(source.degraded)


def _through(beat: Beat) -> Any:
    """Pauses between looks at a backtest end at once; those between polls are the beat's."""

    async def sleep(seconds: float) -> None:
        await (asyncio.sleep(0) if seconds <= 3.0 else beat.sleep(seconds))

    return sleep


async def test_half_of_the_statistics_do_not_keep_the_insights_back() -> None:
    """They say nothing of the insights, which are all there; so this is no trouble of the source."""
    way, port, beat = WAYS["backtest:7"], Port(), Beat()
    half = {**FINISHED, "statistics": [], "totalPerformance": None}
    async with serving() as service:
        service.answers = {**way.answers, "backtests/read": {"backtest": half}}
        source = source_of(params(insights={}, base_url=service.url, **way.params), sleep=_through(beat))
        async with running(source, port):
            await told(beat, 1)
            assert ill(source) == []
            assert len(port.live()) == 1
            assert len(service.bodies("backtests/delete")) == 1


async def test_a_clock_that_is_hours_off_is_put_right_by_the_service_s_own() -> None:
    port, beat = Port(clock=lambda: round(time.time() * 1_000)), Beat()
    async with QuantConnectSimulator() as simulator:
        deployed = await simulator.deploy(parameters={"threshold": "9"})
        simulator.inject(faults.ClockSkew(90_000))
        known = Credentials(simulator.user, simulator.token)
        source = source_of(params(base_url=simulator.url, projects=(deployed.project.id,)), known, sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 1)
            assert ill(source) == []
        wrong = replace(known, token="another")
        source = source_of(params(base_url=simulator.url, projects=(deployed.project.id,)), wrong, sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 2)
            assert "this machine's clock is" in ill(source)[0].trouble


async def test_a_project_that_somebody_deletes_is_degraded_and_its_successor_is_not_guessed() -> None:
    port, beat = Port(clock=lambda: round(time.time() * 1_000)), Beat()
    async with QuantConnectSimulator() as simulator:
        deployed = await simulator.deploy(parameters={"threshold": "9"})
        known = Credentials(simulator.user, simulator.token)
        source = source_of(params(base_url=simulator.url, projects=(deployed.project.id,)), known, sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 1)
            assert ill(source) == []
            simulator.inject(faults.Deleted("project"))
            await beat.next(1)
            await told(beat, 2)
            (state,) = ill(source)
            assert (state.name, state.failures) == (f"insights:{deployed.project.id}", 1)
            assert "correct the request" in state.trouble


async def test_a_symbol_that_cannot_be_mapped_is_named_until_it_comes_no_more() -> None:
    rows, port, beat = [row(10), row(5, symbol="DOTUSD", ticker="DOTUSD")], Port(), Beat()
    async with serving(live__read=LIVE, live__insights__read=paged(rows)) as service:
        source = source_of(params(base_url=service.url), sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 2)  # the poll's pause, and the calm that is waited for
            (state,) = ill(source)
            assert state.name == "symbols"
            assert 'write params.symbols: {"DOTUSD"' in state.trouble
            assert [one.symbol for one in port.live()] == ["BTC/USDT"]
            port.at = NOW + round(CALM_S * 1_000)
            beat._go.release()
            beat._go.release()
            await port.until(lambda: port.abstentions[-1].reason == "recovered")
            assert ill(source) == []


async def test_a_market_that_is_left_out_on_purpose_is_no_trouble() -> None:
    port, beat = Port(), Beat()
    async with serving(live__read=LIVE, live__insights__read=paged([row(10, symbol="BTCUSDT 2UZ")])) as service:
        source = source_of(params(base_url=service.url, markets=("binance",)), sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 1)
            assert (ill(source), source.counts["unmapped"], port.decisions) == ([], 1, [])


async def test_a_bad_signature_is_seen_and_the_right_one_is_heard_all_the_while() -> None:
    port, beat = Port(), Beat()
    source = source_of(params(insights={}, webhook={"enabled": True, "port": 0, "auth": "hmac"}), sleep=beat.sleep)
    async with running(source, port), aiohttp.ClientSession() as http:
        await asyncio.wait_for(source.listening.wait(), 10)
        url = f"http://127.0.0.1:{source.webhook_port}/quantconnect"
        for secret, status in (("another-secret-of-sixteen", 401), (SECRET, 202)):
            async with http.post(url, data=orjson.dumps(BODY), headers=signed(BODY, NOW, secret, secret)) as answer:
                assert answer.status == status
        await told(beat, 1)
        (state,) = ill(source)
        assert "sign with the secret" in state.trouble
        assert [one.external_id for one in port.live()] == ["w1"]
        port.at = NOW + round(CALM_S * 1_000)
        await beat.next(1)
        await port.until(lambda: port.abstentions[-1].reason == "recovered")


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a wrong secret": ({}, "wrong-secret-of-sixteen", "QUANTCONNECT_WEBHOOK_SECRET"),
    "a message of long ago": ({"time": "2026-03-01T11:00:00Z"}, SECRET, "set the clocks"),
    "a message that says too little": ({"side": "maybe"}, SECRET, "write id, symbol, side and time"),
}


@pytest.mark.parametrize("trouble", [*REFUSED, "a replay"])
async def test_a_message_that_is_refused_is_seen_until_none_has_come_for_a_minute(trouble: str) -> None:
    changed, secret, remedy = REFUSED.get(trouble, ({}, SECRET, "an id of its own"))
    port, beat = Port(), Beat()
    source = source_of(params(insights={}, webhook={"enabled": True, "port": 0}), sleep=beat.sleep)
    async with running(source, port):
        await asyncio.wait_for(source.listening.wait(), 10)
        url = f"http://127.0.0.1:{source.webhook_port}/quantconnect"
        assert await post(url, BODY) == 202
        assert await post(url, {**BODY, **changed}, secret) >= 400
        await told(beat, 1)
        (state,) = ill(source)
        assert state.name == "webhook messages"
        assert remedy in state.trouble
        assert await post(url, {**BODY, "id": "w2"}) == 202  # whoever is in the right is heard all the while
        port.at = NOW + round(CALM_S * 500)
        await beat.next(1)
        await told(beat, 2)
        assert ill(source) == [state]  # not a minute yet
        port.at = NOW + round(CALM_S * 1_000)
        await beat.next(2)
        await port.until(lambda: port.abstentions[-1].reason == "recovered")
        assert ill(source) == []
    assert [one.external_id for one in port.live()] == ["w1", "w2"]
