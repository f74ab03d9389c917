"""A backtest in the cloud as the bot's own: its equity curve and closed trades give the same figures as a local backtest has.

Two tables stand side by side: `statistics` is computed here, by the formulas of `bot.backtest.statistics`, and can be held
against any local run; `reported` and what goes with it is what the service says itself. Times are ms UTC, fractions are
fractions, money is of the account's currency, results of trades are net of fees.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bot.backtest.statistics import DAY_MS, Statistics, statistics_of
from sources.quantconnect.models_backtest import Chart, Point, Series, Stage
from sources.quantconnect.models_trade import TradeDirection

if TYPE_CHECKING:
    from pydantic import BaseModel

    from sources.quantconnect.lean.config import BacktestConfig
    from sources.quantconnect.models_backtest import Backtest
    from sources.quantconnect.models_statistics import Performance
    from sources.quantconnect.models_trade import ClosedTrade, Insight, Order

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Scalar = str | int | float | bool

EQUITY, EXPOSURE = "Strategy Equity", "Exposure"
_LAST_MS = 253_402_300_799_999  # the end of the year 9999
_LARGEST = 2**63
_WINDOW = re.compile(r"M(\d+)_(\d{4})(\d{2})(\d{2})")
_UNITS = {"₮": "USDT", "$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₿": "BTC"}

NEVER_TRADED = (
    "the strategy never traded: give it more days, see that its warm-up is over before they end, or loosen its thresholds"
)
HALF = "the service gave only half of the statistics; read it again later with `qc backtest-result`"


class Outcome(StrEnum):
    """What a backtest that ended is worth: all of it, without trades, or without all of its statistics."""

    COMPLETE = "complete"
    NO_TRADES = "no-trades"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class CloudTrade:
    """A position from its opening to its close. `pnl` is net of `fees`; `mae` and `mfe` are its worst and best meanwhile."""

    symbol: str
    side: str
    opened: int
    closed: int
    entry: float
    exit: float
    amount: float
    fees: float
    pnl: float
    mae: float | None
    mfe: float | None

    @property
    def profit(self) -> float:
        """Return on the notional."""
        return self.pnl / (self.entry * self.amount)


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """A stretch of so many months that ends on a day, and what was computed from it."""

    key: str
    months: int | None
    end: date | None
    performance: Performance


@dataclass(frozen=True, slots=True)
class CloudResult:
    """A backtest in the cloud, whole.

    `at` and `equity` are the equity curve, `drawdown` how far it stood below its peak (0..1). `statistics` is None where there
    is neither a curve nor an end equity.
    """

    project: int
    id: str
    name: str
    outcome: Outcome
    created: int | None
    began: int
    until: int
    currency: str
    parameters: Mapping[str, Scalar]
    statistics: Statistics | None
    at: tuple[int, ...]
    equity: tuple[float, ...]
    drawdown: tuple[float, ...]
    trades: tuple[CloudTrade, ...]
    backtest: Backtest
    orders: tuple[Order, ...] = ()
    insights: tuple[Insight, ...] = ()
    charts: Mapping[str, Chart] = field(default_factory=dict)
    rolling: tuple[RollingWindow, ...] = ()
    notices: tuple[str, ...] = ()
    config: BacktestConfig | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """PROJECT/BACKTEST, by which it is found again."""
        return f"{self.project}/{self.id}"

    def completed(self, parameters: Mapping[str, Scalar], files: Mapping[str, str]) -> CloudResult:
        """The same with all its parameters, those among them that were left as they are, and the files it was made of."""
        return replace(self, parameters=read_scalars(parameters), files=dict(files))

    def daily(self) -> list[tuple[int, float]]:
        """The last equity of each UTC day that has one, with its time."""
        last: dict[int, tuple[int, float]] = {}
        for at, worth in zip(self.at, self.equity, strict=True):
            last[(at - 1) // DAY_MS] = (at, worth)
        return list(last.values())

    def brief(self) -> dict[str, object]:
        """The figures and the trades as plain JSON values, without curves, orders, insights and charts."""
        told: dict[str, object] = {
            "reference": self.reference,
            "project": self.project,
            "backtest": self.id,
            "name": self.name,
            "outcome": self.outcome.value,
            "created": self.created,
            "start": self.began,
            "end": self.until,
            "currency": self.currency,
            "parameters": dict(self.parameters),
            **({} if self.statistics is None else self.statistics.as_json()),
            "orders": self._order_count(),
            "reported": _figures(self.backtest),
            "trade_list": [asdict(trade) for trade in self.trades],
            "daily_equity": [list(point) for point in self.daily()],
            "notices": list(self.notices),
            "config": None if self.config is None else self.config.model_dump(mode="json"),
        }
        return representable(told)

    def as_json(self) -> dict[str, object]:
        """All of it as plain JSON values."""
        more: dict[str, object] = {
            "equity_curve": [list(point) for point in zip(self.at, self.equity, strict=True)],
            "drawdown_curve": [list(point) for point in zip(self.at, self.drawdown, strict=True)],
            "order_list": [_dumped(order) for order in self.orders],
            "insights": [_dumped(insight) for insight in self.insights],
            "charts": {name: _drawn(chart) for name, chart in self.charts.items()},
            "rolling_windows": {window.key: _performance(window.performance) for window in self.rolling},
        }
        return self.brief() | representable(more)

    def _order_count(self) -> int | None:
        """The service's own count, which has them all, as only the first are read; before it is there, those that were read."""
        told = None if self.backtest.statistics is None else self.backtest.statistics.total_orders
        return told or len(self.orders) or told


