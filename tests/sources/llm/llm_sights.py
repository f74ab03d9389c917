"""What a source sees, for tests of snapshots and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bot.core.market import Candle, MarketView, timeframe_ms
from sources.llm.prompts.example import example_sight
from sources.llm.snapshot import Sight

AT = 1_700_000_000_000
SYMBOL = "BTC/USDT"


def a_sight(**changes: Any) -> Sight:
    """The made-up market, with changes."""
    return replace(example_sight(SYMBOL), **changes)


def a_view(
    rows: Sequence[tuple[float, float, float, float, float]], timeframe: str = "5m", gaps: Sequence[int] = ()
) -> MarketView:
    """A view of candles (open, high, low, close, volume), oldest first; `gaps` are candles that are missing before each."""
    view, length = MarketView(depth=max(1, len(rows))), timeframe_ms(timeframe)
    ends = AT - AT % length
    missing = [gaps[at] if at < len(gaps) else 0 for at in range(len(rows))]
    ts = ends - length * (len(rows) + sum(missing))
    for row, gone in zip(rows, missing, strict=True):
        ts += gone * length
        view.remember(Candle(SYMBOL, timeframe, ts + length, ts, *row))
        ts += length
    if rows:
        view.prices[SYMBOL] = rows[-1][3]
    return view


def headlines(*titles: str) -> dict[str, Any]:
    """News with these titles."""
    return {"items": [{"id": f"n{number}", "title": title} for number, title in enumerate(titles, 1)], "sources": 2}
