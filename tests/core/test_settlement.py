"""Promises of settlement: admission, the settle window, claims, standing, holds and fates."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.core.arbiter import Arbiter, Policy
from bot.core.decision import Action, Decision, Denial, Fate, OnExpiry, Tier
from bot.core.desk import DeskConfig
from bot.core.facts import ClaimMade, Verdict
from bot.core.inputs import Proposed, SourceJoined, SourceLeft
from bot.core.orders import Leg, OrderType
from bot.core.risk import RiskLimits
from bot.core.trading import TradingRules
from tests.factories import BTC, ETH, LLM, NO_LIMITS, QC, RULE, DeskHarness, a_config, a_decision, a_source

BUY, SELL, HOLD = Action.BUY, Action.SELL, Action.HOLD
OTHER_RULE = "rules:rsi"


def windowed(*changes: tuple[str, dict[str, Any]], config: DeskConfig | None = None) -> DeskHarness:
    """A desk with the default settle windows: none for QuantConnect, 250 ms for the others."""
    extra = dict(changes)
    names = (QC, LLM, RULE, OTHER_RULE)
    specs = [a_source(name, **{"settle_ms": 0 if name == QC else 250, **extra.get(name, {})}) for name in names]
    harness = DeskHarness(config, specs)
    harness.quote(100)
    return harness


def denial_of(desk: DeskHarness, decision: Decision) -> Denial | None:
    """The denial in a decision's fate."""
    return desk.fates()[decision.id].denial


# Admission: what fails here never blocks anyone.


@pytest.mark.parametrize(
    ("changes", "fate", "denial"),
    [
        ({"source": "nobody"}, Fate.DENIED, Denial.UNKNOWN_SOURCE),
        ({"tier": Tier.QUANTCONNECT}, Fate.DENIED, Denial.MALFORMED),
        ({"confidence": float("nan")}, Fate.DENIED, Denial.MALFORMED),
        ({"confidence": 1.01}, Fate.DENIED, Denial.MALFORMED),
        ({"price": 0.0}, Fate.DENIED, Denial.MALFORMED),
        ({"price": float("inf")}, Fate.DENIED, Denial.MALFORMED),
        ({"stop_loss": float("nan")}, Fate.DENIED, Denial.MALFORMED),
        ({"take_profit": -1.0}, Fate.DENIED, Denial.MALFORMED),
        ({"trailing": 1.0}, Fate.DENIED, Denial.MALFORMED),
        ({"size_fraction": 0.0}, Fate.DENIED, Denial.MALFORMED),
        ({"size_fraction": 1.5}, Fate.DENIED, Denial.MALFORMED),
        ({"expires": 0}, Fate.DENIED, Denial.MALFORMED),
        ({"expires": 10**30}, Fate.DENIED, Denial.MALFORMED),
        ({"name": ""}, Fate.DENIED, Denial.MALFORMED),
        ({"symbol": "DOGE/USDT"}, Fate.DENIED, Denial.UNKNOWN_INSTRUMENT),
        ({"confidence": 0.2}, Fate.BELOW_THRESHOLD, None),
    ],
)
def test_what_is_not_admitted_is_told_why_and_blocks_nobody(changes: dict[str, Any], fate: Fate, denial: Denial | None) -> None:
    desk = DeskHarness(sources=(a_source(LLM, threshold=0.5), a_source(RULE)))
    desk.quote(100)
    given = {"name": "bad", **changes}
    decision = replace(a_decision(BUY, LLM, desk.now, name=given.pop("name")), **given)
    desk.turn(Proposed(desk.now, decision))
    found = desk.fates()[decision.id]
    assert (found.fate, found.denial) == (fate, denial)
    other = desk.propose(SELL, RULE)
    assert desk.fate(other) is Fate.NOTHING_TO_SELL


def test_a_paused_source_is_not_heard() -> None:
    desk = DeskHarness(sources=(a_source(RULE, paused=True),))
    desk.quote(100)
    assert denial_of(desk, desk.propose()) is Denial.SOURCE_PAUSED


