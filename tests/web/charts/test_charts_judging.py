"""Calibration, memory, costs, limits, backtests and monitoring."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import product

import pytest

from bot.web.charts.backtests import backtest, comparison, monthly_returns, sweep
from bot.web.charts.costs import cost_against_pnl, costs_by_day, costs_by_month
from bot.web.charts.gauges import Gauge, budget, limits
from bot.web.charts.learning import calibration, memory_confidence
from bot.web.charts.monitoring import errors_by_hour, feed_ages, latencies, latency_buckets
from bot.web.charts.theme import Theme
from tests.web.charts import records as r
from tests.web.charts.test_charts_trading import series

LIGHT = Theme.LIGHT
HOUR = 3_600_000
NOON = int(datetime(2025, 10, 9, 12, tzinfo=UTC).timestamp() * 1_000)


def test_a_reliability_curve_has_its_intervals_counts_and_scores() -> None:
    chart = calibration(r.calibration_row(), LIGHT)
    curve, counts = series(chart, "came true"), series(chart, "closed")
    assert list(zip(curve["x"], curve["y"], strict=True)) == [(0.55, 0.5), (0.74, 0.6)]
    assert curve["error_y"]["array"] == pytest.approx([0.25, 0.15])
    assert curve["error_y"]["arrayminus"] == pytest.approx([0.25, 0.18])
    assert counts["y"] == [12, 30]
    assert counts["width"] == pytest.approx([0.1, 0.1])
    assert series(chart, "as stated")["y"] == [0, 1]
    assert series(chart, "map")["y"] == [0.2, 0.7]
    assert "24 of 42 closed decisions came true" in chart.summary
    assert "Brier score 0.241" in chart.summary
    assert "calibration error 11.0 % (95 % interval 4.0 % to 20.0 %)" in chart.summary


def test_the_band_of_a_belief_reaches_up_to_its_quality() -> None:
    chart = memory_confidence([r.belief(3)], LIGHT)
    band = series(chart, "up to its quality")
    assert band["y"] == [0.6, 0.6, 0.6, 0.2, 0.1, 0.0]
    assert series(chart, "momentum · BTC/USDT · 1h")["y"] == [0.0, 0.1, 0.2]
    assert "20.0 %" in chart.summary


def test_more_subjects_than_can_be_told_apart_are_left_to_the_table() -> None:
    chart = memory_confidence([r.belief(2, symbol=f"S{place}") for place in range(30)], LIGHT)
    assert len(chart.figure["data"]) == 16
    assert "22 more subjects in the table" in chart.summary
    assert len(chart.table.rows) == 60


def test_today_is_projected_at_its_pace_and_unpriced_calls_are_never_nothing() -> None:
    chart = costs_by_day(r.cost_lines(), LIGHT, now=NOON, budget=2.0)
    assert series(chart, "big")["y"] == [1.25, 0.75, 1.0]
    assert series(chart, "small")["y"] == [0.0, 0.05, 0.0]
    assert series(chart, "projected")["y"] == [1.0]
    assert chart.figure["layout"]["shapes"][0]["y0"] == 2.0
    assert "comes to 2.0000" in chart.summary
    assert "50.0 % is used" in chart.summary
    assert "4 calls of models without a known price are not in it" in chart.summary


def test_months_are_the_sums_of_their_days() -> None:
    chart = costs_by_month([*r.cost_lines(), {"key": "2025-09", "usd": "4"}], LIGHT, now=NOON)
    assert chart.table.rows[0][0] == "2025-10"
    assert [row[-1] for row in chart.table.rows] == ["3.0500", "4.0000"]
    assert series(chart, "projected")["y"][0] == pytest.approx(3.05 * 31 / 8.5 - 3.05)
    assert "shapes" not in chart.figure["layout"]


def test_nothing_is_projected_from_the_first_minutes_of_a_day() -> None:
    midnight = NOON - 12 * HOUR
    names = [each["name"] for each in costs_by_day(r.cost_lines(), LIGHT, now=midnight + 60_000).figure["data"]]
    assert "projected" not in names


def test_many_models_are_stacked_together_without_losing_a_cent() -> None:
    lines = [{"day": "2025-10-09", "model": f"m{place}", "usd": place + 1} for place in range(30)]
    chart = costs_by_day(lines, LIGHT, now=NOON)
    drawn = [each for each in chart.figure["data"] if each["name"] != "projected"]
    assert len(drawn) == 8
    assert sum(sum(each["y"]) for each in drawn) == sum(range(1, 31))
    assert drawn[-1]["name"] == "other models"


def test_what_a_model_brought_is_net_of_what_it_cost() -> None:
    chart = cost_against_pnl(r.earnings(), LIGHT)
    assert chart.table.rows[0] == ("llm · big", "4", "2.5000", "+10.00", "+7.50")
    assert chart.summary.endswith("net +4.00.")
    assert len({each["marker"]["symbol"] for each in chart.figure["data"] if "marker" in each}) == 2


@pytest.mark.parametrize(
    ("used", "limit", "state"),
    [(0, 10, "ok"), (7.9, 10, "ok"), (8, 10, "near"), (10, 10, "reached"), (11, 10, "over"), (1, None, "not limited"),
     (1, 0, "not limited"), (None, 10, "unknown"), (math.nan, 10, "unknown"), (-3, 10, "ok")],
)  # fmt: skip
def test_how_full_a_limit_is_has_a_word(used: float | None, limit: float | None, state: str) -> None:
    assert Gauge("x", used, limit).state == state


def test_a_bar_far_past_its_limit_is_cut_and_says_its_number() -> None:
    chart = limits([Gauge("a", 5, 1), Gauge("b", 0.5, 1), Gauge("c", 1, None)], LIGHT)
    over = series(chart, "over")
    assert over["x"] == [1.25]
    assert over["text"] == ["500 %"]
    assert [row[1] for row in chart.table.rows] == ["over", "ok", "not limited"]
    assert chart.summary == "Fullest: a, 500.0 % (over)."


def test_a_budget_is_one_bar() -> None:
    chart = budget(1.7, 2.0, LIGHT)
    assert [(each["name"], each["x"]) for each in chart.figure["data"]] == [("near", [0.85])]


def test_a_backtest_is_drawn_with_its_benchmark_from_the_same_start() -> None:
    chart = backtest(r.backtest_result(), LIGHT)
    assert series(chart, "benchmark")["y"][0] == series(chart, "equity")["y"][0] == 100_000.0
    assert set(series(chart, "drawdown")["y"]) == {-0.01}


def test_a_local_backtest_is_drawn_by_its_days() -> None:
    chart = backtest({"daily_equity": [[r.T0, 100.0], [r.T0 + 24 * HOUR, 90.0]], "currency": "USDT"}, LIGHT)
    assert series(chart, "equity")["y"] == [100.0, 90.0]
    assert "-10.00 USDT" not in chart.summary
    assert "-10.00 (-10.00 %)" in chart.summary


def test_compared_backtests_are_told_apart_by_their_dash() -> None:
    chart = comparison({"names": ["a", "b"], "curves": [[r.T0, 100, 100], [r.T0 + HOUR, 103, None]]}, LIGHT)
    assert series(chart, "a")["line"]["dash"] != series(chart, "b")["line"]["dash"]
    assert series(chart, "b")["y"] == [100.0, None]
    assert chart.summary == "a ended at 103.00; b ended at 100.00."


def test_a_heat_map_leaves_out_what_failed_and_marks_the_best() -> None:
    chart = sweep(r.sweep_result(), LIGHT)
    grid, best = chart.figure["data"]
    assert (grid["x"], grid["y"]) == (["5", "10"], ["20", "30", "50"])
    assert (best["x"], best["y"]) == (["10"], ["20"])
    assert chart.summary == "Best sharpe ratio: 0.500 at fast 10, slow 20."


def test_the_least_drawdown_is_the_best() -> None:
    chart = sweep(r.sweep_result(), LIGHT, figure_name="drawdown", across="slow")
    assert "Best drawdown: 0.200 at slow 20" in chart.summary


def test_a_third_parameter_is_left_to_the_best_of_its_values() -> None:
    points = [
        {"parameters": {"a": a, "b": b, "c": c}, "figures": {"sharpe_ratio": a + b + c}}
        for a, b, c in product((1, 2), (1, 2), (1, 5))
    ]
    chart = sweep({"points": points}, LIGHT)
    assert chart.figure["data"][0]["z"] == [[7.0, 8.0], [8.0, 9.0]]
    assert "best over c" in chart.summary


def test_a_month_is_told_by_its_sign_and_a_year_by_all_of_them() -> None:
    chart = monthly_returns(r.months(), LIGHT)
    (grid,) = chart.figure["data"]
    assert grid["y"] == ["2025", "2024"]
    assert grid["text"][0][:3] == ["-5.0", "", "+10.0"]
    assert (grid["zmin"], grid["zmax"]) == (-0.1, 0.1)
    assert chart.table.rows[0][-1] == "+4.5 %"
    assert chart.summary == "3 months, 67 % of them up; from -5.0 % to +10.0 %."


def test_every_latency_is_in_one_bucket() -> None:
    chart = latencies({"decide": [0.001, 0.5, 3, 3, 1e9], "submit": [40]}, LIGHT)
    assert all(sum(each["y"]) == pytest.approx(1.0) for each in chart.figure["data"])
    assert chart.table.rows[0][:2] == ("decide", "5")
    assert chart.table.rows[0][2] == "≤ 3.98 ms"
    assert chart.table.rows[0][4].startswith("> ")


def test_counted_buckets_are_taken_as_they_are() -> None:
    chart = latency_buckets({"decide": [(1.0, 3), (10.0, 9), (math.inf, 10)]}, LIGHT)
    (bars,) = chart.figure["data"]
    assert bars["x"] == ["≤ 1 ms", "≤ 10 ms", "longer"]
    assert bars["y"] == pytest.approx([0.3, 0.6, 0.1])


def test_stale_feeds_are_marked_and_missing_ones_named() -> None:
    chart = feed_ages({"a": 100, "b": 9_000, "c": None}, LIGHT, stale_ms=5_000)
    assert series(chart, "stale")["y"] == ["b"]
    assert series(chart, "fresh")["y"] == ["a"]
    assert [row[1] for row in chart.table.rows] == ["fresh", "stale", "no data"]
    assert chart.summary == "Oldest: b, 9.0 s. 1 of 3 symbols stale. 1 symbol without any data."


def test_errors_are_counted_by_the_hour_they_were_in() -> None:
    start = NOON
    rows = [(start, 1), (start + HOUR - 1, 2), (start + HOUR, 4), (start - 1, 50), (start + 2 * HOUR, 50)]
    chart = errors_by_hour({"feed": rows}, LIGHT, since=start, until=start + 2 * HOUR)
    assert series(chart, "feed")["y"] == [3, 4]
    assert series(chart, "feed")["x"] == [start, start + HOUR]
    assert chart.summary.startswith("7 errors in 2 hours; most (4) from 2025-10-09 13:00:00 UTC")


def test_a_long_time_of_errors_is_bounded() -> None:
    chart = errors_by_hour({"feed": [(NOON, 1)]}, LIGHT, since=0, until=NOON + 1)
    assert len(series(chart, "feed")["x"]) == 400
