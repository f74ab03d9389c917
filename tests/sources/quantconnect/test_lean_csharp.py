"""The text in C# says that nobody compiled it; what can be seen without a compiler is seen here."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.quantconnect.lean.csharp_blocks import BLOCKS
from sources.quantconnect.lean.errors import LeanError
from sources.quantconnect.lean.generating import generate_csharp
from sources.quantconnect.lean.literals import csharp
from sources.quantconnect.lean.strategies import TEMPLATES, strategy_of
from tests.sources.quantconnect.lean_twins import config_of

KINDS = list(dict.fromkeys((*TEMPLATES, *BLOCKS)))
LITERAL = re.compile(r'"(?:[^"\\\n]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"')


def main_of(kind: str, **more: Any) -> str:
    return generate_csharp(config_of(kind, **more)).files["Main.cs"]


def bare(text: str) -> str:
    """The text without literals and comments."""
    return re.sub(r"//[^\n]*", "", LITERAL.sub('""', text))


def balanced(text: str) -> bool:
    pairs, open_ones = {")": "(", "]": "[", "}": "{"}, []
    for letter in bare(text):
        if letter in "([{":
            open_ones.append(letter)
        elif letter in pairs and (not open_ones or open_ones.pop() != pairs[letter]):
            return False
    return not open_ones


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forward", ["none", "webhook", "objects"])
def test_the_text_is_balanced_and_says_that_it_was_never_compiled(kind: str, forward: str) -> None:
    text = main_of(kind, forward=forward, webhook_url="https://x", fees={"rate": 0.001, "slippage": 0.0001}, stop_loss=0.02)
    assert text.startswith("// NEVER COMPILED")
    assert balanced(text)
    assert bare(text).count('"') % 2 == 0
    assert text.isascii()
    assert text.count(" : QCAlgorithm") == 1
    assert len(text) <= 32_000
    for placeholder in ("PERIOD_MS", "MARKET", "KEPT"):
        assert placeholder not in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_that_is_named_is_there_and_none_else(kind: str) -> None:
    text = bare(main_of(kind))
    made = set(re.findall(r"class (\w+)", text))
    assert len(made) == text.count("class ")
    used = set(re.findall(r"new (\w+)\(", text)) - {"List", "Dictionary"}
    assert used <= made
    kept = made - {next(iter(re.findall(r"class (\w+) : QCAlgorithm", text)))}
    for name in kept:
        assert len(re.findall(rf"\b{name}\b", text)) > 2


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_rule_takes_its_parameters_in_the_order_of_the_python(kind: str) -> None:
    names = list(type(strategy_of(kind, {}).params).model_fields)
    found = re.search(r"public Strategy\(([^)]*)\)", BLOCKS[kind][0])
    assert found is not None
    taken = [each.split()[-1] for each in found[1].split(",")]
    snake = [re.sub(r"([A-Z])", r"_\1", name).lower() for name in taken]
    assert snake == names
    text = main_of(kind)
    assert re.findall(r'(?:GetParameter|Optional)\("(\w+)"', text[text.index("new Strategy(") :])[: len(names)] == names


@pytest.mark.parametrize("kind", ["macd", "atr-trend", "factors", "dca"])
def test_a_rule_that_is_not_written_in_csharp_is_refused(kind: str) -> None:
    with pytest.raises(LeanError, match=f"strategy.kind = '{kind}': is not written in C#; use one of sma-rsi"):
        main_of(kind)


def test_numbers_and_names_are_csharps_own() -> None:
    text = main_of("sma-rsi", timeframe="4h", params={"sell_above_rsi": 20}, take_profit=0.05)
    for line in (
        'SetAccountCurrency("USDT");',
        "SetCash(10000m);",
        'var security = AddCrypto("BTCUSDT", Resolution.Hour, "binance", false);',
        "SetBrokerageModel(BrokerageName.Binance, AccountType.Cash);",
        'Optional("sell_above_rsi", 20.0d)',
        '_takeProfit = Optional("take_profit", 0.05d);',
        '_stopLoss = Optional("stop_loss", null);',
        "SetWarmUp(120, Resolution.Hour);",
    ):
        assert line in text


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(alphabet='"\\\n\r/*{}();@$\u2028', max_size=20))
def test_no_text_of_a_configuration_becomes_code(wild: str) -> None:
    assert LITERAL.fullmatch(csharp(wild))
    text = main_of("sma-rsi", name=wild, forward="webhook", webhook_url="http://" + wild)
    assert bare(text) == bare(main_of("sma-rsi", forward="webhook", webhook_url="http://x"))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_a_literal_says_what_the_text_says(wild: str) -> None:
    told = re.sub(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})", lambda one: chr(int(one[1] or one[2], 16)), csharp(wild)[1:-1])
    assert told == wild
