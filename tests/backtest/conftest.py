from __future__ import annotations

from pathlib import Path

import pytest

BOT = "paper: {starting_balance: 10000, candle_spread: 0.0002}\n"
RISK = """\
max_position: null
max_exposure: null
max_open_orders: null
max_orders_per_minute: null
max_daily_loss: null
max_drawdown: null
loss_streak: null
price_collar: null
stale_after: null
"""


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A configuration directory without limits and with an empty folder of sources."""
    directory = tmp_path / "config"
    (directory / "sources").mkdir(parents=True)
    (directory / "bot.yaml").write_text(BOT)
    (directory / "risk.yaml").write_text(RISK)
    return directory
