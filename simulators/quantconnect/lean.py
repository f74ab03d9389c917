"""A stand-in for LEAN's Python API: executes an uploaded algorithm over candles, in this process. Here is all that it supports.

`from AlgorithmImports import *` gives exactly these names (snake_case only; CamelCase raises AttributeError):

* `QCAlgorithm Slice TradeBar Symbol SecurityIdentifier Insight InsightCollection OrderEvent OrderTicket RollingWindow
  TradeBarConsolidator IndicatorDataPoint datetime timedelta date time math json np` (json and np in part).
* Enumerations: `Resolution` TICK SECOND MINUTE HOUR DAILY, `Market`, `SecurityType`, `InsightDirection` UP FLAT DOWN,
  `InsightType`, `MovingAverageType` SIMPLE EXPONENTIAL WILDERS, `AccountType` CASH MARGIN, `BrokerageName`, `OrderType`,
  `OrderStatus`, `OrderDirection`, `DayOfWeek`, `TimeZones`.
* Indicators made by hand: `SimpleMovingAverage ExponentialMovingAverage WilderMovingAverage RelativeStrengthIndex RateOfChange
  RateOfChangePercent Momentum StandardDeviation Maximum Minimum BollingerBands AverageTrueRange DonchianChannel
  MovingAverageConvergenceDivergence`, each with `update(bar | time, value | point)`.

On `self` of a `QCAlgorithm`:

* Set-up: `set_start_date set_end_date set_cash set_account_currency set_time_zone set_brokerage_model set_warm_up set_benchmark
  set_name add_tag get_parameter settings.automatic_indicator_warm_up settings.free_portfolio_value_percentage
  universe_settings.resolution`.
* Securities: `add_crypto add_crypto_future add_equity add_forex add_cfd` (each gives `.symbol`), `securities[s].price/.open/
  .high/.low/.close/.volume/.holdings/.has_data/.invested/.set_fee_model/.set_slippage_model`.
* Costs: `FeeModel ConstantFeeModel OrderFee CashAmount ConstantSlippageModel NullSlippageModel`; a fee model is asked with
  `parameters.order.get_value(parameters.security)/.quantity/.absolute_quantity/.direction/.type` and answers an `OrderFee`.
* Indicators that feed themselves: `sma ema rsi roc rocp mom std max min bb atr macd dch`, `register_indicator warm_up_indicator
  consolidate subscription_manager.add_consolidator history[TradeBar](symbol, count, resolution)`; of each `is_ready
  current.value previous.value samples updated warm_up_period`; of `bb` `upper_band middle_band lower_band band_width percent_b
  standard_deviation`; of `macd` `fast slow signal histogram`; of `dch` `upper_band lower_band` (bars before the present one).
* Orders: `set_holdings liquidate market_order limit_order stop_market_order buy sell calculate_order_quantity
  transactions.get_open_orders/.cancel_open_orders`; a ticket has `order_id status quantity quantity_filled average_fill_price
  cancel()`. `portfolio.cash/.total_portfolio_value/.total_fees/.total_net_profit/.total_unrealized_profit/.invested` and
  `portfolio[s].invested/.is_long/.is_short/.quantity/.average_price/.holdings_value/.unrealized_profit/
  .unrealized_profit_percent`.
* Insights: `emit_insights(insight | list)`, `Insight.price(...)` (period a timedelta, or a resolution and a count),
  `insights_generated += handler(algorithm, collection)`; of an insight `id symbol direction period confidence magnitude weight
  source_model tag reference_value generated_time_utc close_time_utc`.
* Schedule: `schedule.on(date_rule, time_rule, f)`, `date_rules.every_day/.every/.week_start/.month_start/.on`,
  `time_rules.every/.at/.midnight/.noon/.after_market_open/.before_market_close`.
* Told: `initialize on_data on_order_event on_command on_warmup_finished on_end_of_algorithm`.
* Publishing: `log debug error plot set_runtime_statistic set_summary_statistic object_store.save/.save_bytes/.save_json/.read/
  .read_bytes/.contains_key/.delete notify.web` (False in a backtest) `add_command quit`.
* State: `time utc_time start_date end_date is_warming_up live_mode algorithm_id account_currency`.

Not there: universes, options, futures, alpha, risk and portfolio models, pandas, margin calls, market hours (everything trades
around the clock), conversion of currencies (all money is in the account currency, fees too), C#.

Uploaded text is executed behind the fence of `sandbox`; see there what that does not protect from. Use `simulate` in tests
(with `bars_of` your candles) and the `worker` process everywhere else.
"""

from __future__ import annotations

import datetime as _datetime
import json
import math
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from bot.core.market import Candle, timeframe_ms
from simulators.quantconnect import lean_costs as costs
from simulators.quantconnect import lean_indicators as indicators
from simulators.quantconnect import lean_types as types
from simulators.quantconnect.lean_algorithm import QCAlgorithm, make
from simulators.quantconnect.lean_making import RollingWindow, TradeBarConsolidator
from simulators.quantconnect.lean_portfolio import OrderEvent, OrderTicket
from simulators.quantconnect.lean_run import AlgorithmError, Bars, Run, Tell
from simulators.quantconnect.sandbox import execute, numpy_part

