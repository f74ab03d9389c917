"""Two venues written apart, one market: the simulator's matching engine and the paper broker check each other.

What must be equal is equal to the last digit: what is taken and refused, prices, amounts, who was the maker, costs and balances.
Where they differ on purpose, the difference is named and bounded here:

* the engine takes a buy's fee out of what was bought, paper in quote currency; each rounds its own way;
* what the displayed book cannot fill of a market order expires at the engine and waits for the next quote on paper;
* the engine walks the whole displayed book, paper takes the touch alone: it is never the cheaper of the two by more than that;
* of a limit that rests behind the best price paper expects the whole displayed queue before it, the engine only what it saw; a
  queue that the market has left behind is gone on paper, and the engine remembers it;
* what our own orders have taken of a touch is gone for the engine; a post-only order on paper still meets it;
* paper counts displayed sizes in floats, which may cost an order a lot where the lot is no sum of powers of two;
* the engine's stops watch prints, paper's the quotes.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.inputs import Closing, Filled, Input, OrderClosed
from bot.core.inputs import OrderRefused as RefusedInput
from bot.core.market import Instrument, Quote, Side, Trade
from bot.core.matching import FEE_STEP, FillModel
from bot.core.orders import OrderRequest, OrderType, TimeInForce
from bot.market.simulated import Book, SimulatedMarket
from execution.paper import PaperBroker
from execution.paper_account import PaperAccount
from simulators.exchange.accounts import Accounts, Terms
from simulators.exchange.matching import Engine
from simulators.exchange.orders import SATOSHI, ZERO, Kind, OrderRefused, Rules, Status, Ticket, VenueOrder
from simulators.exchange.orders import TimeInForce as Tif
from simulators.exchange.venue import Venue
from tests.execution.paper_world import SYMBOL, order

FEE = Decimal("0.001")
FUNDS = {"USDT": Decimal(10_000_000), "BTC": Decimal(10_000)}
STEP, LOT = Decimal("0.01"), Decimal("0.015625")  # a lot that floats hold exactly, as paper counts sizes in them
BTC = Instrument(SYMBOL, "BTC", "USDT", STEP, LOT, LOT, Decimal(5), FEE, FEE)

Told = tuple[Decimal, Decimal, bool]
"""Amount, price, whether it was the maker."""


@dataclass(slots=True)
class Table:
    """A market of one quote and one price, set by hand."""

    book: Book
    price: float

    def shown(self, symbol: str) -> Book:
        return self.book

    def last(self, symbol: str) -> float:
        return self.price


class Both:
    """The same orders and the same market at both venues."""

    def __init__(self, funds: dict[str, Decimal] = FUNDS) -> None:
        self.table = Table(Book(0, (), ()), 100.0)
        rules = Rules(SYMBOL, "BTC", "USDT", STEP, LOT, BTC.min_amount, BTC.min_cost)
        self.engine = Engine(self.table, {SYMBOL: rules}, Accounts())
        self.account = self.engine.accounts.open(Terms("key", "secret"), funds, 0)
        self.said: list[Input] = []
        self.paper = PaperBroker({SYMBOL: BTC}, FillModel(), self.said.append, account=PaperAccount.of(funds))
        self.now = 0
        self.numbers = count(1)
        self.orders: dict[str, VenueOrder] = {}

    def quote(self, bid: int, ask: int, bid_lots: int, ask_lots: int) -> None:
        """Prices in cents, sizes in lots."""
        self.now += 10
        touch = (bid / 100, bid_lots * float(LOT)), (ask / 100, ask_lots * float(LOT))
        self.table.book = Book(self.table.book.sequence + 1, touch[:1], touch[1:])
        quote = Quote.of(SYMBOL, self.now, touch[0][0], touch[1][0], touch[0][1], touch[1][1])
        self.engine.on_quote(SYMBOL, self.now)
        self.paper.on_quote(quote)

    def print(self, price: int, lots: int, side: Side) -> None:
        self.now += 10
        trade = Trade(SYMBOL, self.now, self.now, f"t{self.now}", price / 100, lots * float(LOT), side)
        self.table.price = trade.price
        self.engine.on_trade(trade)
        self.paper.on_trade(trade)

    def place(self, side: Side, amount: str, **terms: Any) -> str:
        self.now += 1
        request = order(side, amount, self.now, id_=f"o{next(self.numbers)}", **terms)
        with contextlib.suppress(OrderRefused):
            self.orders[request.id] = self.engine.place(self.account, ticket(request), self.now)
        self.paper.submit(request, self.now)
        return request.id

    def at_engine(self, order_id: str) -> list[Told]:
        taken = self.orders.get(order_id)
        return [] if taken is None else [(fill.amount, fill.price, fill.maker) for fill in taken.fills]

    def on_paper(self, order_id: str) -> list[Told]:
        fills = [said.fill for said in self.said if isinstance(said, Filled) and said.fill.order_id == order_id]
        return [(fill.amount, fill.price, fill.maker) for fill in fills]

    def told(self) -> list[Filled]:
        return [said for said in self.said if isinstance(said, Filled)]

    def refused_on_paper(self, order_id: str) -> bool:
        return any(isinstance(said, RefusedInput) and said.order_id == order_id for said in self.said)

    def expired_on_paper(self, order_id: str) -> bool:
        closed = [said for said in self.said if isinstance(said, OrderClosed) and said.order_id == order_id]
        return bool(closed) and closed[0].how is Closing.EXPIRED


def ticket(request: OrderRequest) -> Ticket:
    kinds = {OrderType.MARKET: Kind.MARKET, OrderType.LIMIT: Kind.LIMIT, OrderType.STOP: Kind.STOP_LOSS}
    kind = Kind.LIMIT_MAKER if request.post_only else kinds[request.type]
    tif = Tif(request.time_in_force.value.upper())
    price, stop = request.price or ZERO, request.trigger or ZERO
    return Ticket(request.symbol, request.side, kind, request.amount, price=price, stop=stop, tif=tif, client_id=request.id)


def cents(price: int) -> str:
    return str(Decimal(price) / 100)


def lots(number: int) -> str:
    return str(LOT * number)


SIDES = st.sampled_from(list(Side))
SIZES = st.integers(1, 400)
PRICES = st.integers(9_900, 10_100)


@st.composite
def quotes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    bid = draw(PRICES)
    return bid, bid + draw(st.integers(1, 20)), draw(SIZES), draw(SIZES)


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    tif = draw(st.sampled_from(list(TimeInForce)))
    return {"side": draw(SIDES), "amount": lots(draw(st.integers(1, 600))), "price": cents(draw(PRICES)), "tif": tif}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_limits_against_any_quotes_are_the_same_to_the_last_digit(data: st.DataObject) -> None:
    both = Both()
    both.quote(*data.draw(quotes()))
    ids = []
    for _ in range(data.draw(st.integers(1, 6))):
        ids += [both.place(**terms) for terms in data.draw(st.lists(limits(), max_size=3))]
        both.quote(*data.draw(quotes()))
    for order_id in ids:
        assert both.at_engine(order_id) == both.on_paper(order_id)
        assert (order_id not in both.orders) is both.refused_on_paper(order_id)
        if order_id in both.orders:
            assert (both.orders[order_id].status is Status.EXPIRED) is both.expired_on_paper(order_id)
    resting = {open_order.request.id: open_order.filled for open_order in both.paper.open_orders()}
    assert resting == {order.client_id: order.filled for order in both.account.open.values()}


@settings(max_examples=100, deadline=None)
@given(quotes(), SIDES, SIZES, PRICES, quotes())
def test_what_would_only_make_never_takes(
    quote: tuple[int, int, int, int], side: Side, size: int, price: int, after: tuple[int, int, int, int]
) -> None:
    both = Both()
    both.quote(*quote)
    order_id = both.place(side, lots(size), price=cents(price), post_only=True)
    assert both.refused_on_paper(order_id) is (order_id not in both.orders)
    both.quote(*after)
    assert both.at_engine(order_id) == both.on_paper(order_id)
    assert all(maker for _, _, maker in both.at_engine(order_id))


def test_a_touch_that_was_taken_already_still_counts_for_paper_and_no_more_for_the_engine() -> None:
    both = Both()
    both.quote(9_900, 9_901, 60, 60)
    both.place(Side.SELL, lots(60), price="99.00")
    order_id = both.place(Side.SELL, lots(51), price="99.00", post_only=True)
    assert both.refused_on_paper(order_id)
    assert order_id in both.orders


@settings(max_examples=100, deadline=None)
@given(quotes(), SIDES, SIZES)
def test_a_market_order_pays_the_displayed_price_and_what_is_not_displayed_is_told_differently(
    quote: tuple[int, int, int, int], side: Side, size: int
) -> None:
    both = Both()
    both.quote(*quote)
    order_id = both.place(side, lots(size))
    filled = both.on_paper(order_id)
    assert both.at_engine(order_id) == filled
    if order_id in both.orders and filled[0][0] < LOT * size:
        assert both.orders[order_id].status is Status.EXPIRED
        assert [open_order.request.id for open_order in both.paper.open_orders()] == [order_id]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SIDES, st.integers(1, 400), quotes()), min_size=1, max_size=12))
def test_balances_are_what_the_fills_say_and_fees_differ_by_their_rounding_alone(
    trades: list[tuple[Side, int, tuple[int, int, int, int]]],
) -> None:
    both = Both()
    fills: list[tuple[Side, Decimal, Decimal]] = []
    for side, size, quote in trades:
        both.quote(*quote)
        order_id = both.place(side, lots(size), price=cents(20_000 if side is Side.BUY else 1), tif=TimeInForce.IOC)
        fills += [(side, amount, price) for amount, price, _ in both.on_paper(order_id)]
        assert both.at_engine(order_id) == both.on_paper(order_id)
    cash = FUNDS["USDT"] - sum((side.sign * amount * price for side, amount, price in fills), ZERO)
    coins = FUNDS["BTC"] + sum((side.sign * amount for side, amount, _ in fills), ZERO)
    paper = both.paper.balances()
    paper_fees = sum((said.fill.fee for said in both.said if isinstance(said, Filled)), ZERO)
    assert paper["USDT"].total == cash - paper_fees
    assert paper["BTC"].total == coins
    taken = both.engine.accounts.fees
    assert both.account.balance("USDT").total == cash - taken.get("USDT", ZERO)
    assert both.account.balance("BTC").total == coins - taken.get("BTC", ZERO)
    for side, fill, said in zip((s for s, _, _ in fills), both.account.fills, both.told(), strict=True):
        worth = fill.fee * fill.price if side is Side.BUY else fill.fee
        least = SATOSHI * fill.price if side is Side.BUY else SATOSHI
        assert ZERO <= said.fill.fee - worth <= least + FEE_STEP


@settings(max_examples=150, deadline=None)
@given(quotes(), SIDES, st.integers(-5, 400), st.integers(0, 3), st.integers(0, 20_000), st.integers(0, 3))
def test_what_breaks_a_rule_is_refused_by_both(
    quote: tuple[int, int, int, int], side: Side, size: int, off_lot: int, price: int, off_tick: int
) -> None:
    both = Both()
    both.quote(*quote)
    amount = LOT * size + LOT * off_lot / 10
    limit = Decimal(price) / 100 + Decimal(off_tick) / 1_000
    order_id = both.place(side, str(amount), price=str(limit))
    assert both.refused_on_paper(order_id) is (order_id not in both.orders)
    assert both.at_engine(order_id) == both.on_paper(order_id)


@settings(max_examples=100, deadline=None)
@given(quotes(), SIDES, st.integers(1, 400), st.integers(1, 100_000))
def test_paper_never_lets_more_be_ordered_than_the_venue_does(
    quote: tuple[int, int, int, int], side: Side, size: int, funds: int
) -> None:
    both = Both({"USDT": Decimal(funds) / 2, "BTC": LOT * (funds % 400 + 1)})
    both.quote(*quote)
    away = quote[0] - 50 if side is Side.BUY else quote[1] + 50
    order_id = both.place(side, lots(size), price=cents(away))
    if order_id not in both.orders:
        assert both.refused_on_paper(order_id)
    elif both.refused_on_paper(order_id):
        # Paper also locks the fee, which it takes in quote currency.
        assert side is Side.BUY
        cost = LOT * size * Decimal(away) / 100
        assert cost <= Decimal(funds) / 2 < cost * (1 + FEE) + FEE_STEP


@settings(max_examples=150, deadline=None)
@given(quotes(), SIDES, st.integers(51, 200), st.integers(-10, 10), st.lists(st.tuples(SIDES, SIZES), max_size=8))
def test_prints_serve_a_resting_limit_alike_and_never_more_on_paper(
    quote: tuple[int, int, int, int], side: Side, size: int, behind: int, prints: list[tuple[Side, int]]
) -> None:
    both = Both()
    bid, ask, *_ = quote
    both.quote(*quote)
    best = bid if side is Side.BUY else ask
    at = best - side.sign * min(behind, 0 if ask - bid > 10 else behind)
    at = max(min(at, ask - 1), bid - 10) if side is Side.BUY else min(max(at, bid + 1), ask + 10)
    order_id = both.place(side, lots(size), price=cents(at))
    for aggressor, amount in prints:
        both.print(ask if aggressor is Side.BUY else bid, amount, aggressor)
        engine, paper = total(both.at_engine(order_id)), total(both.on_paper(order_id))
        assert paper <= engine
        if (best - at) * side.sign <= 0:
            assert paper == engine  # at the best price both see the same queue
    # The market goes through it: whatever was left trades at both, at its own price.
    through = (at - 20, at, 1_000, 1_000) if side is Side.BUY else (at, at + 20, 1_000, 1_000)
    both.quote(*through)
    assert total(both.on_paper(order_id)) == total(both.at_engine(order_id)) == LOT * size
    assert {price for _, price, _ in (*both.on_paper(order_id), *both.at_engine(order_id))} == {Decimal(at) / 100}


def total(fills: list[Told]) -> Decimal:
    return sum((amount for amount, _, _ in fills), ZERO)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), SIDES, st.integers(2, 40), st.integers(1, 40))
def test_a_stop_triggers_on_paper_no_later_than_at_the_venue(seed: int, side: Side, steps: int, ticks: int) -> None:
    paper, engine, last = run_stop(seed, side, steps, ticks)
    if engine is not None:
        assert paper is not None
        assert paper <= engine
    if paper is not None and engine is None:
        # Quotes reached the level, and no print did until the end.
        assert last >= paper


def run_stop(seed: int, side: Side, steps: int, ticks: int) -> tuple[int | None, int | None, int]:
    """When a stop a few ticks away traded on paper and at the engine, on the simulated market; and when that ended."""
    market = SimulatedMarket(seed, (SYMBOL,), 0)
    clock = [2_000]
    floor = Venue(market, lambda: clock[0])
    one = market.instruments()[SYMBOL]
    rules = Rules(SYMBOL, one.base, one.quote, one.price_step, one.amount_step, one.min_amount, one.min_cost)
    engine = Engine(floor, {SYMBOL: rules}, Accounts())
    account = engine.accounts.open(Terms("key", "secret"), FUNDS, 0)
    said: list[Input] = []
    broker = PaperBroker({SYMBOL: one}, FillModel(), said.append, account=PaperAccount.of(FUNDS))
    start = floor.quote(SYMBOL)
    broker.on_quote(start)
    touch = Decimal(repr(start.ask if side is Side.BUY else start.bid))
    trigger = touch + side.sign * ticks * one.price_step
    request = order(side, str(one.amount_step * 10), clock[0], trigger=str(trigger))
    try:
        taken = engine.place(account, ticket(request), clock[0])
    except OrderRefused:
        return None, None, clock[0]
    broker.submit(request, clock[0])
    for index in range(2, 2 + steps):
        events: list[Quote | Trade] = [*market.quotes(SYMBOL, index), *market.trades(SYMBOL, index)]
        for event in sorted(events, key=lambda event: event.ts):
            clock[0] = event.ts
            if isinstance(event, Quote):
                engine.on_quote(SYMBOL, event.ts)
                broker.on_quote(event)
            else:
                engine.on_trade(event)
                broker.on_trade(event)
    first = next((one.fill.ts for one in said if isinstance(one, Filled)), None)
    return first, taken.fills[0].ts if taken.fills else None, clock[0]


def test_the_engine_walks_the_book_where_paper_takes_the_touch() -> None:
    both = Both()
    both.quote(10_000, 10_010, 50, 50)
    book = both.table.book
    both.table.book = Book(book.sequence, book.bids, (*book.asks, (100.2, 1.0), (100.3, 2.0)))
    order_id = both.place(Side.BUY, "3.5")
    assert both.on_paper(order_id) == [(LOT * 50, Decimal("100.1"), False)]
    taken = both.at_engine(order_id)
    assert [price for _, price, _ in taken] == [Decimal("100.1"), Decimal("100.2"), Decimal("100.3")]
    assert taken[0] == both.on_paper(order_id)[0]
    assert total(taken) == Decimal("3.5")


def test_where_floats_do_not_hold_the_lot_paper_serves_at_most_one_less() -> None:
    both = Both()
    tenths = replace(BTC, amount_step=Decimal("0.001"), min_amount=Decimal("0.001"))
    both.engine.change(replace(both.engine.rules[SYMBOL], amount_step=tenths.amount_step, min_amount=tenths.min_amount))
    both.paper = PaperBroker({SYMBOL: tenths}, FillModel(), both.said.append, account=PaperAccount.of(FUNDS))
    both.table.book = Book(1, ((99.0, 0.001),), ((99.01, 0.002),))
    both.paper.on_quote(Quote.of(SYMBOL, both.now, 99.0, 99.01, 0.001, 0.002))
    order_id = both.place(Side.SELL, "0.060", price="99.01")
    trade = Trade(SYMBOL, both.now + 1, both.now + 1, "t", 99.01, 0.009, Side.BUY)
    both.engine.on_trade(trade)
    both.paper.on_trade(trade)
    assert total(both.at_engine(order_id)) == Decimal("0.007")
    assert total(both.on_paper(order_id)) == Decimal("0.006")  # 0.009 - 0.002 is a hair less than 0.007 in floats
