"""Equity, candles, and what sources earned and won."""

from __future__ import annotations

import math
import time
from decimal import Decimal
from typing import Any

import pytest

from bot.core.decision import Action, Fate
from bot.web.charts.candles import MOST_DECISIONS, Marks, candles
from bot.web.charts.chart import MOST_ROWS, Chart
from bot.web.charts.equity import drawdowns, equity
from bot.web.charts.numbers import MOST_CANDLES, MOST_POINTS
from bot.web.charts.sources import fates, overrides, pnl_by_source, win_share
from bot.web.charts.theme import Theme, colours
from tests.web.charts import records as r

LIGHT = Theme.LIGHT


def series(chart: Chart, name: str) -> dict[str, Any]:
    """The one series of that name."""
    (found,) = (each for each in chart.figure["data"] if each["name"] == name)
    assert isinstance(found, dict)
    return found


def test_two_thousand_points_are_drawn_within_fifteen_milliseconds() -> None:
    points, took = r.points(2_000), []
    for _ in range(5):
        began = time.process_time()
        equity(points, LIGHT).json()
        took.append(time.process_time() - began)
    assert min(took) < 0.015


def test_a_hundred_thousand_samples_become_a_curve_that_keeps_every_extreme() -> None:
    points = r.points(100_000)
    points[77_777] = r.make(type(points[0]), at=points[77_777].at, equity=1.0)
    chart = equity(points, LIGHT)
    curve = series(chart, "equity")
    assert len(curve["x"]) <= MOST_POINTS
    assert min(curve["y"]) == 1.0
    assert points[77_777].at in curve["x"]
    assert len(chart.table.rows) == MOST_ROWS
    assert "every extreme" in chart.summary


def test_falls_are_computed_where_the_journal_has_none() -> None:
    assert drawdowns([100, 110, 55, None, 121]) == [0, 0, 0.5, None, 0]
    chart = equity([r.make(type(r.points(1)[0]), at=r.T0 + n, equity=e) for n, e in enumerate((100.0, 50.0))], LIGHT)
    assert series(chart, "drawdown")["y"] == [0.0, -0.5]
    assert "50.0 %" in chart.summary


def test_a_benchmark_and_shadows_begin_where_the_book_does() -> None:
    points = r.points(10)
    first = points[0].equity
    chart = equity(points, LIGHT, benchmark=[(r.T0, 50), (r.T0 + 1, Decimal(100))], shadows={"llm": r.shadow_points(4, "llm")})
    assert first is not None
    assert series(chart, "benchmark")["y"] == [first, 2 * first]
    assert series(chart, "llm alone")["y"] == [first, first + 1, first + 2, first + 3]
    assert len({each["line"]["dash"] for each in chart.figure["data"] if each.get("yaxis") != "y2"}) == 3


def test_the_hover_of_a_decision_shows_its_reasoning_escaped_and_cut() -> None:
    said = "<img src=x onerror=alert(1)> " + "because " * 500
    chart = candles("BTC/USDT", [r.candle(1)], Marks([r.decision(1, reasoning=said, fate=Fate.OUTRANKED)]), LIGHT)
    (text,) = series(chart, "llm: decisions")["text"]
    assert "<b>BUY</b> llm · confidence 70.0 %" in text
    assert "outranked" in text
    assert "&lt;img src=x onerror=alert(1)&gt; because" in text
    assert len(text) < 800
    assert text.endswith("…")


def test_what_a_decision_asks_for_is_told_by_its_marker() -> None:
    made = [r.decision(n, action=action) for n, action in enumerate(Action)]
    markers = series(candles("A/B", [r.candle(1)], Marks(made), LIGHT), "llm: decisions")["marker"]
    assert len(set(markers["symbol"])) == 3