__all__ = ["AlgorithmError", "Run", "algorithm_imports", "bars_of", "guarded", "load", "simulate"]

_TYPES = (
    "AccountType", "BrokerageName", "DayOfWeek", "Insight", "InsightCollection", "InsightDirection", "InsightType", "Market",
    "MovingAverageType", "OrderDirection", "OrderStatus", "OrderType", "Resolution", "SecurityIdentifier", "SecurityType",
    "Slice", "Symbol", "TimeZones", "TradeBar",
)  # fmt: skip
_INDICATORS = (
    "AverageTrueRange", "BollingerBands", "DonchianChannel", "ExponentialMovingAverage", "IndicatorDataPoint", "Maximum",
    "Minimum", "Momentum", "MovingAverageConvergenceDivergence", "RateOfChange", "RateOfChangePercent",
    "RelativeStrengthIndex", "SimpleMovingAverage", "StandardDeviation", "WilderMovingAverage",
)  # fmt: skip
_COSTS = ("CashAmount", "ConstantFeeModel", "ConstantSlippageModel", "FeeModel", "NullSlippageModel", "OrderFee")
_STEPS_PER_PROGRESS = 50


def algorithm_imports() -> dict[str, object]:
    """The names that `from AlgorithmImports import *` gives."""
    names: dict[str, object] = {name: getattr(types, name) for name in _TYPES}
    names |= {name: getattr(indicators, name) for name in _INDICATORS}
    names |= {name: getattr(costs, name) for name in _COSTS}
    names |= {each.__name__: each for each in (QCAlgorithm, OrderEvent, OrderTicket, RollingWindow, TradeBarConsolidator)}
    names |= {name: getattr(_datetime, name) for name in ("datetime", "timedelta", "date", "time")}
    safe_json = ModuleType("json")
    vars(safe_json).update({"dumps": json.dumps, "loads": json.loads})
    return names | {"math": math, "json": safe_json, "np": numpy_part()}


def bars_of(candles: Iterable[Candle]) -> Bars:
    """Bars for `simulate` out of candles that are there; asked for another length than theirs it has none."""
    by_symbol: dict[str, list[Candle]] = {}
    for candle in candles:
        by_symbol.setdefault(candle.symbol, []).append(candle)

    def found(symbol: str, length: int, start: int, stop: int) -> list[Candle]:
        own = by_symbol.get(symbol, ())
        return [one for one in own if start <= one.ts and one.ts + length <= stop and timeframe_ms(one.timeframe) == length]

    return found


def load(files: Mapping[str, str], run: Run) -> QCAlgorithm:
    """Execute `main.py` and make its algorithm; `AlgorithmError` when that fails or there is not exactly one."""

    def made() -> QCAlgorithm:
        scope = execute(files, algorithm_imports(), run.log)
        found = [each for each in scope.values() if isinstance(each, type) and issubclass(each, QCAlgorithm)]
        own = [each for each in dict.fromkeys(found) if each is not QCAlgorithm]
        if len(own) != 1:
            message = f"main.py must define exactly one class derived from QCAlgorithm, and it defines {len(own)}"
            raise ValueError(message)
        return make(own[0], run)

    algorithm: QCAlgorithm = guarded(made, initializing=True)
    return algorithm


def guarded(call: Callable[[], Any], initializing: bool = False) -> Any:
    """Call into the algorithm; what it raises becomes an `AlgorithmError` that names the place in its own text."""
    try:
        return call()
    except AlgorithmError:
        raise
    except Exception as problem:  # the boundary to uploaded text, which may raise anything
        text = str(problem) or type(problem).__name__
        own = [
            frame
            for frame in traceback.extract_tb(problem.__traceback__)
            if frame.filename.endswith(".py") and "/" not in frame.filename
        ]
        place = f" at {own[-1].name} in {own[-1].filename}: line {own[-1].lineno}" if own else ""
        begun = "During the algorithm initialization, the following exception occurred: " if initializing else ""
        raise AlgorithmError(f"{begun}{text}", f"{text}{place}", initializing) from problem


def simulate(
    files: Mapping[str, str],
    bars: Bars,
    today: int,
    parameters: Mapping[str, str] | None = None,
    tell: Tell = lambda _, __: None,
    run_id: str = "run",
    objects: dict[str, bytes] | None = None,
) -> Run:
    """A whole backtest in this process: load, warm up, step through every bar, finish. `today` (ms UTC) is now.

    What happened is in the run: `insights`, `ledger.orders`, `ledger.trades`, `equity`. `tell` hears the log and, now and then,
    `progress` with `fraction`. Raises `AlgorithmError`.
    """
    run = Run(bars, tell, today, parameters, run_id=run_id, objects=objects)
    algorithm = load(files, run)
    guarded(lambda: run.begin(algorithm), initializing=True)
    span = max(1, run.ended - run.started)
    for count, (end, arrived) in enumerate(run.timeline(run.started, run.ended)):
        guarded(lambda end=end, arrived=arrived: run.step(end, arrived))  # type: ignore[misc]
        if run.quitting:
            break
        if count % _STEPS_PER_PROGRESS == 0:
            tell("progress", {"fraction": min(1.0, (end - run.started) / span), "equity": run.portfolio.total_portfolio_value})
    guarded(run.finish)
    return run
