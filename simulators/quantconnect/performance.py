"""What a run was worth: LEAN's `statistics`, `runtimeStatistics`, `totalPerformance` and `rollingWindow`, of equity and trades.

Fractions are fractions in `portfolioStatistics` (0.098) and percent numbers in `statistics` (`9.800%`). Days are UTC days and a
year has 365 of them. The benchmark is the price of the first security.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import NormalDist, median

import numpy as np

from bot.backtest.statistics import DAY_MS, cagr, daily_equity, max_drawdown, sharpe, simple_returns, sortino
from simulators.quantconnect.figures import money, percent, plain, span, symbol_of, two_significant
from simulators.quantconnect.lean_portfolio import ClosedTrade
from simulators.quantconnect.lean_run import Run, iso

Row = dict[str, object]
_YEAR = 365


@dataclass(frozen=True, slots=True)
class Course:
    """A stretch of a run: equity and benchmark by moment (ms UTC), the trades closed in it, and what it began with."""

    at: Sequence[int]
    equity: Sequence[float]
    benchmark: Sequence[float]
    trades: Sequence[ClosedTrade]
    began: int
    start: float
    volume: float = 0.0

    @property
    def end(self) -> float:
        """Equity at the end."""
        return self.equity[-1] if self.equity else self.start


def course_of(run: Run) -> Course:
    """All of a run."""
    at, equity = [row[0] for row in run.equity], [row[1] for row in run.equity]
    prices = [price for _, price in run.benchmark]
    prices = [prices[0] if prices else 1.0] * (len(at) - len(prices)) + prices
    return Course(at, equity, prices, run.ledger.trades, run.started, run.start_equity, run.portfolio.volume)


def part(course: Course, begin: int, end: int) -> Course:
    """The stretch `begin` < moment <= `end`."""
    places = [place for place, moment in enumerate(course.at) if begin < moment <= end]
    first = places[0] if places else 0
    start = course.equity[first - 1] if first else course.start
    trades = [trade for trade in course.trades if begin < trade.exit_ms <= end]
    equity, prices = ([series[place] for place in places] for series in (course.equity, course.benchmark))
    return Course([course.at[place] for place in places], equity, prices, trades, begin, start)


def portfolio_statistics(course: Course) -> Row:
    """Fractions; what there is no data for is 0, as LEAN has it."""
    times, worth = np.asarray(course.at, np.int64), np.asarray(course.equity, np.float64)
    market = np.asarray(course.benchmark, np.float64)
    returns = simple_returns(daily_equity(times, worth, course.start)) if len(worth) else np.zeros(0)
    against = simple_returns(daily_equity(times, market, float(market[0]))) if len(market) else np.zeros(0)
    results = [(trade.profit - trade.fees) / course.start for trade in course.trades]
    wins, losses = [each for each in results if each > 0], [each for each in results if each <= 0]
    won, lost = _mean(wins), _mean(losses)
    rate = len(wins) / len(results) if results else 0.0
    ratio = abs(won / lost) if lost else 0.0
    growth = cagr(course.start, course.end, int(times[-1]) - course.began) if len(worth) else 0.0
    spread = float(returns.std(ddof=1)) * math.sqrt(_YEAR) if len(returns) > 1 else 0.0
    tail = [float(value) for value in np.quantile(returns, (0.01, 0.05))] if len(returns) else [0.0, 0.0]
    days = max(1.0, len(returns))
    body: Row = {
        "averageWinRate": won,
        "averageLossRate": lost,
        "profitLossRatio": ratio,
        "winRate": rate,
        "lossRate": 1.0 - rate if results else 0.0,
        "expectancy": rate * ratio - (1.0 - rate) if results else 0.0,
        "startEquity": course.start,
        "endEquity": course.end,
        "compoundingAnnualReturn": growth or 0.0,
        "drawdown": max_drawdown(worth, course.start) if len(worth) else 0.0,
        "totalNetProfit": course.end / course.start - 1.0,
        "sharpeRatio": sharpe(returns) or 0.0,
        "probabilisticSharpeRatio": probabilistic_sharpe(returns),
        "sortinoRatio": sortino(returns) or 0.0,
        "annualStandardDeviation": spread,
        "annualVariance": spread**2,
        "portfolioTurnover": course.volume / course.start / days,
        "valueAtRisk99": tail[0],
        "valueAtRisk95": tail[1],
        "drawdownRecovery": recovery_days(times, worth),
    }
    return body | _against_market(returns, against, growth or 0.0)


def _against_market(
    returns: np.ndarray[tuple[int], np.dtype[np.float64]], market: np.ndarray[tuple[int], np.dtype[np.float64]], growth: float
) -> Row:
    """Alpha, beta and what follows from them; zero without enough days or without movement."""
    count = min(len(returns), len(market))
    if count < 2 or float(market[:count].var()) < 1e-18:
        return dict.fromkeys(("alpha", "beta", "informationRatio", "trackingError", "treynorRatio"), 0.0)
    own, other = returns[:count], market[:count]
    beta = float(np.cov(own, other)[0, 1] / other.var(ddof=1))
    error = float((own - other).std(ddof=1)) * math.sqrt(_YEAR)
    excess = float(own.mean() - other.mean()) * _YEAR
    return {
        "alpha": (float(own.mean()) - beta * float(other.mean())) * _YEAR,
        "beta": beta,
        "informationRatio": excess / error if error else 0.0,
        "trackingError": error,
        "treynorRatio": growth / beta if beta else 0.0,
    }


def probabilistic_sharpe(returns: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Chance that the true Sharpe ratio is above 1 a year.

    Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15 (2012). 0 below four returns.
    """
    count = len(returns)
    deviation = float(returns.std(ddof=1)) if count > 3 else 0.0
    if deviation < 1e-12:
        return 0.0
    ratio, wanted = float(returns.mean()) / deviation, 1.0 / math.sqrt(_YEAR)
    standard = (returns - returns.mean()) / float(returns.std())
    skew, kurtosis = float((standard**3).mean()), float((standard**4).mean())
    scale = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    return NormalDist().cdf((ratio - wanted) * math.sqrt(count - 1) / math.sqrt(max(scale, 1e-9)))


