"""Each pitfall has a check by name, which finds it in a person's text, says the line, and is silent about the right way."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.quantconnect.demo import ALGORITHM
from sources.quantconnect.lean.checking import Finding, Severity, check_project, check_text
from sources.quantconnect.lean.pitfalls import PITFALLS

HEAD = '''from AlgorithmImports import *


class Mine(QCAlgorithm):
    """Mine."""

    def initialize(self):
INITIALIZE
    def on_data(self, data):
        if self.is_warming_up:
            return
ON_DATA
'''


def text_of(initialize: str = "", on_data: str = "") -> str:
    first, second = ("".join(f"        {line}\n" for line in (part or "pass").split("\n")) for part in (initialize, on_data))
    return HEAD.replace("INITIALIZE\n", first).replace("ON_DATA\n", second)


CASES: list[tuple[str, tuple[str, str], tuple[str, str]]] = [
    (
        "market-missing",
        ('self.add_crypto("BTCUSD", Resolution.HOUR)', ""),
        ('self.add_crypto("BTCUSD", Resolution.HOUR, Market.BINANCE)', ""),
    ),
    (
        "resolution-as-average",
        ("self._rsi = self.rsi(self._symbol, 14, Resolution.DAILY)", "if self._rsi.is_ready:\n    pass"),
        ("self._rsi = self.rsi(self._symbol, 14, resolution=Resolution.DAILY)", "if self._rsi.is_ready:\n    pass"),
    ),
    ("enum-arithmetic", ("", "self._sign = -insight.direction"), ("", "self._up = insight.direction == InsightDirection.UP")),
    ("enum-arithmetic", ("", "self._x = 2 * InsightDirection.UP"), ("", "self._x = InsightDirection.UP")),
    ("enum-arithmetic", ("", "self._up = insight.direction > 0"), ("", "self._up = insight.direction == InsightDirection.UP")),
    ("enum-arithmetic", ("", "self._x = int(insight.direction)"), ("", "self._x = str(insight.direction)")),
    ("holdings-too-full", ("", "self.set_holdings(self._symbol, 1.0)"), ("", "self.set_holdings(self._symbol, 0.99)")),
    ("holdings-too-full", ("", "self.set_holdings(self._symbol, -1)"), ("", "self.set_holdings(self._symbol, -0.5)")),
    ("parameter-is-text", ('self._n = self.get_parameter("n")', ""), ('self._n = self.get_parameter("n", 10)', "")),
    ("parameter-is-text", ('self._n = self.get_parameter("n") * 2', ""), ('self._n = int(self.get_parameter("n")) * 2', "")),
    (
        "currency-too-late",
        ('self.add_crypto("BTCUSDT", Resolution.HOUR, Market.BINANCE)\nself.set_account_currency("USDT")', ""),
        ('self.set_account_currency("USDT")\nself.add_crypto("BTCUSDT", Resolution.HOUR, Market.BINANCE)', ""),
    ),
    (
        "currency-without-pair",
        ('self.add_crypto("BTCUSDT", Resolution.HOUR, Market.BINANCE)', ""),
        ('self.set_account_currency("USDT")\nself.add_crypto("BTCUSDT", Resolution.HOUR, Market.BINANCE)', ""),
    ),
    ("zone-missing", ("", "self._at = self.time"), ("self.set_time_zone(TimeZones.UTC)", "self._at = self.time")),
    ("zone-missing", ("", "self._at = self.time"), ("", "self._at = self.utc_time")),
    (
        "warm-up-missing",
        ("self._sma = self.sma(self._symbol, 20)", ""),
        ("self._sma = self.sma(self._symbol, 20)\nself.set_warm_up(20, Resolution.HOUR)", ""),
    ),
    (
        "daily-ends-differ",
        ('self.add_equity("SPY", Resolution.DAILY)\nself.add_crypto("BTCUSD", Resolution.DAILY, Market.BINANCE)', ""),
        ('self.add_equity("SPY", Resolution.HOUR)\nself.add_crypto("BTCUSD", Resolution.HOUR, Market.BINANCE)', ""),
    ),
    ("log-in-on-data", ("", 'self.log("bar")'), ("", 'if self._changed:\n    self.log("changed")')),
    ("method-overwritten", ("self.sma = 3", ""), ("self._sma = 3", "")),
    ("camel-case", ("self.SetCash(1000)", ""), ("self.set_cash(1000)", "")),
    (
        "orders-beside-model",
        ("self.set_portfolio_construction(model)", "self.set_holdings(self._symbol, 0.5)"),
        ("self.set_portfolio_construction(model)", "self.emit_insights(insight)"),
    ),
    ("notify-in-backtest", ("", 'self.notify.web("u", "x")'), ("", 'if self.live_mode:\n    self.notify.web("u", "x")')),
]
UNGUARDED = """from AlgorithmImports import *


