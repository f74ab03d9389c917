"""The use cases of backtests in the cloud."""

from __future__ import annotations

from typing import Any

from bot.services.use_case import UseCase

CASES: tuple[UseCase[Any], ...] = ()
