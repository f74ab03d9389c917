"""Figures of a run: what the service prints as text with units, as numbers whose unit is said.

Fractions are fractions everywhere (9.8 % is 0.098), although `statistics` prints percent and `portfolioStatistics` does not.
Money is of the account's currency, times are ms UTC, spans are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from sources.quantconnect.models_trade import ClosedTrade
from sources.quantconnect.shapes import Also, Keyed, Many, Maybe, Moment, Number, Percent, Shape, Span, Text, Whole, letters
from sources.quantconnect.values import currency_symbol


class Statistics(Shape):
    """A finished run's summary. `custom` holds what the algorithm added, as it was written."""

    rest_field: ClassVar[str | None] = "custom"

    total_orders: Annotated[Whole, Also.of("total trades")] = None
    drawdown_recovery: Annotated[Whole, Field(description="days")] = None
    average_win: Percent = None
    average_loss: Percent = None
    portfolio_turnover: Percent = None
    compounding_annual_return: Percent = None
    drawdown: Percent = None
    net_profit: Percent = None
    probabilistic_sharpe_ratio: Percent = None
    loss_rate: Percent = None
    win_rate: Percent = None
    expectancy: Number = None
    start_equity: Number = None
    end_equity: Number = None
    sharpe_ratio: Number = None
    sortino_ratio: Number = None
    alpha: Number = None
    beta: Number = None
    annual_standard_deviation: Number = None
    annual_variance: Number = None
    information_ratio: Number = None
    tracking_error: Number = None
    treynor_ratio: Number = None
    profit_loss_ratio: Number = None
    total_fees: Number = None
    estimated_strategy_capacity: Number = None
    lowest_capacity_asset: Text = ""
    currency: Text = ""
    custom: Keyed[Text] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _with_currency(cls, raw: Any) -> Any:
        return _with_currency(raw, "Total Fees", "Estimated Strategy Capacity")


class RuntimeStatistics(Shape):
    """A run's figures of the moment. `fees` keeps the sign it is printed with, below zero; `custom` is as above."""

    rest_field: ClassVar[str | None] = "custom"

    equity: Number = None
    holdings: Number = None
    volume: Number = None
    net_profit: Number = None
    unrealized: Number = None
    fees: Number = None
    total_return: Annotated[Percent, Also.of("return")] = None
    probabilistic_sharpe_ratio: Percent = None
    currency: Text = ""
    custom: Keyed[Text] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _with_units(cls, raw: Any) -> Any:
        return _with_currency(raw, "Equity", "Fees", "Volume")

    @property
    def paid_fees(self) -> float | None:
        """Fees as a cost, which is not below zero."""
        return None if self.fees is None else abs(self.fees)


class TradeStatistics(Shape):
    """What the closed trades amount to; rates are fractions, money is in the account's currency."""

    start_date_time: Moment = None
    end_date_time: Moment = None
    total_number_of_trades: Whole = None
    number_of_winning_trades: Whole = None
    number_of_losing_trades: Whole = None
    max_consecutive_winning_trades: Whole = None
    max_consecutive_losing_trades: Whole = None
    total_profit_loss: Number = None
    total_profit: Number = None
    total_loss: Number = None
    largest_profit: Number = None
    largest_loss: Number = None
    average_profit_loss: Number = None
    average_profit: Number = None
    average_loss: Number = None
    profit_loss_ratio: Number = None
    win_loss_ratio: Number = None
    win_rate: Number = None
    loss_rate: Number = None
    average_mae: Number = None
    average_mfe: Number = None
    largest_mae: Number = None
    largest_mfe: Number = None
    maximum_closed_trade_drawdown: Number = None
    maximum_intra_trade_drawdown: Number = None
    profit_loss_standard_deviation: Number = None
    profit_loss_downside_deviation: Number = None
    profit_factor: Number = None
    sharpe_ratio: Number = None
    sortino_ratio: Number = None
    profit_to_max_drawdown_ratio: Number = None
    maximum_end_trade_drawdown: Number = None
    average_end_trade_drawdown: Number = None
    total_fees: Number = None
    average_trade_duration: Span = None
    average_winning_trade_duration: Span = None
    average_losing_trade_duration: Span = None
    median_trade_duration: Span = None
    median_winning_trade_duration: Span = None
    median_losing_trade_duration: Span = None
    maximum_drawdown_duration: Span = None


class PortfolioStatistics(Shape):
    """What the portfolio as a whole did; every rate, return and drawdown is a fraction already."""

    average_win_rate: Number = None
    average_loss_rate: Number = None
    profit_loss_ratio: Number = None
    win_rate: Number = None
    loss_rate: Number = None
    expectancy: Number = None
    start_equity: Number = None
    end_equity: Number = None
    compounding_annual_return: Number = None
    drawdown: Number = None
    total_net_profit: Number = None
    sharpe_ratio: Number = None
    probabilistic_sharpe_ratio: Number = None
    sortino_ratio: Number = None
    alpha: Number = None
    beta: Number = None
    annual_standard_deviation: Number = None
    annual_variance: Number = None
    information_ratio: Number = None
    tracking_error: Number = None
    treynor_ratio: Number = None
    portfolio_turnover: Number = None
    value_at_risk99: Number = None
    value_at_risk95: Number = None
    drawdown_recovery: Annotated[Whole, Field(description="days")] = None


class Performance(Shape):
    """Everything computed from a run, or from a window of it."""

    trade_statistics: Maybe[TradeStatistics] = None
    portfolio_statistics: Maybe[PortfolioStatistics] = None
    closed_trades: Many[ClosedTrade] = ()


BY_INDEX: tuple[str, ...] = (
    "alpha",
    "annual_standard_deviation",
    "annual_variance",
    "average_loss",
    "average_win",
    "beta",
    "compounding_annual_return",
    "drawdown",
    "estimated_strategy_capacity",
    "expectancy",
    "information_ratio",
    "loss_rate",
    "net_profit",
    "probabilistic_sharpe_ratio",
    "profit_loss_ratio",
    "sharpe_ratio",
    "total_fees",
    "total_orders",
    "tracking_error",
    "treynor_ratio",
    "win_rate",
    "sortino_ratio",
    "start_equity",
    "end_equity",
    "drawdown_recovery",
)
"""The order in which an optimization gives the statistics of its backtests, without names."""


def by_name(raw: object) -> object:
    """Statistics given by position, in a list or in a map of numbers, under their names; others as they are."""
    if isinstance(raw, list):
        return dict(zip(BY_INDEX, raw, strict=False)) or None
    if isinstance(raw, dict) and raw and all(key.isdecimal() for key in raw):
        return {BY_INDEX[int(key)]: value for key, value in raw.items() if int(key) < len(BY_INDEX)}
    return raw or None


def _with_currency(raw: object, *keys: str) -> object:
    """Add the currency's symbol, as the first of these amounts shows it."""
    if not isinstance(raw, Mapping):
        return raw
    amounts = {letters(key): value for key, value in raw.items()}
    symbols = (currency_symbol(amounts.get(letters(key))) for key in keys)
    symbol = next((symbol for symbol in symbols if symbol), None)
    return raw if symbol is None else {"currency": symbol, **raw}
