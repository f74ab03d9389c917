"""Rules and the source around them: a rule is a pure step over closed candles, and its state is nothing but its indicators.

A `Rule` watches one symbol and says what it thinks at an event (a cross, a breakout), not at every candle. A `RuleSource` holds
one rule per symbol and turns a `Proposal` into a `Decision`: identity, horizon and protection are the source's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import structlog
from pydantic import BaseModel, ConfigDict, Field

from bot.core.decision import Action, Decision, Evidence, SourceSpec, derive_id
from bot.core.indicators import Indicator, Plain, warmup_of
from bot.core.market import Candle, MarketView

log = structlog.get_logger(__name__)


class Strict(BaseModel):
    """Base of every configuration model: unknown keys are errors, values are never changed, NaN is not a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Protection(Strict):
    """Where to give up and where to take the gain, as fractions of the entry price; absent means none."""

    stop_loss: float | None = Field(default=None, gt=0, lt=1, description="stop-loss below the entry, as a fraction of its price")
    take_profit: float | None = Field(default=None, gt=0, description="take-profit above the entry, as a fraction of its price")
    trailing: float | None = Field(default=None, gt=0, lt=1, description="trailing stop's distance, as a fraction of the price")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a rule proposes.

    `confidence` is in 0..1, `stop_loss` and `take_profit` are prices, `trailing` is a fraction of the price. `slot` (ms) names
    the moment it belongs to where that is not the candle: two proposals of one slot are the same decision.
    """

    action: Action
    confidence: float
    reasoning: str = ""
    evidence: Evidence = field(default_factory=dict)
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing: float | None = None
    size_fraction: float | None = None
    slot: int | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            message = f"confidence is {self.confidence}; give a number from 0 to 1"
            raise ValueError(message)


def squash(strength: float) -> float:
    """Bring a strength of 0 and more into 0..1: 0 stays 0, 1 becomes 0.5, and no strength reaches beyond 1."""
    return strength / (1.0 + strength) if math.isfinite(strength) else 1.0


class Rule(ABC):
    """A strategy for one symbol.

    A subclass names its parameters in `Params`, makes its indicators in `__init__` and decides in `step`. Everything it remembers
    between candles must be an `Indicator` held in an attribute (`Previous` keeps a bare number): these are its snapshot, and what
    is not in them is lost at a restart.
    """

    Params: ClassVar[type[Strict]] = Strict

    @abstractmethod
    def __init__(self, params: Strict) -> None:
        """Make the indicators; `params` is an instance of the class's own `Params`."""

    @abstractmethod
    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Take the next closed candle and propose, or not."""

    @property
    def warmup(self) -> int:
        """Candles it must see before its indicators are warm."""
        return warmup_of(list(self.indicators().values()))

    def indicators(self) -> dict[str, Indicator]:
        """The indicators by the names of their attributes."""
        return {name: part for name, part in vars(self).items() if isinstance(part, Indicator)}

    def snapshot(self) -> dict[str, list[Plain]]:
        """State as plain JSON values."""
        return {name: part.snapshot() for name, part in self.indicators().items()}

    def restore(self, state: object) -> None:
        """Continue from a snapshot of the same rule with the same parameters; `ValueError` if it does not fit."""
        parts = self.indicators()
        if not isinstance(state, Mapping) or set(state) != set(parts):
            message = f"{type(self).__name__} needs a snapshot of {sorted(parts)}, not {str(state)[:80]}"
            raise ValueError(message)
        for name, part in parts.items():
            part.restore(state[name])


@dataclass(frozen=True, slots=True)
class Proposer:
    """Makes a source's decisions: who it is, how long its word stands (`horizon` ms) and how its entries are protected."""

    spec: SourceSpec
    horizon: int
    protection: Protection = field(default_factory=Protection)

    def decide(self, symbol: str, proposal: Proposal, at: int, slot: int, price: float) -> Decision:
        """The decision at time `at` with reference `price`. Its id is derived from source, symbol, action and slot.

        Protection belongs to entries: buys carry it, sells do not. A level in the configuration goes before the rule's own.
        """
        spec, levels = self.spec, self.protection
        moment = slot if proposal.slot is None else proposal.slot
        entry = proposal.action is Action.BUY
        stop, target, trailing = levels.stop_loss, levels.take_profit, levels.trailing
        return Decision(
            id=derive_id(spec.name, symbol, proposal.action, moment),
            source=spec.name,
            tier=spec.tier,
            symbol=symbol,
            action=proposal.action,
            confidence=proposal.confidence,
            created=at,
            expires=at + self.horizon,
            price=price,
            raw_confidence=proposal.confidence,
            stop_loss=(proposal.stop_loss if stop is None else price * (1.0 - stop)) if entry else None,
            take_profit=(proposal.take_profit if target is None else price * (1.0 + target)) if entry else None,
            trailing=(proposal.trailing if trailing is None else trailing) if entry else None,
            size_fraction=proposal.size_fraction,
            reasoning=proposal.reasoning,
            evidence=proposal.evidence,
            target=proposal.target,
        )


