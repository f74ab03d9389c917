"""Promises about who stands: rank, expiry, holds, denials, sources that leave, and the other policies."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.arbiter import Arbiter, Policy
from bot.core.decision import Action, Denial, Fate, OnExpiry
from bot.core.facts import Verdict
from bot.core.inputs import SourceLeft
from bot.core.orders import Leg, OrderType
from bot.core.risk import RiskLimits
from bot.core.tracking import TradingRules
from tests.core.desks import OTHER_RULE, denial_of, windowed
from tests.factories import BTC, LLM, NO_LIMITS, QC, RULE, DeskHarness, a_config, a_source

BUY, SELL, HOLD = Action.BUY, Action.SELL, Action.HOLD


# Standing.


def test_a_standing_decision_outranks_lower_tiers_for_good() -> None:
    desk = DeskHarness()
    desk.quote(100)
    qc = desk.buys(source=QC, lasts=10_000)
    rule = desk.propose(SELL, RULE, lasts=50_000)
    assert desk.fate(rule) is Fate.OUTRANKED
    desk.wait(20_000)
    assert desk.fate(qc) is Fate.EXECUTED
    assert desk.position() > 0
    assert desk.fate(rule) is Fate.OUTRANKED


def test_within_a_tier_confidence_decides_then_recency() -> None:
    desk = windowed()
    strong = desk.propose(BUY, RULE, confidence=0.9)
    weak = desk.propose(SELL, OTHER_RULE, confidence=0.5)
    desk.wait(250)
    assert desk.order.decision_id == strong.id
    assert desk.fate(weak) is Fate.OUTRANKED
    newer = desk.propose(SELL, OTHER_RULE, confidence=0.9)
    desk.accept()
    desk.fill()
    desk.wait(250)
    assert desk.order.decision_id == newer.id


def test_an_agreeing_loser_agreed() -> None:
    desk = windowed()
    rule, llm = desk.propose(BUY, RULE), desk.propose(BUY, LLM)
    desk.wait(250)
    assert desk.order.decision_id == llm.id
    assert desk.fate(rule) is Fate.AGREED


def test_a_verdict_names_the_winner_the_outranked_and_the_target() -> None:
    desk = windowed()
    rule, llm = desk.propose(SELL, RULE), desk.propose(BUY, LLM)
    desk.wait(250)
    verdict = desk.of(Verdict)[-1]
    assert (verdict.winner, verdict.outranked, verdict.target) == (llm.id, (rule.id,), Decimal(10))
    assert desk.fates()[rule.id].verdict_id == verdict.id


def test_a_verdict_also_names_the_standing_decision_it_displaced() -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.stores = False
    rule = desk.propose(BUY, RULE)
    qc = desk.propose(SELL, QC)
    verdict = desk.of(Verdict)[-1]
    assert (verdict.winner, verdict.outranked) == (qc.id, (rule.id,))


def test_a_decision_that_is_heard_anew_is_superseded_even_if_another_wins() -> None:
    desk = DeskHarness(a_config(replace(NO_LIMITS, allowed_symbols=(BTC,), price_collar=0.01)))
    desk.quote(100)
    first = desk.propose(BUY, QC, price=50.0)
    assert desk.fate(first) is None
    desk.propose(HOLD, QC, confidence=0.1)
    assert desk.fate(first) is Fate.SUPERSEDED


def test_expiry_ends_the_standing_and_not_the_position() -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.buys(source=QC, lasts=10_000)
    desk.wait(10_000)
    assert desk.position() == 10
    rule = desk.propose(SELL, RULE)
    assert desk.order.decision_id == rule.id


def test_an_llm_sell_closes_what_quantconnect_opened_once_that_stands_no_more() -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.buys(source=QC, lasts=10_000)
    early = desk.propose(SELL, LLM)
    assert desk.fate(early) is Fate.OUTRANKED
    desk.wait(10_000)
    late = desk.propose(SELL, LLM)
    desk.accept()
    desk.fill(price="110")
    assert desk.fate(late) is Fate.EXECUTED
    assert desk.position() == 0


def test_on_expiry_flatten_leaves_the_position() -> None:
    desk = DeskHarness(sources=(a_source(RULE, on_expiry=OnExpiry.FLATTEN),))
    desk.quote(100)
    desk.buys(lasts=10_000)
    desk.wait(10_000)
    assert (desk.order.leg, desk.order.amount) == (Leg.FLATTEN, Decimal(10))


def test_on_expiry_flatten_also_leaves_a_position_that_the_source_reaffirmed() -> None:
    desk = DeskHarness(sources=(a_source(RULE, on_expiry=OnExpiry.FLATTEN),))
    desk.quote(100)
    desk.buys(lasts=10_000)
    desk.wait(5_000)
    again = desk.propose(BUY, lasts=10_000)
    assert desk.fate(again) is Fate.ALREADY_AT_TARGET
    desk.wait(5_000)
    assert len(desk.venue.orders) == 1
    desk.wait(5_000)
    assert desk.order.leg is Leg.FLATTEN


def test_on_expiry_flatten_also_leaves_what_fills_while_the_entry_is_cancelled() -> None:
    rules = TradingRules(entry=OrderType.LIMIT)
    desk = DeskHarness(a_config(trading=rules), sources=(a_source(RULE, on_expiry=OnExpiry.FLATTEN),))
    desk.quote(100)
    desk.propose(lasts=10_000)
    desk.accept()
    desk.wait(10_000)
    entry = desk.order
    assert desk.venue.cancels == [entry.id]
    desk.fill("4", order=entry)
    desk.close("4", order=entry)
    assert (desk.order.leg, desk.order.amount) == (Leg.FLATTEN, Decimal(4))


def test_expiry_cancels_an_entry_that_serves_nobody_any_more() -> None:
    rules = TradingRules(entry=OrderType.LIMIT, entry_ttl_ms=10**9)
    desk = DeskHarness(a_config(trading=rules))
    desk.quote(100)
    first = desk.propose(BUY, LLM, lasts=20_000)
    desk.accept()
    desk.propose(BUY, QC, lasts=10_000)
    desk.wait(9_999)
    assert not desk.venue.cancels
    desk.wait(1)
    assert desk.venue.cancels == [desk.venue.orders[0].id]
    desk.close("0")
    assert desk.fate(first) is not None
    assert desk.fateless() == []


# HOLD.


def test_a_blocking_hold_stands_and_leaves_the_position_as_it_is() -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.buys(source=LLM)
    hold = desk.propose(HOLD, QC, lasts=10_000)
    assert desk.fate(hold) is Fate.HELD
    assert desk.fate(desk.propose(SELL, RULE)) is Fate.OUTRANKED
    assert desk.position() == 10
    desk.wait(10_000)
    desk.propose(SELL, RULE)
    assert desk.order.leg is Leg.EXIT


def test_a_hold_that_does_not_block_lets_lower_tiers_trade() -> None:
    desk = windowed()
    hold, rule = desk.propose(HOLD, LLM), desk.propose(BUY, RULE)
    desk.wait(250)
    assert desk.fate(hold) is Fate.HELD
    assert desk.order.decision_id == rule.id


def test_a_hold_cancels_an_entry_on_its_way_but_never_protection() -> None:
    desk = DeskHarness(a_config(trading=TradingRules(entry=OrderType.LIMIT)))
    desk.quote(100)
    rule = desk.propose(BUY, RULE)
    desk.accept()
    desk.propose(HOLD, QC)
    assert desk.venue.cancels == [desk.order.id]
    desk.close("0")
    assert desk.fate(rule) is Fate.OUTRANKED
    other = DeskHarness()
    other.quote(100)
    other.buys(source=RULE, stop_loss=90.0)
    other.propose(HOLD, QC)
    other.quote(89)
    assert other.order.leg is Leg.STOP_LOSS


# Denials.


def test_a_permanent_denial_passes_the_turn_to_the_best_who_waits() -> None:
    desk = windowed((QC, {"settle_ms": 250}))
    rule = desk.propose(BUY, RULE)
    llm = desk.propose(BUY, LLM)
    qc = desk.propose(BUY, QC, size_fraction=0.001)
    desk.wait(250)
    assert denial_of(desk, qc) is Denial.BELOW_MIN_COST
    assert desk.order.decision_id == llm.id
    assert desk.fate(rule) is Fate.AGREED


def test_a_permanently_denied_winner_stands_no_more() -> None:
    desk = DeskHarness(a_config(replace(NO_LIMITS, max_order_notional=1.0)))
    desk.quote(100)
    qc = desk.propose(BUY, QC)
    assert desk.fates()[qc.id].denial is Denial.MAX_ORDER_NOTIONAL
    assert desk.fate(desk.propose(SELL, RULE)) is Fate.NOTHING_TO_SELL


def test_a_transient_denial_is_retried_until_it_passes() -> None:
    desk = DeskHarness(a_config(RiskLimits(stale_after_ms=1_000)))
    desk.quote(100)
    desk.wait(5_000)
    qc = desk.propose(BUY, QC, lasts=60_000)
    assert not desk.venue.orders
    desk.wait(3_000)
    assert not desk.venue.orders
    desk.quote(100)
    desk.wait(1_000)
    assert desk.order.decision_id == qc.id


def test_a_transient_denial_is_retried_no_longer_than_the_decision_lasts() -> None:
    desk = DeskHarness(a_config(RiskLimits(stale_after_ms=1_000)))
    desk.quote(100)
    desk.wait(5_000)
    qc = desk.propose(BUY, QC, lasts=3_000)
    desk.wait(3_000)
    assert desk.fate(qc) is Fate.EXPIRED
    desk.quote(100)
    desk.wait(5_000)
    assert not desk.venue.orders


@pytest.mark.parametrize("together", [True, False])
def test_a_transient_denial_blocks_contrary_entries_and_lets_exits_through(together: bool) -> None:
    config = a_config(replace(NO_LIMITS, max_orders_per_minute=1))
    desk = DeskHarness(
        config, sources=(a_source(QC, settle_ms=100 if together else 0), a_source(LLM, settle_ms=100 if together else 0))
    )
    desk.quote(100)
    desk.propose(BUY, LLM, size_fraction=0.5, lasts=200)
    desk.wait(100)
    desk.accept()
    desk.fill()
    desk.wait(200)
    desk.propose(BUY, QC)
    exits = desk.propose(SELL, LLM)
    desk.wait(100)
    assert desk.order.decision_id == exits.id
    desk.accept()
    desk.fill()
    assert desk.fate(exits) is Fate.EXECUTED


def test_an_entry_of_a_lower_tier_is_blocked_by_a_transient_denial() -> None:
    config = a_config(RiskLimits(stale_after_ms=1_000))
    config = replace(config, targets=replace(config.targets, allow_short=True))
    desk = DeskHarness(config)
    desk.quote(100)
    desk.wait(5_000)
    desk.propose(BUY, QC)
    short = desk.propose(SELL, RULE)
    assert desk.fate(short) is Fate.OUTRANKED


# Sources come and go.


def test_a_source_that_leaves_takes_its_decisions_and_its_entry_along() -> None:
    desk = DeskHarness(
        a_config(trading=TradingRules(entry=OrderType.LIMIT)), sources=(a_source(QC), a_source(RULE, settle_ms=250))
    )
    desk.quote(100)
    standing = desk.propose(BUY, QC)
    desk.accept()
    desk.turn(SourceLeft(desk.now, QC))
    desk.close("0")
    waiting = desk.propose(BUY, RULE)
    desk.turn(SourceLeft(desk.now, RULE))
    assert [desk.fate(standing), desk.fate(waiting)] == [Fate.CANCELLED, Fate.CANCELLED]
    assert desk.venue.cancels == [desk.venue.orders[0].id]


def test_a_source_whose_sizing_nobody_knows_is_not_let_in() -> None:
    desk = DeskHarness(sources=(a_source(RULE, sizing="astrology"),))
    desk.quote(100)
    assert denial_of(desk, desk.propose()) is Denial.UNKNOWN_SOURCE


# The other policies.


def test_the_confidence_policy_weighs_tiers() -> None:
    desk = windowed(config=a_config(arbiter=Arbiter(Policy.CONFIDENCE)))
    llm, rule = desk.propose(SELL, LLM, confidence=0.5), desk.propose(BUY, RULE, confidence=0.9)
    desk.wait(250)
    assert desk.order.decision_id == rule.id
    assert desk.fate(llm) is Fate.OUTRANKED


def test_a_consensus_counts_all_unexpired_opinions() -> None:
    desk = windowed(config=a_config(arbiter=Arbiter(Policy.CONSENSUS)))
    llm, rule, other = desk.propose(SELL, LLM), desk.propose(BUY, RULE), desk.propose(BUY, OTHER_RULE)
    desk.wait(250)
    assert desk.order.decision_id in {rule.id, other.id}
    assert desk.fate(llm) is Fate.OUTRANKED


def test_holds_vote_in_a_consensus() -> None:
    desk = windowed(config=a_config(arbiter=Arbiter(Policy.CONSENSUS)))
    held = [desk.propose(HOLD, LLM), desk.propose(HOLD, RULE)]
    buy = desk.propose(BUY, OTHER_RULE)
    desk.wait(250)
    assert not desk.venue.orders
    assert [desk.fate(hold) for hold in held] == [Fate.HELD, Fate.HELD]
    assert desk.fate(buy) is Fate.OUTRANKED


def test_opinions_already_heard_still_vote_in_a_consensus() -> None:
    desk = windowed(config=a_config(arbiter=Arbiter(Policy.CONSENSUS)))
    desk.propose(HOLD, LLM)
    desk.propose(HOLD, RULE)
    desk.wait(250)
    buy = desk.propose(BUY, OTHER_RULE)
    desk.wait(250)
    assert not desk.venue.orders
    assert desk.fate(buy) is Fate.OUTRANKED
    desk.wait(60_000)
    later = desk.propose(BUY, OTHER_RULE)
    desk.wait(250)
    assert desk.order.decision_id == later.id
