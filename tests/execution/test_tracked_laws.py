"""Laws of tracked orders: over any order, repetition and loss of the same news, and any crash between, the books are the same."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.inputs import Closing, Input, OrderAccepted, OrderClosed
from bot.core.orders import ZERO, Order, OrderState
from execution.account import OrderReport, ReportStatus, TradeReport
from execution.tracked import Standing, TrackedOrders
from tests.execution.tracked_orders import T0, fills, fold, report, request, total, trade

News = OrderReport | TradeReport
STEP = Decimal("0.1")


@dataclass(frozen=True)
class History:
    """What truly happened to an order, and everything a venue may say of it."""

    amount: Decimal
    trades: dict[str, Decimal]
    end: ReportStatus
    news: list[News]

    @property
    def traded(self) -> Decimal:
        return total(self.trades)


@st.composite
def histories(draw: st.DrawFn) -> History:
    sizes = draw(st.lists(st.integers(1, 5), max_size=5))
    trades = {f"t{number}": size * STEP for number, size in enumerate(sizes)}
    left = draw(st.integers(0 if sizes else 1, 5)) * STEP
    ends = [ReportStatus.OPEN, ReportStatus.CANCELLED, ReportStatus.EXPIRED] if left else [ReportStatus.FILLED]
    end = draw(st.sampled_from(ends))
    reports = [trade(name, size, draw(st.sampled_from(["arb1", None]))) for name, size in trades.items()]
    news: list[News] = list(reports)
    for count in range(len(reports) + 1):
        past = reports[:count]
        told = tuple(one for one in past if draw(st.booleans()))
        filled = sum((one.amount for one in past), ZERO)
        news.append(report(ReportStatus.OPEN, filled, trades=told, venue_id="v1"))
    last = report(end, total(trades), trades=tuple(one for one in reports if draw(st.booleans())))
    return History(total(trades) + left, trades, end, [*news, last])


@st.composite
def tellings(draw: st.DrawFn) -> tuple[History, list[News]]:
    """A history, and its news in any order, some of it repeated."""
    history = draw(histories())
    repeated = draw(st.lists(st.sampled_from(history.news), max_size=6))
    return history, draw(st.permutations([*history.news, *repeated]))


def tell(orders: TrackedOrders, news: News) -> None:
    if isinstance(news, TradeReport):
        orders.trade(news)
    else:
        orders.report(news)


def followed(said: list[Input]) -> TrackedOrders:
    return TrackedOrders(said.append, lambda: T0)


@given(tellings())
def test_any_order_and_repetition_of_the_news_tells_the_same_fills_and_the_same_end(told: tuple[History, list[News]]) -> None:
    history, telling = told
    said: list[Input] = []
    orders = followed(said)
    tracked = orders.begin(request(amount=history.amount))
    for news in telling:
        tell(orders, news)
    assert fills(said) == history.trades
    assert isinstance(said[0], OrderAccepted)
    assert sum(isinstance(one, OrderAccepted) for one in said) == 1
    closed = [(one.how, one.filled) for one in said if isinstance(one, OrderClosed)]
    ended = history.end in {ReportStatus.CANCELLED, ReportStatus.EXPIRED}
    assert closed == ([(Closing(history.end.value), history.traded)] if ended else [])
    assert (tracked.standing is Standing.ENDED) == history.end.ended
    assert orders.lacking() == []


@given(tellings(), st.data())
def test_a_crash_anywhere_neither_loses_nor_doubles_a_fill(told: tuple[History, list[News]], data: st.DataObject) -> None:
    history, telling = told
    crash = data.draw(st.integers(0, len(telling)))
    before: list[Input] = []
    orders = followed(before)
    wanted = request(amount=history.amount)
    orders.begin(wanted)
    for news in telling[:crash]:
        tell(orders, news)
    after: list[Input] = []
    again = followed(after)
    again.adopt(fold(before, Order(wanted, OrderState.SENT)))
    for news in data.draw(st.permutations(history.news)):
        tell(again, news)
    assert fills([*before, *after]) == history.trades
    assert sum(isinstance(one, OrderAccepted) for one in [*before, *after]) == 1
    ended = history.end in {ReportStatus.CANCELLED, ReportStatus.EXPIRED}
    assert sum(isinstance(one, OrderClosed) for one in [*before, *after]) == ended


@settings(max_examples=200)
@given(histories().filter(lambda history: len(history.trades) > 1), st.data())
def test_synthetic_fills_and_the_trades_that_come_after_all_add_up_to_what_traded(history: History, data: st.DataObject) -> None:
    order = Order(request(amount=history.amount), OrderState.SENT)
    everything: list[Input] = []
    for process in range(data.draw(st.integers(1, 4), label="processes")):
        said: list[Input] = []
        orders = followed(said)
        tracked = orders.adopt(order)
        told = data.draw(st.permutations(history.news))
        given_up = data.draw(st.lists(st.integers(0, len(told)), max_size=3), label="told synthetically after")
        for at, news in enumerate(told[: data.draw(st.integers(1, len(told)), label="crash")] if process % 2 else told):
            tell(orders, news)
            if tracked.lacking and at in given_up:
                orders.synthetic(tracked, tracked.lacking, Decimal(100))
            assert tracked.filled <= history.traded
        fold(said, order)
        everything += said
    last: list[Input] = []
    orders = followed(last)
    orders.adopt(order)
    for news in data.draw(st.permutations(history.news)):
        tell(orders, news)
    assert total(fills([*everything, *last])) == history.traded
    assert orders.lacking() == []
