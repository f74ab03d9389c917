"""Small typed builders for tests, and a harness that drives a desk through the very cycle that runs it live.

Nothing here decides anything: a builder fills in what a test does not care about, and the harness performs effects in the
plainest way there is. Its venue is either a script (the test speaks for the venue) or the paper broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from bot.core.decision import Abstention, Action, Claim, Decision, Fate, SourceSpec, Tier
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.desk import Drive as DeskDrive
from bot.core.effects import CancelOrder, Effect, Notify, Publish, Record, SetTimer, StoreIntent, SubmitOrder, SubmitPair
from bot.core.facts import DecisionFate, DecisionSeen, Fact
from bot.core.inputs import (
    Abstained,
    Claimed,
    Closing,
    Filled,
    Input,
    InstrumentChanged,
    IntentStored,
    OrderAccepted,
    OrderClosed,
    OrderRefused,
    OrderUnknown,
    Proposed,
    SetTradingState,
    SourceJoined,
    TradingState,
    Wake,
)
from bot.core.market import Candle, Instrument, Quote
from bot.core.matching import FillModel
from bot.core.orders import Fill, OrderRequest
from bot.core.risk import RiskLimits
from bot.core.sizing import FixedFraction, Sizing
from bot.core.targets import TargetRules
from bot.core.tracking import TradingRules
from bot.runtime.cycle import Cycle
from execution.paper import Drive as PaperDrive
from execution.paper import PaperBroker
from execution.paper_account import PaperAccount
from execution.paper_candles import FillOn

BTC = "BTC/USDT"
ETH = "ETH/USDT"
T0 = 1_700_000_000_000
"""An ordinary moment: milliseconds UTC."""

QC = "quantconnect:momentum"
LLM = "llm:claude"
RULE = "rules:sma-cross"

SomeFact = TypeVar("SomeFact", bound=Fact)
SomeEffect = TypeVar("SomeEffect", bound=Effect)


def an_instrument(symbol: str = BTC, **changes: Any) -> Instrument:
    """A symbol with a cent, a ten-thousandth, a minimum cost of 5 and a fee of 0.1 %."""
    base, _, quote = symbol.partition("/")
    plain = Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        price_step=Decimal("0.01"),
        amount_step=Decimal("0.0001"),
        min_amount=Decimal("0.0001"),
        min_cost=Decimal(5),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
    )
    return replace(plain, **changes)


def a_quote(price: float = 100.0, at: int = T0, symbol: str = BTC, spread: float = 0.0, **changes: Any) -> Quote:
    """A quote around `price`, whose extremes are itself unless told otherwise."""
    plain = Quote.of(symbol, at, price - spread / 2, price + spread / 2)
    return replace(plain, **changes)


def a_candle(
    close: float = 100.0, at: int = T0, symbol: str = BTC, timeframe: str = "1m", opened: float | None = None, **changes: Any
) -> Candle:
    """A closed candle that ends at `at`, from `opened` (default the close) to `close`, with no wicks unless told otherwise."""
    first = close if opened is None else opened
    start = at - 60_000
    plain = Candle(symbol, timeframe, at, start, first, max(first, close), min(first, close), close, 1.0)
    return replace(plain, **changes)


TIERS = {QC: Tier.QUANTCONNECT, LLM: Tier.LLM, RULE: Tier.TRADITIONAL}


def a_source(name: str = RULE, **changes: Any) -> SourceSpec:
    """A source whose tier follows from its name's family, with no settle window unless told otherwise."""
    family = name.partition(":")[0]
    tier = {"quantconnect": Tier.QUANTCONNECT, "llm": Tier.LLM}.get(family, Tier.TRADITIONAL)
    plain = SourceSpec(name, tier, settle_ms=0, hold_blocks=tier is Tier.QUANTCONNECT)
    return replace(plain, **changes)


