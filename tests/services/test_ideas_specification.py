"""The judge of ideas: what means nothing is refused by name, and equal strategies are one whatever they are called."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.services.ideas.answer import Template, form
from bot.services.ideas.specification import Bounds, IdeaRefused, Specification, built_in, checked, specified
from sources.llm.schemas import check_portable, fault_of
from sources.loading import RULES

BOUNDS = Bounds(("BTC/USDT", "ETH/USDT"))
RSI = {"indicator": "rsi", "period": 14, "operator": "<", "value": 30.0, "other": "none", "other_period": 1}
TREND = {"indicator": "close", "period": 1, "operator": ">", "value": None, "other": "ema", "other_period": 200}
OVER = {"indicator": "rsi", "period": 14, "operator": ">", "value": 60.0, "other": "none", "other_period": 1}
ANSWER: dict[str, Any] = {
    "name": "Dip in a trend",
    "description": "What fell too far in a rising market comes back.",
    "rule": "composed",
    "settings": [],
    "symbols": ["BTC/USDT"],
    "timeframe": "15m",
    "entry": [RSI, TREND],
    "filters": [],
    "exit": [OVER],
    "entry_logic": "all",
    "exit_logic": "any",
    "stop_loss": 0.03,
    "take_profit": 0,
    "trailing": 0,
    "size_fraction": 0.5,
    "confidence": 0.6,
    "max_hold_candles": 0,
    "cooldown_candles": 3,
}
CROSS = ANSWER | {"rule": "sma-cross", "settings": [{"name": "fast", "value": 9}, {"name": "slow", "value": 30}]}


def idea(**change: Any) -> Specification:
    return specified(ANSWER | change, BOUNDS)


def test_the_form_of_the_answer_is_one_that_every_provider_takes() -> None:
    schema = form(built_in(), BOUNDS.symbols)
    check_portable(schema.body)
    assert fault_of(ANSWER, schema.body) == ""
    assert fault_of(CROSS, schema.body) == ""
    assert "INDICATOR" in fault_of(ANSWER | {"entry": [RSI | {"indicator": "eval"}]}, schema.body).upper()
    assert all(each.about for each in Template)


def test_an_answer_becomes_a_source_that_is_switched_off() -> None:
    made = idea()
    content = made.yaml()
    assert content["enabled"] is False
    assert content["kind"] == "composed"
    assert content["source"] == f"idea:dip-in-a-trend-{made.id[:8]}"
    assert content["protection"] == {"stop_loss": 0.03}
    assert made.params["entry"][0] == {"indicator": "rsi", "period": 14, "operator": "<", "value": 30.0}


def test_a_built_in_rule_takes_settings_by_their_names() -> None:
    made = specified(CROSS, BOUNDS)
    assert (made.rule, made.params["fast"], made.params["slow"]) == ("sma-cross", 9, 30)
    with pytest.raises(IdeaRefused, match="quick"):
        specified(CROSS | {"settings": [{"name": "quick", "value": 9}]}, BOUNDS)
    assert set(built_in()) == set(RULES) - {"composed", "dca"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"exit": []}, "no way out"),
        ({"entry": []}, "at least 1"),
        ({"stop_loss": 0}, "protection.stop_loss"),
        ({"stop_loss": 0.9}, "protection.stop_loss"),
        ({"take_profit": 40}, "protection.take_profit"),
        ({"symbols": ["DOGE/USDT"]}, "DOGE/USDT: not among"),
        ({"timeframe": "7m"}, "timeframe '7m'"),
        ({"rule": "os.system"}, "rule 'os.system' is none of"),
        ({"rule": "dca"}, "rule 'dca' is none of"),
        ({"entry": [RSI | {"value": 300}]}, "not within 0 and 100"),
        ({"entry": [RSI | {"indicator": "moon"}]}, "entry.0.indicator"),
        ({"entry": [RSI | {"period": 5000}]}, "entry.0.period"),
        ({"entry": [RSI | {"other": "close"}]}, "either a value"),
        ({"entry": [RSI | {"value": None}]}, "either a value"),
        ({"entry": [RSI] * 9}, "at most 8"),
        ({"size_fraction": 3}, "size_fraction"),
        ({"confidence": 0}, "confidence"),
        ({"max_hold_candles": -3}, "max_hold"),
    ],
)
def test_what_means_nothing_is_refused_by_name(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(IdeaRefused, match=fault) as caught:
        idea(**change)
    assert caught.value.faults
    assert "\n" not in str(caught.value)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(IdeaRefused) as caught:
        idea(entry=[RSI | {"value": 300}, RSI | {"period": 0, "indicator": "moon"}], confidence=7)
    assert len(caught.value.faults) >= 3


def test_equal_strategies_are_one_whatever_they_are_called() -> None:
    made = idea()
    assert idea(name="Other", description="words", entry=[TREND, RSI], exit_logic="all", entry_logic="all").id == made.id
    assert idea(entry=[RSI, TREND, RSI]).id == made.id
    assert idea(filters=[RSI]).id == made.id  # said twice is said once
    others: tuple[dict[str, Any], ...] = (
        {"entry": [RSI]},
        {"timeframe": "1h"},
        {"stop_loss": 0.04},
        {"symbols": []},
        {"entry_logic": "any"},
    )
    for change in others:
        assert idea(**change).id != made.id


def test_words_of_a_model_are_plain_and_bounded() -> None:
    made = idea(name="x\n\x1b[31menabled: true" + "y" * 500, description="a\nenabled: true <b>b</b>\u202e" + "z" * 2_000)
    assert len(made.name) <= 40
    assert len(made.thesis) <= 300
    assert made.name.isprintable()
    assert "\n" not in made.thesis
    assert "\u202e" not in made.thesis


def test_a_specification_survives_being_written_down() -> None:
    made = idea()
    again = checked(made.model_dump(mode="json"))
    assert again == made
    assert again.canonical == made.canonical


JUNK = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=2))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["name", "thesis", "rule", "params", "symbols", "timeframe", "protection", "more"]), JUNK)
def test_whatever_is_written_down_is_read_or_refused(key: str, junk: object) -> None:
    given = idea().model_dump(mode="json") | {key: junk}
    with suppress(IdeaRefused):
        assert checked(given).id
