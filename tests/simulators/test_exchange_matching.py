"""The matching engine alone: a book set by hand, and the laws that no sequence of orders may break."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.market import Side, Trade
from bot.market.simulated import Book
from simulators.exchange.accounts import Account, Accounts, Terms
from simulators.exchange.events import Event, Executed, ListMoved
from simulators.exchange.matching import Engine, Slicing
from simulators.exchange.orders import Kind, OrderRefused, Reason, Rules, Status, Ticket, TimeInForce

D = Decimal
BTC = Rules("BTC/USDT", "BTC", "USDT", D("0.01"), D("0.00001"), D("0.00001"), D(5))
BNB = Rules("BNB/USDT", "BNB", "USDT", D("0.01"), D("0.001"), D("0.001"), D(5))
Levels = tuple[tuple[float, float], ...]


class Screen:
    """A market that shows what it is told to."""

    def __init__(self) -> None:
        self.sequence = 0
        self.price = 100.0
        self.bids: Levels = ((99.0, 1.0), (98.0, 2.0))
        self.asks: Levels = ((101.0, 1.0), (102.0, 2.0))

    def shown(self, symbol: str) -> Book:
        if symbol == "BNB/USDT":
            return Book(1, ((499.0, 10.0),), ((501.0, 10.0),))
        return Book(self.sequence, self.bids, self.asks)

    def last(self, symbol: str) -> float:
        return 500.0 if symbol == "BNB/USDT" else self.price


class Desk:
    """An engine with one account, and what it told."""

    def __init__(self, **terms: Any) -> None:
        self.screen = Screen()
        self.accounts = Accounts()
        self.engine = Engine(self.screen, {"BTC/USDT": BTC, "BNB/USDT": BNB}, self.accounts)
        self.account = self.accounts.open(Terms("key", "secret", **terms), {"USDT": D(10_000), "BTC": D(10), "BNB": D(1)}, 0)
        self.events: list[Event] = []
        self.engine.sinks.append(self.events.append)
        self.now = 0
        self.trades = 0

    def place(self, side: str, kind: str, amount: str = "0", **more: Any) -> Any:
        self.now += 1
        tif = TimeInForce(more.pop("tif", "GTC"))
        given: dict[str, Any] = {name: value if name == "client_id" else D(value) for name, value in more.items()}
        ticket = Ticket("BTC/USDT", Side(side), Kind(kind), D(amount), tif=tif, **given)
        return self.engine.place(self.account, ticket, self.now)

    def pair(self, side: str, amount: str, above: dict[str, Any], below: dict[str, Any]) -> tuple[Any, Any]:
        self.now += 1
        legs = [
            Ticket(
                "BTC/USDT",
                Side(side),
                Kind(leg["kind"]),
                D(amount),
                price=D(leg.get("price", "0")),
                stop=D(leg.get("stop", "0")),
            )
            for leg in (above, below)
        ]
        found = self.engine.place_pair(self.account, (legs[0], legs[1]), "", self.now)
        return found.orders[0], found.orders[1]

    def quote(self, bids: Levels, asks: Levels) -> None:
        self.now += 1
        self.screen.sequence += 1
        self.screen.bids, self.screen.asks = bids, asks
        self.engine.on_quote("BTC/USDT", self.now)

    def print(self, side: str, price: float, amount: float) -> None:
        self.now += 1
        self.trades += 1
        self.screen.price = price
        self.engine.on_trade(Trade("BTC/USDT", self.now, self.now, str(self.trades), price, amount, Side(side)))

    def money(self, asset: str) -> tuple[Any, Any]:
        balance = self.account.balance(asset)
        return balance.free, balance.locked


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_market_buy_sweeps_the_book_and_pays_its_fee_in_what_it_bought(desk: Desk) -> None:
    order = desk.place("buy", "MARKET", "2")
    assert (order.status, order.filled, order.cost) == (Status.FILLED, 2, 203)
    assert [(fill.price, fill.amount, fill.maker) for fill in order.fills] == [(101, 1, False), (102, 1, False)]
    assert desk.money("BTC") == (D("11.998"), 0)
    assert desk.money("USDT") == (9_797, 0)
    assert desk.accounts.fees == {"BTC": D("0.002")}


def test_what_the_book_does_not_show_of_a_market_order_expires(desk: Desk) -> None:
    order = desk.place("sell", "MARKET", "5")
    assert (order.status, order.filled) == (Status.EXPIRED, 3)
    assert desk.money("BTC") == (7, 0)


def test_nobody_gets_the_same_displayed_lot_twice(desk: Desk) -> None:
    assert desk.place("buy", "MARKET", "1").cost == 101
    assert desk.place("buy", "MARKET", "1").cost == 102
    desk.quote(desk.screen.bids, desk.screen.asks)
    assert desk.place("buy", "MARKET", "1").cost == 101


def test_a_market_order_by_cost_buys_what_the_cost_gets(desk: Desk) -> None:
    order = desk.place("buy", "MARKET", cost="200")
    assert order.filled == D("1.97058")
    assert order.cost <= 200 < order.cost + 102 * D("0.00001")


def test_fees_come_from_bnb_at_three_quarters_where_there_is_enough() -> None:
    desk = Desk(fees_in_bnb=True)
    order = desk.place("buy", "MARKET", "1")
    assert (order.fills[0].fee, order.fills[0].fee_asset) == (D("0.00015150"), "BNB")
    assert desk.money("BTC") == (11, 0)
    assert desk.money("BNB") == (D("0.99984850"), 0)


def test_a_limit_takes_what_crosses_and_rests_with_the_remainder(desk: Desk) -> None:
    order = desk.place("buy", "LIMIT", "1.5", price="101")
    assert (order.status, order.filled, order.cost) == (Status.PARTIALLY_FILLED, 1, 101)
    assert desk.money("USDT") == (D("10000") - 101 - D("50.5"), D("50.5"))
    desk.engine.cancel(desk.account, order, desk.now)
    assert (order.status, desk.money("USDT")[1]) == (Status.CANCELED, 0)


def test_a_resting_order_waits_for_the_queue_before_it(desk: Desk) -> None:
    order = desk.place("buy", "LIMIT", "1", price="99")
    desk.print("sell", 99.0, 0.75)
    assert order.filled == 0
    desk.print("buy", 101.0, 5.0)  # the other side: nobody sold to us
    assert order.filled == 0
    desk.print("sell", 99.0, 0.75)
    assert (order.status, order.filled) == (Status.PARTIALLY_FILLED, D("0.5"))
    desk.print("sell", 98.5, 9.0)
    assert (order.status, order.cost, order.fills[-1].maker) == (Status.FILLED, 99, True)


def test_the_queue_shrinks_when_the_touch_does(desk: Desk) -> None:
    order = desk.place("buy", "LIMIT", "1", price="99")
    desk.quote(((99.0, 0.25), (98.0, 2.0)), desk.screen.asks)
    desk.print("sell", 99.0, 0.5)
    assert order.filled == D("0.25")


def test_two_orders_share_what_one_print_leaves_them(desk: Desk) -> None:
    first, second = desk.place("buy", "LIMIT", "1", price="100"), desk.place("buy", "LIMIT", "1", price="100")
    desk.print("sell", 100.0, 1.5)
    assert (first.filled, second.filled) == (1, D("0.5"))


def test_a_market_that_moves_through_a_limit_fills_it_at_its_own_price_by_what_is_shown(desk: Desk) -> None:
    order = desk.place("buy", "LIMIT", "3", price="100")
    desk.quote(((94.0, 1.0),), ((95.0, 1.0), (96.0, 1.5), (101.0, 9.0)))
    assert (order.filled, order.cost) == (D("2.5"), 250)
    assert all(fill.maker for fill in order.fills)


@pytest.mark.parametrize(("tif", "filled"), [("IOC", 1), ("FOK", 0)])
def test_immediate_orders_leave_nothing_behind(desk: Desk, tif: str, filled: int) -> None:
    order = desk.place("buy", "LIMIT", "1.5", price="101", tif=tif)
    assert (order.status, order.filled) == (Status.EXPIRED, filled)
    assert desk.money("USDT")[1] == 0
    assert not desk.account.open


def test_a_stop_loss_sells_at_the_market_once_a_print_reaches_it(desk: Desk) -> None:
    order = desk.place("sell", "STOP_LOSS", "1.5", stop="95")
    assert desk.money("BTC") == (D("8.5"), D("1.5"))
    desk.print("sell", 95.01, 1.0)
    assert not order.working
    desk.screen.bids = ((80.0, 9.0),)
    desk.print("sell", 80.0, 1.0)
    assert (order.status, order.cost) == (Status.FILLED, 120)


def test_a_triggered_stop_limit_rests_at_its_limit(desk: Desk) -> None:
    order = desk.place("sell", "STOP_LOSS_LIMIT", "1", stop="95", price="94")
    desk.quote(((80.0, 9.0),), ((81.0, 9.0),))
    desk.print("sell", 80.0, 1.0)
    assert (order.status, order.working) == (Status.NEW, True)
    desk.quote(((94.0, 0.4),), ((96.0, 9.0),))
    assert (order.status, order.filled) == (Status.PARTIALLY_FILLED, D("0.4"))


def test_a_stop_buy_that_cannot_be_paid_when_it_triggers_is_rejected(desk: Desk) -> None:
    order = desk.place("buy", "STOP_LOSS", "90", stop="110")
    desk.quote(((998.0, 9.0),), ((10_000_000_000.0, 9.0),))
    desk.print("buy", 999.0, 1.0)
    assert (order.status, order.filled) == (Status.REJECTED, 0)
    assert desk.money("USDT") == (10_000, 0)


def test_a_pair_keeps_one_reserve_and_its_fill_expires_the_other(desk: Desk) -> None:
    above, below = {"kind": "LIMIT_MAKER", "price": "110"}, {"kind": "STOP_LOSS_LIMIT", "stop": "90", "price": "89"}
    target, stop = desk.pair("sell", "2", above, below)
    assert desk.money("BTC") == (8, 2)
    desk.print("buy", 110.0, 0.5)
    assert (target.status, stop.status) == (Status.PARTIALLY_FILLED, Status.EXPIRED)
    assert desk.money("BTC") == (8, D("1.5"))
    desk.engine.cancel(desk.account, target, desk.now)
    assert desk.money("BTC") == (D("9.5"), 0)
    assert [event.done for event in desk.events if isinstance(event, ListMoved)] == [False, True]


def test_a_pair_ends_with_its_stop_too_and_cancels_as_one(desk: Desk) -> None:
    above, below = {"kind": "LIMIT_MAKER", "price": "110"}, {"kind": "STOP_LOSS", "stop": "90"}
    target, stop = desk.pair("sell", "2", above, below)
    desk.print("sell", 90.0, 0.5)
    assert (target.status, stop.status) == (Status.EXPIRED, Status.FILLED)
    target, stop = desk.pair(
        "buy", "1", {"kind": "STOP_LOSS_LIMIT", "stop": "120", "price": "121"}, below | {"kind": "LIMIT", "price": "80"}
    )
    assert desk.money("USDT")[1] == 121  # the dearer of the two
    desk.engine.cancel(desk.account, stop, desk.now)
    assert (target.status, stop.status) == (Status.CANCELED, Status.CANCELED)
    assert desk.money("USDT")[1] == 0


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (("buy", "LIMIT", "1", {"price": "99.001"}), Reason.PRICE_FILTER),
        (("buy", "LIMIT", "1.000001", {"price": "99"}), Reason.LOT_SIZE),
        (("buy", "LIMIT", "0", {"price": "99"}), Reason.LOT_SIZE),
        (("buy", "LIMIT", "0.01", {"price": "99"}), Reason.NOTIONAL),
        (("sell", "MARKET", "0.01", {}), Reason.NOTIONAL),
        (("buy", "LIMIT", "102", {"price": "99"}), Reason.INSUFFICIENT),
        (("sell", "MARKET", "11", {}), Reason.INSUFFICIENT),
        (("sell", "STOP_LOSS", "1", {"stop": "100"}), Reason.WOULD_TRIGGER),
        (("buy", "TAKE_PROFIT", "1", {"stop": "100"}), Reason.WOULD_TRIGGER),
        (("buy", "LIMIT_MAKER", "1", {"price": "101"}), Reason.WOULD_MATCH),
    ],
)
def test_what_breaks_a_rule_is_refused_and_changes_nothing(desk: Desk, wish: Any, reason: Reason) -> None:
    side, kind, amount, more = wish
    with pytest.raises(OrderRefused) as refused:
        desk.place(side, kind, amount, **more)
    assert refused.value.reason is reason
    assert desk.money("USDT") == (10_000, 0)
    assert desk.money("BTC") == (10, 0)
    assert not desk.account.orders
    assert not desk.events


def test_a_client_order_id_is_taken_only_while_its_order_is_open(desk: Desk) -> None:
    first = desk.place("buy", "LIMIT", "1", price="90", client_id="mine")
    with pytest.raises(OrderRefused) as refused:
        desk.place("buy", "LIMIT", "1", price="90", client_id="mine")
    assert refused.value.reason is Reason.DUPLICATE
    desk.engine.cancel(desk.account, first, desk.now)
    second = desk.place("buy", "MARKET", "1", client_id="mine")
    assert desk.account.order(None, "mine") is second
    assert desk.place("buy", "MARKET", "0.5", client_id="mine").status is Status.FILLED


def test_a_delisted_symbol_loses_its_orders_and_takes_no_more(desk: Desk) -> None:
    order = desk.place("buy", "LIMIT", "1", price="90")
    desk.engine.delist("BTC/USDT", desk.now)
    assert (order.status, desk.money("USDT")) == (Status.CANCELED, (10_000, 0))
    with pytest.raises(OrderRefused, match="market closed"):
        desk.place("buy", "MARKET", "1")


def test_forced_slices_fill_an_order_bit_by_bit(desk: Desk) -> None:
    desk.engine.slicing = Slicing(D("0.25"), 1)
    order = desk.place("buy", "LIMIT", "1", price="101")
    assert (order.status, order.filled) == (Status.PARTIALLY_FILLED, D("0.25"))
    for _ in range(3):
        desk.quote(desk.screen.bids, desk.screen.asks)
    assert (order.status, len(order.fills)) == (Status.FILLED, 4)
    assert desk.place("buy", "LIMIT", "0.5", price="101").status is Status.FILLED


PRICES = st.integers(min_value=8_000, max_value=12_000).map(lambda cents: D(cents) / 100)
AMOUNTS = st.integers(min_value=1, max_value=300_000).map(lambda lots: D(lots) * BTC.amount_step)
ORDERS = st.builds(
    Ticket,
    symbol=st.just("BTC/USDT"),
    side=st.sampled_from(Side),
    kind=st.sampled_from(Kind),
    amount=AMOUNTS,
    price=PRICES,
    stop=PRICES,
    tif=st.sampled_from(TimeInForce),
    client_id=st.sampled_from(["", "a", "b"]),
)
PAIRS = st.tuples(st.sampled_from(Side), AMOUNTS, PRICES, PRICES, st.booleans())
QUOTES = st.tuples(PRICES, st.lists(st.integers(min_value=1, max_value=200_000), min_size=4, max_size=4))
PRINTS = st.tuples(st.sampled_from(Side), PRICES, AMOUNTS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("order"), ORDERS),
        st.tuples(st.just("pair"), PAIRS),
        st.tuples(st.just("quote"), QUOTES),
        st.tuples(st.just("print"), PRINTS),
        st.tuples(st.just("cancel"), st.integers(min_value=0, max_value=30)),
        st.tuples(st.just("move"), st.integers(min_value=-(10**11), max_value=10**11)),
    ),
    max_size=40,
)


class Everything:
    """Two accounts on one engine, driven by steps."""

    def __init__(self, fees_in_bnb: bool) -> None:
        self.desk = Desk(fees_in_bnb=fees_in_bnb)
        other = Terms("other", "secret", maker_fee=D("0.00075"))
        self.owners = [self.desk.account, self.desk.accounts.open(other, {"USDT": D("777.77777777"), "BTC": D("3.33333333")}, 0)]
        self.turn = 0

    def do(self, step: Any) -> None:
        kind, what = step
        self.turn += 1
        owner = self.owners[self.turn % 2]
        try:
            getattr(self, kind)(owner, what)
        except OrderRefused:
            pass
        except ValueError:
            assert kind == "move"

    def order(self, owner: Account, ticket: Ticket) -> None:
        self.desk.now += 1
        self.desk.engine.place(owner, ticket, self.desk.now)

    def pair(self, owner: Account, wish: Any) -> None:
        side, amount, one, two, limited = wish
        self.desk.now += 1
        target = Ticket("BTC/USDT", side, Kind.LIMIT_MAKER, amount, price=one)
        stop = Ticket("BTC/USDT", side, Kind.STOP_LOSS_LIMIT if limited else Kind.STOP_LOSS, amount, price=two, stop=two)
        self.desk.engine.place_pair(owner, (target, stop), "", self.desk.now)

    def quote(self, _: Account, shape: Any) -> None:
        middle, lots = shape
        sizes = [float(lot * BTC.amount_step) for lot in lots]
        bids = ((float(middle - 1), sizes[0]), (float(middle - 2), sizes[1]))
        self.desk.quote(bids, ((float(middle + 1), sizes[2]), (float(middle + 2), sizes[3])))

    def print(self, _: Account, trade: Any) -> None:
        side, price, amount = trade
        self.desk.print(side.value, float(price), float(amount))

    def cancel(self, owner: Account, index: int) -> None:
        orders = list(owner.orders.values())
        if index < len(orders):
            self.desk.engine.cancel(owner, orders[index], self.desk.now)

    def move(self, owner: Account, satoshis: int) -> None:
        self.desk.engine.transfer(owner, "USDT", D(satoshis).scaleb(-8), self.desk.now)

    def check(self) -> None:
        accounts = self.desk.accounts
        for asset in ("USDT", "BTC", "BNB"):
            held = sum(owner.balance(asset).total for owner in self.owners)
            given = sum(move.amount for owner in self.owners for move in owner.transfers if move.asset == asset)
            assert held + accounts.fees.get(asset, D(0)) + accounts.house.get(asset, D(0)) == given
        for owner in self.owners:
            self.check_owner(owner)

    def check_owner(self, owner: Account) -> None:
        kept: dict[int, Any] = {}
        for order in owner.orders.values():
            assert 0 <= order.filled <= order.amount
            assert order.filled == sum(fill.amount for fill in order.fills)
            assert order.cost == sum(fill.cost for fill in order.fills)
            assert order.status.open == (order.id in owner.open)
            assert (order.status is Status.FILLED) == (order.filled == order.amount)
            if order.limit is not None:
                assert all((fill.price - order.limit) * order.ticket.side.sign <= 0 for fill in order.fills)
            if order.status.open:
                kept.setdefault(id(order.reserve), (order.reserve, []))[1].append(order.need())
        for asset in ("USDT", "BTC"):
            balance = owner.balance(asset)
            assert balance.free >= 0
            assert balance.locked == sum(max(needs) for reserve, needs in kept.values() if reserve.asset == asset)


@settings(max_examples=250, deadline=None)
@given(steps=STEPS, fees_in_bnb=st.booleans())
def test_money_is_conserved_reserves_are_exact_and_nothing_is_overfilled(steps: list[Any], fees_in_bnb: bool) -> None:
    world = Everything(fees_in_bnb)
    for step in steps:
        world.do(step)
        world.check()


@settings(max_examples=50, deadline=None)
@given(steps=STEPS)
def test_the_told_events_alone_give_the_orders_as_they_are(steps: list[Any]) -> None:
    world = Everything(fees_in_bnb=False)
    for step in steps:
        world.do(step)
    told = {event.order.id: event.order for event in world.desk.events if isinstance(event, Executed)}
    kept = {order.id: order for owner in world.owners for order in owner.orders.values()}
    assert {number: (order.status, order.filled, order.cost) for number, order in told.items()} == {
        number: (order.status, order.filled, order.cost) for number, order in kept.items()
    }
