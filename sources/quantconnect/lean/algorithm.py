"""The text of the algorithm's class: set-up, candles, orders, protection, insights and their forwarding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.core.market import timeframe_ms
from sources.base import Strict
from sources.quantconnect.lean.config import BacktestConfig, Forwarding
from sources.quantconnect.lean.errors import LeanError
from sources.quantconnect.lean.literals import python
from sources.quantconnect.lean.securities import MARKETS, Bars, Subscription, bars_of, span, subscription_of
from sources.quantconnect.lean.strategies import Strategy
from sources.schedule import Schedule

FULLEST = 0.99
"""The largest share of the portfolio that an order may take: what is left pays its fee."""
KEPT = 100
"""Insights kept in the object store, the newest."""
_OWN = frozenset(("start", "end", "position_size", "stop_loss", "take_profit", "webhook_url", "webhook_secret", "object_key"))


@dataclass(slots=True)
class Parameters:
    """The parameters that the text asks for, as the texts that the service takes."""

    texts: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, value: object) -> str:
        """The expression that gives a parameter; a sweep changes what it gives, and without one it is `value`."""
        if isinstance(value, bool):
            self.texts[name] = str(value).lower()
            return f'self.get_parameter({python(name)}, {python(str(value).lower())}) == "true"'
        if value is None:
            return f"self._optional({python(name)}, None)"
        self.texts[name] = str(value)
        return f"self.get_parameter({python(name)}, {python(value)})"

    def ask_optional(self, name: str, value: float | None) -> str:
        """The same for a number that may be none."""
        if value is not None:
            self.texts[name] = str(value)
        return f"self._optional({python(name)}, {python(value)})"

    def model(self, params: Strict, prefix: str = "") -> str:
        """The expression that makes a rule's parameters."""
        parts = []
        for name, known in type(params).model_fields.items():
            value = getattr(params, name)
            label = f"{prefix}{name}" if f"{prefix}{name}" not in _OWN else f"rule_{name}"
            parts.append(f"{name}={self._value(label, value, 'None' in str(known.annotation))}")
        inner = ",\n".join(parts)
        return f"{type(params).__name__}(\n{_indented(inner)},\n)" if parts else f"{type(params).__name__}()"

    def _value(self, label: str, value: object, optional: bool) -> str:
        if isinstance(value, Schedule):
            return _schedule(label, value)
        if isinstance(value, Strict):
            return self.model(value, f"{label}_")
        if not (value is None or isinstance(value, bool | int | float | str)):
            kind = type(value).__name__
            raise LeanError(
                "backtest", f"strategy.params.{label}", value, f"a {kind} cannot be a parameter; use numbers and texts"
            )
        if optional and (value is None or isinstance(value, float)):
            return self.ask_optional(label, value)
        return self.ask(label, value)


def _schedule(label: str, schedule: Schedule) -> str:
    if schedule.every is None:
        remedy = "LEAN counts no cron expressions; give every, and offset if you like"
        raise LeanError("backtest", f"strategy.params.{label}.cron", schedule.cron, remedy)
    offset = 0 if schedule.offset is None else timeframe_ms(schedule.offset)
    return f"Schedule(every={timeframe_ms(schedule.every)}, offset={offset})"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the text is made of."""

    config: BacktestConfig
    strategy: Strategy
    security: Subscription
    bars: Bars

    @classmethod
    def of(cls, config: BacktestConfig, strategy: Strategy) -> Plan:
        """The plan of a configuration; `LeanError` where its parts do not go together."""
        if not (config.currency.isascii() and config.currency.isalnum() and len(config.currency) <= 10):
            raise LeanError("backtest", "currency", config.currency, "is no currency; give one such as USDT")
        if config.forward is Forwarding.WEBHOOK and not config.webhook_url.startswith(("http://", "https://")):
            raise LeanError("backtest", "webhook_url", config.webhook_url, "give the bot's address, https://...")
        if config.forward is Forwarding.OBJECTS and not config.object_key.strip():
            raise LeanError("backtest", "object_key", config.object_key, "give a key such as signals/latest.json")
        return cls(config, strategy, subscription_of(config), bars_of(config.timeframe))

    @property
    def class_name(self) -> str:
        """Of the algorithm: the strategy's kind in capitals."""
        words = "".join(word.capitalize() for word in self.strategy.kind.replace("_", "-").split("-"))
        return f"{''.join(letter for letter in words if letter.isascii() and letter.isalnum())}Algorithm".lstrip("0123456789")

    @property
    def title(self) -> str:
        """The project's name."""
        return self.config.name.strip() or f"{self.strategy.kind}-{self.security.ticker}-{self.config.timeframe}".lower()

    @property
    def size(self) -> float:
        """Share of the portfolio of an entry, with room for the fee."""
        return min(self.config.size, FULLEST)


