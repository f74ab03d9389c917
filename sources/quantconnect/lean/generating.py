"""LEAN algorithms from a `BacktestConfig`: the text, the parameters that a sweep may change, and how long it must warm up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sources.quantconnect.lean.config import BacktestConfig, StrategyConfig
from sources.quantconnect.lean.errors import LeanError


@dataclass(frozen=True, slots=True)
class LeanProject:
    """A project as it is uploaded: `files` by name, `parameters` as the texts that the service takes, `warmup` in candles."""

    name: str
    files: Mapping[str, str]
    parameters: Mapping[str, str]
    warmup: int


def generate(config: BacktestConfig) -> LeanProject:
    """The strategy in Python, `main.py`; `LeanError` where it cannot be written."""
    raise LeanError("backtest", "strategy.kind", config.strategy.kind, "is not exported")


def generate_csharp(config: BacktestConfig) -> LeanProject:
    """The strategy in C#, `Main.cs`, never compiled; `LeanError` where it cannot be written."""
    raise LeanError("backtest", "strategy.kind", config.strategy.kind, "is not exported to C#")


def export_rule(kind: str, params: Mapping[str, Any], config: BacktestConfig) -> LeanProject:
    """A rule of the bot with these parameters; everything else is the config's. `LeanError` where it cannot be written."""
    return generate(config.model_copy(update={"strategy": StrategyConfig(kind=kind, params=dict(params))}))
