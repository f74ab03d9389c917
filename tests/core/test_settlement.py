"""Promises of settlement: admission, the queue, the settle window and claims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core.decision import Action, Denial, Fate, Tier
from bot.core.facts import ClaimMade, Verdict
from bot.core.inputs import Proposed, SourceJoined, SourceLeft
from tests.core.desks import OTHER_RULE, denial_of, windowed
from tests.factories import ETH, LLM, QC, RULE, DeskHarness, a_config, a_decision, a_source

BUY, SELL, HOLD = Action.BUY, Action.SELL, Action.HOLD


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


def test_a_verdict_says_who_gave_way_to_its_winner() -> None:
    desk = windowed()
    desk.propose(Action.HOLD, LLM)
    desk.propose(BUY, RULE)
    desk.wait(300)
    assert desk.of(Verdict)[-1].reason == f"{RULE} alone spoke, after {LLM} gave way"


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


def test_a_decision_that_is_refused_ends_its_sources_claim_too() -> None:
    desk = windowed((LLM, {"threshold": 0.9}))
    desk.claim(LLM, 5_000)
    rule = desk.propose(BUY, RULE)
    desk.wait(1_000)
    assert not desk.venue.orders
    refused = desk.propose(SELL, LLM)
    assert desk.fate(refused) is Fate.BELOW_THRESHOLD
    assert desk.order.decision_id == rule.id


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


def test_a_claim_on_what_the_venue_does_not_list_is_not_kept() -> None:
    desk = DeskHarness()
    for number in range(20):
        desk.claim(LLM, 1_000, f"COIN{number}/USDT")
    assert desk.desk.state.benches == {}
    assert desk.desk.state.ignored == {"claim-refused": 20}
