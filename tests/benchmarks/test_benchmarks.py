"""Every item of `make bench` runs and tells its figures; how fast they are is not for a test to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from benchmarks.__main__ import ITEMS, main
from benchmarks.pixel import chromium
from benchmarks.report import Effort, Goal, Result, percentile

KEYS = {"item", "figure", "unit", "target", "met", "reference", "ratio", "runs", "spread", "cpu_figure", "load", "detail"}
FIGURES = {
    "single": {"backtest-single"},
    "multi": {"backtest-multi"},
    "quotes": {"desk-quotes"},
    "fill": {"fill-memory-p50", "fill-memory-p99", "fill-durable-p50", "fill-durable-p99"},
    "shell": {"shell-events"},
    "symbols": {"symbols-cost", "symbols-core"},
    "burst": {"burst-trades"},
    "journal": {"journal-rows", "journal-intent-p50", "journal-intent-p99"},
    "start": {"start-help", "start-first-decision", "start-memory"},
    "llm": {"llm-overhead-p50", "llm-overhead-p99"},
    "snapshot": {"llm-snapshot", "llm-prompt"},
    "construction": {"construction-quote", "construction-candle"},
    "send": {"live-send-sqlite-p50", "live-send-sqlite-p99", "live-send-postgres-p50", "live-send-postgres-p99"},
    "limits": {"live-order-behind-data"},
    "reconcile": {"live-reconcile-own", "live-reconcile-weight"},
    "restart": {"live-restart"},
    "quantconnect": {"quantconnect-live-read", "quantconnect-backtest-read", "quantconnect-hundred-insights"},
    "webhook": {"quantconnect-webhook-p50", "quantconnect-webhook-p99"},
    "insights": {"quantconnect-thousand-queued"},
    "stream": {"stream-cpu", "stream-tabs-cpu", "stream-latency-p50", "stream-latency-p99"},
    "pages": {"page-p50", "page-p99", "list-p99"},
    "tabs": {"desk-with-tabs-fill", "desk-with-tabs-handled"},
    "pixel": {"event-to-pixel", "first-page-usable", "first-page-size"},
}


def test_every_item_is_promised_here() -> None:
    assert set(FIGURES) == set(ITEMS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(ITEMS))
def test_an_item_prints_one_line_of_json_for_each_of_its_figures(name: str) -> None:
    """In a process of its own, as `make bench` runs it: some items freeze the garbage collector or run a loop of their own."""
    if name == "pixel" and chromium() is None:
        pytest.skip("no Chromium on this machine")
    command = [sys.executable, "-m", "benchmarks", "--only", name, "--runs", "1", "--scale", "0.002"]
    done = subprocess.run(command, capture_output=True, timeout=280, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr.decode()
    lines = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert {line["item"] for line in lines} == FIGURES[name]
    for line in lines:
        assert set(line) == KEYS
        assert line["figure"] > 0
        assert line["runs"] == 1
        lost = [
            line["detail"].get(key, 0)
            for key in ("redis_dropped", "inputs_dropped", "facts_dropped", "trades_dropped", "troubles")
        ]
        assert not any(lost)


def test_an_item_that_fails_is_shown_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ITEMS, "quotes", "core:missing")
    assert main(["--only", "quotes", "--only", "construction", "--runs", "1", "--scale", "0.001"]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "missing" in err


def test_a_goal_is_met_by_the_figure_or_by_its_ratio_and_unknown_without_its_reference() -> None:
    goals = (Goal(least=10), Goal(least=2.0, of="peer"))
    assert Result("x", 10.0, "1/s", goals, {"peer": 5.0}).met is True
    assert Result("x", 10.0, "1/s", goals, {"peer": 6.0}).met is False
    assert Result("x", 9.0, "1/s", goals, {"peer": 1.0}).met is False
    assert Result("x", 10.0, "1/s", goals).met is None
    assert Result("x", 10.0, "1/s").met is None
    assert Result("x", 10.0, "ms", (Goal(most=10),)).met is True


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0], 0.99) == 1.0


def test_an_effort_scales_sizes_down_to_a_least() -> None:
    assert Effort(scale=0.1).size(100) == 10
    assert Effort(scale=0.001).size(100, 5) == 5