def a_decision(
    action: Action = Action.BUY, source: str = RULE, at: int = T0, name: str | None = None, lasts: int = 60_000, **changes: Any
) -> Decision:
    """A decision of a source, made at `at` on BTC at 100 with confidence 0.6, which lasts a minute."""
    spec = a_source(source)
    known = f"{source}-{action.value}-{at}" if name is None else name
    plain = Decision(known, source, spec.tier, BTC, action, 0.6, at, at + lasts, 100.0)
    return replace(plain, **changes)


NO_LIMITS = RiskLimits(
    max_position=None,
    max_exposure=None,
    max_order_notional=None,
    max_open_orders=None,
    max_orders_per_minute=None,
    max_daily_loss=None,
    max_drawdown=None,
    loss_streak=None,
    symbol_cool_down_ms=None,
    price_collar=None,
    stale_after_ms=None,
    cash_buffer=0.0,
)
"""No risk limit but cash, capital and precision."""


def a_config(
    limits: RiskLimits = NO_LIMITS,
    sizing: Sizing | None = None,
    trading: TradingRules | None = None,
    **changes: Any,
) -> DeskConfig:
    """A desk of 10,000 USDT that buys for a tenth of its equity, with no samples and, unless told otherwise, no limits."""
    targets = TargetRules({"plain": sizing or FixedFraction(0.10)}, "plain")
    plain = DeskConfig(limits=limits, targets=targets, trading=trading or TradingRules(), sample_ms=0)
    return replace(plain, **changes)


@dataclass(slots=True)
class Scripted:
    """A venue that says nothing of its own accord; the test speaks for it."""

    orders: list[OrderRequest] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    pairs: list[tuple[OrderRequest, OrderRequest]] = field(default_factory=list)

    def submit(self, request: OrderRequest, at: int) -> None:
        """Take note of an order."""
        del at
        self.orders.append(request)

    def submit_pair(self, stop: OrderRequest, target: OrderRequest, at: int) -> None:
        """Take note of a pair: its stop and its target are orders too."""
        del at
        self.pairs.append((stop, target))
        self.orders += (stop, target)

    def cancel(self, order_id: str, symbol: str, at: int) -> None:
        """Take note of a cancel."""
        del symbol, at
        self.cancels.append(order_id)


@dataclass(slots=True)
class Recording:
    """Every turn: the input and what the desk returned for it."""

    turns: list[tuple[Input, tuple[Effect, ...]]] = field(default_factory=list)

    def input(self, event: Input) -> int:
        """Keep an input; its number."""
        self.turns.append((event, ()))
        return len(self.turns) - 1

    def effects(self, n: int, returned: Sequence[Effect]) -> None:
        """Keep what input `n` gave."""
        self.turns[n] = (self.turns[n][0], tuple(returned))