def test_an_open_position_is_drawn_with_its_levels_and_its_time() -> None:
    bars = [r.candle(n) for n in range(10)]
    chart = candles("BTC/USDT", bars, Marks(position=r.position(), opened=r.T0 + 3 * r.MINUTE), LIGHT)
    names = ("average entry", "stop", "target", "trailing stop")
    drawn = [series(chart, name) for name in names]
    assert [each["y"][0] for each in drawn] == [100.0, 95.0, 110.0, 97.0]
    assert len({each["line"]["dash"] for each in drawn}) == 4
    assert all(each["x"] == [r.T0 + 3 * r.MINUTE, bars[-1].end] for each in drawn)
    (band,) = chart.figure["layout"]["shapes"]
    assert (band["x0"], band["x1"]) == (r.T0 + 3 * r.MINUTE, bars[-1].end)


def test_a_flat_position_has_no_levels() -> None:
    chart = candles("BTC/USDT", [r.candle(1)], Marks(position=r.position(amount=Decimal(0)), opened=r.T0), LIGHT)
    assert [each["type"] for each in chart.figure["data"]] == ["candlestick"]
    assert not chart.figure["layout"]["shapes"]


def test_a_level_far_away_does_not_flatten_the_candles() -> None:
    bars = [r.candle(n) for n in range(10)]
    near, far = (
        candles("A/B", bars, Marks(position=r.position(stop_loss=stop, take_profit=None)), LIGHT) for stop in (98.5, 50.0)
    )
    assert near.figure["layout"]["yaxis"]["range"] == pytest.approx([98.375, 101.125])
    assert far.figure["layout"]["yaxis"]["range"][0] > 96.0
    assert series(far, "stop")["y"][0] == 50.0


def test_many_candles_and_decisions_are_bounded_and_it_is_said() -> None:
    bars = [r.candle(n) for n in range(5_000)]
    bars[4_321] = r.candle(4_321, high=777.0)
    chart = candles("A/B", bars, Marks([r.decision(n) for n in range(3_000)]), LIGHT)
    drawn = series(chart, "candles")
    assert len(drawn["x"]) <= MOST_CANDLES
    assert max(drawn["high"]) == 777.0
    assert len(series(chart, "llm: decisions")["x"]) == MOST_DECISIONS
    assert "joined 4 by 4" in chart.summary
    assert "the newest 300 of 3,000" in chart.summary


def test_the_sum_of_the_sources_is_the_arbiters_own() -> None:
    lots = [r.lot(1, "llm", "5"), r.lot(2, "rules", "-2"), r.lot(4, "llm", "0.5")]
    chart = pnl_by_source(lots, [r.shadow_trade(3, "llm", "9")], LIGHT)
    ends = {each["name"]: each["y"][-1] for each in chart.figure["data"]}
    assert ends["the arbiter"] == ends["llm in the book"] + ends["rules in the book"] == 3.5
    assert ends["llm alone (shadow)"] == 9.0
    assert all(each["y"][0] == 0.0 for each in chart.figure["data"])
    assert series(chart, "llm alone (shadow)")["line"]["dash"] != series(chart, "llm in the book")["line"]["dash"]
    assert "llm would have earned most: +9.00" in chart.summary
    assert "earned most: -1.00" in pnl_by_source(lots, [r.shadow_trade(3, "qc", "-1")], LIGHT).summary


def test_only_a_verdict_over_another_source_is_a_conflict() -> None:
    source_of = {"a": "llm", "b": "qc", "c": "rules"}
    verdicts = [r.verdict("qc", "a"), r.verdict("qc", "a", "c"), r.verdict("llm", "b"), r.verdict("qc", "b"), r.verdict("qc")]
    rows = {row[0]: row[1:4] for row in win_share(verdicts, source_of, LIGHT).table.rows}
    assert rows == {"qc": ("3", "2", "66.7 %"), "llm": ("3", "1", "33.3 %"), "rules": ("1", "0", "0.0 %")}


