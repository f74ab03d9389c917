"""What a finished run hands over: every part in the shape that the REST answers have."""

from __future__ import annotations

from simulators.quantconnect.charts import charts_of
from simulators.quantconnect.lean_portfolio import Holding
from simulators.quantconnect.lean_run import DAY_MS, Run, iso, order_json
from simulators.quantconnect.performance import (
    closed_trade,
    course_of,
    rolling_window,
    runtime_statistics,
    statistics,
    total_performance,
)

_RESERVED_MS = 1_000


def result_of(run: Run) -> dict[str, object]:
    """Of a backtest."""
    course = course_of(run)
    performance = total_performance(course)
    figures = performance["portfolioStatistics"]
    assert isinstance(figures, dict)
    return {
        "statistics": statistics(run, figures),
        "runtimeStatistics": runtime_statistics(run, float(figures["probabilisticSharpeRatio"])),
        "totalPerformance": performance,
        "rollingWindow": rolling_window(course),
        "charts": charts_of(run),
        "orders": [order_json(ticket, run.run_id, run.currency) for ticket in run.ledger.orders],
        "trades": [closed_trade(trade) for trade in run.ledger.trades],
        "insights": [insight.as_json() for insight in run.insights],
        "backtestStart": iso(run.started),
        "backtestEnd": iso(run.ended - _RESERVED_MS),
        "tradeableDates": max(1, round((run.ended - run.started) / DAY_MS)) if run.equity else 0,
        "figures": figures,
        "securityTypes": sorted({one.symbol.security_type.name.title().replace("_", "") for one in run.securities.values()}),
        "lost": run.lost,
    }


def state_of(run: Run) -> dict[str, object]:
    """Of a live run, now: portfolio, statistics, closed trades and charts."""
    holdings = {str(one.symbol.id): _held(one) for one in run.portfolio.values() if one.invested}
    cash = {
        "symbol": run.currency,
        "amount": run.portfolio.cash,
        "conversionRate": 1,
        "currencySymbol": "₮" if run.currency == "USDT" else "$",
        "valueInAccountCurrency": run.portfolio.cash,
        "securitySymbols": [],
    }
    return {
        "portfolio": {"holdings": holdings, "cash": {run.currency: cash}},
        "runtimeStatistics": runtime_statistics(run),
        "equity": run.portfolio.total_portfolio_value,
        "trades": [closed_trade(trade) for trade in run.ledger.trades[-1_000:]],
        "securityTypes": ",".join(sorted({one.symbol.security_type.name.title() for one in run.securities.values()})),
    }


def _held(holding: Holding) -> dict[str, float]:
    """Short keys, zeros left out."""
    row = {
        "a": holding.average_price,
        "q": holding.quantity,
        "p": holding.price,
        "v": holding.holdings_value,
        "u": round(holding.unrealized_profit, 8),
        "up": round(100.0 * holding.unrealized_profit_percent, 4),
    }
    return {key: value for key, value in row.items() if value}
