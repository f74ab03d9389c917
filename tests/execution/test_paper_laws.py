"""Laws that hold over any sequence of orders, cancels and market events, in both worlds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.inputs import Filled, OrderAccepted, OrderClosed, OrderRefused
from bot.core.market import Candle, Quote, Side, Trade
from bot.core.matching import FillModel
from bot.core.orders import Leg, OrderRequest, TimeInForce
from execution.paper import Drive, PaperBroker
from execution.paper_account import PaperAccount
from execution.paper_candles import FillOn
from execution.paper_state import PaperStateError
from tests.execution.paper_world import BTC, SYMBOL, D, World, order

BAR = 60_000


@dataclass(frozen=True, slots=True)
class Submit:
    side: Side
    steps: int
    price: int | None
    trigger: int | None
    tif: TimeInForce
    post_only: bool
    reduce_only: bool
    protective: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    which: int


@dataclass(frozen=True, slots=True)
class Again:
    which: int


@dataclass(frozen=True, slots=True)
class Move:
    """The market moves: ticks from 100.00 and how far it strayed on the way, sizes in steps."""

    tick: int
    gap: int
    down: int
    up: int
    size: int
    wait: int


@dataclass(frozen=True, slots=True)
class Print:
    tick: int
    size: int
    side: Side


Step = Submit | Cancel | Again | Move | Print

ticks = st.integers(-300, 300)
sizes = st.integers(1, 6_000)
submits = st.builds(
    Submit,
    st.sampled_from(Side),
    sizes,
    st.none() | ticks,
    st.none() | ticks,
    st.sampled_from(TimeInForce),
    st.booleans(),
    st.sampled_from([False, False, True]),
    st.booleans(),
)
moves = st.builds(Move, ticks, st.integers(0, 40), st.integers(0, 100), st.integers(0, 100), sizes, st.integers(0, 120))
prints = st.builds(Print, ticks, sizes, st.sampled_from(Side))
indices = st.integers(0, 30)
steps = st.lists(
    st.one_of(submits, moves, prints, st.builds(Cancel, indices), st.builds(Again, indices)), min_size=3, max_size=40
)
models = st.builds(
    FillModel,
    maker_fee=st.sampled_from([None, D("-0.0001"), D("0.00075")]),
    taker_fee=st.sampled_from([None, D("0.000437")]),
    slippage=st.sampled_from([0.0, 0.0007]),
    impact=st.sampled_from([0.0, 0.3]),
    latency_ms=st.sampled_from([0, 0, 40]),
    candle_spread=st.sampled_from([0.0, 0.0004]),
    max_participation=st.sampled_from([1.0, 0.3]),
)
drives = st.sampled_from(
    [(Drive.QUOTES, FillOn.NEXT_OPEN), (Drive.CANDLES, FillOn.NEXT_OPEN), (Drive.CANDLES, FillOn.SAME_CLOSE)]
)


class Run(World):
    """A world that plays steps, and keeps what it needs to judge them."""

    def __init__(self, model: FillModel, drive: tuple[Drive, FillOn], *, spot: bool = True) -> None:
        super().__init__(model, *drive, usdt="1500", btc="8", spot=spot)
        self.model, self.drive = model, drive
        self.now = BAR
        self.requests: list[OrderRequest] = []
        self.close = 100.0

    def play(self, step: Step) -> None:
        match step:
            case Submit():
                self.requests.append(self._request(step))
                self.broker.submit(self.requests[-1], self.now)
            case Cancel(which) if self.requests:
                self.broker.cancel(self.requests[which % len(self.requests)].id, SYMBOL, self.now)
            case Again(which) if self.requests:
                self.broker.submit(self.requests[which % len(self.requests)], self.now)
            case Move():
                self._move(step)
            case Print(tick, size, side):
                self.broker.on_trade(Trade(SYMBOL, self.now, self.now, f"t{self.now}", at(tick), size / 1000, side))
            case _:
                pass

    def _request(self, step: Submit) -> OrderRequest:
        return order(
            step.side,
            str(step.steps * BTC.amount_step),
            self.now,
            id_=f"o{len(self.requests)}",
            price=None if step.price is None else f"{at(step.price):.2f}",
            trigger=None if step.trigger is None else f"{at(step.trigger):.2f}",
            tif=step.tif,
            post_only=step.post_only and step.price is not None and step.trigger is None,
            reduce_only=step.reduce_only,
            leg=Leg.STOP_LOSS if step.protective else Leg.ENTRY,
            reference=self.close,
        )

    def _move(self, step: Move) -> None:
        price = at(step.tick)
        low, high = at(step.tick - step.down), at(step.tick + step.up)
        if self.drive[0] is Drive.QUOTES:
            self.now += step.wait
            gap, size = step.gap / 100, step.size / 1000
            quote = Quote(SYMBOL, self.now, self.now, price, price + gap, size, size, low, high, low + gap, high + gap)
            self.broker.on_quote(quote)
        else:
            candle = Candle(
                SYMBOL, "1m", self.now + BAR, self.now, price, max(high, self.close), min(low, self.close), self.close, 1.0
            )
            self.now += BAR
            self.close = price
            candle.close = min(max(price, candle.low), candle.high)
            self.broker.on_candle(candle)


def at(tick: int) -> float:
    return round(100 + tick / 100, 2)


@settings(max_examples=300, deadline=None)
@given(steps, models, drives, st.booleans())
def test_cash_coins_and_fees_conserve_to_the_last_digit(
    sequence: list[Step], model: FillModel, drive: tuple[Drive, FillOn], spot: bool
) -> None:
    run = Run(model, drive, spot=spot)
    for step in sequence:
        run.play(step)
        paid = sum((fill.side.sign * fill.amount * fill.price + fill.fee for fill in run.fills), D(0))
        got = sum((fill.side.sign * fill.amount for fill in run.fills), D(0))
        assert run.account.total("USDT") == D(1500) - paid
        assert run.account.total("BTC") == D(8) + got


@settings(max_examples=300, deadline=None)
@given(steps, models, drives)
def test_no_balance_goes_negative_and_what_is_locked_belongs_to_open_orders(
    sequence: list[Step], model: FillModel, drive: tuple[Drive, FillOn]
) -> None:
    run = Run(model, drive)
    for step in sequence:
        run.play(step)
        for balance in run.broker.balances().values():
            assert balance.free >= 0
            assert balance.locked >= 0
        reserved = Counter[str]()
        for working in run.broker._clearing.working.values():
            reserved["USDT" if working.side is Side.BUY else "BTC"] += working.reserved  # type: ignore[assignment]
        for currency, balance in run.broker.balances().items():
            assert balance.locked == reserved[currency]


@settings(max_examples=300, deadline=None)
@given(steps, models, drives, st.booleans())
def test_every_order_lives_once_and_never_trades_more_than_it_asked(
    sequence: list[Step], model: FillModel, drive: tuple[Drive, FillOn], spot: bool
) -> None:
    run = Run(model, drive, spot=spot)
    for step in sequence:
        run.play(step)
    requests = {request.id: request for request in run.requests}
    filled: dict[str, Decimal] = {}
    ended: dict[str, object] = {}
    for said in run.said:
        if isinstance(said, OrderAccepted):
            assert said.order_id not in filled
            filled[said.order_id] = D(0)
        elif isinstance(said, Filled):
            assert said.fill.order_id not in ended
            assert said.fill.amount > 0
            assert said.fill.amount % BTC.amount_step == 0
            filled[said.fill.order_id] += said.fill.amount
            if filled[said.fill.order_id] == requests[said.fill.order_id].amount:
                ended[said.fill.order_id] = said
        elif isinstance(said, OrderClosed):
            assert said.order_id not in ended
            assert said.filled == filled[said.order_id]
            ended[said.order_id] = said
    assert all(total <= requests[name].amount for name, total in filled.items())
    assert len({fill.id for fill in run.fills}) == len(run.fills)
    assert {working.request.id for working in run.broker.open_orders()} == filled.keys() - ended.keys()


@settings(max_examples=300, deadline=None)
@given(steps, models, st.booleans())
def test_takers_trade_no_better_than_the_quote_and_makers_exactly_at_their_price(
    sequence: list[Step], model: FillModel, spot: bool
) -> None:
    run = Run(model, (Drive.QUOTES, FillOn.NEXT_OPEN), spot=spot)
    for step in sequence:
        before = len(run.fills)
        run.play(step)
        quote = run.broker._books[SYMBOL].quote if SYMBOL in run.broker._books else None
        requests = {request.id: request for request in run.requests}
        for fill in run.fills[before:]:
            request = requests[fill.order_id]
            assert quote is not None
            assert fill.evidence.startswith(("quote ", "trade "))
            assert fill.price % BTC.price_step == 0
            assert not (request.post_only and not fill.maker)
            if fill.maker:
                assert fill.price == request.price
            elif fill.side is Side.BUY:
                assert float(fill.price) >= round(quote.ask, 9)
            else:
                assert float(fill.price) <= quote.bid
            if request.price is not None:
                assert (request.price - fill.price) * fill.side.sign >= 0


@settings(max_examples=200, deadline=None)
@given(steps, models, st.booleans())
def test_one_quote_never_fills_more_than_its_share_of_what_it_displays(
    sequence: list[Step], model: FillModel, spot: bool
) -> None:
    run = Run(model, (Drive.QUOTES, FillOn.NEXT_OPEN), spot=spot)
    sizes_shown: dict[int, float] = {}
    for step in sequence:
        if isinstance(step, Move):
            # Every quote at a time of its own, so that the evidence names exactly one.
            run.play(replace(step, wait=step.wait + 1))
            sizes_shown[run.now] = step.size / 1000
        else:
            run.play(step)
    spent: dict[tuple[int, Side], float] = {}
    for fill in run.fills:
        if fill.evidence.startswith("quote "):
            key = (int(fill.evidence.split()[1]), fill.side)
            spent[key] = spent.get(key, 0.0) + float(fill.amount)
    for (ts, _), amount in spent.items():
        assert amount <= sizes_shown[ts] * model.max_participation + 1e-9


@settings(max_examples=200, deadline=None)
@given(steps, steps, models, drives, st.booleans())
def test_a_snapshot_through_json_changes_nothing_that_follows(
    before: list[Step], after: list[Step], model: FillModel, drive: tuple[Drive, FillOn], spot: bool
) -> None:
    first = Run(model, drive, spot=spot)
    for step in before:
        first.play(step)
    second = Run(model, drive, spot=spot)
    second.broker.restore(json.loads(json.dumps(first.broker.snapshot(), allow_nan=False)))
    second.now, second.close, second.requests = first.now, first.close, list(first.requests)
    first.said.clear()
    for step in after:
        first.play(step)
        second.play(step)
    assert second.said == first.said
    assert second.broker.snapshot() == first.broker.snapshot()
    assert second.broker.balances() == first.broker.balances()


@settings(max_examples=100, deadline=None)
@given(steps, models, drives)
def test_the_same_orders_and_the_same_market_give_the_same_answers(
    sequence: list[Step], model: FillModel, drive: tuple[Drive, FillOn]
) -> None:
    runs = [Run(model, drive), Run(model, drive)]
    for step in sequence:
        for run in runs:
            run.play(step)
    assert runs[0].said == runs[1].said


@settings(max_examples=100, deadline=None)
@given(steps, models, drives)
def test_a_repeated_order_id_is_always_refused(sequence: list[Step], model: FillModel, drive: tuple[Drive, FillOn]) -> None:
    run = Run(model, drive)
    for step in sequence:
        run.play(step)
    known = len(run.said)
    for request in run.requests:
        run.broker.submit(request, run.now)
    again = run.said[known:]
    assert [said.order_id for said in again if isinstance(said, OrderRefused)] == [request.id for request in run.requests]
    assert len(again) == len(run.requests)


def test_a_restored_order_keeps_its_place_in_the_queue() -> None:
    world = World()
    world.quote(1, 100.0, 100.2, bid_size=4.0)
    world.buy("1", 1, price="100.00")
    world.trade(2, 100.0, 3.0, Side.SELL)
    other = World()
    other.broker.restore(json.loads(json.dumps(world.broker.snapshot(), allow_nan=False)))
    other.trade(3, 100.0, 1.5, Side.SELL)
    assert [fill.amount for fill in other.fills] == [D("0.5")]


def test_a_restored_venue_keeps_unknown_sizes_unknown() -> None:
    world = World()
    world.quote(1, 100.0, 100.2, float("nan"), float("nan"))
    other = World()
    other.broker.restore(json.loads(json.dumps(world.broker.snapshot(), allow_nan=False)))
    other.buy("9", 2)
    assert other.fills[0].amount == D(9)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: None,
        lambda state: {**state, "version": 0},
        lambda state: {**state, "books": 7},
        lambda state: {key: value for key, value in state.items() if key != "account"},
        lambda state: {**state, "account": {**state["account"], "free": {"USDT": "much"}}},
        lambda state: {**state, "books": {SYMBOL: {**state["books"][SYMBOL], "orders": [{"request": {}}]}}},
        lambda state: {**state, "travelling": [[1, 2]]},
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused_and_changes_nothing(damage: object) -> None:
    world = World()
    world.quote(1, 100.0, 100.2)
    world.buy("1", 2, price="99.00")
    state = world.broker.snapshot()
    assert callable(damage)
    with pytest.raises(PaperStateError, match="fresh paper balances"):
        world.broker.restore(damage(state))
    assert world.broker.snapshot() == state
    assert world.account is world.broker.account


def test_finished_order_ids_are_bounded_and_what_is_forgotten_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execution.paper_clearing.REMEMBERED", 3)
    said: list[object] = []
    broker = PaperBroker({SYMBOL: BTC}, FillModel(), said.append, account=PaperAccount.of({"USDT": D(10_000)}))
    broker.on_quote(Quote.of(SYMBOL, 1, 100.0, 100.2))
    for number in range(5):
        broker.submit(order(Side.BUY, "1", 1, id_=f"o{number}"), 1)
    snapshot = broker.snapshot()
    assert list(snapshot["finished"]) == ["o2", "o3", "o4"]
    assert snapshot["forgotten"] == 2
