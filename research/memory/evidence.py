"""Evidence: one closed trade, or one finished backtest, and when it became known.

Fractions are fractions (0.05 is 5 %), times are milliseconds UTC, returns are net of fees. Evidence never changes: its id is
derived from all it says, so remembering it twice is remembering it once. Nothing counts before its `known_at`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

import orjson

from bot.core.decision import derive_id
from bot.core.values import value
from research.memory.errors import EvidenceError

Scalar = str | int | float | bool
Parameters = Mapping[str, Scalar]

_LONGEST_TEXT = 200
_MOST_PARAMETERS = 100
_MOST_RETURNS = 10_000
_LARGEST_WHOLE = 2**53
# The end of the year 9999: a time beyond it was not given in milliseconds.
LAST_MS = 253_402_300_799_999


@value
class Subject:
    """What is learnt about: a strategy on a symbol at a timeframe."""

    symbol: str
    strategy: str
    timeframe: str

    def __post_init__(self) -> None:
        for name in ("symbol", "strategy", "timeframe"):
            text(name, getattr(self, name))

    def __str__(self) -> str:
        return f"{self.strategy} on {self.symbol} at {self.timeframe}"


@value
class TradeEvidence:
    """One closed trade: `profit` is its return on the notional; `reference` tells apart trades that look alike."""

    symbol: str
    strategy: str
    timeframe: str
    known_at: int
    opened: int
    closed: int
    profit: float
    reference: str = ""

    def __post_init__(self) -> None:
        _identity(self)
        _times(self.opened, self.closed, self.known_at)
        # A leveraged or short trade can lose more than its notional, but nothing loses a hundred times as much.
        number("profit", self.profit, -100.0)

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject(self.symbol, self.strategy, self.timeframe)

    @property
    def id(self) -> str:
        """Derived from all it says."""
        return _id_of(self)


@value
class BacktestEvidence:
    """One finished backtest over the data from `began` to `until`.

    `sharpe` is annualised; `win_rate` and `max_drawdown` are 0..1; `profit_factor` is None without a loss, any figure is None
    that the run cannot give. `returns` are those of its closed trades, where they are known. `known_at` is when it finished:
    that the data are older does not make the result known any earlier.
    """

    symbol: str
    strategy: str
    timeframe: str
    known_at: int
    began: int
    until: int
    trades: int
    total_return: float
    max_drawdown: float | None = None
    sharpe: float | None = None
    win_rate: float | None = None
    profit_factor: float | None = None
    returns: tuple[float, ...] = ()
    parameters: Parameters = field(default_factory=dict, hash=False)
    reference: str = ""

    def __post_init__(self) -> None:
        _identity(self)
        _times(self.began, self.until, self.known_at)
        whole("trades", self.trades)
        number("total_return", self.total_return)
        for name, least, most in _RANGES:
            if getattr(self, name) is not None:
                number(name, getattr(self, name), least, most)
        for profit in self.returns:
            number("returns", profit, -100.0)
        if self.returns and len(self.returns) != self.trades:
            message = f"returns: {len(self.returns)} of {self.trades} trades; give all of them or none"
            raise EvidenceError(message)
        if len(self.returns) > _MOST_RETURNS:
            message = f"returns: {len(self.returns)} are more than {_MOST_RETURNS}; give none"
            raise EvidenceError(message)
        # A copy of plain values: the caller's may change, or be of a library's own types.
        object.__setattr__(self, "parameters", _plain_parameters(self.parameters))

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject(self.symbol, self.strategy, self.timeframe)

    @property
    def id(self) -> str:
        """Derived from all it says."""
        return _id_of(self)


Evidence = TradeEvidence | BacktestEvidence

_RANGES = (
    ("max_drawdown", 0.0, math.inf),
    ("sharpe", -math.inf, math.inf),
    ("win_rate", 0.0, 1.0),
    ("profit_factor", 0.0, math.inf),
)
_KINDS: Mapping[str, type[TradeEvidence] | type[BacktestEvidence]] = {"trade": TradeEvidence, "backtest": BacktestEvidence}


def text(name: str, given: object, *, empty: bool = False) -> None:
    """Refuse what is not one printable line of at most 200 characters: it is kept in a database and printed in files."""
    if not isinstance(given, str) or len(given) > _LONGEST_TEXT or not given.isprintable() or not (given or empty):
        message = f"{name}: {given!r:.80} must be {'' if empty else '1 to '}{_LONGEST_TEXT} printable characters"
        raise EvidenceError(message)


def number(name: str, given: object, least: float = -math.inf, most: float = math.inf) -> None:
    """Refuse what is not a finite number between `least` and `most`."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given) or not least <= given <= most:
        message = f"{name}: {given!r:.80} must be a finite number from {least:g} to {most:g}"
        raise EvidenceError(message)


def whole(name: str, given: object, most: int = _LARGEST_WHOLE) -> None:
    """Refuse what is not a count, or a time in milliseconds, up to `most`."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= most:
        message = f"{name}: {given!r:.80} must be a whole number from 0 to {most}"
        raise EvidenceError(message)


def kind_of(evidence: Evidence) -> str:
    """`trade` or `backtest`."""
    return "trade" if isinstance(evidence, TradeEvidence) else "backtest"


def dumped(evidence: Evidence) -> str:
    """The evidence as JSON text, the same for the same evidence."""
    return orjson.dumps(evidence, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


def loaded(kind: str, body: str) -> Evidence:
    """Evidence from its JSON text. `EvidenceError` if it is none."""
    try:
        fields: dict[str, Any] = orjson.loads(body)
        if kind == "backtest":
            fields["returns"] = tuple(fields["returns"])
        return _KINDS[kind](**fields)
    except (ValueError, TypeError, KeyError) as error:
        message = f"this is no evidence of a {kind}: {error}; it was written by another version, or changed by hand"
        raise EvidenceError(message) from error


def _id_of(evidence: Evidence) -> str:
    return derive_id(kind_of(evidence), dumped(evidence))


def _identity(evidence: Evidence) -> None:
    for name in ("symbol", "strategy", "timeframe"):
        text(name, getattr(evidence, name))
    text("reference", evidence.reference, empty=True)


def _times(began: int, ended: int, known_at: int) -> None:
    for name, moment in (("began", began), ("ended", ended), ("known_at", known_at)):
        whole(name, moment, LAST_MS)
    if not began <= ended <= known_at:
        message = f"known_at: {known_at} must not be before the end {ended}, nor that before the beginning {began}"
        raise EvidenceError(message)


def _plain_parameters(parameters: Parameters) -> dict[str, Scalar]:
    if len(parameters) > _MOST_PARAMETERS:
        message = f"parameters: {len(parameters)} are more than {_MOST_PARAMETERS}"
        raise EvidenceError(message)
    return {str(name): _plain_parameter(name, parameters[name]) for name in sorted(parameters)}


def _plain_parameter(name: str, given: Scalar) -> Scalar:
    text("parameters", name)
    if isinstance(given, bool):
        return given
    if isinstance(given, str):
        text(f"parameters.{name}", given, empty=True)
        return str(given)
    number(f"parameters.{name}", given, -_LARGEST_WHOLE, _LARGEST_WHOLE)
    return int(given) if isinstance(given, int) else float(given)