class _Track:
    """A symbol's rule and the beginning of the last candle it saw."""

    __slots__ = ("last", "rule", "step")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.step = rule.step
        self.last = -1


class RuleSource:
    """A `StepSource` of one rule per symbol.

    Candles of other symbols and timeframes, and candles it has seen already, pass it by. A rule that raises is in a state nobody
    knows: it is logged, counted in `faults`, silenced for that symbol until the next start and told as an ailment; the other
    symbols and sources go on.
    """

    def __init__(self, proposer: Proposer, make: Callable[[], Rule], symbols: Sequence[str], timeframe: str) -> None:
        """`make` gives a fresh rule; it is called once for each symbol."""
        self._proposer = proposer
        self._make = make
        self._timeframe = timeframe
        self._tracks = {symbol: _Track(make()) for symbol in symbols}
        self._feeds = tuple((symbol, timeframe) for symbol in symbols)
        self._silenced: dict[str, str] = {}
        self.faults = 0

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        return self._proposer.spec

    @property
    def feeds(self) -> Sequence[tuple[str, str]]:
        """The (symbol, timeframe) pairs it wants to see."""
        return self._feeds

    @property
    def ailments(self) -> Sequence[str]:
        """Symbols whose rule has failed: it neither buys nor sells them any more."""
        return [f"{symbol} has no rule until the next start: {error}" for symbol, error in self._silenced.items()]

    @property
    def warmup(self) -> int:
        """How many closed candles it must see before it can propose."""
        return max((track.rule.warmup for track in self._tracks.values()), default=0)

    def warm(self, candle: Candle, view: MarketView) -> None:
        """Learn from a past candle without proposing."""
        self.on_candle(candle, view)

    def on_candle(self, candle: Candle, view: MarketView) -> Decision | None:
        """Take one step; `candle.at` is now."""
        track = self._tracks.get(candle.symbol)
        if track is None or candle.ts <= track.last or candle.timeframe != self._timeframe:
            return None
        track.last = candle.ts
        try:
            proposal = track.step(candle, view)
        except Exception as error:  # noqa: BLE001  # the boundary to rules, which may be anybody's
            self._silence(candle, error)
            return None
        if proposal is None:
            return None
        return self._proposer.decide(candle.symbol, proposal, candle.at, candle.ts, candle.close)

    def _silence(self, candle: Candle, error: Exception) -> None:
        self.faults += 1
        del self._tracks[candle.symbol]
        said = self._silenced[candle.symbol] = f"{type(error).__name__}: {error}"
        log.error("rule_failed", source=self.spec.name, symbol=candle.symbol, ts=candle.ts, error=said)

    def snapshot(self) -> object:
        """State as plain JSON values: by symbol, the last candle and the rule's indicators."""
        tracks = {symbol: [track.last, track.rule.snapshot()] for symbol, track in self._tracks.items()}
        return {"timeframe": self._timeframe, "symbols": tracks}

    def restore(self, state: object) -> None:
        """Continue from a snapshot; symbols that it does not know stay as they are.

        `ValueError`, and no change at all, if it is of another timeframe, rule or parameters.
        """
        if (
            not isinstance(state, Mapping)
            or state.get("timeframe") != self._timeframe
            or not isinstance(state.get("symbols"), Mapping)
        ):
            message = f"{self.spec.name}: a snapshot of timeframe {self._timeframe} is needed, not {str(state)[:80]}"
            raise ValueError(message)
        restored: dict[str, _Track] = {}
        for symbol, saved in state["symbols"].items():
            if symbol in self._tracks:
                restored[symbol] = self._restored(symbol, saved)
        self._tracks.update(restored)

    def _restored(self, symbol: str, saved: object) -> _Track:
        track = _Track(self._make())
        match saved:
            case [int(last), rule]:
                track.rule.restore(rule)
                track.last = last
            case _:
                message = f"{self.spec.name}: {symbol}: not a rule's state: {str(saved)[:80]}"
                raise ValueError(message)
        return track
