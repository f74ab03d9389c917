"""A bot as use cases see it, without one: a desk's port over a market that is there, and sources by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.services.running import HELD, Running
from bot.services.use_case import Ground
from tests.sources.llm.llm_source_world import DeskPort, fill


def a_port(at: int, timeframes: tuple[str, ...] = ("5m", "1h"), symbols: tuple[str, ...] = ("BTC/USDT",)) -> DeskPort:
    """A port whose market rises."""
    port = DeskPort(at=at)
    for symbol in symbols:
        fill(port, timeframes, symbol=symbol)
    return port


def with_bot(ground: Ground, port: DeskPort, sources: Mapping[str, Any] | None = None, items: Any = None) -> None:
    """Let the ground be a running bot's."""
    known = sources or {}
    ground.held[HELD] = Running(port, known.get, lambda: tuple(known), lambda: items)
