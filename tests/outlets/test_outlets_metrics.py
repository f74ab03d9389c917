from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from bot.core.decision import Abstention, Action, Denial, Fate, Tier
from bot.core.facts import AbstentionMade, DecisionSeen, HealthChanged, RiskChanged, Verdict
from bot.core.inputs import TradingState
from bot.core.market import Health
from bot.core.orders import OrderState
from bot.latency import LatencyHistogram
from bot.outlets.envelope import Identity, JobChanged, JobState
from bot.outlets.metric_catalogue import CATALOGUE, Kind, metric_names
from bot.outlets.metric_counts import MOST_SERIES
from bot.outlets.metrics import Metrics
from tests.outlets.feed_facts import AT, decision, equity, every_event, fate, order
from tests.prometheus import promtool


@pytest.fixture
def metrics(identity: Identity) -> Metrics:
    return Metrics(identity, "1.2.3")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def total(metrics: Metrics, name: str) -> float:
    return sum(sample.value for family in metrics.registry.collect() for sample in family.samples if sample.name == name)


def test_facts_become_counts_and_gauges(metrics: Metrics) -> None:
    metrics.observe(DecisionSeen(AT, decision()))
    metrics.observe(fate(Fate.OUTRANKED))
    metrics.observe(fate(Fate.DENIED, Denial.MAX_EXPOSURE))
    metrics.observe(equity(12_345.0))
    assert value(metrics, "bot_proposals_total", source="llm:claude", action=decision().action.value) == 1
    assert value(metrics, "bot_decisions_total", source="llm:claude", fate="outranked") == 1
    assert value(metrics, "bot_denials_total", denial="max-exposure") == 1
    assert value(metrics, "bot_equity") == 12_345.0
    assert value(metrics, "bot_cash") == float(Decimal("9000.10"))
    assert value(metrics, "bot_drawdown_ratio") == 0.0099
    assert value(metrics, "bot_exposure_ratio") == pytest.approx((value(metrics, "bot_exposure") or 0.0) / 12_345.0)


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


def test_an_order_that_freezes_a_symbol_is_no_gap_and_no_staleness_of_its_data(metrics: Metrics) -> None:
    for health, detail in [
        (Health.GAP, "a gap"),
        (Health.GAP, "frozen: order x is unknown at the venue"),
        (Health.STALE, "no event for 5 s"),
        (Health.STALE, "thawed: order x is known again"),
        (Health.FRESH, ""),
        (Health.STALE, "no event for 5 s"),
    ]:
        metrics.observe(HealthChanged(AT, "BTC/USDT", health, detail))
    assert value(metrics, "bot_feed_gaps_total", symbol="BTC/USDT") == 1
    assert value(metrics, "bot_feed_stale_total", symbol="BTC/USDT") == 2


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
    assert value(second, "bot_equity") is None


def verdict(winner: str, source: str) -> Verdict:
    return Verdict(
        f"v-{winner}",
        AT,
        "BTC/USDT",
        "priority",
        winner,
        source,
        Tier.QUANTCONNECT,
        Action.BUY,
        0.9,
        (),
        "",
        Decimal(1),
        Decimal(0),
    )


def test_who_outranked_whom_is_counted_by_their_sources(metrics: Metrics) -> None:
    metrics.observe(verdict("d-9", "quantconnect:momentum"))
    metrics.observe(replace(fate(Fate.OUTRANKED), winner="d-9"))
    metrics.observe(replace(fate(Fate.OUTRANKED), winner="long ago"))
    assert value(metrics, "bot_arbitration_wins_total", source="quantconnect:momentum", policy="priority") == 1
    name = "bot_arbitration_outranked_total"
    assert value(metrics, name, source="llm:claude", winner="quantconnect:momentum") == 1
    assert value(metrics, name, source="llm:claude", winner="other") == 1


def job(name: str, state: JobState) -> JobChanged:
    return JobChanged(AT, name, "qc.backtest", "cli", state, AT, "", 0.0, None, "", "")


def test_jobs_that_run_are_a_gauge_and_those_that_ended_a_count(metrics: Metrics) -> None:
    for name, state in [("a", JobState.RUNNING), ("a", JobState.RUNNING), ("b", JobState.RUNNING), ("a", JobState.FAILED)]:
        metrics.observe(job(name, state))
    assert value(metrics, "bot_jobs_running") == 1
    assert value(metrics, "bot_jobs_ended_total", kind="qc.backtest", state="failed") == 1


