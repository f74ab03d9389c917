"""What the venue says, over whatever road and however often, becomes one story for the desk."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.core.inputs import Closing, Filled, Input, OrderAccepted, OrderClosed, OrderRefused, OrderUnknown
from bot.core.market import Side
from bot.core.orders import Order, OrderState
from execution.account import ReportStatus
from execution.tracked import End, Standing, TrackedOrders
from tests.execution.tracked_orders import SYMBOL, T0, D, fills, kinds, report, request, trade


class Story:
    """Tracked orders and everything they have told."""

    def __init__(self, keep_done: int = 1_000) -> None:
        self.said: list[Input] = []
        self.clock = T0
        self.orders = TrackedOrders(self.said.append, lambda: self.clock, keep_done)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_trade_that_comes_before_any_answer_is_told_after_the_acceptance(story: Story) -> None:
    story.orders.begin(request())
    story.orders.trade(trade("t1", "0.4", "arb1"))
    story.orders.report(report())
    assert story.said == [OrderAccepted(T0, "arb1", "v1"), story.said[1]]
    assert fills(story.said) == {"t1": D("0.4")}


def test_an_order_whose_venue_told_no_more_than_its_id_is_accepted(story: Story) -> None:
    story.orders.begin(request())
    tracked = story.orders.report(report(ReportStatus.UNSAID))
    assert tracked is not None
    assert tracked.standing is Standing.LIVE
    assert story.said == [OrderAccepted(T0, "arb1", "v1")]


def test_a_cancelled_order_is_closed_with_what_the_venue_says_it_filled_and_its_trades_are_still_told(story: Story) -> None:
    story.orders.begin(request())
    story.orders.report(report(ReportStatus.CANCELLED, "0.5", reason="by user"))
    assert story.said[1] == OrderClosed(T0, "arb1", Closing.CANCELLED, D("0.5"), "by user")
    assert [one.id for one in story.orders.lacking()] == ["arb1"]
    story.orders.trade(trade("t1", "0.5"))
    assert kinds(story.said) == ["OrderAccepted", "OrderClosed", "Filled"]
    assert story.orders.lacking() == []


def test_a_market_order_that_the_venue_calls_filled_though_part_of_it_was_not_is_closed_as_expired(story: Story) -> None:
    story.orders.begin(request())
    story.orders.report(report(ReportStatus.FILLED, "0.7", trades=(trade("t1", "0.7", "arb1"),)))
    assert kinds(story.said) == ["OrderAccepted", "Filled", "OrderClosed"]
    assert story.said[-1] == OrderClosed(T0, "arb1", Closing.EXPIRED, D("0.7"))


def test_an_order_called_filled_without_a_figure_lacks_all_of_its_trades(story: Story) -> None:
    tracked = story.orders.begin(request())
    story.orders.report(report(ReportStatus.FILLED))
    assert tracked.lacking == D(1)
    assert kinds(story.said) == ["OrderAccepted"]


def test_a_cancel_that_came_after_the_last_fill_closes_nothing(story: Story) -> None:
    tracked = story.orders.begin(request())
    story.orders.report(report(ReportStatus.CANCELLED, "1"))
    story.orders.trade(trade("t1", "1"))
    assert tracked.end is End.FILLED
    assert kinds(story.said) == ["OrderAccepted", "Filled"]


def test_old_news_takes_nothing_back(story: Story) -> None:
    tracked = story.orders.begin(request())
    story.orders.report(report(filled="0.6"))
    story.orders.report(report(filled="0.2"))
    assert tracked.reported == D("0.6")
    story.orders.report(report(ReportStatus.CANCELLED, "0.6"))
    story.orders.report(report(filled="0.6"))
    assert tracked.standing is Standing.ENDED
    assert story.orders.stats.old_reports == 1


def test_a_rejection_with_nothing_filled_is_a_refusal(story: Story) -> None:
    story.orders.begin(request())
    story.orders.report(report(ReportStatus.REJECTED, reason="no funds"))
    assert story.said == [OrderRefused(T0, "arb1", "no funds")]


def test_a_rejection_of_an_order_that_traded_closes_it(story: Story) -> None:
    story.orders.begin(request())
    story.orders.trade(trade("t1", "0.5", "arb1"))
    story.orders.report(report(ReportStatus.REJECTED))
    assert story.said[-1] == OrderClosed(T0, "arb1", Closing.EXPIRED, D("0.5"))


def test_a_trade_known_by_the_venues_id_alone_waits_for_its_order(story: Story) -> None:
    story.orders.begin(request())
    early = trade("t1", "0.4")
    assert story.orders.trade(early) is None
    assert story.orders.waits(early)
    story.orders.report(report())
    assert fills(story.said) == {"t1": D("0.4")}
    assert not story.orders.waits(early)


def test_news_that_waited_for_an_order_which_turned_out_anothers_is_handed_back_once(story: Story) -> None:
    story.orders.begin(request())
    strange = trade("t9", "0.4", venue_id="v9")
    story.orders.trade(strange)
    assert story.orders.unclaimed() == []
    story.orders.report(report())
    assert story.orders.unclaimed() == [strange]
    assert story.orders.unclaimed() == []


def test_what_is_not_ours_is_said_to_be_nobodys_and_does_not_wait(story: Story) -> None:
    assert story.orders.report(report(order_id="other", venue_id="v9")) is None
    assert story.orders.trade(trade("t1", "1", "other", "v9")) is None
    assert story.orders.trade(trade("t1", "1", None, "v9")) is None
    assert story.orders.unclaimed() == []
    assert story.said == []


def test_waiting_news_is_bounded_and_what_is_dropped_is_counted() -> None:
    story = Story(keep_done=2)
    story.orders.begin(request())
    for number in range(3):
        story.orders.trade(trade(f"t{number}", "0.1"))
    assert story.orders.stats.dropped == 1
    story.orders.report(report())
    assert fills(story.said) == {"t1": D("0.1"), "t2": D("0.1")}


def test_both_orders_of_a_trade_with_oneself_are_told_of_it(story: Story) -> None:
    story.orders.begin(request())
    story.orders.begin(request("arb2", side=Side.SELL))
    story.orders.trade(trade("t1", "1", "arb1", "v1"))
    story.orders.trade(trade("t1", "1", "arb2", "v2", side=Side.SELL))
    assert fills(story.said, "arb1") == fills(story.said, "arb2") == {"t1": D(1)}


def test_a_lost_answer_is_told_unless_the_stream_was_faster(story: Story) -> None:
    story.orders.begin(request())
    story.orders.begin(request("arb2"))
    story.orders.report(report(order_id="arb2", venue_id="v2"))
    story.orders.unknown("arb1", "timeout")
    story.orders.unknown("arb1", "timeout")
    story.orders.unknown("arb2", "timeout")
    assert story.said[1:] == [OrderUnknown(T0, "arb1", "timeout")]


def test_an_unknown_order_that_is_found_is_accepted(story: Story) -> None:
    story.orders.begin(request())
    story.orders.unknown("arb1", "timeout")
    story.orders.report(report())
    assert kinds(story.said) == ["OrderUnknown", "OrderAccepted"]


def test_a_lost_order_never_lived_unless_something_of_it_is_known(story: Story) -> None:
    for name in ("arb1", "arb2", "arb3"):
        story.orders.begin(request(name))
    story.orders.trade(trade("t2", "0.5", "arb2", "v2"))
    story.orders.report(report(order_id="arb3", venue_id="v3"))
    story.said.clear()
    for name in ("arb1", "arb2", "arb3", "arb1"):
        story.orders.lost(name, "gone")
    assert story.said == [
        OrderRefused(T0, "arb1", "gone"),
        OrderClosed(T0, "arb2", Closing.CANCELLED, D("0.5"), "gone"),
        OrderClosed(T0, "arb3", Closing.CANCELLED, D(0), "gone"),
    ]


def test_a_refusal_does_not_end_an_order_that_the_venue_has_told_of(story: Story) -> None:
    tracked = story.orders.begin(request())
    story.orders.report(report())
    story.orders.refused("arb1", "duplicate id")
    assert tracked.standing is Standing.LIVE
    assert kinds(story.said) == ["OrderAccepted"]


def test_an_order_that_was_given_up_and_trades_after_all_is_told_to_have_traded(story: Story) -> None:
    tracked = story.orders.begin(request())
    story.orders.lost("arb1", "gone")
    story.orders.report(report(filled="0.3"))
    story.orders.trade(trade("t1", "0.3"))
    assert kinds(story.said) == ["OrderRefused", "Filled"]
    assert tracked.given_up


def test_a_refused_cancel_is_told_only_while_the_order_works(story: Story) -> None:
    story.orders.begin(request())
    story.orders.cancel_refused("arb1", "busy")
    story.orders.report(report(ReportStatus.CANCELLED))
    story.orders.cancel_refused("arb1", "gone")
    assert kinds(story.said) == ["CancelRefused", "OrderAccepted", "OrderClosed"]


def test_an_order_begun_twice_is_the_same_one(story: Story) -> None:
    first = story.orders.begin(request())
    story.orders.report(report())
    assert story.orders.begin(request()) is first
    assert first.standing is Standing.LIVE


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        (OrderState.INTENT, Standing.UNKNOWN),
        (OrderState.SENT, Standing.UNKNOWN),
        (OrderState.UNKNOWN, Standing.UNKNOWN),
        (OrderState.OPEN, Standing.LIVE),
        (OrderState.FILLED, Standing.ENDED),
        (OrderState.REJECTED, Standing.ENDED),
    ],
)
def test_an_adopted_order_stands_where_the_journal_left_it_and_nothing_is_told(
    story: Story, state: OrderState, standing: Standing
) -> None:
    tracked = story.orders.adopt(Order(request(), state, venue_id="v1"))
    assert tracked.standing is standing
    assert story.orders.of_venue(SYMBOL, "v1") is tracked
    assert story.said == []


def test_an_adopted_order_is_told_nothing_twice(story: Story) -> None:
    order = Order(request(), OrderState.OPEN, "v1", filled=D("0.4"), fill_ids={"t1": None})
    story.orders.adopt(order)
    story.orders.report(report(filled="0.6", trades=(trade("t1", "0.4", "arb1"), trade("t2", "0.2", "arb1"))))
    assert fills(story.said) == {"t2": D("0.2")}
    assert kinds(story.said) == ["Filled"]


def test_an_adopted_order_that_was_closed_before_its_fills_came_lacks_them(story: Story) -> None:
    order = Order(request(), OrderState.OPEN, "v1", reported=D("0.5"), closing=OrderState.CANCELLED)
    tracked = story.orders.adopt(order)
    assert story.orders.lacking() == [tracked]
    story.orders.report(report(ReportStatus.CANCELLED, "0.5", trades=(trade("t1", "0.5", "arb1"),)))
    assert kinds(story.said) == ["Filled"]


def test_a_synthetic_fill_has_a_derived_id_and_a_late_trade_does_not_double_it(story: Story) -> None:
    tracked = story.orders.begin(request())
    story.orders.report(report(ReportStatus.CANCELLED, "0.5"))
    story.orders.synthetic(tracked, tracked.lacking, D(99))
    told = story.said[-1]
    assert isinstance(told, Filled)
    assert (told.fill.id, told.fill.evidence, told.fill.amount) == ("synthetic:arb1:0:0.5", "synthetic", D("0.5"))
    assert (told.fill.fee, told.fill.fee_currency, told.fill.price) == (D(0), "USDT", D(99))
    assert story.orders.lacking() == []
    story.orders.trade(trade("t1", "0.5"))
    assert story.said[-1] is told


def test_a_trade_larger_than_what_was_synthetic_tells_the_rest(story: Story) -> None:
    tracked = story.orders.begin(request())
    story.orders.report(report(filled="0.3"))
    story.orders.synthetic(tracked, tracked.lacking, D(99))
    story.orders.trade(trade("t1", "0.5"))
    story.orders.trade(trade("t1", "0.5"))
    assert fills(story.said) == {"synthetic:arb1:0:0.3": D("0.3"), "t1~0.3": D("0.2")}


def test_what_a_synthetic_fill_told_is_remembered_over_a_restart_and_so_is_what_has_covered_it(story: Story) -> None:
    ids = {"synthetic:arb1:0:0.3": None, "t1~0.2": None}
    story.orders.adopt(Order(request(), OrderState.OPEN, "v1", filled=D("0.4"), fill_ids=ids))
    story.orders.trade(trade("t1", "0.3"))
    assert story.said == []
    story.orders.trade(trade("t2", "0.1"))
    assert story.said == []
    story.orders.trade(trade("t3", "0.1"))
    assert fills(story.said) == {"t3": D("0.1")}


def test_what_ended_long_ago_is_forgotten_but_not_while_its_trades_are_missing() -> None:
    story = Story(keep_done=2)
    story.orders.begin(request("short"))
    story.orders.report(report(ReportStatus.CANCELLED, "0.5", "short", "vs"))
    for number in range(4):
        story.orders.begin(request(f"arb{number}"))
        story.orders.report(report(ReportStatus.CANCELLED, "0", f"arb{number}", f"v{number}"))
    assert story.orders.of("short") is not None
    assert story.orders.of("arb3") is not None
    assert story.orders.of("arb0") is None
    assert story.orders.of_venue(SYMBOL, "v0") is None


def test_an_order_that_changes_its_name_at_the_venue_answers_to_both(story: Story) -> None:
    tracked = story.orders.begin(request())
    story.orders.report(report(venue_id="algo-1"))
    story.orders.report(report(venue_id="2"))
    story.orders.trade(trade("t1", "0.4", venue_id="2"))
    assert (tracked.venue_id, tracked.filled) == ("2", Decimal("0.4"))
    assert story.orders.of_venue(SYMBOL, "algo-1") is tracked
