"""The circuit: a source that decides too often, turns around too often or talks nonsense pauses itself, and comes back by itself.

It bounds what a confused or misled model can do however well-formed its answers are. Times are milliseconds UTC.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bot.core.decision import Action
from bot.core.market import timeframe_ms
from sources.llm.params import CircuitParams

_HOUR_MS = 3_600_000
_MOST_SYMBOLS = 1_000


@dataclass(frozen=True, slots=True)
class Open:
    """The source asks nobody before `until`; `reason` says why, `code` is that of its abstentions: circuit, or resting."""

    until: int
    reason: str
    code: str = "circuit"


class Circuit:
    """Counts, and opens."""

    def __init__(self, params: CircuitParams) -> None:
        self._params = params
        self._decided: deque[int] = deque(maxlen=params.decisions_per_hour + 1)
        self._turns: dict[str, deque[int]] = {}
        self._sides: dict[str, Action] = {}
        self._judged: deque[bool] = deque(maxlen=params.rejected_of)
        self._failures = 0
        self._open: Open | None = None
        self.trips = 0

    def open(self, now: int) -> Open | None:
        """Whether it is open; when its time is over, everything is forgotten and it is closed."""
        if self._open is not None and now >= self._open.until:
            self._open = None
        return self._open

    def decided(self, symbol: str, action: Action, now: int) -> None:
        """A decision was made."""
        self._failures = 0
        self._judged.append(False)
        self._decided.append(now)
        self._forget(self._decided, now)
        turns = self._turned(symbol, action, now)
        if len(self._decided) > self._params.decisions_per_hour:
            self._trip(now, f"more than {self._params.decisions_per_hour} decisions in an hour")
        elif turns > self._params.flips_per_hour:
            self._trip(now, f"{turns} turns between buy and sell in {symbol} in an hour")

    def refused(self, now: int) -> None:
        """An answer broke a semantic rule."""
        self._failures = 0
        self._judged.append(True)
        count, of = sum(self._judged), self._params.rejected_of
        if len(self._judged) == of and count > of * self._params.rejected:
            self._trip(now, f"{count} of the last {of} answers made no sense")

    def failed(self, now: int) -> None:
        """Nobody gave an answer of use."""
        self._failures += 1
        if self._failures >= self._params.failures:
            told = f"{self._failures} questions in a row without an answer of use"
            self._open = Open(now + timeframe_ms(self._params.failure_rest), told, "resting")
            self._failures = 0
            self.trips += 1

    def _turned(self, symbol: str, action: Action, now: int) -> int:
        """How often the symbol was turned around within the hour."""
        if action is Action.HOLD:
            return 0
        before = self._sides.get(symbol)
        if before is None and len(self._sides) >= _MOST_SYMBOLS:
            return 0
        self._sides[symbol] = action
        turns = self._turns.setdefault(symbol, deque(maxlen=self._params.flips_per_hour + 1))
        if before is not None and before is not action:
            turns.append(now)
        self._forget(turns, now)
        return len(turns)

    def _forget(self, times: deque[int], now: int) -> None:
        while times and times[0] <= now - _HOUR_MS:
            times.popleft()

    def _trip(self, now: int, reason: str) -> None:
        self.trips += 1
        self._open = Open(now + timeframe_ms(self._params.rest), reason)
        self._failures = 0
        self._judged.clear()
        self._decided.clear()
        self._turns.clear()
        self._sides.clear()