class Mine(QCAlgorithm):

    def initialize(self):
        self.set_warm_up(20, Resolution.HOUR)

    def on_data(self, data):
        self.set_holdings(self._symbol, 0.5)
"""


@pytest.mark.parametrize(("check", "wrong", "right"), CASES)
def test_a_pitfall_is_found_and_the_right_way_is_not(check: str, wrong: tuple[str, str], right: tuple[str, str]) -> None:
    found = check_text(text_of(*wrong))
    assert [one.check for one in found] == [check]
    place = text_of(*wrong).splitlines()[found[0].line - 1]
    assert place.startswith("        ")
    assert place.strip()
    assert check_text(text_of(*right)) == []


def test_a_warm_up_that_nothing_asks_about_is_found() -> None:
    assert [(one.check, one.line) for one in check_text(UNGUARDED)] == [("warm-up-unguarded", 7)]
    guarded = UNGUARDED.replace("        self.set_holdings", "        if not self.is_warming_up:\n            self.set_holdings")
    assert check_text(guarded) == []


def test_every_pitfall_is_put_to_the_test() -> None:
    assert {case[0] for case in CASES} | {"warm-up-unguarded"} == set(PITFALLS)


def test_a_line_in_the_middle_is_named() -> None:
    text = text_of(
        "self.set_time_zone(TimeZones.UTC)\nself.rsi = self.rsi(self._symbol, 14)\nself.set_warm_up(14, Resolution.HOUR)"
    )
    (found,) = check_text(text)
    assert text.splitlines()[found.line - 1].strip().startswith("self.rsi = ")
    assert str(found) == f"main.py:{found.line}: error: method-overwritten: overwrites QCAlgorithm.rsi; write self._rsi"


def test_what_does_not_parse_is_told_by_its_line() -> None:
    assert check_text("from AlgorithmImports import *\n\n\nclass Mine(QCAlgorithm:\n    pass\n")[0].line == 4
    assert [one.check for one in check_text("a = 1\x00")] == ["syntax"]
    assert [one.check for one in check_text("class = 3\n")] == ["syntax"]


@pytest.mark.parametrize(
    ("text", "check", "line"),
    [
        ("from AlgorithmImports import *\n", "one-algorithm", 1),
        (
            "from AlgorithmImports import *\nclass A(QCAlgorithm):\n    pass\nclass B(QCAlgorithm):\n    pass\n",
            "one-algorithm",
            4,
        ),
        ('"""Doc."""\nimport json\nclass A(QCAlgorithm):\n    pass\n', "imports-missing", 2),
    ],
)
def test_the_algorithm_is_one_class_that_begins_with_the_imports(text: str, check: str, line: int) -> None:
    assert [(one.check, one.line) for one in check_text(text)] == [(check, line)]


def test_files_are_few_and_small_and_can_be_imported() -> None:
    good = text_of()
    assert check_project({"main.py": good, "notes.md": "x"}) == []
    assert check_project({"other.py": ""})[0] == Finding(
        "main.py", 0, "main-missing", "there is no main.py; put the algorithm there"
    )
    assert [one.check for one in check_project({"main.py": good, "class.py": ""})] == ["file-name"]
    assert [one.check for one in check_project({"main.py": good, "my-part.py": ""})] == ["file-name"]
    assert [one.check for one in check_project({"main.py": good, **{f"a{at}.py": "" for at in range(25)}})] == ["file-count"]
    long = {"main.py": good, "big.py": "#" * 32_001}
    assert [(one.file, one.check) for one in check_project(long)] == [("big.py", "file-size")]
    assert check_project(long, most_characters=64_000) == []
    assert check_project({"main.py": good, "big.py": "\u00fc" * 32_000}) == []


def test_helpers_beside_the_algorithm_may_be_called_what_they_like() -> None:
    helper = "class Rule:\n    def __init__(self):\n        self.rsi = 3\n"
    assert check_project({"main.py": f"{text_of()}\n\n{helper}", "rules.py": helper}) == []


def test_the_demonstrations_algorithm_has_nothing_but_what_is_known() -> None:
    assert {(one.check, one.severity) for one in check_text(ALGORITHM)} <= {("notify-in-backtest", Severity.WARNING)}


@given(st.text(max_size=200))
def test_no_text_breaks_the_checks(text: str) -> None:
    found = check_text(text)
    assert found
    assert all(one.file == "main.py" and one.line >= 0 for one in found)


def test_the_right_way_of_each_case_is_python() -> None:
    for _, wrong, right in CASES:
        for each in (wrong, right):
            ast.parse(text_of(*each))
