"""Promises of a restart: other settings, late deadlines and waiting wishes."""

from __future__ import annotations

from dataclasses import replace

from bot.core.decision import Action, Fate, OnExpiry
from bot.core.desk import TradingDesk
from bot.core.effects import SetTimer
from bot.core.facts import EquitySampled
from bot.core.inputs import MarketHealth, TradingState, Wake
from bot.core.market import Health
from bot.core.orders import Leg
from bot.core.risk import RiskLimits
from tests.factories import BTC, QC, RULE, DeskHarness, a_config, a_source


def restarted(desk: DeskHarness, **changes: object) -> DeskHarness:
    """The same desk in a new process, perhaps with other settings."""
    config = replace(desk.config, **changes)  # type: ignore[arg-type]
    again = DeskHarness(config, desk=TradingDesk.restore(config, desk.desk.snapshot()))
    again.now = desk.now
    return again


def test_samples_switched_off_over_a_restart_end_and_do_not_hang_the_desk() -> None:
    desk = DeskHarness(a_config(sample_ms=1_000))
    desk.quote(100)
    again = restarted(desk, sample_ms=0)
    again.wait(10_000)
    assert again.of(EquitySampled) == []


def test_samples_switched_on_over_a_restart_begin() -> None:
    desk = DeskHarness(a_config(sample_ms=0))
    desk.quote(100)
    again = restarted(desk, sample_ms=1_000)
    again.wait(10_000)
    assert len(again.of(EquitySampled)) == 10


def test_a_restored_desk_asks_for_its_timer_again() -> None:
    desk = DeskHarness(sources=(a_source(RULE, settle_ms=250),))
    desk.quote(100)
    decision = desk.propose()
    again = restarted(desk)
    assert again.desk.next_timer == desk.desk.next_timer == desk.now + 250
    again.turn(Wake(again.now))
    assert again.asked(SetTimer)[0].at == desk.now + 250
    again.wait(250)
    assert again.order.decision_id == decision.id


def test_what_expired_while_the_bot_was_down_is_not_acted_on() -> None:
    desk = DeskHarness(a_config(RiskLimits()), sources=(a_source(QC, settle_ms=250),))
    desk.quote(100)
    decision = desk.propose(Action.BUY, QC, lasts=60_000)
    again = restarted(desk)
    again.quote(100, after=3_600_000)
    again.wait(10_000)
    assert again.fate(decision) is Fate.EXPIRED
    assert not again.venue.orders


def test_a_kill_survives_a_restart() -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    desk.command(TradingState.HALTED)
    again = restarted(desk)
    again.quote(80, after=1_000)
    again.propose(Action.BUY, QC)
    again.wait(10_000)
    assert not again.venue.orders
    assert again.desk.state.risk.state is TradingState.HALTED


def test_a_restore_does_not_touch_the_snapshot() -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    snapshot = desk.desk.snapshot()
    before = repr(snapshot)
    again = DeskHarness(desk.config, desk=TradingDesk.restore(desk.config, snapshot))
    again.now = desk.now
    again.quote(80)
    assert again.order.leg is Leg.STOP_LOSS
    assert repr(snapshot) == before


def test_a_resume_does_not_forget_an_exit_that_no_operator_asked_for() -> None:
    desk = DeskHarness(sources=(a_source(RULE, on_expiry=OnExpiry.FLATTEN),))
    desk.quote(100)
    desk.buys(lasts=5_000)
    desk.command(TradingState.HALTED)
    desk.wait(5_000)
    assert len(desk.venue.orders) == 1
    desk.command(TradingState.ACTIVE)
    desk.wait(1_000)
    assert desk.order.leg is Leg.FLATTEN


def test_the_symbols_health_is_told_once_per_change() -> None:
    desk = DeskHarness()
    for _ in range(2):
        desk.turn(MarketHealth(desk.now, BTC, Health.STALE))
    assert desk.desk.state.risk.health == {BTC: Health.STALE}