def algorithm(plan: Plan) -> tuple[str, dict[str, str]]:
    """The text of the class and the parameters it asks for."""
    parameters = Parameters()
    parts = [
        _heading(plan),
        _initialize(plan, parameters),
        _on_data(plan),
        _DECIDING,
        _ENTERING_MORE if plan.strategy.adds else _ENTERING,
        _PROTECTING,
        _TELLING,
        *_forwarding(plan),
        _READING,
    ]
    return "\n\n".join(_indented(part) if at else part for at, part in enumerate(parts)), parameters.texts


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())


def _heading(plan: Plan) -> str:
    rule = plan.strategy.rule.__name__
    return f'''class {plan.class_name}(QCAlgorithm):
    """Trades one security by the rule `{rule}`, long or out of the market, and emits an insight for each of its proposals.

    The rule and its indicators stand below: they are the bot's own, so that both decide alike on the same candles.
    """'''


def _initialize(plan: Plan, parameters: Parameters) -> str:
    config, security, bars = plan.config, plan.security, plan.bars
    account = "CASH" if security.cash else "MARGIN"
    market = f"Market.{MARKETS[name]}" if (name := security.market) in MARKETS else python(name)
    lines = [
        "self.set_time_zone(TimeZones.UTC)",
        f'self.set_start_date(self._day("start", {python(config.start.isoformat())}))',
        f'self.set_end_date(self._day("end", {python(config.end.isoformat())}))',
        f"self.set_account_currency({python(config.currency)})",
        f"self.set_cash({python(config.capital)})",
        f"self.set_brokerage_model(BrokerageName.{security.brokerage}, AccountType.{account})",
        f"security = self.{security.add}({python(security.ticker)}, Resolution.{bars.resolution}, {market}, fill_forward=False)",
        *_costs(plan),
        "self._symbol = security.symbol",
        "self.set_benchmark(self._symbol)",
        "",
        *f"self._rule = {plan.strategy.rule.__name__}({parameters.model(plan.strategy.params)})".splitlines(),
        f"self._size = {parameters.ask('position_size', plan.size)}",
        f"self._stop_loss = {parameters.ask_optional('stop_loss', config.stop_loss)}",
        f"self._take_profit = {parameters.ask_optional('take_profit', config.take_profit)}",
        f"self._period = {span(config.horizon)}  # how long an insight stands",
        "self._guard = None  # levels of the open position",
        *_wiring(plan),
    ]
    return "def initialize(self):\n" + _indented("\n".join(lines))


def _costs(plan: Plan) -> Iterable[str]:
    fees = plan.config.fees
    if fees.rate is not None:
        yield f"security.set_fee_model(RateFeeModel({python(float(fees.rate))}, {python(plan.config.currency)}))"
    if fees.slippage:
        yield f"security.set_slippage_model(ConstantSlippageModel({python(float(fees.slippage))}))"