def recovery_days(at: np.ndarray[tuple[int], np.dtype[np.int64]], worth: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    """Whole days from a peak to when it was reached again, at most; 0 where none was."""
    longest, peak, since = 0, -math.inf, 0
    for moment, value in zip(at.tolist(), worth.tolist(), strict=True):
        if value >= peak:
            longest = max(longest, moment - since) if peak > -math.inf else 0
            peak, since = value, moment
    return longest // DAY_MS


def trade_statistics(trades: Sequence[ClosedTrade]) -> Row:
    """Of closed trades; money in the account currency, durations as TimeSpans."""
    results = [trade.profit for trade in trades]
    wins, losses = [trade for trade in trades if trade.profit > 0], [trade for trade in trades if trade.profit <= 0]
    total, gained, lost = sum(results), sum(each.profit for each in wins), sum(each.profit for each in losses)
    spread = float(np.std(results, ddof=1)) if len(results) > 1 else 0.0
    below = float(np.sqrt(np.mean([min(0.0, each) ** 2 for each in results]))) if results else 0.0
    fall = _worst_fall(results)
    backs = [trade.mfe - trade.profit for trade in trades]
    count = len(results)
    return {
        "startDateTime": iso(trades[0].entry_ms) if trades else None,
        "endDateTime": iso(trades[-1].exit_ms) if trades else None,
        "totalNumberOfTrades": count,
        "numberOfWinningTrades": len(wins),
        "numberOfLosingTrades": len(losses),
        "maxConsecutiveWinningTrades": _streak(results, True),
        "maxConsecutiveLosingTrades": _streak(results, False),
        "totalProfitLoss": total,
        "totalProfit": gained,
        "totalLoss": lost,
        "largestProfit": max((each.profit for each in wins), default=0.0),
        "largestLoss": min((each.profit for each in losses), default=0.0),
        "averageProfitLoss": _mean(results),
        "averageProfit": _mean([each.profit for each in wins]),
        "averageLoss": _mean([each.profit for each in losses]),
        "profitLossRatio": abs(_mean([each.profit for each in wins]) / (_mean([each.profit for each in losses]) or math.inf)),
        "winLossRatio": len(wins) / len(losses) if losses else float(len(wins)),
        "winRate": len(wins) / count if count else 0.0,
        "lossRate": len(losses) / count if count else 0.0,
        "averageMAE": _mean([trade.mae for trade in trades]),
        "averageMFE": _mean([trade.mfe for trade in trades]),
        "largestMAE": min((trade.mae for trade in trades), default=0.0),
        "largestMFE": max((trade.mfe for trade in trades), default=0.0),
        "maximumClosedTradeDrawdown": fall,
        "maximumIntraTradeDrawdown": min([fall, *(trade.mae for trade in trades)]),
        "profitLossStandardDeviation": spread,
        "profitLossDownsideDeviation": below,
        "profitFactor": gained / -lost if lost else (10.0 if gained else 0.0),
        "sharpeRatio": _mean(results) / spread if spread else 0.0,
        "sortinoRatio": _mean(results) / below if below else 0.0,
        "profitToMaxDrawdownRatio": total / -fall if fall else (10.0 if total > 0 else 0.0),
        "maximumEndTradeDrawdown": -max(backs, default=0.0),
        "averageEndTradeDrawdown": -_mean(backs),
        "totalFees": sum(trade.fees for trade in trades),
        "averageTradeDuration": _duration(trades, _mean),
        "averageWinningTradeDuration": _duration(wins, _mean),
        "averageLosingTradeDuration": _duration(losses, _mean),
        "medianTradeDuration": _duration(trades, _median),
        "medianWinningTradeDuration": _duration(wins, _median),
        "medianLosingTradeDuration": _duration(losses, _median),
        "maximumDrawdownDuration": _duration(losses, lambda lengths: max(lengths, default=0.0)),
    }


def closed_trade(trade: ClosedTrade) -> Row:
    """As REST answers write it; direction 0 is long, 1 is short."""
    return {
        "symbol": trade.symbol.as_json(),
        "symbols": [trade.symbol.as_json()],
        "entryTime": iso(trade.entry_ms),
        "entryPrice": trade.entry_price,
        "direction": 0 if trade.is_long else 1,
        "quantity": trade.quantity,
        "exitTime": iso(trade.exit_ms),
        "exitPrice": trade.exit_price,
        "profitLoss": round(trade.profit, 8),
        "totalFees": round(trade.fees, 8),
        "mae": trade.mae,
        "mfe": trade.mfe,
        "duration": span(timedelta(milliseconds=trade.exit_ms - trade.entry_ms)),
        "endTradeDrawdown": trade.profit - trade.mfe,
        "isWin": trade.profit > 0,
        "orderIds": list(trade.orders),
    }


def statistics(run: Run, figures: Row) -> dict[str, str]:
    """The table of texts, of `portfolio_statistics` of the same run."""
    value = {key: float(str(number)) for key, number in figures.items()}
    sign = symbol_of(run.currency)
    lowest = next(iter(run.securities.values()), None)
    table = {
        "Total Orders": str(len(run.ledger.orders)),
        "Average Win": percent(value["averageWinRate"], 2),
        "Average Loss": percent(value["averageLossRate"], 2),
        "Compounding Annual Return": percent(value["compoundingAnnualReturn"]),
        "Drawdown": percent(value["drawdown"]),
        "Expectancy": plain(value["expectancy"]),
        "Start Equity": plain(value["startEquity"], 2),
        "End Equity": plain(value["endEquity"], 2),
        "Net Profit": percent(value["totalNetProfit"]),
        "Sharpe Ratio": plain(value["sharpeRatio"]),
        "Sortino Ratio": plain(value["sortinoRatio"]),
        "Probabilistic Sharpe Ratio": percent(value["probabilisticSharpeRatio"]),
        "Loss Rate": percent(value["lossRate"], 0),
        "Win Rate": percent(value["winRate"], 0),
        "Profit-Loss Ratio": plain(value["profitLossRatio"], 2),
        "Alpha": plain(value["alpha"]),
        "Beta": plain(value["beta"]),
        "Annual Standard Deviation": plain(value["annualStandardDeviation"]),
        "Annual Variance": plain(value["annualVariance"]),
        "Information Ratio": plain(value["informationRatio"]),
        "Tracking Error": plain(value["trackingError"]),
        "Treynor Ratio": plain(value["treynorRatio"]),
        "Total Fees": f"{sign}{run.portfolio.total_fees:.2f}",
        "Estimated Strategy Capacity": two_significant(20.0 * run.portfolio.volume, sign),
        "Lowest Capacity Asset": str(lowest.symbol.id) if lowest is not None and run.ledger.trades else "",
        "Portfolio Turnover": percent(value["portfolioTurnover"], 2),
        "Drawdown Recovery": plain(value["drawdownRecovery"], 0),
    }
    return table | run.summary_statistics


def runtime_statistics(run: Run, chance: float = 0.0) -> dict[str, str]:
    """What is shown while it runs; `chance` is the probabilistic Sharpe ratio."""
    book, sign = run.portfolio, symbol_of(run.currency)
    equity = book.total_portfolio_value
    table = {
        "Equity": money(equity, sign),
        "Fees": f"-{money(book.total_fees, sign)}",
        "Holdings": money(book.total_holdings_value, sign),
        "Net Profit": money(book.total_net_profit, sign),
        "Probabilistic Sharpe Ratio": percent(chance),
        "Return": f"{100.0 * (equity / run.start_equity - 1.0):.2f} %",
        "Unrealized": money(book.total_unrealized_profit, sign),
        "Volume": money(book.volume, sign),
    }
    return table | run.runtime_statistics


def rolling_window(course: Course) -> Row:
    """`M1_YYYYMMDD` and so on: the performance of the one, three, six and twelve months that end with each month of the run."""
    if not course.at:
        return {}
    windows: Row = {}
    ends = [month for month in _months(course.began, course.at[-1]) if month > course.began]
    for months in (1, 3, 6, 12):
        for end in ends[-24:]:
            begin = _shifted(end, -months)
            if months > 1 and begin < course.began:
                continue
            stretch = part(course, begin - 1, end - 1)
            if stretch.at:
                day = datetime.fromtimestamp((min(end, course.at[-1]) - 1) / 1000, UTC)
                windows[f"M{months}_{day:%Y%m%d}"] = total_performance(stretch, with_trades=False)
    return windows


def total_performance(course: Course, with_trades: bool = True) -> Row:
    """`{tradeStatistics, portfolioStatistics, closedTrades}`."""
    return {
        "tradeStatistics": _rounded(trade_statistics(course.trades)),
        "portfolioStatistics": _rounded(portfolio_statistics(course)),
        "closedTrades": [closed_trade(trade) for trade in course.trades] if with_trades else [],
    }


def _rounded(row: Row) -> Row:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}