def test_a_source_is_held_to_its_own_symbols() -> None:
    desk = DeskHarness(sources=(a_source(RULE, symbols=(ETH,)),))
    desk.quote(100)
    assert denial_of(desk, desk.propose()) is Denial.SYMBOL_NOT_ALLOWED


def test_a_duplicate_external_id_is_heard_once_per_source() -> None:
    desk = DeskHarness()
    desk.quote(100)
    first = desk.propose(BUY, QC, external_id="x")
    again = desk.propose(SELL, QC, external_id="x")
    other = desk.propose(BUY, LLM, external_id="x")
    assert desk.fate(again) is Fate.DUPLICATE
    assert desk.fate(first) is None
    assert desk.fate(other) is Fate.AGREED


def test_a_decision_that_is_too_old_or_over_is_stale() -> None:
    desk = DeskHarness(a_config(max_age_ms=1_000))
    desk.quote(100)
    assert desk.fate(desk.propose(at=desk.now - 1_001)) is Fate.STALE
    assert desk.fate(desk.propose(at=desk.now - 500, lasts=500)) is Fate.STALE
    assert desk.fate(desk.propose(at=desk.now - 1_000)) is None


def test_a_repeated_decision_id_is_one_decision() -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.propose(name="same")
    desk.propose(name="same")
    assert len(desk.venue.orders) == 1
    assert desk.desk.state.ignored == {"decision-repeated": 1}


def test_a_decision_that_still_stands_is_not_taken_for_a_new_one_however_many_came_since() -> None:
    desk = DeskHarness()
    desk.quote(100)
    first = desk.propose(BUY, QC, lasts=10_000_000)
    for number in range(5_000):
        desk.propose(BUY, "nobody", name=f"n{number}")
    desk.turn(Proposed(desk.now, first))
    desk.accept()
    desk.fill()
    assert desk.fate(first) is Fate.EXECUTED
    assert desk.fateless() == []


# The queue.


def test_a_newer_decision_of_a_source_supersedes_its_waiting_one() -> None:
    desk = windowed()
    old, new = desk.propose(BUY), desk.propose(SELL)
    assert desk.fate(old) is Fate.SUPERSEDED
    assert desk.fates()[old.id].winner == new.id


def test_a_full_queue_drops_its_lowest_and_says_so() -> None:
    desk = windowed(config=a_config(queue_bound=1))
    weak = desk.propose(BUY, RULE, confidence=0.9)
    strong = desk.propose(BUY, LLM, symbol=ETH, confidence=0.1)
    weaker = desk.propose(BUY, OTHER_RULE)
    assert desk.fate(weak) is Fate.QUEUE_OVERFLOW
    assert desk.fate(weaker) is Fate.QUEUE_OVERFLOW
    assert desk.fate(strong) is None


# The settle window.


def test_a_settle_window_is_fixed_by_the_first_proposal_and_never_slides() -> None:
    desk = windowed()
    desk.propose(BUY, RULE)
    desk.wait(200)
    desk.propose(BUY, OTHER_RULE)
    assert not desk.venue.orders
    desk.wait(49)
    assert not desk.venue.orders
    desk.wait(1)
    assert len(desk.venue.orders) == 1


def test_near_simultaneous_proposals_meet_before_the_first_trades() -> None:
    desk = windowed()
    rule = desk.propose(BUY, RULE)
    desk.wait(100)
    llm = desk.propose(SELL, LLM)
    desk.wait(150)
    assert not desk.venue.orders
    assert desk.fate(rule) is Fate.OUTRANKED
    assert desk.fate(llm) is Fate.NOTHING_TO_SELL


def test_quantconnect_does_not_wait_for_anybodys_window() -> None:
    desk = windowed()
    rule = desk.propose(SELL, RULE)
    qc = desk.propose(BUY, QC)
    assert desk.order.decision_id == qc.id
    assert desk.fate(rule) is Fate.OUTRANKED


def test_a_decision_that_expired_while_nobody_woke_the_desk_beats_nobody() -> None:
    desk = windowed((QC, {"settle_ms": 250}))
    desk.quote(100)
    gone = desk.propose(SELL, QC, lasts=500)
    rule = desk.propose(BUY, RULE)
    desk.quote(100, after=1_000)
    assert desk.fate(gone) is Fate.EXPIRED
    assert desk.order.decision_id == rule.id


