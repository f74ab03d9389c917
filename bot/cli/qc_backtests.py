"""`qc backtest`, `backtests`, `compare`, `sweep`, `export`: strategies in QuantConnect's cloud."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    del app