def test_labels_from_outside_cannot_grow_a_scrape_without_end(metrics: Metrics) -> None:
    for number in range(3 * MOST_SERIES):
        metrics.observe(AbstentionMade(AT, Abstention("llm:claude", Tier.LLM, "BTC/USDT", f"reason {number}")))
    assert metrics.expose().count(b"bot_abstentions_total{") == MOST_SERIES + 1
    assert value(metrics, "bot_abstentions_total", source="other", reason="other") == 2 * MOST_SERIES
    assert total(metrics, "bot_abstentions_total") == 3 * MOST_SERIES


def test_a_label_may_hold_anything(metrics: Metrics) -> None:
    nasty = 'a"b\\c\nd{}'
    metrics.observe(AbstentionMade(AT, Abstention(nasty, Tier.LLM, "BTC/USDT", "<script>")))
    (family,) = [each for each in text_string_to_metric_families(metrics.expose().decode()) if each.name == "bot_abstentions"]
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"source": nasty, "reason": "<script>"}, 1.0)]


def test_a_reading_with_as_many_values_as_there_are_not_labels_is_left_out_and_counted(metrics: Metrics) -> None:
    metrics.bind("bot_llm_calls", lambda: {("anthropic", "m"): 1.0})
    text = metrics.expose().decode()
    assert "bot_llm_calls_total{" not in text
    assert "bot_scrape_failures_total 1.0" in text


def histogram(*seconds: float) -> LatencyHistogram:
    found = LatencyHistogram()
    for each in seconds:
        found.add(each)
    return found


def test_a_histogram_s_buckets_grow_to_its_count(metrics: Metrics) -> None:
    metrics.bind("bot_event_handled_seconds", lambda: histogram(0.00004, 0.003, 0.003, 900.0))
    name = "bot_event_handled_seconds"
    assert value(metrics, f"{name}_bucket", le="5e-05") == 1
    assert value(metrics, f"{name}_bucket", le="0.005") == 3
    assert value(metrics, f"{name}_bucket", le="5.0") == 3
    assert value(metrics, f"{name}_bucket", le="+Inf") == value(metrics, f"{name}_count") == 4
    assert value(metrics, f"{name}_sum") == pytest.approx(900.00604)


def everything(metrics: Metrics) -> None:
    """Bind each metric to something."""
    for name, metric in CATALOGUE.items():
        labels = tuple(f"a-{label}" for label in metric.labels)
        read = histogram(0.1) if metric.kind is Kind.HISTOGRAM else 1.0
        metrics.bind(name, lambda labels=labels, read=read: {labels: read})  # type: ignore[misc]


def test_what_is_exposed_is_the_format_prometheus_reads_with_names_as_the_field_has_them(metrics: Metrics) -> None:
    everything(metrics)
    families = {family.name: family for family in text_string_to_metric_families(metrics.expose().decode())}
    assert set(CATALOGUE) <= set(families)
    assert all(re.fullmatch(r"(bot|process)_[a-z_]+", name) and family.documentation for name, family in families.items())
    assert not [name for name in families if name.endswith("_created")]
    samples = {sample.name for family in families.values() for sample in family.samples}
    assert samples <= metric_names()
    assert len(CATALOGUE) >= 40


async def test_a_scrape_is_clean_for_promtool(metrics: Metrics) -> None:
    everything(metrics)
    text, _ = await metrics.scrape()
    found = promtool("check", "metrics", stdin=text)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


async def test_a_scrape_is_open_metrics_where_that_is_asked_for(metrics: Metrics) -> None:
    everything(metrics)
    text, content_type = await metrics.scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert text.count(b"# EOF\n") == 1
    assert {family.name for family in open_metrics(text.decode())} >= set(CATALOGUE)  # type: ignore[no-untyped-call]
    plain, content_type = await metrics.scrape("nonsense")
    assert content_type.startswith("text/plain")
    assert b"# EOF" not in plain
    assert {family.name for family in text_string_to_metric_families(plain.decode())} >= set(CATALOGUE)


async def test_what_is_to_be_done_before_a_scrape_is_done_when_it_is_due_and_its_failure_costs_only_itself(
    metrics: Metrics,
) -> None:
    done: list[str] = []

    async def often() -> None:
        done.append("often")

    async def seldom() -> None:
        done.append("seldom")
        raise RuntimeError("no")

    metrics.before_scrape(seldom, every=3_600)
    metrics.before_scrape(often)
    for _ in range(2):
        text, _ = await metrics.scrape()
    assert done == ["seldom", "often", "often"]
    assert b"bot_scrape_failures_total 1.0" in text


async def test_a_scrape_leaves_the_loop_to_others_in_between(metrics: Metrics) -> None:
    """Each reading holds the loop a little: between them others have their turn."""

    def slow() -> float:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        return 1.0

    for name, metric in CATALOGUE.items():
        if not metric.labels and metric.kind is not Kind.HISTOGRAM:
            metrics.bind(name, slow)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await metrics.scrape()
    task.cancel()
    assert turns > 20