def _months(begin: int, end: int) -> list[int]:
    first = datetime.fromtimestamp(begin / 1000, UTC)
    month = round(datetime(first.year, first.month, 1, tzinfo=UTC).timestamp() * 1000)
    found = []
    while month < end:
        month = _shifted(month, 1)
        found.append(month)
    return found


def _shifted(month: int, by: int) -> int:
    moment = datetime.fromtimestamp(month / 1000, UTC)
    number = moment.year * 12 + moment.month - 1 + by
    return round(datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers) if numbers else 0.0


def _median(numbers: Sequence[float]) -> float:
    return median(numbers) if numbers else 0.0


def _duration(trades: Sequence[ClosedTrade], fold: object) -> str:
    lengths = [float(trade.exit_ms - trade.entry_ms) for trade in trades]
    assert callable(fold)
    return span(timedelta(milliseconds=fold(lengths)))


def _streak(results: Sequence[float], won: bool) -> int:
    longest = now = 0
    for result in results:
        now = now + 1 if (result > 0) is won else 0
        longest = max(longest, now)
    return longest


def _worst_fall(results: Sequence[float]) -> float:
    """Deepest fall of the sum of the results from its highest, as a number that is not positive."""
    total = peak = fall = 0.0
    for result in results:
        total += result
        peak = max(peak, total)
        fall = min(fall, total - peak)
    return fall
