"""All use cases of QuantConnect."""

from __future__ import annotations

from typing import Any

from bot.services.quantconnect import backtest_cases, live_cases, source_cases
from bot.services.use_case import UseCase

USE_CASES: tuple[UseCase[Any], ...] = (*live_cases.CASES, *source_cases.CASES, *backtest_cases.CASES)