class DeskHarness:
    """A desk, its cycle, and a performer that keeps everything it was asked.

    `stores` says whether intents become durable at once; without it the test answers them. With `paper`, the paper broker fills
    what the desk sends; else the test speaks for the venue (`accept`, `fill`, `refuse`, `close`, `lose`).
    """

    def __init__(
        self,
        config: DeskConfig | None = None,
        sources: Sequence[SourceSpec] = (),
        *,
        paper: bool = False,
        stores: bool = True,
        symbols: Sequence[str] = (BTC, ETH),
        desk: TradingDesk | None = None,
        account: PaperAccount | None = None,
    ) -> None:
        self.config = config or a_config()
        self.desk = desk or TradingDesk(self.config)
        self.stores = stores
        self.now = T0
        self.recording = Recording()
        self.intents: list[OrderRequest] = []
        self.venue = Scripted()
        self.paper = self._paper(account) if paper else None
        self.cycle = Cycle(self.desk, self, self.recording)
        if desk is None:
            for symbol in symbols:
                self.turn(InstrumentChanged(self.now, an_instrument(symbol)))
            for spec in sources or (a_source(QC), a_source(LLM), a_source(RULE)):
                self.turn(SourceJoined(self.now, spec))

    def _paper(self, account: PaperAccount | None) -> PaperBroker:
        config = self.config
        candles = config.drive is DeskDrive.CANDLES
        return PaperBroker(
            self.desk.state.instruments,
            config.fills,
            self.turn,
            PaperDrive.CANDLES if candles else PaperDrive.QUOTES,
            FillOn.NEXT_OPEN if config.next_open else FillOn.SAME_CLOSE,
            account=account or PaperAccount.of({config.currency: config.balance}),
        )

    @property
    def turns(self) -> list[tuple[Input, tuple[Effect, ...]]]:
        """Every turn so far."""
        return self.recording.turns

    @property
    def effects(self) -> list[Effect]:
        """Every effect so far, in order."""
        return [effect for _, effects in self.recording.turns for effect in effects]

    # The performer.

    def store(self, effect: StoreIntent) -> None:
        """Make an intent durable, or leave that to the test."""
        self.intents.append(effect.request)
        if self.stores:
            self.turn(IntentStored(self.now, effect.request.id))

    def submit(self, effect: SubmitOrder) -> None:
        """Send an order to the venue."""
        (self.paper or self.venue).submit(effect.request, self.now)
        if self.paper is not None:
            self.venue.submit(effect.request, self.now)

    def submit_pair(self, effect: SubmitPair) -> None:
        """Send two orders, of which one cancels the other, to the venue."""
        (self.paper or self.venue).submit_pair(effect.stop, effect.target, self.now)
        if self.paper is not None:
            self.venue.submit_pair(effect.stop, effect.target, self.now)

    def cancel(self, effect: CancelOrder) -> None:
        """Ask the venue to cancel."""
        (self.paper or self.venue).cancel(effect.order_id, effect.symbol, self.now)

    def record(self, effect: Record) -> None:
        """Facts are read from the effects."""

    def publish(self, effect: Publish) -> None:
        """Messages are read from the effects."""

    def notify(self, effect: Notify) -> None:
        """Notifications are read from the effects."""

    def timer(self, effect: SetTimer) -> None:
        """Time is the test's."""

    # What a test does.

    def turn(self, event: Input) -> None:
        """Hand the desk an input."""
        self.now = max(self.now, event.at)
        self.cycle.turn(event)

    def quote(self, price: float = 100.0, after: int = 0, symbol: str = BTC, spread: float = 0.0, **changes: Any) -> None:
        """Show a quote `after` milliseconds from now, to the broker first."""
        self.now += after
        quote = a_quote(price, self.now, symbol, spread, **changes)
        if self.paper is not None:
            self.paper.on_quote(quote)
        self.turn(quote)

    def candle(self, close: float, symbol: str = BTC, after: int = 60_000, opened: float | None = None, **changes: Any) -> None:
        """Close a candle `after` milliseconds from now, shown to the broker first."""
        self.now += after
        candle = a_candle(close, self.now, symbol, opened=opened, **changes)
        if self.paper is not None:
            self.paper.on_candle(candle)
        self.turn(candle)

    def propose(self, action: Action = Action.BUY, source: str = RULE, **changes: Any) -> Decision:
        """Let a source propose now, at the live price; returns the decision."""
        symbol = changes.get("symbol", BTC)
        changes.setdefault("price", self.desk.market.prices.get(symbol, 100.0))
        changes.setdefault("name", f"d{len(self.turns)}")
        decision = a_decision(action, source, changes.pop("at", self.now), **changes)
        self.turn(Proposed(self.now, decision))
        return decision

    def claim(self, source: str, lasts: int, symbol: str = BTC) -> None:
        """Let a source say that it thinks."""
        self.turn(Claimed(self.now, Claim(source, a_source(source).tier, symbol, self.now + lasts)))

    def abstain(self, source: str, symbol: str = BTC) -> None:
        """Let a source say that it has no opinion."""
        self.turn(Abstained(self.now, Abstention(source, a_source(source).tier, symbol, "no-edge")))

    def wait(self, milliseconds: int) -> None:
        """Let time pass, waking the desk whenever it wants."""
        until = self.now + milliseconds
        while True:
            timers = [due for due in (self.desk.next_timer, self.paper.next_due() if self.paper else None) if due is not None]
            due = min(timers, default=until + 1)
            if due > until:
                break
            self.now = max(self.now, due)
            if self.paper is not None:
                self.paper.wake(self.now)
            self.turn(Wake(self.now))
        self.now = until
        self.turn(Wake(self.now))

    def command(self, state: TradingState, flatten: bool = False) -> None:
        """An operator's kill, reduce or resume."""
        self.turn(SetTradingState(self.now, state, "operator", "a test", flatten))

    # What the test says for the venue.

    @property
    def order(self) -> OrderRequest:
        """The newest order sent."""
        return self.venue.orders[-1]

    def accept(self, order: OrderRequest | None = None) -> None:
        """The venue has the order."""
        request = order or self.order
        self.turn(OrderAccepted(self.now, request.id, f"v-{request.id}"))

    def fill(
        self,
        amount: str | Decimal | None = None,
        price: str | Decimal = "100",
        order: OrderRequest | None = None,
        fill_id: str | None = None,
        fee: str | Decimal = "0",
        currency: str | None = None,
    ) -> Fill:
        """The order, or `amount` of it, trades."""
        request = order or self.order
        quote = request.symbol.partition("/")[2]
        size = request.amount if amount is None else Decimal(amount)
        fill = Fill(
            fill_id or f"t{len(self.turns)}",
            request.id,
            request.symbol,
            request.side,
            size,
            Decimal(price),
            Decimal(fee),
            currency or quote,
            self.now,
        )
        self.turn(Filled(self.now, fill))
        return fill

    def refuse(self, order: OrderRequest | None = None, reason: str = "no") -> None:
        """The venue refuses the order."""
        self.turn(OrderRefused(self.now, (order or self.order).id, reason))

    def lose(self, order: OrderRequest | None = None) -> None:
        """Nobody can say what became of the order."""
        self.turn(OrderUnknown(self.now, (order or self.order).id, "timeout"))

    def close(self, filled: str | Decimal = "0", order: OrderRequest | None = None, how: Closing = Closing.CANCELLED) -> None:
        """The venue ends the order, having traded `filled` of it in all."""
        self.turn(OrderClosed(self.now, (order or self.order).id, how, Decimal(filled)))

    # What a test asks.

    def of(self, kind: type[SomeFact]) -> list[SomeFact]:
        """Every fact of a kind, in order."""
        facts: list[Fact] = [effect.fact for effect in self.effects if isinstance(effect, Record | Publish)]
        return [fact for fact in facts if isinstance(fact, kind)]

    def asked(self, kind: type[SomeEffect]) -> list[SomeEffect]:
        """Every effect of a kind, in order."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def fates(self) -> dict[str, DecisionFate]:
        """The fate of every decision that has met one; nothing may meet two."""
        fates: dict[str, DecisionFate] = {}
        for fate in self.of(DecisionFate):
            assert fate.decision_id not in fates, f"{fate.decision_id} met {fates[fate.decision_id].fate} and {fate.fate}"
            fates[fate.decision_id] = fate
        return fates

    def fate(self, decision: Decision | str) -> Fate | None:
        """What became of a decision, None while nothing has."""
        found = self.fates().get(decision if isinstance(decision, str) else decision.id)
        return None if found is None else found.fate

    def fateless(self) -> list[str]:
        """Decisions seen that have met no fate."""
        fates = self.fates()
        return [seen.decision.id for seen in self.of(DecisionSeen) if seen.decision.id not in fates]

    def position(self, symbol: str = BTC) -> Decimal:
        """The book's signed position."""
        return self.desk.portfolio.amount(symbol)

    def buys(self, symbol: str = BTC, source: str = RULE, **changes: Any) -> Decision:
        """Propose a buy and, on a scripted venue, fill it whole; returns the decision."""
        decision = self.propose(Action.BUY, source, symbol=symbol, **changes)
        if self.paper is None:
            self.accept()
            self.fill(price=str(self.desk.market.prices[symbol]))
        return decision


def a_model(**changes: Any) -> FillModel:
    """A paper world without fees, slippage or latency unless told otherwise."""
    return replace(FillModel(maker_fee=Decimal(0), taker_fee=Decimal(0)), **changes)
