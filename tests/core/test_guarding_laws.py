"""Laws of guards, held over random lives: nothing is sold twice, and what is protected is guarded once all is quiet."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.decision import Action
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.effects import Effect, SetTimer, SubmitOrder
from bot.core.facts import OrderChanged
from bot.core.inputs import Closing, Input, IntentStored, MarketHealth, OrderClosed, TradingState
from bot.core.market import Health, Side
from bot.core.matching import FillModel, exact
from bot.core.orders import Order, OrderState
from bot.core.tracking import NativeProtection
from bot.journal.codec import decode_snapshot, encode_snapshot
from tests.core.desk_streams import SOURCES, STEP_NAMES, SYMBOLS, Life, Step, a_random_config, specs_of
from tests.core.guards import guarded_config, guards
from tests.factories import BTC, QC, RULE, DeskHarness, a_source

LAW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SOME = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = ("guard",) * 5 + ("buy",) * 3 + ("propose",) * 4 + ("quote",) * 3 + ("venue",) * 3 + ("wait",) * 2
GUARD_STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.sampled_from((*NAMES, *STEP_NAMES[-5:])), st.integers(0, 999), st.integers(0, 999)), min_size=5, max_size=50
).map(lambda steps: [("buy", 0, 1), *steps])


def config_of(pick: int) -> DeskConfig:
    """One of a few desks whose stops also rest at the venue."""
    plain = a_random_config(pick)
    grace = (0, 500, 2_000)[pick % 3]
    return replace(plain, trading=replace(plain.trading, native=NativeProtection.STOP, guard_grace_ms=grace))


class SpotHarness(DeskHarness):
    """A venue that locks what an order would sell, and holds the desk to that."""

    def submit(self, effect: SubmitOrder) -> None:
        """Send an order, if what it sells is neither locked nor missing."""
        request, state = effect.request, self.desk.state.risk.state
        assert state is not TradingState.HALTED, "an order was sent while halted"
        others = [
            order
            for order in self.desk.state.working.values()
            if order.request.symbol == request.symbol and order.request.id != request.id
        ]
        assert all(order.request.guards is not request.guards for order in others), "two orders of a kind work on one symbol"
        if request.side is Side.SELL:
            locked = sum((order.remaining for order in others if order.request.side is Side.SELL), start=Decimal(0))
            assert request.amount + locked <= self.position(request.symbol), "more was to be sold than is held and free"
        super().submit(effect)


class GuardedLife(Life):
    """A life whose positions are guarded. The steps `guard` and `buy` make sure that there are some."""

    def __init__(self, pick: int, desk: DeskHarness | None = None) -> None:
        super().__init__(pick, desk or SpotHarness(config_of(pick), specs_of(pick)))
        self._steps["guard"] = self._guard
        self._steps["buy"] = self._buy

    def _buy(self, a: int, b: int) -> None:
        """A source buys with a stop, and the venue fills it."""
        desk, self.number = self.desk, self.number + 1
        desk.stores = True
        symbol = SYMBOLS[b % 5 == 0]
        desk.quote(100.0, 1, symbol)
        trailing = 0.05 if b % 3 == 0 else None
        desk.propose(
            Action.BUY, SOURCES[a % 4], symbol=symbol, name=f"b{self.number}", lasts=30_000, stop_loss=90.0, trailing=trailing
        )
        desk.wait(1_000)
        entry = desk.desk.state.working.get(desk.desk.state.bench(symbol).working or "")
        if entry is not None and entry.request.side is Side.BUY:
            self._fill(entry, entry.remaining)

    def _guard(self, a: int, b: int) -> None:
        """The venue says something of a guard."""
        resting = [order for symbol in SYMBOLS for order in guards(self.desk, symbol)]
        if not resting:
            return
        order = resting[a % len(resting)]
        desk, request, answer = self.desk, order.request, b % 8
        if order.state is OrderState.INTENT:
            desk.turn(IntentStored(desk.now, request.id))
        elif answer < 2:
            desk.accept(request)
        elif answer == 2 and not order.filled:
            desk.refuse(request)
        elif answer == 3:
            desk.lose(request)
        elif answer in {4, 5}:
            desk.close(order.filled, request, Closing.CANCELLED)
        elif order.closing is None:
            self._fill(order, order.remaining if answer == 6 else order.remaining / 2)

    def settle(self) -> None:
        """Let the venue answer everything it owes and keep every guard, until nothing moves any more."""
        desk = self.desk
        desk.stores = True
        desk.command(TradingState.ACTIVE)
        for symbol in SYMBOLS:
            desk.turn(MarketHealth(desk.now, symbol, Health.FRESH))
        for _ in range(80):
            owed = self._owed()
            for order in owed:
                self._answer(order)
            desk.wait(3_000)
            for symbol, price in list(desk.desk.market.prices.items()):
                desk.quote(price, 1, symbol)
            if not owed and not self._owed() and not any(bench.exit for bench in desk.desk.state.benches.values()):
                return

    def _owed(self) -> list[Order]:
        """Orders that the venue has not done with, guards that rest aside."""
        return [order for order in self.desk.desk.state.working.values() if not self._rests(order)]

    def _rests(self, order: Order) -> bool:
        return order.request.guards and order.state is OrderState.OPEN and not order.cancelling and not order.filled

    def _answer(self, order: Order) -> None:
        desk, request = self.desk, order.request
        if order.state is OrderState.INTENT:
            desk.turn(IntentStored(desk.now, request.id))
        elif order.closing is not None:
            self._fill(order, order.reported - order.filled)
        elif order.cancelling or (request.price is not None and request.side is Side.BUY):
            desk.turn(OrderClosed(desk.now, request.id, Closing.CANCELLED, order.filled))
        elif order.state is not OrderState.OPEN:
            desk.accept(request)
        else:
            self._fill(order, order.remaining)
            if request.id in desk.desk.state.working:
                desk.turn(OrderClosed(desk.now, request.id, Closing.CANCELLED, order.filled))


@LAW
@given(GUARD_STEPS, st.integers(0, 29))
def test_nothing_is_sold_twice_and_no_symbol_has_two_guards_whatever_happens(steps: list[Step], pick: int) -> None:
    life = GuardedLife(pick)
    for step in steps:
        life.live([step])
        for symbol in SYMBOLS:
            assert len(guards(life.desk, symbol)) <= 1
            assert life.desk.position(symbol) >= 0


@LAW
@given(GUARD_STEPS, st.integers(0, 29))
def test_what_is_protected_is_guarded_by_one_live_guard_or_soon_to_be_once_all_is_quiet(steps: list[Step], pick: int) -> None:
    life = GuardedLife(pick)
    life.live(steps)
    life.settle()
    desk = life.desk
    state = desk.desk.state
    for symbol, protection in state.protections.items():
        position, stop = desk.position(symbol), protection.stop
        if stop is None or not position:
            assert guards(desk, symbol) == []
            continue
        bench, instrument = state.bench(symbol), state.instruments[symbol]
        assert bench.exit is None
        if not guards(desk, symbol):
            too_small = instrument.floor_amount(position) * exact(stop[1]) < instrument.min_cost
            assert too_small or (bench.resting is not None and bench.resting.again_at > desk.now)
            continue
        (guard,) = guards(desk, symbol)
        assert guard.state is OrderState.OPEN
        assert guard.remaining == instrument.floor_amount(position)
        assert guard.request.cause == protection.decision_id
        assert abs(guard.request.reference / stop[1] - 1.0) <= 0.0011


@LAW
@given(GUARD_STEPS, st.integers(0, 29))
def test_each_decision_meets_exactly_one_fate_also_where_guards_are_waited_for(steps: list[Step], pick: int) -> None:
    life = GuardedLife(pick)
    life.live(steps)
    life.end()
    assert life.desk.fateless() == []
    assert life.desk.desk.state.open == {}
    assert life.desk.desk.state.lapsing == {}


def replayed(desk: TradingDesk, inputs: list[Input]) -> list[list[Effect]]:
    """What a desk answers to each input, without its timers: a restored desk sets its own once more."""
    return [[effect for effect in desk.handle(event) if not isinstance(effect, SetTimer)] for event in inputs]


@SOME
@given(GUARD_STEPS, st.integers(0, 29), st.floats(0, 1))
def test_guards_go_on_after_a_restart_as_if_there_had_been_none(steps: list[Step], pick: int, where: float) -> None:
    life = GuardedLife(pick)
    life.live(steps)
    inputs = [event for event, _ in life.desk.turns]
    cut = int(len(inputs) * where)
    desk = TradingDesk(config_of(pick))
    replayed(desk, inputs[:cut])
    revived = TradingDesk.restore(config_of(pick), decode_snapshot(encode_snapshot(desk.snapshot())))
    assert replayed(revived, inputs[cut:]) == replayed(desk, inputs[cut:])


CHANGES = (-0.06, -0.03, -0.01, -0.001, 0.0, 0.001, 0.01, 0.03, 0.06)
MOVES = st.lists(
    st.tuples(
        st.sampled_from((-0.06, -0.03, -0.01, -0.001, 0.0, 0.001, 0.01, 0.03, 0.06)), st.integers(0, 11), st.integers(0, 3)
    ),
    min_size=5,
    max_size=80,
)


@LAW
@given(MOVES, st.sampled_from((0, 50, 1_500)))
def test_the_paper_venue_never_lacks_what_the_desk_sells_and_agrees_with_the_books(
    moves: list[tuple[float, int, int]], latency: int
) -> None:
    desk = DeskHarness(guarded_config(fills=FillModel(latency_ms=latency)), [a_source(RULE, adds=True), a_source(QC)], paper=True)
    price = 100.0
    desk.quote(price)
    for change, act, waits in moves:
        price = round(price * (1.0 + change), 2)
        desk.quote(price, 1, spread=0.02)
        if act < 4:
            desk.propose(Action.BUY, RULE, trailing=0.02 if act < 2 else None, stop_loss=round(price * 0.96, 2), lasts=5_000)
        elif act == 4:
            desk.propose(Action.SELL, QC, lasts=5_000)
        desk.wait((0, 40, 700, 4_000)[waits])
    desk.wait(10_000)
    desk.quote(price, 1)
    desk.wait(10_000)
    assert desk.paper is not None
    account = desk.paper.account
    assert account.total("BTC") == desk.position()
    assert account.total("USDT") == desk.desk.portfolio.cash
    assert [fact for fact in desk.of(OrderChanged) if fact.state is OrderState.REJECTED and fact.request.side is Side.SELL] == []
    protection = desk.desk.state.protections.get(BTC)
    if protection is not None:
        assert [order.remaining for order in guards(desk)] == [desk.position()]
        assert account.locked["BTC"] == desk.position()
