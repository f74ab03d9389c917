"""Every chart there is: with something, with nothing, with words that would be script, and with numbers that are none."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from bot.core.decision import Fate
from bot.core.market import Side
from bot.journal.records import EquityPoint
from bot.web.charts import backtests, candles, costs, equity, gauges, learning, monitoring, sources
from bot.web.charts.candles import Marks
from bot.web.charts.chart import Chart
from bot.web.charts.gauges import Gauge
from bot.web.charts.theme import Theme
from tests.web.charts import records as r

NAN, INF = math.nan, math.inf
NOW = 1_760_011_200_000 + 6 * 3_600_000  # 2025-10-09 18:00 UTC
Made = Callable[[Theme], Chart]
_FLAWED = [NAN, INF, None, Decimal("NaN"), "no number", 3.0, Decimal("4.5"), -INF]

FULL: dict[str, Made] = {
    "equity": lambda theme: equity.equity(
        r.points(50), theme, benchmark=[(r.T0, 50.0), (r.T0 + r.MINUTE, 60.0)], shadows={"llm": r.shadow_points(20, "llm")}
    ),
    "candles": lambda theme: candles.candles("BTC/USDT", [r.candle(n, 99 + n % 3) for n in range(40)], marks(), theme),
    "pnl": lambda theme: sources.pnl_by_source(
        [r.lot(1, "llm", "5"), r.lot(2, "rules", "-2")], [r.shadow_trade(1, "llm", "7"), r.shadow_trade(3, "qc", "1")], theme
    ),
    "wins": lambda theme: sources.win_share([r.verdict("qc", "d1"), r.verdict("llm", "d2")], {"d1": "llm", "d2": "rules"}, theme),
    "overrides": lambda theme: sources.overrides([r.override(1, 5.0), r.override(2, -8.0)], theme),
    "fates": lambda theme: sources.fates([r.fate("llm", met, n + 1) for n, met in enumerate((*Fate, None))], theme),
    "calibration": lambda theme: learning.calibration(r.calibration_row(), theme),
    "memory": lambda theme: learning.memory_confidence([r.belief(), r.belief(strategy="reversal")], theme),
    "cost days": lambda theme: costs.costs_by_day(r.cost_lines(), theme, now=NOW, budget=2.0),
    "cost months": lambda theme: costs.costs_by_month(r.cost_lines(), theme, now=NOW, budget=30.0),
    "cost and pnl": lambda theme: costs.cost_against_pnl(r.earnings(), theme),
    "limits": lambda theme: gauges.limits([Gauge("exposure", 40, 100), Gauge("daily loss", 90, 100), Gauge("x", 3, 2)], theme),
    "budget": lambda theme: gauges.budget(0.4, 2.0, theme),
    "backtest": lambda theme: backtests.backtest(r.backtest_result(), theme),
    "comparison": lambda theme: backtests.comparison(
        {"names": ["one", "two"], "curves": [[r.T0, 100.0, 100.0], [r.T0 + r.MINUTE, 101.0, None]]}, theme
    ),
    "sweep": lambda theme: backtests.sweep(r.sweep_result(), theme),
    "sweep of one": lambda theme: backtests.sweep(r.sweep_result(slow=(20,)), theme),
    "months": lambda theme: backtests.monthly_returns(r.months(), theme),
    "latencies": lambda theme: monitoring.latencies({"decide": [0.2, 0.4, 12.0], "submit": [40.0, 90.0]}, theme),
    "buckets": lambda theme: monitoring.latency_buckets({"decide": [(1.0, 3), (10.0, 9), (INF, 10)]}, theme),
    "feeds": lambda theme: monitoring.feed_ages({"BTC/USDT": 400.0, "ETH/USDT": 9_000.0, "X/Y": None}, theme, stale_ms=5_000),
    "errors": lambda theme: monitoring.errors_by_hour(
        {"feed": [(r.T0, 2), (r.T0 + 1, 1)]}, theme, since=r.T0, until=r.T0 + 7_200_000
    ),
}

EMPTY: dict[str, Made] = {
    "equity": lambda theme: equity.equity([], theme),
    "candles": lambda theme: candles.candles("BTC/USDT", [], Marks(), theme),
    "pnl": lambda theme: sources.pnl_by_source([], [], theme),
    "wins": lambda theme: sources.win_share([r.verdict("qc"), r.verdict("qc", "gone")], {}, theme),
    "overrides": lambda theme: sources.overrides([r.override(1, None)], theme),
    "fates": lambda theme: sources.fates([], theme),
    "calibration": lambda theme: learning.calibration(r.calibration_row(reliability=None), theme),
    "memory": lambda theme: learning.memory_confidence([], theme),
    "cost days": lambda theme: costs.costs_by_day([], theme, now=NOW),
    "cost months": lambda theme: costs.costs_by_month([], theme, now=NOW),
    "cost and pnl": lambda theme: costs.cost_against_pnl([], theme),
    "limits": lambda theme: gauges.limits([], theme),
    "budget": lambda theme: gauges.budget(0.4, None, theme),
    "backtest": lambda theme: backtests.backtest({}, theme),
    "comparison": lambda theme: backtests.comparison({"names": ["one"], "curves": []}, theme),
    "sweep": lambda theme: backtests.sweep({"points": []}, theme),
    "sweep of nothing": lambda theme: backtests.sweep(r.sweep_result(fast=(5,), slow=(20,)), theme),
    "months": lambda theme: backtests.monthly_returns([], theme),
    "latencies": lambda theme: monitoring.latencies({"decide": []}, theme),
    "feeds": lambda theme: monitoring.feed_ages({"BTC/USDT": None}, theme),
    "errors": lambda theme: monitoring.errors_by_hour({}, theme, since=r.T0, until=r.T0 + 1),
}

BAD = r.NASTY
NASTY: dict[str, Made] = {
    "equity": lambda theme: equity.equity(
        r.points(5), theme, currency=BAD, benchmark=[(r.T0, 1.0)], benchmark_name=BAD, shadows={BAD: r.shadow_points(3, BAD)}
    ),
    "candles": lambda theme: candles.candles(
        f"{BAD}/{BAD}", [r.candle(1)], marks(source=BAD, reasoning=BAD * 9, denial=BAD), theme
    ),
    "no candles": lambda theme: candles.candles(BAD, [], Marks(), theme),
    "pnl": lambda theme: sources.pnl_by_source([r.lot(1, BAD, "5")], [r.shadow_trade(1, BAD, "7")], theme, currency=BAD),
    "wins": lambda theme: sources.win_share([r.verdict(BAD, "d1")], {"d1": "llm"}, theme),
    "overrides": lambda theme: sources.overrides(
        [r.override(1, 5.0, winner=BAD, loser=BAD, symbol=BAD), r.override(1, -5.0, winner=BAD)], theme, currency=BAD
    ),
    "fates": lambda theme: sources.fates([r.fate(BAD, Fate.HELD, 2)], theme),
    "calibration": lambda theme: learning.calibration(r.calibration_row(source=BAD, model=BAD, action=BAD), theme),
    "no calibration": lambda theme: learning.calibration({"source": BAD, "model": BAD}, theme),
    "memory": lambda theme: learning.memory_confidence([r.belief(strategy=BAD, symbol=BAD)], theme),
    "cost days": lambda theme: costs.costs_by_day([{"day": "2025-10-09", "model": BAD, "usd": "1"}], theme, now=NOW),
    "cost and pnl": lambda theme: costs.cost_against_pnl(
        [{"source": BAD, "model": BAD, "usd": 1, "pnl": 2}], theme, currency=BAD
    ),
    "cost of a decision": lambda theme: costs.cost_against_pnl([{"key": BAD, "usd": 1, "pnl": 2}], theme),
    "limits": lambda theme: gauges.limits([Gauge(BAD, 1, 2, BAD)], theme),
    "no budget": lambda theme: gauges.budget(1, None, theme, label=BAD, unit=BAD),
    "backtest": lambda theme: backtests.backtest(r.backtest_result() | {"name": BAD, "currency": BAD, "backtest": BAD}, theme),
    "comparison": lambda theme: backtests.comparison({"names": [BAD], "curves": [[r.T0, 100.0]]}, theme),
    "sweep": lambda theme: backtests.sweep(nasty_sweep(BAD, "other"), theme, figure_name=BAD),
    "sweep of one": lambda theme: backtests.sweep(nasty_sweep(BAD), theme, figure_name=BAD),
    "no sweep": lambda theme: backtests.sweep({"points": []}, theme, figure_name=BAD),
    "latencies": lambda theme: monitoring.latencies({BAD: [1.0]}, theme),
    "feeds": lambda theme: monitoring.feed_ages({BAD: 1.0}, theme),
    "errors": lambda theme: monitoring.errors_by_hour({BAD: [(r.T0, 1)]}, theme, since=r.T0, until=r.T0 + 1),
}

FLAWED: dict[str, Made] = {
    "equity": lambda theme: equity.equity(
        [r.points(1)[0], *(r.points(1, peak=NAN)[0] for _ in range(3)), *flawed_points()],
        theme,
        benchmark=list(enumerate(_FLAWED)),
    ),
    "candles": lambda theme: candles.candles(
        "A/B", [r.candle(1), r.candle(2, open=NAN, high=INF)], marks(price=NAN, confidence=NAN, stop_loss=INF), theme
    ),
    "pnl": lambda theme: sources.pnl_by_source([r.lot(1, "llm", "NaN"), r.lot(2, "llm", "2")], [], theme),
    "overrides": lambda theme: sources.overrides([r.override(1, NAN), r.override(2, 3.0)], theme),
    "calibration": lambda theme: learning.calibration(
        {"source": "llm", "reliability": {"bins": [{"closed": 3, "stated": NAN, "won": None}, {"closed": NAN}, 7]}, "map": 5},
        theme,
    ),
    "memory": lambda theme: learning.memory_confidence(
        [r.belief(points=[{"at": NAN, "confidence": NAN}, {"at": r.T0, "confidence": 0.5, "quality": None}]), {"points": 3}],
        theme,
    ),
    "cost days": lambda theme: costs.costs_by_day(
        [{"day": "never", "usd": 1}, {"key": None}, {"key": "2025-10-09", "usd": NAN}, {"key": "2025-10-09", "usd": 1}],
        theme,
        now=NOW,
    ),
    "cost and pnl": lambda theme: costs.cost_against_pnl([{"usd": NAN, "pnl": 1}, {"usd": 1, "pnl": 1, "decisions": NAN}], theme),
    "limits": lambda theme: gauges.limits([Gauge("a", NAN, 2), Gauge("b", 1, INF), Gauge("c", 1, 0), Gauge("d", 1, 2)], theme),
    "backtest": lambda theme: backtests.backtest(
        {"equity_curve": [[1, NAN], ["x", 2], [3, 4.0], 7, []], "drawdown_curve": 4, "charts": {"Benchmark": 3}}, theme
    ),
    "comparison": lambda theme: backtests.comparison(
        {"names": ["a", "b"], "curves": [[r.T0, NAN], [], 3, [r.T0, 2.0, 3.0]]}, theme
    ),
    "sweep": lambda theme: backtests.sweep(
        {"points": [{"parameters": {"a": n, "b": NAN}, "figures": {"sharpe_ratio": value}} for n, value in enumerate(_FLAWED)]},
        theme,
    ),
    "months": lambda theme: backtests.monthly_returns([{"year": 2024, "month": 1, "return": NAN}, *r.months()], theme),
    "latencies": lambda theme: monitoring.latencies({"a": _FLAWED}, theme),
    "feeds": lambda theme: monitoring.feed_ages({"a": NAN, "b": 3.0, "c": Decimal("NaN")}, theme),
}


def marks(**given: Any) -> Marks:
    """One of everything that is drawn on candles; `given` are fields of the decision."""
    source = str(given.get("source", "llm"))
    told: dict[str, Any] = {"reasoning": "it rises", "take_profit": 120.0, **given}
    return Marks(
        [r.decision(3, **told)],
        [r.order(2, source=source)],
        [r.fill(4, source=source, fee_currency=source), r.fill(9, Side.SELL)],
        r.position(),
        r.T0,
    )


def flawed_points() -> list[EquityPoint]:
    """Samples whose worth is no number."""
    return [r.make(EquityPoint, at=r.T0 + n, equity=value, drawdown=value) for n, value in enumerate(_FLAWED)]


def nasty_sweep(*names: str) -> dict[str, object]:
    """A sweep whose parameters, values and figure are script."""
    sets = [dict.fromkeys(names, f"{r.NASTY}{place}") for place in range(3)]
    return {"points": [{"parameters": each, "figures": {r.NASTY: place + 0.5}} for place, each in enumerate(sets)]}
