"""From facts to evidence: buys by what their own shadow made of them, sells by what the exit avoided."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.core.decision import Action
from bot.core.facts import ShadowClosed
from research.calibration.evidence import Part, closed_of
from research.calibration.outcomes import Outcomes
from tests.factories import BTC, ETH, LLM, RULE, T0, a_decision

MINUTE = 60_000


def a_closing(decision: str, at: int = T0 + MINUTE, pnl: float = 5, source: str = RULE, **changed: Any) -> ShadowClosed:
    """One bought at 100 and sold at 105."""
    fields: dict[str, Any] = {
        "symbol": BTC,
        "opened": T0,
        "entry": Decimal(100),
        "exit": Decimal(105),
        "amount": Decimal(1),
        "leg": "exit",
    }
    return ShadowClosed(at=at, source=source, decision_id=decision, pnl=Decimal(str(pnl)), **(fields | changed))


def test_a_buy_is_judged_by_the_trade_that_its_shadow_opened() -> None:
    outcomes = Outcomes("main")
    outcomes.seen(a_decision(name="d1", confidence=0.5, raw_confidence=0.7, evidence={"model": "claude"}, source=LLM))
    [part] = outcomes.closed(a_closing("d1", source=LLM))
    [found] = closed_of([part], T0 + MINUTE)
    assert (found.source, found.model, found.action, found.symbol) == (LLM, "claude", "buy", BTC)
    assert (found.stated, found.counted, found.profit, found.known_at) == (0.7, 0.5, 0.05, T0 + MINUTE)
    assert (found.decision, found.won) == ("d1", 1)


def test_parts_add_up_and_are_told_apart() -> None:
    outcomes = Outcomes()
    outcomes.seen(a_decision(name="d1"))
    told = [a_closing("d1"), a_closing("d1", pnl=-15), a_closing("d1", T0 + 2 * MINUTE, -20)]
    parts = [part for closing in told for part in outcomes.closed(closing)]
    assert parts[0].id == parts[1].id != parts[2].id  # the same closing told twice
    [found] = closed_of([parts[0], parts[2]], T0 + MINUTE * 9)
    assert found.profit == pytest.approx(-15 / 200)


def test_what_was_never_seen_is_counted_and_teaches_nothing() -> None:
    outcomes = Outcomes()
    assert outcomes.closed(a_closing("who?")) == []
    assert outcomes.unknown == 1


@pytest.mark.parametrize("changed", [{"confidence": float("nan")}, {"confidence": 1.2}, {"action": Action.HOLD}])
def test_decisions_that_cannot_be_judged_are_left_out(changed: dict[str, Any]) -> None:
    outcomes = Outcomes()
    outcomes.seen(a_decision(**({"name": "d1"} | changed)))
    assert outcomes.closed(a_closing("d1")) == []


def sold(outcomes: Outcomes, leg: str = "exit") -> list[Part]:
    """Buy, then sell at 105 by a decision that lasts two minutes."""
    outcomes.seen(a_decision(name="buy"))
    outcomes.seen(a_decision(Action.SELL, name="sell", at=T0 + MINUTE, lasts=2 * MINUTE, confidence=0.8))
    parts = outcomes.closed(a_closing("buy", T0 + MINUTE, leg=leg))
    return [part for part in parts if part.opinion.action == "sell"]


@pytest.mark.parametrize(("price", "profit"), [(100.8, 0.04), (107.1, -0.02)])
def test_a_sell_is_judged_by_the_first_price_after_its_time(price: float, profit: float) -> None:
    outcomes = Outcomes()
    assert sold(outcomes) == []
    assert outcomes.priced(T0 + 2 * MINUTE, BTC, 50.0) == []  # it lasts still
    assert outcomes.priced(T0 + 3 * MINUTE, ETH, 50.0) == []
    assert outcomes.priced(T0 + 3 * MINUTE, BTC, float("nan")) == []
    parts = outcomes.priced(T0 + 4 * MINUTE, BTC, price)
    [found] = closed_of(parts, T0 + 4 * MINUTE)
    assert (found.action, found.stated, found.decision) == ("sell", 0.8, "sell")
    assert found.profit == pytest.approx(profit)
    assert found.known_at == T0 + 4 * MINUTE
    assert outcomes.priced(T0 + 5 * MINUTE, BTC, 1.0) == []


def test_a_sell_that_no_price_judges_in_time_is_left_out() -> None:
    outcomes = Outcomes()
    sold(outcomes)
    assert outcomes.priced(T0 + 5 * MINUTE + 1, BTC, 50.0) == []
    assert outcomes.priced(T0 + 4 * MINUTE, BTC, 50.0) == []


def test_a_sell_that_sold_nothing_is_left_out() -> None:
    outcomes = Outcomes()
    sold(outcomes, leg="stop-loss")
    assert outcomes.priced(T0 + 4 * MINUTE, BTC, 50.0) == []


def test_whichever_price_comes_first_a_sell_has_one_outcome() -> None:
    ids = set()
    for price in (90.0, 110.0):
        outcomes = Outcomes()
        sold(outcomes)
        ids |= {part.id for part in outcomes.priced(T0 + 4 * MINUTE, BTC, price)}
    assert len(ids) == 1


def test_a_decision_told_again_does_not_change_what_it_stated() -> None:
    outcomes = Outcomes()
    outcomes.seen(a_decision(name="d1", confidence=0.9))
    outcomes.seen(a_decision(name="d1", confidence=0.1, at=T0 + 1_000))
    [part] = outcomes.closed(a_closing("d1"))
    assert part.opinion.stated == 0.9
    outcomes.seen(a_decision(name="d1", confidence=0.3, at=T0 + 2 * MINUTE))  # another run counts anew
    [part] = outcomes.closed(a_closing("d1", T0 + 3 * MINUTE))
    assert part.opinion.stated == 0.3


def test_what_waits_is_bounded_and_counted() -> None:
    outcomes = Outcomes(opinions=10)
    for number in range(30):
        outcomes.seen(a_decision(name=f"d{number}"))
    assert outcomes.forgotten == 20
    assert outcomes.closed(a_closing("d0")) == []
    assert len(outcomes.closed(a_closing("d29"))) == 1


def test_sources_are_kept_under_the_name_that_is_given_them() -> None:
    outcomes = Outcomes(named=lambda source: f"simulated/{source}")
    outcomes.seen(a_decision(name="d1"))
    [part] = outcomes.closed(a_closing("d1"))
    assert part.opinion.source == f"simulated/{RULE}"
