"""What calls cost, what they may cost at most, and how tokens are counted before they are sent."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.llm.asking import Usage
from sources.llm.models import Capabilities, Effort, Model, Price, Rate
from sources.llm.prices import PriceError, cost, most, rate_at, read_table, shipped
from sources.llm.tokens import START, TokenScale, count, count_ask
from tests.sources.llm.llm_asks import NOW, an_ask

TABLE = shipped()


def at(year: int, month: int, day: int) -> int:
    """Midnight UTC in ms."""
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


def price_of(name: str) -> Price:
    """A price of the shipped table."""
    price = TABLE.model("p", name).price
    assert price is not None
    return price


def test_the_shipped_table_is_whole_and_dated() -> None:
    assert TABLE.as_of == date(2026, 11, 21)
    assert len(TABLE.entries) > 30
    for name, entry in TABLE.entries.items():
        rate = entry.price.rate
        assert 0 < rate.input < rate.output, name
        assert rate.cached is None or rate.cached < rate.input, name
        assert entry.price.long is None or entry.price.long.input > rate.input, name


def test_any_name_is_accepted_but_none_gets_a_price_that_is_not_its_own() -> None:
    assert TABLE.model("p", "gpt-9-nova").price is None
    assert TABLE.model("p", "gpt-6-luna-2").price is None
    assert TABLE.model("p", "claude-haiku-4-5-20251001").price == price_of("claude-haiku-4-5")
    assert TABLE.model("p", "models/gemini-2.5-flash").price == price_of("gemini-2.5-flash")
    own = Price(Rate(Decimal(1), Decimal(2)))
    assert TABLE.model("p", "gpt-9-nova", own).price is own
    assert TABLE.model("p", "gpt-6-luna", own).price is own


def test_a_dated_price_holds_from_its_day_on() -> None:
    price = price_of("gemini-4-argon")
    assert rate_at(price, 1, at(2026, 12, 1) - 1).input == 2
    assert rate_at(price, 1, at(2026, 12, 1)).input == 4


def test_a_long_prompt_is_dearer_as_a_whole() -> None:
    price = price_of("claude-haiku-5-5")
    million = Decimal(10) ** 6
    assert cost(Usage(input=100_000, output=10), price, NOW) == (100_000 * Decimal("0.1") + 10 * Decimal("0.5")) / million
    assert cost(Usage(input=100_001, output=10), price, NOW) == (100_001 * Decimal("0.5") + 10 * Decimal("2.5")) / million


def test_what_has_no_price_of_its_own_costs_as_input_does() -> None:
    price = Price(Rate(Decimal(3), Decimal(9)))
    assert cost(Usage(1000, 300, 200, 10, 0, 50), price, NOW) == Decimal(3 * 1000 + 90) / 10**6


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**5),
    st.sampled_from(sorted(TABLE.entries)),
)
def test_no_call_costs_more_than_was_reserved_for_its_tokens(
    total: int, cached: int, written: int, output: int, name: str
) -> None:
    cached = min(cached, total)
    written = min(written, total - cached)
    price = price_of(name)
    paid = cost(Usage(total, cached, written, output, 0, written), price, NOW)
    assert 0 <= paid <= most(total, output, price, NOW, caches=True)


@pytest.mark.parametrize(
    "text",
    [
        "models: {}",
        "as_of: 2026-01-01\nmodels: {a: {}}",
        "as_of: 2026-01-01\nmodels: {a: {rate: [1]}}",
        "as_of: 2026-01-01\nmodels: {a: {rate: [-1, 2]}}",
        "as_of: 2026-01-01\nmodels: {a: {rate: [.nan, 2]}}",
        "as_of: 2026-01-01\nmodels: {a: {rate: [1, 2], efforts: [huge]}}",
        "[",
        "",
    ],
)
def test_a_broken_table_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(PriceError, match=r"own\.yaml"):
        read_table(text, "own.yaml")


REFERENCE = re.compile(r"\d{1,3}|[A-Za-z]{1,7}|[^\x00-\x7f]|[^\sA-Za-z0-9]|\n+", re.ASCII)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_count_of_tokens_is_that_of_the_expression_it_stands_for(text: str) -> None:
    assert count(text) == len(REFERENCE.findall(text))


def test_the_count_of_typical_text_is_as_expected() -> None:
    assert count("") == 0
    assert count("[60000.15,-0.5]\n\n") == 12
    assert count("比特币") == 3
    assert count("\ud800") >= 1
    assert count_ask(an_ask(schema=None)) < count_ask(an_ask())


def test_the_factor_of_a_model_is_learnt_from_reports_and_absurd_ones_are_passed_over() -> None:
    scale, model = TokenScale(), Model("p", "m")
    assert scale.stretched(1000, model) == 1150
    assert scale.factor(model) == START
    for _ in range(200):
        scale.learn(model, 1000, 1500)
    assert scale.factor(model) == pytest.approx(1.5, abs=0.01)
    before = scale.state()
    for estimated, reported in ((1000, 10**9), (1000, 1), (0, 5), (10, 0), (-1, 3)):
        scale.learn(model, estimated, reported)
    assert scale.state() == before
    assert TokenScale(before).factor(model) == scale.factor(model)
    assert TokenScale({"p/m": 99.0, "p/n": "x", "p/o": float("nan")}).state() == {}


def test_an_effort_that_a_model_does_not_take_becomes_the_next_lower() -> None:
    some = Capabilities(efforts=(Effort.LOW, Effort.MEDIUM, Effort.HIGH))
    assert some.effort_for(Effort.MEDIUM) is Effort.MEDIUM
    assert some.effort_for(Effort.MAX) is Effort.HIGH
    assert some.effort_for(Effort.NONE) is Effort.LOW
    assert some.effort_for(None) is None
    assert Capabilities().effort_for(Effort.XHIGH) is Effort.XHIGH
    assert Capabilities(effort=False).effort_for(Effort.LOW) is None
