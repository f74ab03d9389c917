"""LEAN algorithms from a `BacktestConfig`: the text, the parameters that a sweep may change, and how long it must warm up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sources.base import Rule
from sources.quantconnect.lean.algorithm import FEES, Plan, algorithm
from sources.quantconnect.lean.carrying import carry
from sources.quantconnect.lean.checking import Severity, check_project
from sources.quantconnect.lean.config import BacktestConfig, Forwarding
from sources.quantconnect.lean.csharp import csharp_text
from sources.quantconnect.lean.errors import LeanError
from sources.quantconnect.lean.strategies import Strategy, strategy_of, strategy_with


@dataclass(frozen=True, slots=True)
class LeanProject:
    """A project as it is uploaded: `files` by name, `parameters` as the texts that the service takes, `warmup` in candles."""

    name: str
    files: Mapping[str, str]
    parameters: Mapping[str, str]
    warmup: int


def generate(config: BacktestConfig) -> LeanProject:
    """The strategy in Python, `main.py`; `LeanError` where it cannot be written."""
    return _written(config, strategy_of(config.strategy.kind, config.strategy.params))


def generate_csharp(config: BacktestConfig) -> LeanProject:
    """The strategy in C#, `Main.cs`, never compiled; `LeanError` where it cannot be written."""
    strategy = strategy_of(config.strategy.kind, config.strategy.params)
    plan = Plan.of(config, strategy)
    text, parameters = csharp_text(plan)
    return LeanProject(plan.title, {"Main.cs": text}, parameters, strategy.warmup)


def export_rule(kind: str, params: Mapping[str, Any], config: BacktestConfig) -> LeanProject:
    """A rule of the bot with these parameters; everything else is the config's. `LeanError` where it cannot be written."""
    return _written(config, strategy_of(kind, params))


def export_class(rule: type[Rule], params: Mapping[str, Any], config: BacktestConfig) -> LeanProject:
    """The same of a rule's class, such as one that somebody wrote in a file of their own."""
    return _written(config, strategy_with("rule", rule, params))


def _written(config: BacktestConfig, strategy: Strategy) -> LeanProject:
    plan = Plan.of(config, strategy)
    luggage = carry(strategy.rule, strategy.parts)
    body, parameters = algorithm(plan)
    if config.forward is not Forwarding.NONE:
        luggage.imports.setdefault("json", set()).add("import json")
    carried = list(luggage.texts.values()) + ([FEES] if config.fees.rate is not None else [])
    head = "\n".join([_FIRST, "", *luggage.import_lines()]).rstrip()
    text = "\n\n\n".join([f"{head}\n\n{_NOTE}", body, *carried]) + "\n"
    for finding in check_project({"main.py": text}):
        if finding.severity is Severity.ERROR:
            raise LeanError("main.py", f"line {finding.line}", finding.check, finding.message)
    return LeanProject(plan.title, {"main.py": text}, parameters, strategy.warmup)


_FIRST = "from AlgorithmImports import *"
_NOTE = """\
# Written by Arbiter from a backtest's configuration. The parameters below have the configuration's values as defaults, so that
# the project runs as it is and an optimization can sweep them. What stands after the algorithm is the bot's own arithmetic:
# LEAN's indicators of the same names smooth and seed differently, and would trade at other candles."""
