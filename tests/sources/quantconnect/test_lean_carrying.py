"""Rules of other people go along as well, and what cannot go along is named."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

from bot.core.market import MarketView
from sources.base import Rule
from sources.quantconnect.lean.errors import LeanError
from sources.quantconnect.lean.generating import export_class
from tests.sources.quantconnect.lean_twins import BEGIN, config_of, ran, walk
from tests.sources.source_factories import ROOT

HEAD = '''"""A rule."""

from __future__ import annotations

import math as numbers
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from bot.core.decision import Action
from bot.core.indicators import EMA, Cross, Indicator
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict

if TYPE_CHECKING:
    from decimal import Decimal

LEVELS: tuple[float, float] = (0.25, 0.75)  # noqa: ERA001


def largest(numbers: Sequence[float], more: Decimal | None = None, *rest: Any) -> float:
    """The largest."""
    return max(numbers)


def nothing(given: float = 0.0) -> Decimal | None:
    """Nothing."""
    return None


class Base(Strict):
    """Shared."""

    period: int = Field(default=3, ge=1, description="of the average")


class MineParams(Base):
    """Mine."""

    loud: bool = True
    word: str = "it's"

    @field_validator("word")
    @classmethod
    def _short(cls, word: str) -> str:
        return word[:9]


class Mine(Rule):
    """Mine."""

    Params: ClassVar[type[Strict]] = MineParams

    def __init__(self, params: MineParams) -> None:
        self.params = params
        self.mean = EMA(params.period)
        self.cross = Cross()
        self.kept: deque[float] = deque(maxlen=4)

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Take a step."""
BODY
'''
GOOD = """        mean = self.mean.update(candle.close)
        self.kept.append(numbers.log(candle.close))
        turn = 0 if mean is None else self.cross.update(candle.close, mean)
        if not turn or not self.params.loud:
            return None
        confidence = LEVELS[turn > 0]
        action = Action.BUY if turn > 0 else Action.SELL
        return Proposal(action, confidence, f"{self.params.word} {largest(self.kept, nothing()):.3f}")"""


def rule_of(tmp_path: Path, text: str) -> type[Rule]:
    name = f"lean_rule_{tmp_path.name.replace('-', '_')}"
    file = tmp_path / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    described = importlib.util.spec_from_file_location(name, file)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules[name] = module
    described.loader.exec_module(module)
    own = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == name]
    return next(each for each in own if issubclass(each, Rule))


def test_a_rule_of_somebody_else_trades_alike(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, HEAD.replace("BODY", GOOD))
    config = config_of("sma-rsi", days=10)
    project = export_class(rule, {"period": 5, "word": 'so "it" is'}, config)
    candles = walk(config, 8)
    run = ran(config, candles, project)

    own = rule(rule.Params.model_validate({"period": 5, "word": 'so "it" is'}))
    first = BEGIN - own.warmup * 3_600_000
    steps = [(row.at, own.step(row, MarketView())) for row in candles if row.ts >= first]
    assert [(one.generated_ms, one.tag, one.confidence) for one in run.insights] == [
        (at, made.reasoning, made.confidence) for at, made in steps if made is not None and at > BEGIN
    ]
    assert run.insights
    assert project.parameters == {"period": "5", "loud": "true", "word": 'so "it" is'[:9], "position_size": "0.95"}


def test_a_truth_and_a_text_are_parameters_too(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, HEAD.replace("BODY", GOOD))
    config = config_of("sma-rsi", days=4)
    project = export_class(rule, {}, config)
    candles = walk(config, 8)
    quiet = type(project)(project.name, project.files, {**project.parameters, "loud": "false"}, project.warmup)
    other = type(project)(project.name, project.files, {**project.parameters, "word": "hm"}, project.warmup)
    assert ran(config, candles, project).insights[0].tag.startswith("it's ")
    assert ran(config, candles, quiet).insights == []
    assert ran(config, candles, other).insights[0].tag.startswith("hm ")


def test_the_example_of_the_documentation_is_exported(tmp_path: Path) -> None:
    text = (ROOT / "examples/rules/three_greens.py").read_text(encoding="utf-8")
    config = config_of("sma-rsi", days=20)
    project = export_class(rule_of(tmp_path, text), {"candles": 2}, config)
    run = ran(config, walk(config, 8), project)
    assert {one.tag for one in run.insights} == {"a row of green candles", "a row of red candles"}


REFUSED = [
    ("        return None if view.price('BTC/USDT') else None", "uses view: an algorithm sees its own candles only"),
    ("        return None if candle.symbol else None", r"step, line \d+: uses candle.symbol; there is at, ts, open"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_what_an_algorithm_does_not_have_is_refused(tmp_path: Path, body: str, message: str) -> None:
    rule = rule_of(tmp_path, HEAD.replace("BODY", body))
    with pytest.raises(LeanError, match=message):
        export_class(rule, {}, config_of("sma-rsi"))


def test_a_module_that_lean_does_not_have_is_refused(tmp_path: Path) -> None:
    text = HEAD.replace("BODY", "        return None if orjson.dumps(1) else None").replace(
        "import math", "import orjson\nimport math"
    )
    with pytest.raises(LeanError, match="rule Mine: orjson: comes from orjson, which LEAN does not have"):
        export_class(rule_of(tmp_path, text), {}, config_of("sma-rsi"))


def test_a_parameter_that_is_no_number_and_no_text_is_refused(tmp_path: Path) -> None:
    text = HEAD.replace("BODY", GOOD).replace(
        "    loud: bool = True", "    loud: bool = True\n    levels: tuple[int, ...] = (1, 2)"
    )
    with pytest.raises(LeanError, match=r"strategy.params.levels = .* a tuple cannot be a parameter"):
        export_class(rule_of(tmp_path, text), {}, config_of("sma-rsi"))
