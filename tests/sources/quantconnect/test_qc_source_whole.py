"""The source whole: routes together, trouble that shows and passes, and the simulator's live algorithm heard end to end."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from bot.core.decision import Action, Tier
from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.polling import Pace
from sources.quantconnect.settings import Credentials, QuantConnectParams
from sources.quantconnect.source import QuantConnectSource
from tests.sources.quantconnect.qc_port import LIVE, PROJECT, SPEC, SYMBOLS, Port, paged, params, row
from tests.sources.quantconnect.qc_service import QUICK, TOKEN, USER, Page, no, serving

SECRET = "s3cret-of-sixteen-or-more"
KNOWN = Credentials(USER, TOKEN, SECRET)
BODY = {"id": "w1", "symbol": "BTCUSDT", "side": "buy", "price": 1.0, "time": "2026-03-02T11:00:00Z", "ttl": 3600}


class Beat:
    """Pauses that end when the test says so, and how long they would have been."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._go = asyncio.Semaphore(0)
        self._paused = asyncio.Condition()

    async def sleep(self, seconds: float) -> None:
        async with self._paused:
            self.pauses.append(seconds)
            self._paused.notify_all()
        await self._go.acquire()

    async def next(self, number: int) -> None:
        """Wait for the pause of that number, then end it."""
        async with asyncio.timeout(20), self._paused:
            await self._paused.wait_for(lambda: len(self.pauses) >= number)
        self._go.release()


@asynccontextmanager
async def running(source: QuantConnectSource, port: Port) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run(port))
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def source_of(said: QuantConnectParams, credentials: Credentials = KNOWN, **more: Any) -> QuantConnectSource:
    return QuantConnectSource(SPEC, said, 3_600_000, SYMBOLS, credentials, **{"limits": QUICK, "draw": lambda: 0.5, **more})


async def told(beat: Beat, number: int) -> None:
    async with asyncio.timeout(20), beat._paused:
        await beat._paused.wait_for(lambda: len(beat.pauses) >= number)


async def test_a_new_insight_becomes_a_decision_that_knows_the_age_of_its_poll() -> None:
    rows, port, beat = [row(10)], Port(), Beat()
    async with serving(live__read=LIVE, live__insights__read=paged(rows)) as service:
        source = source_of(params(base_url=service.url), sleep=beat.sleep)
        async with running(source, port):
            await beat.next(1)
            rows.append(row(5, direction="down"))
            await told(beat, 2)
    assert [(one.action, one.tier, one.external_id) for one in port.live()] == [
        (Action.BUY, Tier.QUANTCONNECT, rows[0]["id"]),
        (Action.SELL, Tier.QUANTCONNECT, rows[1]["id"]),
    ]
    assert port.live()[0].evidence["poll_age_ms"] == 0
    assert port.live()[0].evidence["age_ms"] == 10_000
    assert port.live()[1].evidence["poll_gap_ms"] == 0
    assert [(state.name, state.healthy) for state in source.states] == [("insights:7", True)]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (Page(b"", 500), "server"),
        (Page(b"<html>maintenance</html>", 200), "unreadable"),
        (no("Hash doesn't match."), "authentication"),
        ({"status": "Stopped"}, "no live algorithm"),
    ],
)
async def test_trouble_shows_in_state_and_journal_and_passes_by_itself(trouble: Any, reason: str) -> None:
    port, beat = Port(), Beat()
    async with serving(live__read=trouble, live__insights__read=paged([row(10)])) as service:
        source = source_of(params(base_url=service.url), sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 1)
            (state,) = source.degraded
            assert reason in state.trouble
            assert [(one.symbol, one.reason) for one in port.abstentions] == [(symbol, "degraded") for symbol in SYMBOLS]
            assert port.decisions == []
            service.answers["live/read"] = LIVE
            await beat.next(1)
            await told(beat, 2)
            assert source.degraded == ()
            assert port.abstentions[-1].reason == "recovered"
            assert len(port.live()) == 1
            assert beat.pauses[0] > beat.pauses[1]


async def test_one_route_in_trouble_does_not_silence_the_others() -> None:
    port, beat = Port(), Beat()
    said = {"orders": {"enabled": True}, "insights": {"enabled": True}}
    async with serving(live__read=LIVE, live__insights__read=paged([row(10)]), live__orders__read=Page(b"", 500)) as service:
        source = source_of(params(base_url=service.url, **said), sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 2)
    assert [(state.name, state.healthy) for state in source.states] == [("insights:7", True), ("orders:7", False)]
    assert len(port.live()) == 1


async def post(url: str, body: object, secret: str = SECRET) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers={"X-Secret": secret}) as answer:
        return answer.status