def _wiring(plan: Plan) -> Iterable[str]:
    bars, config = plan.bars, plan.config
    if bars.joined:
        yield f"self.consolidate(self._symbol, {span(bars.length)}, self._on_candle)"
    if bars.spare:
        yield "self._partial = True  # the first candle begins where the warm-up does, which may be in its midst"
    spare = f" + {bars.spare}" if bars.spare else ""
    count = f"(self._rule.warmup{spare}) * {bars.count}" if spare and bars.joined else f"self._rule.warmup{spare}"
    if bars.joined and not spare:
        count += f" * {bars.count}"
    yield f"self.set_warm_up({count}, Resolution.{bars.resolution})"
    if config.forward is Forwarding.WEBHOOK:
        yield f'self._url = self.get_parameter("webhook_url", {python(config.webhook_url)})'
        yield 'self._secret = self.get_parameter("webhook_secret", "")  # given at deployment, never written here'
    if config.forward is Forwarding.OBJECTS:
        yield f'self._key = self.get_parameter("object_key", {python(config.object_key)})'
        yield "self._messages = []"
    if config.forward is not Forwarding.NONE:
        yield "self.insights_generated += self._forward"


def _on_data(plan: Plan) -> str:
    bars = "quote_bars" if plan.security.quotes else "bars"
    taking = "" if plan.bars.joined else "\n        self._on_candle(bar)"
    skipping = "\n    if self._partial:\n        self._partial = False\n        return" if plan.bars.spare else ""
    return f'''def on_data(self, data):
    if self._symbol in data.{bars}:
        bar = data.{bars}[self._symbol]
        self._protect(bar){taking}

def _on_candle(self, bar):
    """Show the rule a closed candle and act on what it proposes; during warm-up it only learns."""{skipping}
    at = self._now()
    volume = {"0.0  # quotes have none" if plan.security.quotes else "float(bar.volume)"}
    candle = Candle(at - {plan.bars.length}, at, float(bar.open), float(bar.high), float(bar.low), float(bar.close), volume)
    proposal = self._rule.step(candle)
    if proposal is not None and not self.is_warming_up:
        self._act(proposal, candle.close)'''


_DECIDING = '''def _act(self, proposal, price):
    """Say what the rule proposes, then bring the position there."""
    if proposal.action is Action.BUY:
        self._say(InsightDirection.UP, proposal.confidence, proposal.reasoning)
        self._enter(proposal, price)
    elif proposal.action is Action.SELL:
        self._say(InsightDirection.DOWN, proposal.confidence, proposal.reasoning)
        if self.portfolio[self._symbol].invested:
            self._guard = None
            self.liquidate(self._symbol, tag=proposal.reasoning)'''

_ENTERING = '''def _enter(self, proposal, price):
    """Buy unless it is held already: a repeated buy does not pyramid."""
    if self.portfolio[self._symbol].invested:
        return
    share = 1.0 if proposal.size_fraction is None else proposal.size_fraction
    self.set_holdings(self._symbol, self._size * share, tag=proposal.reasoning)
    self._guard = self._levels(price, proposal.stop_loss, proposal.take_profit, proposal.trailing)'''

_ENTERING_MORE = '''def _enter(self, proposal, price):
    """Buy another part, up to the whole size."""
    share = 1.0 if proposal.size_fraction is None else proposal.size_fraction
    held = self.portfolio[self._symbol].holdings_value / self.portfolio.total_portfolio_value
    weight = min(self._size, held + self._size * share)
    if not self.portfolio[self._symbol].invested:
        self._guard = self._levels(price, proposal.stop_loss, proposal.take_profit, proposal.trailing)
    if weight > held:
        self.set_holdings(self._symbol, weight, tag=proposal.reasoning)'''

