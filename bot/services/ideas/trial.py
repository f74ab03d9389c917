"""A trial: an idea alone on recorded candles, by the same backtest that everything else goes through."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bot.services.ideas.specification import Specification
from bot.services.use_case import UseCaseError
from bot.settings import Loaded
from bot.settings.run import BacktestOptions


@dataclass(frozen=True, slots=True)
class Trial:
    """What a backtest of an idea found: all of it as plain JSON, and the figures that matter in one line."""

    result: dict[str, Any]

    @property
    def line(self) -> str:
        """One line for a person."""
        found = self.result
        pieces = [
            f"{', '.join(found['symbols'])} {found['timeframe']} {_day(found['start'])} to {_day(found['end'])}",
            f"return {found['total_return']:+.2%} against {found['hold_return']:+.2%} held",
            f"max drawdown {found['max_drawdown']:.2%}",
            f"{found['trades']} trades",
            f"Sharpe {'-' if found['sharpe'] is None else format(found['sharpe'], '.2f')} (n = {found['days']} days)",
        ]
        return ", ".join(pieces)

    def brief(self) -> dict[str, Any]:
        """The figures without the lists and the configuration."""
        left_out = {"trade_list", "daily_equity", "config", "sources", "open_positions"}
        return {name: value for name, value in self.result.items() if name not in left_out} | {"line": self.line}


def try_out(specification: Specification, data: Sequence[Path], loaded: Loaded, progress: Callable[[int, int], None]) -> Trial:
    """Run it over the candles of these files, which takes its time; errors are those of a backtest."""
    from bot.backtest.result import BacktestResult  # noqa: PLC0415 - numpy and polars, only where a backtest runs
    from bot.services.backtesting import backtest  # noqa: PLC0415

    if not data:
        message = "name the candles to try it on: a CSV or Parquet file, such as `python -m bot data fetch` writes"
        raise UseCaseError(message)
    with tempfile.TemporaryDirectory(prefix="arbiter-idea-") as folder:
        sources = Path(folder) / "sources"
        sources.mkdir()
        (sources / "idea.yaml").write_text(yaml.safe_dump(specification.yaml(), sort_keys=False), encoding="utf-8")
        options = BacktestOptions(data=tuple(data), sources=(specification.source,), symbols=specification.symbols or None)
        found = backtest(options, replace(loaded, directory=Path(folder)), progress)
    assert isinstance(found, BacktestResult)  # no look-ahead check was asked for
    return Trial(found.as_json())


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat()
