"""Laws of guards that are pairs, held over random lives: one cancels the other, nothing is sold twice, and all ends guarded."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.core.decision import Action
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.effects import Effect, SetTimer, SubmitPair
from bot.core.facts import OrderChanged
from bot.core.inputs import Closing, Input, OrderClosed, TradingState
from bot.core.market import Side
from bot.core.matching import FillModel, exact
from bot.core.orders import Order, OrderState
from bot.core.tracking import NativeProtection
from bot.journal.codec import decode_snapshot, encode_snapshot
from tests.core.desk_streams import SOURCES, SYMBOLS, Step, a_random_config, specs_of
from tests.core.guards import guards
from tests.core.pairs import paired_config
from tests.core.test_guarding_laws import GUARD_STEPS, MOVES, GuardedLife, SpotHarness
from tests.factories import BTC, QC, RULE, DeskHarness, a_source

LAW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SOME = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def config_of(pick: int) -> DeskConfig:
    """One of a few desks whose stops and targets also rest at the venue."""
    plain = a_random_config(pick)
    grace = (0, 500, 2_000)[pick % 3]
    return replace(plain, trading=replace(plain.trading, native=NativeProtection.BOTH, guard_grace_ms=grace))


class PairHarness(SpotHarness):
    """A spot venue that has pairs, and locks once what one of two would sell."""

    def submit_pair(self, effect: SubmitPair) -> None:
        """Send a pair, if nothing else guards its symbol and what it sells is free."""
        stop, target = effect.stop, effect.target
        assert self.desk.state.risk.state is not TradingState.HALTED, "a pair was sent while halted"
        assert (stop.symbol, stop.side, stop.amount, stop.cause) == (target.symbol, target.side, target.amount, target.cause)
        working = (order for order in self.desk.state.working.values() if order.request.symbol == stop.symbol)
        others = [order for order in working if order.request.id not in {stop.id, target.id}]
        assert not any(order.request.guards for order in others), "a second guard was sent"
        assert not any(order.request.side is stop.side for order in others), "something else sells"
        assert stop.amount <= self.position(stop.symbol), "more was to be sold than is held"
        super().submit_pair(effect)


class PairedLife(GuardedLife):
    """A life at a venue whose pairs end each other: what trades, or is cancelled, takes its partner along, told now or later."""

    def __init__(self, pick: int) -> None:
        super().__init__(pick, PairHarness(config_of(pick), specs_of(pick)))

    def _buy(self, a: int, b: int) -> None:
        """As ever, and most have a target too."""
        desk, self.number = self.desk, self.number + 1
        desk.stores = True
        symbol = SYMBOLS[b % 5 == 0]
        desk.quote(100.0, 1, symbol)
        levels = {"stop_loss": 90.0, "trailing": 0.05 if b % 3 == 0 else None, "take_profit": 108.0 if b % 4 else None}
        desk.propose(Action.BUY, SOURCES[a % 4], symbol=symbol, name=f"b{self.number}", lasts=30_000, **levels)
        desk.wait(1_000)
        entry = desk.desk.state.working.get(desk.desk.state.bench(symbol).working or "")
        if entry is not None and entry.request.side is Side.BUY:
            self._fill(entry, entry.remaining)

    def partner(self, order: Order) -> Order | None:
        """The other one of a pair that was sent."""
        for pair in self.desk.venue.pairs:
            ids = [request.id for request in pair]
            if order.request.id in ids:
                return self.desk.desk.state.orders.get(ids[1 - ids.index(order.request.id)])
        return None

    def _fill(self, order: Order, amount: Decimal) -> None:
        """A venue fills one of a pair, never both."""
        partner = self.partner(order)
        if partner is not None and (partner.filled or partner.reported):
            return
        before = order.filled
        super()._fill(order, amount)
        if partner is not None and order.filled != before and len(self.desk.turns) % 2:
            self._end_partner(partner)

    def _venue(self, a: int, b: int) -> None:
        """As ever, but what ends beside one that traded has not traded itself."""
        sent = self.desk.venue.orders
        order = self.desk.desk.state.orders[sent[-1 - (b % min(3, len(sent)))].id] if sent else None
        partner = None if order is None else self.partner(order)
        if a % 12 != 7 or partner is None or not partner.filled:
            super()._venue(a, b)

    def _end_partner(self, partner: Order) -> None:
        if not partner.state.terminal:
            self.desk.turn(OrderClosed(self.desk.now, partner.request.id, Closing.EXPIRED, partner.filled))

    def _rests(self, order: Order) -> bool:
        """Half a pair does not rest: the venue has ended it, and owes the news."""
        partner = self.partner(order)
        whole = partner is None or not (partner.state.terminal or partner.filled)
        return whole and super()._rests(order)

    def _answer(self, order: Order) -> None:
        partner = self.partner(order)
        over = partner is not None and (partner.filled or partner.state.terminal)
        if over and order.closing is None and order.state is OrderState.OPEN and not order.filled:
            self._end_partner(order)
        else:
            super()._answer(order)


@LAW
@given(GUARD_STEPS, st.integers(0, 29))
def test_nothing_is_sold_twice_and_no_symbol_has_two_stops_or_targets_whatever_happens(steps: list[Step], pick: int) -> None:
    life = PairedLife(pick)
    for step in steps:
        life.live([step])
        for symbol in SYMBOLS:
            kinds = [order.request.type for order in guards(life.desk, symbol)]
            assert len(set(kinds)) == len(kinds)
            assert life.desk.position(symbol) >= 0
    for pair in life.desk.venue.pairs:
        traded = [life.desk.desk.state.orders[request.id].filled for request in pair]
        assert min(traded) == 0
        assert max(traded) <= pair[0].amount


@LAW
@given(GUARD_STEPS, st.integers(0, 29))
def test_what_is_protected_is_guarded_by_one_pair_or_stop_or_soon_to_be_once_all_is_quiet(steps: list[Step], pick: int) -> None:
    life = PairedLife(pick)
    life.live(steps)
    life.settle()
    desk = life.desk
    state = desk.desk.state
    for symbol, protection in state.protections.items():
        position, stop = desk.position(symbol), protection.stop
        found = guards(desk, symbol)
        if stop is None or not position:
            assert found == []
            continue
        bench, instrument = state.bench(symbol), state.instruments[symbol]
        assert bench.exit is None
        if not found:
            too_small = instrument.floor_amount(position) * exact(stop[1]) < instrument.min_cost
            assert too_small or (bench.resting is not None and bench.resting.again_at > desk.now)
            continue
        legs = {order.request.trigger is None: order for order in found}
        assert set(legs) == ({False} if protection.take_profit is None else {False, True})
        for order in found:
            assert order.state is OrderState.OPEN
            assert order.remaining == instrument.floor_amount(position)
            assert order.request.cause == protection.decision_id
        assert abs(legs[False].request.reference / stop[1] - 1.0) <= 0.0011
        if protection.take_profit is not None:
            assert legs[True].request.reference == protection.take_profit
            assert tuple(order.request for _, order in sorted(legs.items())) in desk.venue.pairs


@LAW
@given(GUARD_STEPS, st.integers(0, 29))
def test_each_decision_meets_exactly_one_fate_also_where_pairs_are_waited_for(steps: list[Step], pick: int) -> None:
    life = PairedLife(pick)
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
def test_pairs_go_on_after_a_restart_as_if_there_had_been_none(steps: list[Step], pick: int, where: float) -> None:
    life = PairedLife(pick)
    life.live(steps)
    inputs = [event for event, _ in life.desk.turns]
    cut = int(len(inputs) * where)
    desk = TradingDesk(config_of(pick))
    replayed(desk, inputs[:cut])
    revived = TradingDesk.restore(config_of(pick), decode_snapshot(encode_snapshot(desk.snapshot())))
    assert replayed(revived, inputs[cut:]) == replayed(desk, inputs[cut:])


@LAW
@given(MOVES, st.sampled_from((0, 50, 1_500)))
@example([(0.0, 0, 3), (0.06, 11, 3), (0.0, 11, 3)], 0)
def test_the_paper_venue_never_lacks_what_the_desk_sells_from_a_pair(moves: list[tuple[float, int, int]], latency: int) -> None:
    desk = DeskHarness(paired_config(fills=FillModel(latency_ms=latency)), [a_source(RULE, adds=True), a_source(QC)], paper=True)
    price = 100.0
    desk.quote(price)
    for change, act, waits in moves:
        price = round(price * (1.0 + change), 2)
        desk.quote(price, 1, spread=0.02, bid_size=3.0 if act == 9 else 1e9)
        if act < 4:
            levels = {"stop_loss": round(price * 0.96, 2), "take_profit": round(price * 1.04, 2)}
            desk.propose(Action.BUY, RULE, trailing=0.02 if act < 2 else None, lasts=5_000, **levels)
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
    if BTC in desk.desk.state.protections:
        assert [order.remaining for order in guards(desk)] == [desk.position()] * 2
    assert account.locked.get("BTC", Decimal(0)) == desk.position()


def test_the_lives_do_have_pairs_of_which_both_sides_trade() -> None:
    fired = set()
    for number in range(40):
        life = PairedLife(number)
        life.live([("buy", 0, number), ("guard", number, 1), ("guard", number + 1, 0), ("guard", number, 6), ("wait", 4, 0)])
        for pair in life.desk.venue.pairs:
            fired |= {request.leg.value for request in pair if life.desk.desk.state.orders[request.id].filled}
    assert fired >= {"stop-loss", "take-profit"}


@pytest.mark.parametrize("pick", [0, 2, 3])
def test_quiet_lives_end_with_a_pair(pick: int) -> None:
    life = PairedLife(pick)
    life.live([("buy", 0, 1)])
    life.settle()
    assert len(guards(life.desk)) == 2