def test_the_interval_of_a_share_holds_it() -> None:
    drawn = win_share([r.verdict("qc", "a")] * 9 + [r.verdict("llm", "b")], {"a": "llm", "b": "qc"}, LIGHT).figure["data"][0]
    reach = drawn["error_x"]
    for share, above, below in zip(drawn["x"], reach["array"], reach["arrayminus"], strict=True):
        assert 0.0 <= share - below < share + above <= 1.0


def test_costs_and_savings_of_overrides_are_apart_and_summed() -> None:
    given = [r.override(1, 5.0), r.override(2, -8.0), r.override(3, None), r.override(4, math.nan)]
    chart = overrides(given, LIGHT)
    assert series(chart, "together")["y"] == [5.0, -3.0]
    assert series(chart, "cost")["y"] == [5.0]
    assert series(chart, "saved")["y"] == [-8.0]
    assert series(chart, "cost")["marker"]["symbol"] != series(chart, "saved")["marker"]["symbol"]
    assert chart.summary == "2 overrides saved 3.00 USD together."


def test_what_was_cut_off_is_said_and_not_passed_over() -> None:
    note = "the newest 1,000 only"
    said = [
        pnl_by_source([r.lot(1, "llm", "1")], [], LIGHT, note=note).summary,
        overrides([r.override(1, 5.0)], LIGHT, note=note).summary,
        win_share([r.verdict("qc", "a")], {"a": "llm"}, LIGHT, note=note).summary,
    ]
    assert all(f"; {note}." in each for each in said), said


def test_an_order_that_rests_since_before_the_candles_is_a_line_through_all_of_them() -> None:
    shown = [r.candle(place) for place in range(5, 9)]
    marks = Marks(orders=[r.order(1, id="old"), r.order(6, id="young")])
    line = series(candles("A/B", shown, marks, LIGHT), "orders")
    assert line["x"][0] == shown[0].ts
    assert line["x"][3] == r.T0 + 6 * r.MINUTE
    assert min(at for at in line["x"] if at is not None) == shown[0].ts
    assert line["x"][1] == line["x"][4]


def test_every_fate_is_counted_once_and_pending_ones_too() -> None:
    given = [r.fate("a", Fate.EXECUTED, 3), r.fate("a", None, 2), r.fate("b", Fate.DENIED, 4), r.fate("b", Fate.EXECUTED, 0)]
    chart = fates(given, LIGHT)
    assert sum(sum(each["x"]) for each in chart.figure["data"]) == 9
    assert [each["name"] for each in chart.figure["data"]] == ["executed", "denied", "pending"]
    assert chart.table.rows == (("a", "3", "0", "2", "5"), ("b", "0", "4", "0", "4"))


def test_rows_may_come_newest_first_as_the_journal_gives_them() -> None:
    lots, trades = [r.lot(n, "llm", str(n)) for n in range(5)], [r.shadow_trade(n, "llm", "1") for n in range(5)]
    costs, marks = (
        [r.override(n, float(n)) for n in range(5)],
        Marks([r.decision(n) for n in range(5)], fills=[r.fill(n) for n in range(3)]),
    )
    turned = Marks(marks.decisions[::-1], fills=marks.fills[::-1])
    assert pnl_by_source(lots, trades, LIGHT) == pnl_by_source(lots[::-1], trades[::-1], LIGHT)
    assert overrides(costs, LIGHT) == overrides(costs[::-1], LIGHT)
    assert equity(r.points(9), LIGHT) == equity(r.points(9)[::-1], LIGHT)
    assert candles("A/B", [r.candle(1)], marks, LIGHT) == candles("A/B", [r.candle(1)], turned, LIGHT)


@pytest.mark.parametrize("theme", Theme)
def test_every_fate_has_a_look_of_its_own(theme: Theme) -> None:
    chart = fates([r.fate("a", each, 1) for each in (*Fate, None)], theme)
    looks = {(each["marker"]["color"], each["marker"]["pattern"]["shape"]) for each in chart.figure["data"]}
    assert len(looks) == len(Fate) + 1
    assert {colour for colour, _ in looks} <= set(colours(theme).series)
