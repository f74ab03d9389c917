"""`QCAlgorithm`: what an algorithm derives from and talks to. Everything it asks for is done by its `Run`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from simulators.quantconnect.lean_clock import DateRules, Schedule, TimeRules
from simulators.quantconnect.lean_costs import Order
from simulators.quantconnect.lean_making import IndicatorMaking
from simulators.quantconnect.lean_parts import History, Notify, ObjectStore, Settings, Transactions
from simulators.quantconnect.lean_portfolio import (
    OrderEvent,
    OrderTicket,
    Portfolio,
    Security,
    lot_of,
)
from simulators.quantconnect.lean_run import DAY_MS, Run
from simulators.quantconnect.lean_types import (
    UTC_ZONE,
    ZONES,
    AccountType,
    BrokerageName,
    BySymbol,
    Event,
    Insight,
    Market,
    OrderType,
    Resolution,
    SecurityType,
    Slice,
    Symbol,
    milliseconds,
    naive,
)

_LEVERAGE = {SecurityType.EQUITY: 2.0, SecurityType.FOREX: 50.0, SecurityType.CFD: 50.0, SecurityType.CRYPTO_FUTURE: 20.0}
_NOT_INITIALIZING = "can only be called in initialize"


class QCAlgorithm(IndicatorMaking):
    """An algorithm; see `lean` for what there is. Made by `make` alone."""

    qc: Run

    def __init__(self) -> None:
        run = self.qc
        self.settings, self.object_store, self.notify = Settings(), ObjectStore(run), Notify(run)
        self.date_rules, self.time_rules, self.transactions = DateRules(), TimeRules(), Transactions(run)
        self.universe_settings = SimpleNamespace(resolution=Resolution.MINUTE, leverage=1.0)
        self.history = History(run)
        self._commands: dict[str, type] = {}
        self._account = AccountType.MARGIN
        self._brokerage = BrokerageName.DEFAULT

    # -- what a subclass overrides --------------------------------------------------------------------------------------------

    def initialize(self) -> None:
        """Called once."""

    def on_data(self, data: Slice) -> None:
        """Called with each slice."""

    def on_order_event(self, order_event: OrderEvent) -> None:
        """Called with each event of an order."""

    def on_command(self, data: Any) -> bool | None:
        """Called with a command that names no class."""

    def on_warmup_finished(self) -> None:
        """Called when the warm-up is over, also when there was none."""

    def on_end_of_algorithm(self) -> None:
        """Called at the end."""

    # -- time and state -------------------------------------------------------------------------------------------------------

    @property
    def time(self) -> datetime:
        """Now, on the wall clock of the algorithm's zone."""
        return naive(self.qc.now, self.qc.zone)

    @property
    def utc_time(self) -> datetime:
        """Now, naive UTC."""
        return naive(self.qc.now, UTC_ZONE)

    @property
    def start_date(self) -> datetime:
        """The first moment of the run."""
        return naive(self.qc.started, self.qc.zone)

    @property
    def end_date(self) -> datetime:
        """The last moment of the run."""
        return naive(min(self.qc.ended, self.qc.today), self.qc.zone)

    @property
    def is_warming_up(self) -> bool:
        """Whether orders and insights are still ignored."""
        return self.qc.is_warming_up or not self.qc.initialized

    @property
    def live_mode(self) -> bool:
        """Whether this is not a backtest."""
        return self.qc.live

    @property
    def algorithm_id(self) -> str:
        """The id of the backtest or deployment."""
        return self.qc.run_id

    @property
    def account_currency(self) -> str:
        """What equity is counted in."""
        return self.qc.currency

    @property
    def portfolio(self) -> Portfolio:
        """Holdings and cash."""
        return self.qc.portfolio

    @property
    def securities(self) -> BySymbol[Security]:
        """What was added."""
        return self.qc.securities

    @property
    def schedule(self) -> Schedule:
        """Scheduled functions."""
        return self.qc.schedule

    @property
    def insights_generated(self) -> Event:
        """`+= handler(algorithm, collection)`."""
        return self.qc.insights_generated

    @insights_generated.setter
    def insights_generated(self, event: Event) -> None:
        self.qc.insights_generated = event

    # -- set-up ---------------------------------------------------------------------------------------------------------------

    def set_start_date(self, *given: Any) -> None:
        """First day; ignored live."""
        self.qc.started = milliseconds(_day(given), self.qc.zone)

    def set_end_date(self, *given: Any) -> None:
        """Last day, which is part of the run, but never later than now; ignored live."""
        moment = _day(given)
        whole = moment.hour == moment.minute == moment.second == 0
        self.qc.ended = min(milliseconds(moment, self.qc.zone) + (DAY_MS if whole else 0), self.qc.today)

    def set_cash(self, first: float | str, amount: float | None = None) -> None:
        """`set_cash(amount)` or `set_cash(currency, amount)`; ignored live."""
        if self.qc.initialized:
            message = f"set_cash {_NOT_INITIALIZING}"
            raise RuntimeError(message)
        if not self.qc.live:
            self.qc.portfolio.cash = float(first if amount is None else amount)

    def set_account_currency(self, currency: str, cash: float | None = None) -> None:
        """Before any security is added."""
        if self.qc.securities:
            message = "set_account_currency must be called before any security is added"
            raise RuntimeError(message)
        self.qc.currency = currency
        if cash is not None:
            self.set_cash(cash)

    def set_time_zone(self, zone: str) -> None:
        """One of `TimeZones`; in the zone dates are read from then on."""
        if zone not in ZONES:
            message = f"the time zone {zone!r} is not one of {', '.join(ZONES)}"
            raise ValueError(message)
        self.qc.zone = ZONES[zone]

    def set_brokerage_model(self, brokerage: str, account: AccountType = AccountType.MARGIN) -> None:
        """With `AccountType.CASH` nothing can be short and the leverage is 1."""
        self._brokerage, self._account = brokerage, AccountType(account)
        self.qc.ledger.may_short = self._account is AccountType.MARGIN

    def set_warm_up(self, span: int | timedelta, resolution: Resolution | None = None) -> None:
        """A number of bars (of the slowest subscription unless a resolution is given) or a time, in the subscriptions' bars."""
        if isinstance(span, timedelta):
            self.qc.warm_up = span
            return
        self.qc.warm_up = (int(span), None if resolution is None else Resolution(resolution))

    def set_benchmark(self, *_: object) -> None:
        """Noted only: the benchmark is the first security."""

    def set_name(self, name: str) -> None:
        """Noted only."""
        self.name = name

    def add_tag(self, _: str) -> None:
        """Noted only."""

    def get_parameter(self, name: str, default: Any = None) -> Any:
        """A parameter, converted to the type of the default; the default itself when there is none or it does not convert."""
        text = self.qc.parameters.get(name)
        if text is None or default is None:
            return default if text is None else text
        if isinstance(default, bool):
            return text.lower() == "true"
        try:
            return type(default)(text)
        except (TypeError, ValueError):
            return default

    # -- securities -----------------------------------------------------------------------------------------------------------

    def add_crypto(
        self, ticker: str, resolution: Resolution | None = None, market: str | None = None, *_: object, **__: object
    ) -> Security:
        """A coin; the default market is Coinbase, as in LEAN."""
        return self._add(ticker, SecurityType.CRYPTO, market or Market.COINBASE, resolution)

    def add_crypto_future(
        self, ticker: str, resolution: Resolution | None = None, market: str | None = None, *_: object, **__: object
    ) -> Security:
        """A perpetual; it moves as the coin does."""
        return self._add(ticker, SecurityType.CRYPTO_FUTURE, market or Market.BINANCE, resolution)

    def add_equity(
        self, ticker: str, resolution: Resolution | None = None, market: str | None = None, *_: object, **__: object
    ) -> Security:
        """A share, which trades around the clock here."""
        return self._add(ticker, SecurityType.EQUITY, market or Market.USA, resolution)

    def add_forex(
        self, ticker: str, resolution: Resolution | None = None, market: str | None = None, *_: object, **__: object
    ) -> Security:
        """A pair of currencies."""
        return self._add(ticker, SecurityType.FOREX, market or Market.OANDA, resolution)

    def add_cfd(
        self, ticker: str, resolution: Resolution | None = None, market: str | None = None, *_: object, **__: object
    ) -> Security:
        """A contract for difference; its ticker ends in its currency, as XAUUSD does."""
        return self._add(ticker, SecurityType.CFD, market or Market.OANDA, resolution)

    def _add(self, ticker: str, kind: SecurityType, market: str, resolution: Resolution | None) -> Security:
        symbol = Symbol(ticker, kind, market)
        _ = symbol.unified  # a quote currency that is not known is an error now, not later
        cash = self._account is AccountType.CASH
        leverage = _LEVERAGE.get(kind, 1.0)
        if kind is SecurityType.CRYPTO and self._brokerage == BrokerageName.BINANCE:
            leverage = 3.0
        chosen = self.universe_settings.resolution if resolution is None else resolution
        return self.qc.subscribe(symbol, chosen, 1.0 if cash else leverage)

    # -- orders ---------------------------------------------------------------------------------------------------------------

    def market_order(self, symbol: Symbol | str, quantity: float, asynchronous: bool = False, tag: str = "") -> OrderTicket:
        """Fills at once, at the last close."""
        return self._order(symbol, quantity, OrderType.MARKET, tag)

    def limit_order(self, symbol: Symbol | str, quantity: float, limit_price: float, tag: str = "") -> OrderTicket:
        """Fills in a later bar that goes through the price."""
        return self._order(symbol, quantity, OrderType.LIMIT, tag, limit=limit_price)

    def stop_market_order(self, symbol: Symbol | str, quantity: float, stop_price: float, tag: str = "") -> OrderTicket:
        """Fills in a later bar that reaches the price."""
        return self._order(symbol, quantity, OrderType.STOP_MARKET, tag, stop=stop_price)

    def buy(self, symbol: Symbol | str, quantity: float) -> OrderTicket:
        """A market order."""
        return self.market_order(symbol, abs(quantity))

    def sell(self, symbol: Symbol | str, quantity: float) -> OrderTicket:
        """A market order."""
        return self.market_order(symbol, -abs(quantity))

    def _order(
        self, symbol: Symbol | str, quantity: float, kind: OrderType, tag: str, limit: float = 0.0, stop: float = 0.0
    ) -> OrderTicket:
        run = self.qc
        known = run.securities[symbol].symbol  # type: ignore[index]  # a ticker equals its symbol
        number = len(run.ledger.orders) + 1
        ticket = OrderTicket(number, known, float(quantity), kind, run.now, tag, float(limit), float(stop))
        refusal = "This operation is not allowed in Initialize or during warm up" if self.is_warming_up else ""
        return run.ledger.submit(ticket, run.now, refusal)

    def calculate_order_quantity(self, symbol: Symbol | str, weight: float) -> float:
        """Signed amount that brings the position to this share of the portfolio, fee and cash buffer allowed for."""
        security = self.qc.securities[symbol]  # type: ignore[index]  # a ticker equals its symbol
        price, step = security.price, lot_of(security.symbol)
        if not price:
            return 0.0
        worth = self.qc.portfolio.total_portfolio_value * (1.0 - self.settings.free_portfolio_value_percentage)
        wanted = worth * weight - security.holdings.holdings_value
        if weight == 0:
            return -security.holdings.quantity
        fee = security.fee(Order(0, security.symbol, wanted / price), price)
        left = max(0.0, abs(wanted) - fee) if wanted * weight > 0 else abs(wanted)
        return math.copysign(round(math.floor(left / price / step + 1e-9) * step, 8), wanted)

    def set_holdings(
        self, symbol: Symbol | str, weight: float, liquidate_existing_holdings: bool = False, *_: object, tag: str = ""
    ) -> list[OrderTicket]:
        """Bring a position to a share of the portfolio (-1 to 1 without leverage)."""
        sold: list[OrderTicket] = []
        if liquidate_existing_holdings:
            for other in [one for one in self.qc.portfolio.values() if one.invested and one.symbol != symbol]:
                sold += self.liquidate(other.symbol, tag=tag)
        quantity = self.calculate_order_quantity(symbol, float(weight))
        return sold if abs(quantity) < 1e-9 else [*sold, self.market_order(symbol, quantity, tag=tag)]

    def liquidate(self, symbol: Symbol | str | None = None, *_: object, tag: str = "Liquidated") -> list[OrderTicket]:
        """Cancel what is open and close the position of a symbol, or of all."""
        tickets = []
        for holding in list(self.qc.portfolio.values()):
            if symbol is not None and holding.symbol != symbol:
                continue
            self.transactions.cancel_open_orders(holding.symbol)
            if holding.invested:
                tickets.append(self.market_order(holding.symbol, -holding.quantity, tag=tag))
        return tickets

    # -- what it publishes ----------------------------------------------------------------------------------------------------

    def emit_insights(self, *given: Insight | Iterable[Insight]) -> None:
        """Publish insights; ignored during warm-up."""
        found: list[Insight] = []
        for each in given:
            found += [each] if isinstance(each, Insight) else list(each)
        self.qc.emit(found)

    def debug(self, message: object) -> None:
        """A line of the log."""
        self.qc.log(str(message))

    log = debug

    def error(self, message: object) -> None:
        """A line of the log that says so."""
        self.qc.log(f"ERROR: {message}")

    def quit(self, message: str = "") -> None:
        """End the run after this moment."""
        self.qc.quitting = message or "quit"

    def plot(self, chart: str, series: str | float, value: float | None = None) -> None:
        """A point: (chart, series, value), or (series, value) in the chart of the strategy."""
        if value is None:
            self.qc.plot("Strategy Equity", chart, float(series))
        else:
            self.qc.plot(chart, str(series), value)

    def set_runtime_statistic(self, name: str, value: object) -> None:
        """Shown among `runtimeStatistics`."""
        self.qc.runtime_statistics[name] = str(value)

    def set_summary_statistic(self, name: str, value: object) -> None:
        """Shown among `statistics`."""
        self.qc.summary_statistics[name] = str(value)

    def add_command(self, command: type) -> None:
        """A class whose `run(algorithm)` is called by a command of its name."""
        self._commands[command.__name__] = command

    def command(self, body: Mapping[str, object]) -> bool | None:
        """Carry a command out: a built-in one, one that was added, else `on_command`."""
        kind = str(body.get("$type") or "")
        if kind == "OrderCommand":
            return self._command_order(body)
        if kind == "LiquidateCommand":
            self.liquidate()
            return True
        if kind == "QuitCommand":
            self.quit("command")
            return True
        fields = {key: value for key, value in body.items() if key != "$type"}
        if kind in self._commands:
            made = self._commands[kind]()
            for key, value in fields.items():
                setattr(made, key, value)
            answer: bool | None = made.run(self)
            return answer
        return self.on_command(SimpleNamespace(**({key.lower(): value for key, value in fields.items()} | fields)))

    def _command_order(self, body: Mapping[str, Any]) -> bool:
        symbol, quantity = body["symbol"], float(body["quantity"])
        ticker = symbol["value"] if isinstance(symbol, Mapping) else str(symbol)
        kind, tag = str(body.get("order_type", "market")).lower(), str(body.get("tag") or "")
        if kind == "limit":
            self.limit_order(ticker, quantity, float(body["limit_price"]), tag)
        elif kind in ("stop_market", "stopmarket"):
            self.stop_market_order(ticker, quantity, float(body["stop_price"]), tag)
        else:
            self.market_order(ticker, quantity, tag=tag)
        return True


def make(kind: type[QCAlgorithm], run: Run) -> QCAlgorithm:
    """The algorithm of a run; it has `qc` before its own `__init__` begins."""
    made = kind.__new__(kind)
    made.qc = run
    kind.__init__(made)
    return made


def _day(given: tuple[Any, ...]) -> datetime:
    if len(given) == 1:
        moment: datetime = given[0]
        return moment
    return datetime(*given)  # noqa: DTZ001 - the wall clock of the algorithm's zone
