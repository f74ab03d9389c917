"""Random lives of a desk: streams of everything that can reach it, played on a scripted venue, to hold the desk to its laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from hypothesis import strategies as st

from bot.core.decision import Action, OnExpiry, SourceSpec
from bot.core.desk import DeskConfig
from bot.core.effects import SubmitOrder
from bot.core.inputs import (
    Backlog,
    CancelRefused,
    CashMoved,
    Closing,
    Filled,
    InstrumentChanged,
    IntentFailed,
    IntentStored,
    MarketHealth,
    OrderClosed,
    OrderNotSent,
    OrderUnknown,
    SourceJoined,
    SourceLeft,
    TradingState,
)
from bot.core.market import Health
from bot.core.orders import Order, OrderState, OrderType
from bot.core.risk import RiskLimits
from bot.core.tracking import TradingRules
from tests.factories import BTC, ETH, LLM, QC, RULE, DeskHarness, a_config, a_source, an_instrument

SYMBOLS = (BTC, ETH)
SOURCES = (QC, LLM, RULE, "rules:rsi")
ACTIONS = (Action.BUY, Action.SELL, Action.BUY, Action.HOLD)
PRICES = (100.0, 101.0, 95.0, 110.0, 60.0, 100.5)
WAITS = (0, 1, 100, 250, 1_000, 7_000, 60_000)
STATES = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)

Step = tuple[str, int, int]


class StrictHarness(DeskHarness):
    """Holds every order that leaves to the trading state and to the position it may reduce."""

    def submit(self, effect: SubmitOrder) -> None:
        """Send an order that the state of the desk allows."""
        request, state = effect.request, self.desk.state.risk.state
        position = self.position(request.symbol)
        assert state is not TradingState.HALTED, "an order was sent while halted"
        assert state is TradingState.ACTIVE or request.reduce_only, "an entry was sent while reducing"
        if request.reduce_only:
            assert position * request.side.sign < 0, "a reduction was sent without a position"
            assert request.amount <= abs(position), "a reduction was larger than the position"
        others = [order for order in self.desk.state.working.values() if order.request.symbol == request.symbol]
        assert len(others) <= 1, "two orders work on one symbol"
        super().submit(effect)


def a_spec(name: str, pick: int) -> SourceJoined:
    """A source with settings that follow from `pick`."""
    return SourceJoined(
        0,
        a_source(
            name,
            settle_ms=(0, 250, 1_000)[pick % 3],
            adds=pick % 7 == 1,
            paused=pick % 11 == 1,
            on_expiry=OnExpiry.FLATTEN if pick % 5 == 1 else OnExpiry.KEEP,
            hold_blocks=pick % 2 == 0,
            threshold=0.3 if pick % 13 == 1 else 0.0,
        ),
    )


def specs_of(pick: int) -> list[SourceSpec]:
    """The sources that a life begins with."""
    return [a_spec(name, pick + i).spec for i, name in enumerate(SOURCES)]


def a_random_config(pick: int) -> DeskConfig:
    """One of a few desks: with and without limits, market and limit entries."""
    limits = RiskLimits(max_position=0.15, max_exposure=0.2, symbol_cool_down_ms=5_000, loss_streak=2, price_collar=0.2)
    trading = TradingRules(entry=OrderType.LIMIT if pick % 2 else OrderType.MARKET, entry_ttl_ms=20_000)
    return (
        a_config(limits, trading=trading) if pick % 3 == 0 else a_config(trading=trading, queue_bound=3 if pick % 5 == 4 else 100)
    )


class Life:
    """One desk that lives through steps."""

    def __init__(self, pick: int = 1, desk: DeskHarness | None = None) -> None:
        self.desk = desk or StrictHarness(a_random_config(pick), specs_of(pick))
        self.fills: list[Filled] = []
        self.number = 0
        self._steps: dict[str, Callable[[int, int], None]] = {
            "quote": self._quote,
            "propose": self._propose,
            "claim": self._claim,
            "intent": self._intent,
            "venue": self._venue,
            "command": self._command,
            "source": self._source,
            "world": self._world,
            "wait": lambda a, b: self.desk.wait(WAITS[a % len(WAITS)]),
        }

    def live(self, steps: Sequence[Step]) -> None:
        """Take every step."""
        for name, a, b in steps:
            self._steps[name](a, b)

    def end(self) -> None:
        """Let the venue end every order with a decision behind it, and enough time pass for everything to expire."""
        desk = self.desk
        for _ in range(12):
            for order in list(desk.desk.state.working.values()):
                self._finish(order)
            desk.wait(100_000)
        for order in list(desk.desk.state.working.values()):
            self._finish(order)

    def _finish(self, order: Order) -> None:
        desk, request = self.desk, order.request
        if order.state is OrderState.INTENT:
            desk.turn(IntentStored(desk.now, request.id))
        if order.closing is not None and order.reported > order.filled:
            self._fill(order, order.reported - order.filled)
        if request.id in desk.desk.state.working:
            desk.turn(OrderClosed(desk.now, request.id, Closing.CANCELLED, order.filled))

    def _quote(self, a: int, b: int) -> None:
        price = PRICES[a % len(PRICES)]
        low = price * (0.9 if b % 9 == 1 else 1.0)
        self.desk.quote(price, (b % 3) * 50, SYMBOLS[b % 2], 0.1, bid_low=min(low, price - 0.05))

    def _propose(self, a: int, b: int) -> None:
        symbol = SYMBOLS[b % 2 if b % 5 == 0 else 0]
        self.number += 1
        self.desk.propose(
            ACTIONS[a % 4],
            SOURCES[a // 4 % 4],
            symbol=symbol,
            name=f"n{self.number - (1 if b % 50 == 7 else 0)}",
            confidence=(0.2, 0.5, 0.9)[b % 3],
            lasts=(500, 5_000, 30_000, 120_000)[b // 3 % 4],
            stop_loss=90.0 if b % 4 == 1 else None,
            trailing=0.05 if b % 6 == 1 else None,
            take_profit=108.0 if b % 7 == 1 else None,
            external_id=f"x{b % 30}" if b % 8 == 1 else None,
        )

    def _claim(self, a: int, b: int) -> None:
        source = SOURCES[a % 4]
        if b % 4 == 0:
            self.desk.abstain(source, SYMBOLS[0])
        else:
            self.desk.claim(source, b * 20, SYMBOLS[0])

    def _intent(self, a: int, b: int) -> None:
        desk = self.desk
        desk.stores = b % 3 != 0
        waiting = [order for order in desk.desk.state.working.values() if order.state is OrderState.INTENT]
        if waiting:
            order_id = waiting[a % len(waiting)].request.id
            desk.turn(IntentFailed(desk.now, order_id, "full") if a % 3 == 0 else IntentStored(desk.now, order_id))

    def _venue(self, a: int, b: int) -> None:
        desk = self.desk
        if not desk.venue.orders:
            return
        request = desk.venue.orders[-1 - (b % min(3, len(desk.venue.orders)))]
        order = desk.desk.state.orders[request.id]
        answer = a % 12
        if answer == 0:
            desk.accept(request)
        elif answer == 1:
            desk.turn(OrderNotSent(desk.now, request.id, "busy", 700)) if b % 4 == 0 else desk.refuse(request)
        elif answer in {2, 3, 4}:
            self._fill(order, max(request.amount - order.filled, Decimal(0)))
        elif answer in {5, 6}:
            part = ((request.amount - order.filled) / 3).quantize(Decimal("0.0001"))
            self._fill(order, part)
        elif answer == 7:
            reported = order.filled + (Decimal("0.5") if b % 3 == 0 and order.filled + 1 < request.amount else 0)
            how = Closing.EXPIRED if b % 2 else Closing.CANCELLED
            desk.turn(OrderClosed(desk.now, request.id, how, reported))
        elif answer == 8:
            desk.turn(OrderUnknown(desk.now, request.id, "timeout"))
        elif answer == 9:
            desk.turn(CancelRefused(desk.now, request.id, "busy"))
        elif answer == 10 and self.fills:
            desk.turn(self.fills[b % len(self.fills)])
        elif answer == 11 and order.state.terminal and order.filled < request.amount and self._harmless(order):
            self._fill(order, (request.amount - order.filled) / 2)

    def _harmless(self, order: Order) -> bool:
        """A venue never sells more than there is: a late sell needs the position it sells."""
        return order.request.side.value == "buy" or order.request.amount <= self.desk.position(order.request.symbol)

    def _fill(self, order: Order, amount: Decimal) -> None:
        request = order.request
        if amount <= 0 or not (self._harmless(order) or not order.state.terminal):
            return
        if request.side.value == "sell" and amount > self.desk.position(request.symbol):
            return
        price = Decimal(repr(self.desk.desk.market.prices[request.symbol]))
        fill = self.desk.fill(amount, price, request, fee=(amount * price / 1000).quantize(Decimal("1e-8")))
        self.fills.append(Filled(self.desk.now, fill))

    def _command(self, a: int, b: int) -> None:
        self.desk.command(STATES[0 if b % 2 else a % 3], flatten=b % 3 == 0)

    def _source(self, a: int, b: int) -> None:
        name = SOURCES[a % 4]
        if b % 3 == 0:
            self.desk.turn(SourceLeft(self.desk.now, name))
        else:
            self.desk.turn(SourceJoined(self.desk.now, a_spec(name, b).spec))

    def _world(self, a: int, b: int) -> None:
        now = self.desk.now
        if a % 4 == 0:
            self.desk.turn(MarketHealth(now, BTC, Health.STALE if b % 2 else Health.FRESH))
        elif a % 4 == 1:
            self.desk.turn(Backlog(now, b, b % 2 == 0))
        elif a % 4 == 2:
            self.desk.turn(CashMoved(now, Decimal(b - 500), "USDT", "deposit"))
        else:
            self.desk.turn(InstrumentChanged(now, an_instrument(BTC, min_cost=Decimal(5 + b % 20))))


STEP_NAMES = (
    ("propose",) * 6 + ("quote",) * 4 + ("venue",) * 7 + ("wait",) * 3 + ("intent", "claim", "command", "source", "world")
)
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.sampled_from(STEP_NAMES), st.integers(0, 999), st.integers(0, 999)), min_size=5, max_size=60
)