def converted(
    backtest: Backtest,
    *,
    project: int,
    trades: Sequence[ClosedTrade],
    charts: Mapping[str, Chart],
    orders: Sequence[Order] = (),
    insights: Sequence[Insight] = (),
    config: BacktestConfig | None = None,
    notices: Sequence[str] = (),
) -> CloudResult:
    """A result from what was read of an ended backtest; whatever is missing there is missing here, never made up."""
    told = list(notices)
    at, equity, start = _equity(backtest, charts.get(EQUITY), config)
    closed = _trades(trades, config, told)
    began, until = _span(backtest, config, at)
    fees = _fees(backtest, trades)
    statistics = None
    end = _end_equity(backtest)
    if start is not None and (len(at) or end is not None):
        if not len(at):
            at, equity = np.array([until], np.int64), np.array([end], np.float64)
            told.append("there is no equity curve: the figures know only the first and the last equity")
        pnl = [trade.pnl for trade in closed]
        exposure = _exposure(charts.get(EXPOSURE), at)
        statistics = statistics_of(
            at.tolist(), equity.tolist(), exposure.tolist(), pnl, start=start, began=min(began, int(at[0])), fees=fees
        )
    outcome = _outcome(backtest, closed, orders)
    told += {Outcome.PARTIAL: [HALF], Outcome.NO_TRADES: [NEVER_TRADED]}.get(outcome, [])
    return CloudResult(
        project=project,
        id=backtest.backtest_id,
        name=backtest.name or backtest.backtest_id,
        outcome=outcome,
        created=backtest.created,
        began=began,
        until=until,
        currency=_currency(backtest, config),
        parameters=read_scalars(backtest.parameter_set),
        statistics=statistics,
        at=tuple(at.tolist()),
        equity=tuple(equity.tolist()),
        drawdown=tuple(_drawdown(equity, start).tolist()),
        trades=tuple(closed),
        backtest=backtest,
        orders=tuple(orders),
        insights=tuple(insights),
        charts=dict(charts),
        rolling=tuple(_window(key, each) for key, each in sorted(backtest.rolling_window.items())),
        notices=tuple(told),
        config=config,
    )