def test_proposals_wait_for_the_first_price() -> None:
    desk = DeskHarness()
    decision = desk.propose(BUY)
    assert desk.fate(decision) is None
    desk.quote(100, after=10)
    desk.wait(1_000)
    assert desk.order.decision_id == decision.id


def test_proposals_without_a_price_do_not_pile_up_timers() -> None:
    desk = DeskHarness(a_config(max_age_ms=10**9))
    for _ in range(50):
        desk.propose(BUY, lasts=100_000)
        desk.wait(10)
    settling = [deadline for deadline in desk.desk.state.deadlines if deadline[2].value == "settle"]
    assert len(settling) <= 1


# Claims.


def test_a_claim_makes_lower_tiers_wait_and_an_abstention_releases_them() -> None:
    desk = windowed()
    desk.claim(LLM, 5_000)
    rule = desk.propose(BUY, RULE)
    desk.wait(2_000)
    assert not desk.venue.orders
    desk.abstain(LLM)
    assert desk.order.decision_id == rule.id


def test_a_claim_does_not_make_higher_or_equal_tiers_wait() -> None:
    desk = windowed()
    desk.claim(LLM, 5_000)
    qc = desk.propose(BUY, QC)
    assert desk.order.decision_id == qc.id
    desk.claim(RULE, 5_000)
    other = desk.propose(BUY, OTHER_RULE, symbol=ETH)
    desk.quote(100, symbol=ETH)
    desk.claim(RULE, 5_000, ETH)
    desk.wait(2_000)
    assert desk.order.decision_id == other.id


def test_a_claim_is_bounded_by_its_sources_settings() -> None:
    desk = windowed((LLM, {"max_claim_ms": 1_000}))
    desk.claim(LLM, 3_600_000)
    assert desk.of(ClaimMade)[0].claim.until == desk.now + 1_000
    desk.propose(BUY, RULE)
    desk.wait(999)
    assert not desk.venue.orders
    desk.wait(1)
    assert desk.venue.orders


def test_renewing_a_claim_does_not_stretch_its_bound() -> None:
    desk = windowed((LLM, {"max_claim_ms": 1_000}))
    desk.propose(BUY, RULE)
    for _ in range(11):
        desk.claim(LLM, 1_000)
        desk.wait(100)
    assert desk.venue.orders


def test_the_claimants_decision_ends_its_claim() -> None:
    desk = windowed()
    desk.claim(LLM, 5_000)
    rule = desk.propose(BUY, RULE)
    desk.wait(1_000)
    llm = desk.propose(SELL, LLM)
    assert desk.fate(rule) is Fate.OUTRANKED
    assert desk.fate(llm) is Fate.NOTHING_TO_SELL


def test_a_claim_of_a_middle_tier_holds_when_the_top_one_passes_its_turn() -> None:
    desk = windowed((QC, {"hold_blocks": False}))
    desk.claim(LLM, 5_000)
    rule = desk.propose(BUY, RULE)
    desk.propose(HOLD, QC)
    desk.wait(1_000)
    assert not desk.venue.orders
    desk.wait(4_000)
    assert desk.order.decision_id == rule.id


@pytest.mark.parametrize("leaves", [True, False])
def test_a_claim_ends_when_its_source_leaves_or_is_paused(leaves: bool) -> None:
    desk = windowed()
    desk.claim(LLM, 5_000)
    rule = desk.propose(BUY, RULE)
    desk.wait(1_000)
    spec = desk.desk.state.sources[LLM]
    desk.turn(SourceLeft(desk.now, LLM) if leaves else SourceJoined(desk.now, replace(spec, paused=True)))
    assert desk.order.decision_id == rule.id


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


def test_a_claim_on_what_the_venue_does_not_list_is_not_kept() -> None:
    desk = DeskHarness()
    for number in range(20):
        desk.claim(LLM, 1_000, f"COIN{number}/USDT")
    assert desk.desk.state.benches == {}
    assert desk.desk.state.ignored == {"claim-refused": 20}