async def test_a_pushed_opinion_is_not_traded_again_when_it_is_polled() -> None:
    pushed, port, beat = row(10), Port(), Beat()
    rows: list[dict[str, Any]] = []
    said = {"webhook": {"enabled": True, "port": 0}}
    async with serving(live__read=LIVE, live__insights__read=paged(rows)) as service:
        source = source_of(params(base_url=service.url, **said), sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 1)
            await asyncio.wait_for(source.listening.wait(), 10)
            url = f"http://127.0.0.1:{source.webhook_port}/quantconnect"
            assert await post(url, {**BODY, "id": pushed["id"]}) == 202
            rows.append(pushed)
            await beat.next(1)
            await told(beat, 2)
    assert [one.evidence["route"] for one in port.decisions] == ["webhook"]
    assert source.counts["duplicate"] == 1
    assert source.counts["webhook_taken"] == 1


async def test_without_credentials_the_webhook_is_heard_and_the_rest_says_what_is_missing() -> None:
    port = Port()
    source = source_of(params(webhook={"enabled": True, "port": 0}), Credentials(webhook_secret=SECRET))
    async with running(source, port):
        await asyncio.wait_for(source.listening.wait(), 10)
        assert await post(f"http://127.0.0.1:{source.webhook_port}/quantconnect", BODY) == 202
        assert [state.trouble for state in source.degraded] == [
            "set QUANTCONNECT_USER_ID and QUANTCONNECT_API_TOKEN; until then only the webhook is heard"
        ]
    assert [one.external_id for one in port.live()] == ["w1"]


async def test_a_webhook_without_a_secret_is_degraded_and_does_not_listen() -> None:
    port = Port()
    source = source_of(params(insights={"enabled": False}, webhook={"enabled": True, "port": 0}), Credentials(USER, TOKEN))
    async with running(source, port):
        await port.until(lambda: bool(port.abstentions))
        assert "QUANTCONNECT_WEBHOOK_SECRET" in source.degraded[0].trouble
        assert source.webhook_port is None


async def test_a_port_that_is_taken_is_tried_again_until_it_is_free() -> None:
    port, beat = Port(), Beat()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        said = params(insights={"enabled": False}, webhook={"enabled": True, "port": number})
        source = source_of(said, sleep=beat.sleep)
        async with running(source, port):
            await told(beat, 1)
            assert "cannot listen on" in source.degraded[0].trouble
            taken.close()
            await beat.next(1)
            await port.until(lambda: port.abstentions[-1].reason == "recovered")
            assert source.degraded == ()


def test_pauses_grow_after_failures_and_are_jittered() -> None:
    pace = Pace(60.0, 600.0, 0.1)
    assert [pace.pause(failures, 0.5) for failures in (0, 1, 2, 9)] == [60.0, 120.0, 240.0, 600.0]
    assert pace.pause(0, 0.0) == pytest.approx(54.0)
    assert pace.pause(0, 1.0) == pytest.approx(66.0)
    assert pace.pause(0, 0.5, least=90.0) == 90.0


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({}, "no route is enabled"),
        ({"insights": {"enabled": True}}, "need params.projects"),
        ({"objects": {"enabled": True}}, "params.objects.keys"),
        ({"backtest": {"enabled": True}}, "params.backtest.project"),
        ({"webhook": {"enabled": True, "auth": "none"}}, "auth"),
        ({"webhook": {"enabled": True}, "base_url": "http://example.com"}, "unencrypted"),
    ],
)
def test_a_configuration_that_cannot_work_says_what_to_write(wrong: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        QuantConnectParams.model_validate(wrong)


async def test_a_live_algorithm_of_the_simulator_is_heard_by_webhook_and_by_polling() -> None:
    port = Port(clock=lambda: round(time.time() * 1_000))
    async with QuantConnectSimulator() as simulator:
        said: dict[str, Any] = {
            "base_url": simulator.url,
            "insights": {"enabled": True, "every": "1s"},
            "webhook": {"enabled": True, "port": 0},
            "markets": ("binance",),
        }
        known = Credentials(simulator.user, simulator.token, SECRET)
        hook = source_of(params(**{**said, "insights": {}}), known)
        async with running(hook, port):
            await asyncio.wait_for(hook.listening.wait(), 10)
            url = f"http://127.0.0.1:{hook.webhook_port}/quantconnect"
            deployed = await simulator.deploy(parameters={"webhook": url, "secret": SECRET})
            await simulator.emit("BTC/USDT", "up", confidence=0.9, tag="because")
            await port.until(lambda: any(one.evidence["route"] == "webhook" for one in port.decisions))
        polled = Port(clock=port.clock)
        poll = source_of(params(**{**said, "webhook": {}, "projects": (deployed.project.id,)}), known)
        async with running(poll, polled):
            emitted = await simulator.emit("ETH/USDT", "down", confidence=0.8, tag="enough")
            await polled.until(lambda: any(one.external_id == emitted["id"] for one in polled.decisions))
    found = next(one for one in polled.decisions if one.external_id == emitted["id"])
    assert (found.symbol, found.action, found.confidence) == ("ETH/USDT", Action.SELL, 0.8)
    assert found.reasoning.endswith("enough")
    assert found.evidence["project"] == deployed.project.id
    assert deployed.project.id != PROJECT
