from __future__ import annotations

import math
import typing
from collections import deque
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core import inputs as i
from bot.core.decision import Abstention, Claim, Decision, SourceSpec, Tier
from bot.core.effects import (
    CancelOrder,
    Effect,
    Notify,
    Publish,
    Record,
    SetTimer,
    Severity,
    StoreIntent,
    SubmitOrder,
    SubmitPair,
)
from bot.core.inputs import Input
from bot.core.market import Candle, Health, Instrument, Quote
from bot.journal.codec import decode_input, decode_snapshot, encode_effects, encode_input, encode_snapshot
from bot.journal.errors import JournalCorrupt
from tests.journal.journal_facts import NOW, decision, every_fact, fill_of, request

EXAMPLES: list[Input] = [
    Quote.of("BTC/USDT", NOW, 1.5, 2.5),
    Candle("BTC/USDT", "1m", NOW, NOW, 1.0, 2.0, 0.5, 1.5, 10.0),
    i.Proposed(NOW, decision()),
    i.Claimed(NOW, Claim("llm:x", Tier.LLM, "BTC/USDT", NOW + 1)),
    i.Abstained(NOW, Abstention("llm:x", Tier.LLM, "BTC/USDT", "budget")),
    i.IntentStored(NOW, "a"),
    i.IntentFailed(NOW, "a", "disk"),
    i.OrderAccepted(NOW, "a", "v"),
    i.OrderRefused(NOW, "a", "no"),
    i.OrderNotSent(NOW, "a", "the limit is used up", 700),
    i.OrderUnknown(NOW, "a", "timeout"),
    i.OrderClosed(NOW, "a", i.Closing.CANCELLED, Decimal("0.10")),
    i.CancelRefused(NOW, "a", "gone"),
    i.Filled(NOW, fill_of().fill),
    i.Wake(NOW),
    i.SetTradingState(NOW, i.TradingState.HALTED, "me", "why", flatten=True),
    i.SourceJoined(NOW, SourceSpec("rules:x", Tier.TRADITIONAL, symbols=("A/B", "C/D"))),
    i.SourceLeft(NOW, "rules:x"),
    i.MarketHealth(NOW, "BTC/USDT", Health.GAP, "two"),
    i.InstrumentChanged(
        NOW,
        Instrument("A/B", "A", "B", Decimal("0.10"), Decimal("1E-8"), Decimal(0), Decimal(5), Decimal("0.001"), Decimal("0.001")),
    ),
    i.CashMoved(NOW, Decimal("-10.00"), "USDT", "withdrawal"),
    i.Backlog(NOW, 900, over=True),
    i.OrderAdopted(NOW, request()),
    i.Reconciled(NOW, True, 2, 1, ("a deposit of 5 USDT",), ("BTC: 0.01 more",)),
]
EFFECTS: list[Effect] = [
    StoreIntent(request()),
    SubmitOrder(request()),
    SubmitPair(request(), request()),
    CancelOrder("a", "BTC/USDT", "why"),
    *[Record(fact, durable=True) for fact in every_fact()],
    *[Publish(fact) for fact in every_fact()],
    Notify(Severity.CRITICAL, "t", "x"),
    SetTimer(NOW),
]


def test_the_examples_name_every_kind_of_input() -> None:
    assert {type(example) for example in EXAMPLES} == set(typing.get_args(Input))
    assert {type(effect) for effect in EFFECTS} == set(typing.get_args(Effect))


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_input_comes_back_exactly(event: Input) -> None:
    back = decode_input(encode_input(event))
    assert back == event
    assert repr(back) == repr(event)
    assert type(back) is type(event)


floats = st.floats(allow_nan=True, allow_infinity=True)
texts = st.text(st.characters(codec=None), max_size=20)
evidence = st.dictionaries(texts, st.one_of(texts, floats, st.integers(), st.booleans(), st.none()), max_size=4)
decimals = st.decimals(allow_nan=True, allow_infinity=True)


@given(st.builds(Quote, symbol=texts, at=st.integers(), ts=st.integers(), bid=floats, ask=floats, ask_high=floats))
@settings(max_examples=200, deadline=None)
def test_any_quote_comes_back_exactly(quote: Quote) -> None:
    assert repr(decode_input(encode_input(quote))) == repr(quote)


@given(st.builds(Decision, id=texts, confidence=floats, price=floats, reasoning=texts, evidence=evidence, cost=decimals))
@settings(max_examples=200, deadline=None)
def test_any_proposal_comes_back_exactly(proposal: Decision) -> None:
    event = i.Proposed(NOW, proposal)
    back = decode_input(encode_input(event))
    assert repr(back) == repr(event)


plain_state = st.recursive(
    st.one_of(texts, floats, st.integers(), st.booleans(), st.none(), decimals, st.sampled_from(list(Tier)), st.just(decision())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(texts, st.tuples(texts, texts), st.just("$d")), inner, max_size=3),
        st.builds(deque, st.lists(inner, max_size=3), st.just(5)),
    ),
    max_leaves=10,
)


@given(plain_state)
@settings(max_examples=200, deadline=None)
def test_any_snapshot_comes_back_exactly(state: object) -> None:
    assert repr(decode_snapshot(encode_snapshot(state))) == repr(state)


def test_the_same_effects_give_the_same_bytes_and_others_do_not() -> None:
    assert encode_effects(EFFECTS) == encode_effects(list(EFFECTS))
    lines = {encode_effects([effect]) for effect in EFFECTS}
    assert len(lines) == len(EFFECTS)


def test_effects_with_unencodable_text_still_give_bytes() -> None:
    effect = Notify(Severity.INFO, "lone \ud800", "x")
    assert encode_effects([effect]) == encode_effects([effect])


def test_a_foreign_type_in_the_evidence_comes_back_as_text() -> None:
    from dataclasses import replace
    from pathlib import Path

    import numpy as np

    foreign: typing.Any = {"array": np.float64(1.5), "path": Path("x"), "count": np.int64(3)}
    odd = replace(decision(), evidence=foreign)
    back = decode_input(encode_input(i.Proposed(NOW, odd)))
    assert isinstance(back, i.Proposed)
    assert back.decision.evidence == {"array": 1.5, "path": "x", "count": "3"}
    assert encode_effects([Record(every_fact()[0])])


def test_a_snapshot_with_a_foreign_type_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="a object has no place"):
        encode_snapshot({"x": object()})


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[1]", b'{"type":"Quote","in":[1]}', b'{"type":"Wake","in":{"$":"Nope"}}', b'{"type":"Wake","in":5}']
)
def test_a_line_that_is_no_input_is_corrupt(line: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        decode_input(line)


def test_infinities_survive_in_a_quote() -> None:
    back = decode_input(encode_input(Quote.of("A/B", 1, math.inf, math.nan)))
    assert isinstance(back, Quote)
    assert back.bid == math.inf
    assert math.isnan(back.ask)


def test_every_class_a_snapshot_may_hold_has_a_name_of_its_own() -> None:
    from dataclasses import fields

    from bot.journal import codec

    members = [cls for module in codec._MODULES for cls in codec._members(module)]
    assert len({cls.__name__ for cls in members}) == len(members)
    assert [(cls, field.name) for cls in codec._FIELDS for field in fields(cls) if not field.init] == []
