"""What a run tells of its worth: P&L is what was made, whatever was paid in or taken out, and whenever the bot started."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.app.status import Status
from bot.app.telling import MinuteCount, Start, minute
from bot.core.inputs import CashMoved
from bot.market.feed_stats import FeedStatistics
from bot.runtime.supervision import Supervisor
from bot.runtime.tally import Tally
from bot.settings import RunMode
from tests.factories import RULE, DeskHarness, a_config, a_model


@pytest.fixture
def desk() -> DeskHarness:
    harness = DeskHarness(a_config(fills=a_model()), paper=True)
    harness.quote(100.0)
    return harness


def shell_of(desk: DeskHarness) -> Any:
    """As much of a shell as telling looks at."""
    return SimpleNamespace(
        desk=desk.desk,
        tally=Tally(),
        journal=SimpleNamespace(pending=0, trouble=None),
        outlets=SimpleNamespace(
            redis=SimpleNamespace(state=RunMode.PAPER),
            listener=SimpleNamespace(port=0),
        ),
    )


def report(desk: DeskHarness, start: Start) -> dict[str, Any]:
    inbox = SimpleNamespace(conflated=0, trades_dropped=0)
    feed = SimpleNamespace(statistics=FeedStatistics())
    world = SimpleNamespace(simulated=False, venue="binance", inbox=inbox, feed=feed, concerned=lambda _: frozenset())
    host = SimpleNamespace(specs={}, troubles={})
    status = Status("r", RunMode.PAPER, start, cast("Any", world), shell_of(desk), cast("Any", host), Supervisor())
    return dict(status.report())


def paid_in(desk: DeskHarness, amount: int) -> None:
    desk.turn(CashMoved(desk.now, Decimal(amount), desk.desk.portfolio.currency, "deposit"))


def test_a_deposit_is_no_gain_and_one_before_the_start_is_no_loss(desk: DeskHarness) -> None:
    paid_in(desk, 500)
    start = Start.of(shell_of(desk), desk.now)
    first = minute(shell_of(desk), start, MinuteCount(), "USDT")
    assert (first.pnl, report(desk, start)["pnl"]) == (0.0, 0.0), "what was paid in before this run is no loss of it"
    paid_in(desk, 5_000)
    later = minute(shell_of(desk), start, MinuteCount(), "USDT")
    assert later.equity == first.equity + 5_000
    assert (later.pnl, report(desk, start)["pnl"]) == (0.0, 0.0)


def test_the_day_keeps_the_loss_of_the_morning_though_the_bot_started_again(desk: DeskHarness) -> None:
    desk.propose(source=RULE)
    desk.quote(90.0, after=1_000)
    lost = desk.desk.portfolio.equity - desk.desk.state.risk.day_start
    assert lost < 0
    paid_in(desk, 700)
    found = report(desk, Start.of(shell_of(desk), desk.now))
    assert found["pnl"] == 0.0, "the run has just begun"
    assert found["day_pnl"] == pytest.approx(lost)