def read_scalars(given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Parameters as numbers where they are written as such: the service keeps all of them as text."""
    return {name: _scalar(value) if isinstance(value, str) else value for name, value in sorted(given.items())}


def _scalar(text: str) -> Scalar:
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if abs(value) < 2**53 else text
    return text


def _equity(backtest: Backtest, chart: Chart | None, config: BacktestConfig | None) -> tuple[Times, Floats, float | None]:
    """The curve, strictly rising in time and positive, and the equity at the start. A candle counts with its close."""
    points = _points(chart, "Equity")
    seen: dict[int, float] = {}
    for point in points:
        if point.last is not None and point.last > 0 and point.at <= _LAST_MS:
            seen[point.at] = point.last
    at = np.asarray(sorted(seen), np.int64)
    equity = np.asarray([seen[moment] for moment in at.tolist()], np.float64)
    first = next((point.values[0] for point in points if point.values and point.values[0]), None)
    return at, equity, _start_equity(backtest, config, first)


def _points(chart: Chart | None, name: str) -> Sequence[Point]:
    """The points of the series of this name, or of the fullest one."""
    if chart is None or not chart.series:
        return ()
    found = next((line for title, line in chart.series.items() if title.lower() == name.lower()), None)
    series: Series = found or max(chart.series.values(), key=lambda line: len(line.values))
    return series.values


def _start_equity(backtest: Backtest, config: BacktestConfig | None, first: float | None) -> float | None:
    told, whole = backtest.statistics, backtest.total_performance
    portfolio = None if whole is None else whole.portfolio_statistics
    candidates = (
        None if told is None else told.start_equity,
        None if portfolio is None else portfolio.start_equity,
        None if config is None else float(config.capital),
        first,
    )
    return next((value for value in candidates if value is not None and value > 0), None)


def _end_equity(backtest: Backtest) -> float | None:
    told, running, whole = backtest.statistics, backtest.runtime_statistics, backtest.total_performance
    portfolio = None if whole is None else whole.portfolio_statistics
    candidates = (
        None if told is None else told.end_equity,
        None if portfolio is None else portfolio.end_equity,
        None if running is None else running.equity,
    )
    return next((value for value in candidates if value is not None and value > 0), None)


def _drawdown(equity: Floats, start: float | None) -> Floats:
    if not len(equity):
        return equity
    peaks = np.maximum.accumulate(np.maximum(equity, start or 0.0))
    return np.maximum(0.0, 1.0 - equity / peaks)


def _exposure(chart: Chart | None, at: Times) -> Floats:
    """Gross exposure at each moment, from the last known of every series; none where the service drew nothing."""
    total: Floats = np.zeros(len(at))
    drawn = False
    for series in () if chart is None else chart.series.values():
        known = [(point.at, abs(point.last)) for point in series.values if point.last is not None]
        if known:
            times, values = np.asarray([each[0] for each in known], np.int64), np.asarray([each[1] for each in known])
            places = np.searchsorted(times, at, side="right") - 1
            total += np.where(places >= 0, values[np.maximum(places, 0)], 0.0)
            drawn = True
    return total if drawn else np.zeros(0)


def _trades(trades: Sequence[ClosedTrade], config: BacktestConfig | None, told: list[str]) -> list[CloudTrade]:
    """Those that can be counted, in the order they closed."""
    found = [trade for each in trades if (trade := _trade(each, config)) is not None]
    lost = len(trades) - len(found)
    if lost:
        told.append(f"{lost} closed trades lack a time, a price or a result and are left out")
    return sorted(found, key=lambda trade: trade.closed)


def _trade(row: ClosedTrade, config: BacktestConfig | None) -> CloudTrade | None:
    opened, closed, entry, left = row.entry_time, row.exit_time, row.entry_price or 0.0, row.exit_price
    fees, gross, notional = row.total_fees or 0.0, row.profit_loss, entry * abs(row.quantity)
    if opened is None or closed is None or left is None or gross is None or not 0.0 < notional < math.inf:
        return None
    if max(opened, closed) > _LAST_MS or not math.isfinite((gross - fees) / notional):
        return None
    ticker = row.symbol.value or row.symbol.id.partition(" ")[0] or "?"
    short = row.direction is TradeDirection.SHORT or (row.direction is TradeDirection.UNKNOWN and row.quantity < 0)
    return CloudTrade(
        symbol=ticker if config is None else config.symbol,
        side="short" if short else "long",
        opened=opened,
        closed=closed,
        entry=entry,
        exit=left,
        amount=abs(row.quantity),
        fees=fees,
        pnl=gross - fees,
        mae=row.mae,
        mfe=row.mfe,
    )


def _fees(backtest: Backtest, trades: Sequence[ClosedTrade]) -> float:
    told, running, whole = backtest.statistics, backtest.runtime_statistics, backtest.total_performance
    traded = None if whole is None else whole.trade_statistics
    candidates = (
        None if told is None else told.total_fees,
        None if running is None else running.paid_fees,
        None if traded is None else traded.total_fees,
    )
    known = next((value for value in candidates if value is not None), None)
    return sum(trade.total_fees or 0.0 for trade in trades) if known is None else known


def _span(backtest: Backtest, config: BacktestConfig | None, at: Times) -> tuple[int, int]:
    """First and last moment: as the service says, else as was asked, else as the curve shows."""
    first, last = (int(at[0]), int(at[-1])) if len(at) else (backtest.created or 0, backtest.created or 0)
    if config is not None:
        first, last = _midnight(config.start), _midnight(config.end) + DAY_MS - 1
    began = first if backtest.backtest_start is None else backtest.backtest_start
    until = last if backtest.backtest_end is None else backtest.backtest_end
    return min(began, _LAST_MS), min(max(began, until), _LAST_MS)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000


def _currency(backtest: Backtest, config: BacktestConfig | None) -> str:
    if config is not None:
        return config.currency
    tables = (backtest.runtime_statistics, backtest.statistics)
    sign = next((table.currency for table in tables if table is not None and table.currency), "")
    return _UNITS.get(sign, sign)


def _outcome(backtest: Backtest, trades: Sequence[CloudTrade], orders: Sequence[Order]) -> Outcome:
    if backtest.stage is not Stage.DONE:
        return Outcome.PARTIAL
    told = backtest.statistics
    ordered = len(orders) or (0 if told is None else told.total_orders or 0)
    return Outcome.COMPLETE if trades or ordered else Outcome.NO_TRADES


def _window(key: str, performance: Performance) -> RollingWindow:
    found = _WINDOW.fullmatch(key)
    if found is None:
        return RollingWindow(key, None, None, performance)
    months, year, month, day = (int(part) for part in found.groups())
    try:
        return RollingWindow(key, months, date(year, month, day), performance)
    except ValueError:  # a day that no calendar has
        return RollingWindow(key, months, None, performance)


def _figures(backtest: Backtest) -> dict[str, object]:
    """What the service reports, by table; a table that it did not give is None."""
    whole = backtest.total_performance
    return {
        "statistics": _dumped(backtest.statistics),
        "runtime": _dumped(backtest.runtime_statistics),
        "portfolio": None if whole is None else _dumped(whole.portfolio_statistics),
        "trades": None if whole is None else _dumped(whole.trade_statistics),
        "server": dict(backtest.server_statistics),
        "tradeable_days": backtest.tradeable_dates,
        "research": _dumped(backtest.research_guide),
    }


def _performance(performance: Performance) -> dict[str, object]:
    return {"portfolio": _dumped(performance.portfolio_statistics), "trades": _dumped(performance.trade_statistics)}


def _dumped(model: BaseModel | None) -> dict[str, Any] | None:
    return None if model is None else model.model_dump(mode="json")


def representable(given: dict[str, object]) -> dict[str, object]:
    """Without whole numbers that JSON readers cannot hold: the service may write anything where a time or a count belongs."""
    return {name: _representable(each) for name, each in given.items()}


def _representable(given: object) -> object:
    if isinstance(given, dict):
        return representable(given)
    if isinstance(given, list):
        return [_representable(each) for each in given]
    return None if isinstance(given, int) and abs(given) >= _LARGEST else given


def _drawn(chart: Chart) -> dict[str, object]:
    return {
        name: {"unit": line.unit, "type": line.series_type.name.lower(), "points": _drawn_points(line.values)}
        for name, line in chart.series.items()
    }


def _drawn_points(points: Sequence[Point]) -> list[list[float | None]]:
    return [[point.at, *point.values] for point in points if point.at <= _LAST_MS]