_PROTECTING = '''def _levels(self, price, stop=None, target=None, trailing=None):
    """Where to give up and where to take the gain; the configuration goes before the rule's own levels."""
    return {
        "since": self._now(),
        "stop": stop if self._stop_loss is None else price * (1.0 - self._stop_loss),
        "target": target if self._take_profit is None else price * (1.0 + self._take_profit),
        "trailing": trailing,
        "peak": price,
    }

def on_warmup_finished(self):
    """Guard a position that an earlier deployment left, from what it cost."""
    holding = self.portfolio[self._symbol]
    if holding.invested:
        self._guard = self._levels(float(holding.average_price))

def _protect(self, bar):
    """Close the position at a level the bar touched: the stop before the target, since nobody knows which came first."""
    guard = self._guard
    if guard is None or self._now() <= guard["since"] or not self.portfolio[self._symbol].invested:
        return
    reason = self._touched(guard, float(bar.low), float(bar.high))
    if reason:
        self._guard = None
        self._say(InsightDirection.FLAT, 1.0, reason)
        self.liquidate(self._symbol, tag=reason)

def _touched(self, guard, low, high):
    """Which level a bar reached, if any; the trailing stop is judged by the peak before the bar."""
    if guard["stop"] is not None and low <= guard["stop"]:
        return "stop-loss"
    if guard["trailing"] is not None and low <= guard["peak"] * (1.0 - guard["trailing"]):
        return "trailing-stop"
    if guard["target"] is not None and high >= guard["target"]:
        return "take-profit"
    guard["peak"] = max(guard["peak"], high)
    return ""'''

_TELLING = '''def _say(self, direction, confidence, tag):
    """Emit an insight."""
    insight = Insight.price(self._symbol, self._period, direction, None, confidence, type(self).__name__, None, tag)
    self.emit_insights(insight)'''

_READING = '''def _now(self):
    """The time in milliseconds UTC; live it comes with a zone, in a backtest without."""
    return round((self.utc_time.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds() * 1000)

def _day(self, name, default):
    """A date parameter, written YYYY-MM-DD."""
    return datetime.fromisoformat(self.get_parameter(name, default))

def _optional(self, name, default):
    """A number parameter that may be `none`."""
    text = self.get_parameter(name, "")
    return default if not text else None if text == "none" else float(text)'''


def _forwarding(plan: Plan) -> Iterable[str]:
    config = plan.config
    if config.forward is Forwarding.NONE:
        return
    yield f'''def _message(self, insight):
    """An insight as the bot reads it."""
    up, down = insight.direction == InsightDirection.UP, insight.direction == InsightDirection.DOWN
    return {{
        "v": 1,
        "id": str(insight.id),
        "source": insight.source_model,
        "symbol": insight.symbol.value,
        "market": {python(plan.security.market)},
        "side": "buy" if up else "sell" if down else "flat",
        "confidence": insight.confidence,
        "price": insight.reference_value,
        "time": insight.generated_time_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ttl": int(insight.period.total_seconds()),
        "tag": insight.tag,
    }}'''
    yield _WEBHOOK if config.forward is Forwarding.WEBHOOK else _OBJECTS.replace("KEPT", str(KEPT))


_WEBHOOK = '''def _forward(self, algorithm, collection):
    """Post every insight to the bot, in live runs only."""
    if not self.live_mode:
        return
    headers = {"X-Secret": self._secret} if self._secret else {}
    for insight in collection.insights:
        self.notify.web(self._url, json.dumps(self._message(insight)), headers)'''

_OBJECTS = '''def _forward(self, algorithm, collection):
    """Keep the newest insights in the object store: at once in live runs, at the end of a backtest."""
    self._messages = (self._messages + [self._message(insight) for insight in collection.insights])[-KEPT:]
    if self.live_mode:
        self._store()

def on_end_of_algorithm(self):
    self._store()

def _store(self):
    self.object_store.save(self._key, json.dumps({"v": 1, "signals": self._messages}))'''

FEES = '''class RateFeeModel(FeeModel):
    """A fee that is a fraction of the notional."""

    def __init__(self, rate, currency):
        self._rate, self._currency = rate, currency

    def get_order_fee(self, parameters):
        """What an order costs."""
        notional = abs(parameters.order.get_value(parameters.security))
        return OrderFee(CashAmount(notional * self._rate, self._currency))'''
