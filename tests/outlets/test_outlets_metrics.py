from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.core.decision import Denial, Fate
from bot.core.facts import DecisionSeen, RiskChanged
from bot.core.inputs import TradingState
from bot.core.orders import OrderState
from bot.outlets.envelope import Identity
from bot.outlets.errors import OutletError
from bot.outlets.listener import Listener, ListenerSettings, Readiness
from bot.outlets.metrics import READINGS, Metrics, metric_names
from tests.outlets.feed_facts import AT, decision, equity, every_event, fate, order

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "arbiter-rules.yml"


@pytest.fixture
def metrics(identity: Identity) -> Metrics:
    return Metrics(identity, "1.2.3")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_facts_become_counts_and_gauges(metrics: Metrics) -> None:
    metrics.observe(DecisionSeen(AT, decision()))
    metrics.observe(fate(Fate.OUTRANKED))
    metrics.observe(fate(Fate.DENIED, Denial.MAX_EXPOSURE))
    metrics.observe(equity(12_345.0))
    metrics.observe_latency(0.0002)
    assert value(metrics, "bot_proposals_total", source="llm:claude") == 1
    assert value(metrics, "bot_decisions_total", source="llm:claude", fate="outranked") == 1
    assert value(metrics, "bot_denials_total", denial="max-exposure") == 1
    assert value(metrics, "bot_equity") == 12_345.0
    assert value(metrics, "bot_cash") == float(Decimal("9000.10"))
    assert value(metrics, "bot_drawdown_ratio") == 0.0099
    assert value(metrics, "bot_decision_latency_seconds_count") == 1


def test_every_fact_can_be_observed(metrics: Metrics) -> None:
    for event in every_event()[2:-1]:
        metrics.observe(event)  # type: ignore[arg-type]
    assert value(metrics, "bot_fills_total", side="buy") == 1
    assert value(metrics, "bot_position_quote", symbol="BTC/USDT") == pytest.approx(1.01)
    assert value(metrics, "bot_shadow_equity", source="rules:sma") == 10_010.0


def test_a_partial_fill_does_not_count_the_order_as_open_again(metrics: Metrics) -> None:
    for state, filled in [
        (OrderState.OPEN, "0"),
        (OrderState.OPEN, "0.004"),
        (OrderState.UNKNOWN, "0.004"),
        (OrderState.OPEN, "0.006"),
    ]:
        metrics.observe(order(state, filled))
    metrics.observe(order(OrderState.FILLED, "0.01"))
    assert value(metrics, "bot_orders_total", state="open") == 2
    assert value(metrics, "bot_orders_total", state="unknown") == 1
    assert value(metrics, "bot_orders_total", state="filled") == 1


def test_the_trading_state_is_one_and_the_others_zero(metrics: Metrics) -> None:
    assert value(metrics, "bot_trading_state", state="active") == 1
    metrics.observe(RiskChanged(AT, TradingState.HALTED, "cli", ""))
    assert [value(metrics, "bot_trading_state", state=state.value) for state in TradingState] == [0, 0, 1]


def test_a_reading_that_fails_is_left_out_and_counted_and_the_rest_is_served(metrics: Metrics) -> None:
    def broken() -> float:
        raise RuntimeError("no")

    metrics.bind("bot_queue_depth", broken)
    metrics.bind("bot_inbox_depth", lambda: {"market": 3, "broker": 1})
    text = metrics.expose().decode()
    assert 'bot_inbox_depth{lane="market"} 3.0' in text
    assert "bot_queue_depth" not in text
    assert "bot_scrape_failures_total 1.0" in text


def test_a_reading_nobody_declared_is_refused(metrics: Metrics) -> None:
    with pytest.raises(KeyError):
        metrics.bind("bot_quueue_depth", lambda: 0)


def test_two_bots_in_one_process_have_metrics_of_their_own(identity: Identity) -> None:
    first, second = Metrics(identity), Metrics(identity)
    first.observe(equity(1.0))
    assert value(second, "bot_equity") == 0


def test_what_is_exposed_is_the_format_prometheus_reads_with_names_as_the_field_has_them(metrics: Metrics) -> None:
    for name, gauged in READINGS.items():
        metrics.bind(name, (lambda: {"a": 1.0}) if gauged.label else (lambda: 1.0))
    families = list(text_string_to_metric_families(metrics.expose().decode()))
    assert {family.name for family in families} >= {"bot_equity", "bot_loop_lag_seconds", "bot_build_info", *READINGS}
    assert all(re.fullmatch(r"bot_[a-z_]+", family.name) and family.documentation for family in families)


def test_the_alerts_ask_only_for_metrics_that_exist() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"\bbot_\w+", rule["expr"])}
    assert asked
    assert asked <= metric_names()
    states = {state for rule in rules for state in re.findall(r'state="(\w+)"', rule["expr"])}
    assert states <= {*(state.value for state in TradingState), *(state.value for state in OrderState)}
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules)


@asynccontextmanager
async def listening(metrics: Metrics, ready: Readiness, **settings: float) -> AsyncIterator[str]:
    listener = Listener(ListenerSettings(port=0, **settings), metrics, ready)  # type: ignore[arg-type]
    await listener.start()
    try:
        yield f"http://127.0.0.1:{listener.port}"
    finally:
        await listener.close()


async def fetch(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_the_listener_serves_metrics_and_health(metrics: Metrics) -> None:
    reasons: list[str] = []
    async with listening(metrics, lambda: reasons) as base:
        status, text = await fetch(f"{base}/metrics")
        assert status == 200
        assert 'bot_build_info{bot="main",mode="paper"' in text
        assert await fetch(f"{base}/healthz") == (200, '{"status":"alive"}')
        assert await fetch(f"{base}/readyz") == (200, '{"status":"ready","reasons":[]}')
        reasons.append("BTC/USDT: no quote for 12 s")
        assert await fetch(f"{base}/readyz") == (503, '{"status":"not ready","reasons":["BTC/USDT: no quote for 12 s"]}')
        assert (await fetch(f"{base}/elsewhere"))[0] == 404


async def test_a_check_that_hangs_is_answered_in_time(metrics: Metrics) -> None:
    async def hang() -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with listening(metrics, hang, timeout=0.05) as base:
        assert await fetch(f"{base}/readyz") == (503, '{"status": "timeout"}')
        assert (await fetch(f"{base}/healthz"))[0] == 200


async def test_a_check_that_fails_shows_no_traceback(metrics: Metrics) -> None:
    def fail() -> Sequence[str]:
        raise RuntimeError("hunter2secret")

    async with listening(metrics, fail) as base:
        status, text = await fetch(f"{base}/readyz")
    assert status == 500
    assert "hunter2secret" not in text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.invalid", ""])
async def test_an_address_others_can_reach_is_refused_unless_allowed(metrics: Metrics, host: str) -> None:
    with pytest.raises(OutletError, match="allow_remote"):
        await Listener(ListenerSettings(host=host, port=0), metrics, tuple).start()


async def test_an_address_others_can_reach_may_be_allowed(metrics: Metrics) -> None:
    listener = Listener(ListenerSettings(host="0.0.0.0", port=0, allow_remote=True), metrics, tuple)
    await listener.start()
    assert (await fetch(f"http://127.0.0.1:{listener.port}/healthz"))[0] == 200
    await listener.close()


async def test_a_port_that_is_taken_is_said_in_one_line(metrics: Metrics) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OutletError, match=f"metrics.port {port}"):
            await Listener(ListenerSettings(port=port), metrics, tuple).start()
