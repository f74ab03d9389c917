"""The doorbell: a tab is told which of its panels are out of date, and asks for them itself. A bell that is missed harms nobody.

On the wire a bell is `event: PANEL` with a number as data. A chart's point is `event: equity` or `event: candle` with an object
as data. The bell `resync` means every panel. Beside them go `hello` (which world this is) and `pulse` (the bot is alive).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import orjson

from bot.web.stream.ring import RESYNC

PANELS = (
    "overview", "queue", "decisions", "orders", "fills", "positions", "equity", "risk", "sources", "jobs", "health", "link",
)  # fmt: skip
"""Names of bells beside `candles:SYMBOL` and `resync`."""

# Ring soon: not before what happened is usually in the journal, for the tab reads it there and would find nothing new. Then no
# sooner than the gap, and once more when whoever writes the journal has surely done so.
LEAD_MS = 40
GAP_MS = 250
SETTLE_MS = 300
_MOST_BELLS = 512


class Said(Protocol):
    """What is needed of a feed message to know its bells."""

    @property
    def type(self) -> str:
        """Such as `orders.changed`."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """The fact."""
        ...


_BELLS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "decisions.seen": ("decisions", "queue", "overview"),
        "decisions.fate": ("decisions", "queue", "sources", "overview"),
        "decisions.filled": ("decisions",),
        "decisions.claimed": ("queue",),
        "decisions.abstained": ("decisions", "sources"),
        "verdicts.given": ("queue", "decisions", "overview"),
        "orders.changed": ("orders", "positions"),
        "fills.booked": ("fills", "orders", "overview"),
        "positions.changed": ("positions", "overview"),
        "positions.lot-closed": ("positions", "fills", "sources"),
        "equity.sampled": ("equity", "overview"),
        "equity.shadow": ("sources",),
        "equity.shadow-closed": ("sources",),
        "equity.override": ("sources", "decisions"),
        "risk.state": ("risk", "overview"),
        "risk.command": ("risk", "sources", "queue"),
        "risk.account": ("risk", "positions"),
        "health.market": ("health", "overview"),
        "health.heartbeat": ("health",),
        "jobs.changed": ("jobs",),
        "link.up": ("link", RESYNC),
        "link.down": ("link", RESYNC),
        "link.resync": ("link", RESYNC),
    }
)
_SYMBOL: Mapping[str, Callable[[Mapping[str, Any]], object]] = MappingProxyType(
    {
        "candles.closed": lambda data: data.get("symbol"),
        "orders.changed": lambda data: _member(data.get("request"), "symbol"),
        "fills.booked": lambda data: _member(data.get("fill"), "symbol"),
        "decisions.seen": lambda data: _member(data.get("decision"), "symbol"),
    }
)
_EQUITY = ("at", "equity", "drawdown", "cash", "unrealised", "realised", "exposure", "peak")
_CANDLE = ("symbol", "timeframe", "ts", "open", "high", "low", "close", "volume")


def bells_of(message: Said) -> tuple[str, ...]:
    """The panels that this message makes out of date; none for a quote and for what is not known."""
    bells = _BELLS.get(message.type, ())
    find = _SYMBOL.get(message.type)
    symbol = None if find is None else find(message.data)
    return (*bells, f"candles:{symbol}") if isinstance(symbol, str) and symbol.isprintable() else bells


def point_of(message: Said) -> bytes:
    """The point that this message adds to a chart, as a server-sent event; nothing for most."""
    if message.type == "equity.sampled":
        return event("equity", orjson.dumps({name: message.data.get(name) for name in _EQUITY}))
    if message.type == "candles.closed":
        return event("candle", orjson.dumps({name: message.data.get(name) for name in _CANDLE}))
    return b""


def event(name: str, content: bytes) -> bytes:
    """A server-sent event for a tab; `content` is one line."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), content)


class Doorbell:
    """When to ring what for one tab: after 40 ms, then at most every 250 ms, and again 300 ms after the last that happened.

    Times are milliseconds of any clock that never goes back.
    """

    def __init__(self) -> None:
        self._rung: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def hear(self, bells: Iterable[str], at: float) -> None:
        """These panels went out of date. Beyond 512 names a bell becomes a resync: a bound, not a case to expect."""
        for name in bells:
            known = name if name in self._heard or len(self._heard) < _MOST_BELLS else RESYNC
            self._heard[known] = at
            self._due.setdefault(known, max(at + LEAD_MS, self._rung.get(known, at - GAP_MS) + GAP_MS))

    def ring(self, at: float) -> list[str]:
        """The bells to ring now."""
        now = [name for name, due in self._due.items() if due <= at]
        for name in now:
            self._rung[name] = at
            settled = self._heard[name] + SETTLE_MS
            if settled > at:
                self._due[name] = max(at + GAP_MS, settled)
            else:
                del self._due[name]
        return now

    def next_due(self) -> float | None:
        """When `ring` wants to be called next; None if nothing is to ring."""
        return min(self._due.values(), default=None)


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None
