"""A decision that names the share it wants to hold is bought up to, or sold down to, that share; and what a briefing tells."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.core.decision import Action, Denial, Fate
from bot.core.risk import RiskLimits
from tests.core.desks import denial_of, ready
from tests.factories import BTC, QC, DeskHarness, a_config, a_source

BUY, SELL = Action.BUY, Action.SELL


def test_a_buy_with_a_target_buys_up_to_that_share_of_the_capital() -> None:
    desk = ready()
    desk.buys(source=QC, target=0.3)
    assert desk.position() == 30


def test_the_target_is_a_share_of_the_sources_own_capital() -> None:
    desk = DeskHarness(sources=(a_source(QC, capital=Decimal("0.5")),))
    desk.quote(100)
    desk.buys(source=QC, target=0.5)
    assert desk.position() == 25


def test_a_sell_with_a_target_keeps_what_it_names() -> None:
    desk = ready()
    desk.buys(source=QC, target=0.5)
    decision = desk.propose(SELL, QC, target=0.2)
    desk.accept()
    desk.fill()
    assert desk.position() == 20
    assert desk.fate(decision) is Fate.EXECUTED
    assert desk.intents[-1].reduce_only


def test_a_sell_down_to_what_is_held_or_more_is_at_its_target() -> None:
    desk = ready()
    desk.buys(source=QC, target=0.2)
    assert desk.fate(desk.propose(SELL, QC, target=0.4)) is Fate.ALREADY_AT_TARGET
    assert desk.fate(desk.propose(SELL, QC, target=0.19)) is Fate.ALREADY_AT_TARGET, (
        "a change within the band is not worth an order"
    )
    assert len(desk.intents) == 1


def test_a_target_of_nothing_closes_and_with_nothing_held_has_nothing_to_sell() -> None:
    desk = ready()
    desk.buys(source=QC, target=0.2)
    desk.propose(SELL, QC, target=0.0)
    desk.accept()
    desk.fill()
    assert desk.position() == 0
    assert desk.fate(desk.propose(SELL, QC, target=0.0)) is Fate.NOTHING_TO_SELL


@pytest.mark.parametrize("target", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_target_that_is_no_share_is_malformed(target: float) -> None:
    desk = ready()
    assert denial_of(desk, desk.propose(BUY, QC, target=target)) is Denial.MALFORMED


def test_risk_shrinks_a_target_like_any_size() -> None:
    desk = DeskHarness(a_config(RiskLimits(max_position=0.25, stale_after_ms=None, cash_buffer=0.0)))
    desk.quote(100)
    desk.buys(source=QC, target=0.9)
    assert desk.position() == 25


def test_the_shadow_follows_a_target_both_ways() -> None:
    desk = ready()
    for action, target in ((BUY, 0.5), (SELL, 0.2), (SELL, 0.0)):
        desk.propose(action, QC, target=target)
        desk.quote(100)
        shadow = desk.desk.state.shadows[QC].portfolio
        assert float(shadow.amount(BTC)) == pytest.approx(100 * target, rel=0.01)


def test_a_briefing_tells_what_is_held_why_and_how_full_the_limits_are() -> None:
    desk = DeskHarness(a_config(RiskLimits(max_position=0.25, stale_after_ms=None)))
    desk.quote(100)
    decision = desk.buys(source=QC, target=0.2, stop_loss=90.0, take_profit=130.0)
    desk.quote(110)
    told = desk.desk.briefing()
    (held,) = told.held
    assert (held.symbol, held.source, held.decision_id, held.amount) == (BTC, QC, decision.id, Decimal(20))
    assert (held.stop_loss, held.take_profit) == (90.0, 130.0)
    assert held.unrealised == pytest.approx(200, rel=0.01)
    assert told.equity == pytest.approx(10_200, rel=0.001)
    assert told.share(BTC) == pytest.approx(2_200 / 10_200, rel=0.001)
    assert told.share("ETH/USDT") == 0.0
    uses = {use.name: use for use in told.limits}
    assert uses["max_position"].limit == 0.25
    assert uses["max_position"].used == pytest.approx(told.share(BTC))
    assert uses["max_orders_per_minute"].used == 1


def test_a_briefing_changes_nothing() -> None:
    desk = ready()
    desk.buys(source=QC)
    before = repr(desk.desk.snapshot())
    desk.desk.briefing()
    assert repr(desk.desk.snapshot()) == before
