"""Which rule a strategy's name means, and its parameters.

A template is a rule with defaults of its own: `sma-rsi` is the crossover with an RSI bound on its buys, `mean-reversion` the way
back into the Bollinger bands, `breakout` the Donchian channel's; `momentum` is the rule of that name.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from sources.base import Rule, Strict
from sources.config import explain
from sources.loading import ENTRY_POINTS, RULES
from sources.quantconnect.lean.errors import LeanError


@dataclass(frozen=True, slots=True)
class Template:
    """A rule under another name: its own defaults go before the rule's."""

    rule: str
    defaults: Mapping[str, Any]


TEMPLATES: Mapping[str, Template] = {
    "sma-rsi": Template("sma-cross", {"fast": 10, "slow": 30, "rsi": 14, "buy_below_rsi": 70.0}),
    "momentum": Template("momentum", {}),
    "mean-reversion": Template("bollinger-reversion", {}),
    "breakout": Template("donchian", {}),
}


@dataclass(frozen=True, slots=True)
class Strategy:
    """A rule with its parameters. `adds` says that each buy adds to the position."""

    kind: str
    rule: type[Rule]
    params: Strict
    adds: bool

    @property
    def warmup(self) -> int:
        """Candles before it can propose."""
        return self.rule(self.params).warmup

    @property
    def parts(self) -> tuple[str, ...]:
        """The attributes that hold its indicators."""
        return tuple(self.rule(self.params).indicators())


UNCARRIED: Mapping[str, str] = {
    "composed": "is data that the bot interprets, and has no text of its own to carry; write it as a rule, or choose another kind"
}
"""Kinds of rules that no algorithm can be written from, and why."""


def strategy_of(kind: str, params: Mapping[str, Any]) -> Strategy:
    """The strategy of a name; `LeanError` for an unknown one and for wrong parameters."""
    if kind in UNCARRIED:
        raise LeanError("backtest", "strategy.kind", kind, UNCARRIED[kind])
    template = TEMPLATES.get(kind)
    name = kind if template is None else template.rule
    rule = _rule(name)
    return strategy_with(kind, rule, dict(params) if template is None else {**template.defaults, **params}, name == "dca")


def strategy_with(kind: str, rule: type[Rule], params: Mapping[str, Any], adds: bool = False) -> Strategy:
    """The strategy of a rule's class; `LeanError` for wrong parameters."""
    try:
        made = rule.Params.model_validate(dict(params))
    except ValidationError as error:
        key = ".".join(["strategy.params", *map(str, error.errors()[0]["loc"])])
        remedy = str(explain(error, "backtest", rule.Params, "strategy.params")).split(": ", 2)[-1]
        raise LeanError("backtest", key, params.get(key.rpartition(".")[2]), remedy) from error
    return Strategy(kind, rule, made, adds)


def _rule(kind: str) -> type[Rule]:
    if kind in RULES:
        module, _, name = RULES[kind].partition(":")
        found: object = getattr(importlib.import_module(module), name)
    else:
        plugins = entry_points(group=ENTRY_POINTS)
        if kind not in plugins.names:
            known = ", ".join(dict.fromkeys((*TEMPLATES, *RULES, *sorted(plugins.names))))
            raise LeanError("backtest", "strategy.kind", kind, f"unknown; use one of {known}")
        try:
            found = plugins[kind].load()
        except Exception as error:  # the boundary to rules, which may be anybody's: importing one may raise anything
            raise LeanError("backtest", "strategy.kind", kind, f"cannot be imported: {type(error).__name__}: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, Rule)) or inspect.isabstract(found):
        raise LeanError("backtest", "strategy.kind", kind, "is no Rule with a step; derive it from Rule")
    return found
