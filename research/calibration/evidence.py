"""Evidence: what came of a decision, part by part, and when each part became known.

A decision to buy is judged by the trade that it opened in its source's own shadow ledger, where it is followed whether it won or
was outranked: so what the arbiter picks cannot flatter or hurt a source. A part is a closing of what it bought; the decision's
profit is the net result of its parts over what they cost. It came true if that is above zero.

Nothing counts before its `known_at`, so what is known as of a moment never changes later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from bot.core.decision import derive_id
from bot.core.values import value
from research.calibration.feedback import Feedback, leaning
from research.calibration.policy import DEFAULT_POLICY, CalibrationPolicy
from research.memory.errors import EvidenceError
from research.memory.evidence import LAST_MS, number, text, whole

BUY = "buy"
SELL = "sell"
ACTIONS = (BUY, SELL)

DecisionKey = tuple[str, str, str, str, str, int]
"""Book, source, model, action, id, and when it was made."""


@value
class Opinion:
    """What is kept of a decision until it is known what came of it.

    `stated` is the confidence before calibration and memory, `counted` the one that the desk heard (0..1). `model` is empty for
    sources that name none. Times are ms UTC.
    """

    decision: str
    source: str
    model: str
    action: str
    symbol: str
    stated: float
    counted: float
    created: int
    expires: int

    def __post_init__(self) -> None:
        for name in ("decision", "source", "symbol"):
            text(name, getattr(self, name))
        text("model", self.model, empty=True)
        if self.action not in ACTIONS:
            message = f"action: {self.action!r:.40} must be buy or sell"
            raise EvidenceError(message)
        number("stated", self.stated, 0.0, 1.0)
        number("counted", self.counted, 0.0, 1.0)
        whole("created", self.created, LAST_MS)
        whole("expires", self.expires, LAST_MS)


@value
class Part:
    """A part of what came of a decision: `gain` net of fees, of what cost `cost`, both in the same money. `book`: whose books."""

    opinion: Opinion
    known_at: int
    gain: float
    cost: float
    reference: str = ""
    book: str = ""

    def __post_init__(self) -> None:
        whole("known_at", self.known_at, LAST_MS)
        number("gain", self.gain)
        number("cost", self.cost, 1e-18)
        text("reference", self.reference, empty=True)
        text("book", self.book, empty=True)

    @property
    def decision(self) -> DecisionKey:
        """Which decision it belongs to; ids may come again in a later run."""
        told = self.opinion
        return self.book, told.source, told.model, told.action, told.decision, told.created

    @property
    def id(self) -> str:
        """Derived from whose part it is and its reference: the same part told twice is one."""
        return derive_id(*self.decision, self.reference)


@value
class Closed:
    """A closed decision: its `profit` is a fraction of what it cost, net; `weight` is what it counts in learning."""

    source: str
    model: str
    action: str
    symbol: str
    stated: float
    counted: float
    known_at: int
    profit: float
    decision: str
    book: str = ""
    weight: float = 1.0

    @property
    def won(self) -> int:
        """1 if it came true, else 0."""
        return int(self.profit > 0)


def closed_of(
    parts: Iterable[Part], as_of: int, feedback: Sequence[Feedback] = (), policy: CalibrationPolicy = DEFAULT_POLICY
) -> list[Closed]:
    """The decisions that were closed and known at `as_of`, in the order in which they became so.

    Feedback up to then weighs them: see `weight_of`.
    """
    gathered: dict[DecisionKey, dict[str, Part]] = {}
    for part in parts:
        if part.known_at <= as_of:
            gathered.setdefault(part.decision, {})[part.id] = part
    said = leaning(feedback, as_of)
    found = [_closed(list(each.values()), said, policy) for each in gathered.values()]
    return sorted(found, key=lambda one: (one.known_at, one.source, one.decision, one.book, one.action, one.model))


def weight_of(won: int, said: float, policy: CalibrationPolicy = DEFAULT_POLICY) -> float:
    """What a closed decision counts: 1 + f * said * (1 if it came true, else -1), where f is `policy.feedback_weight`.

    `said` is -1 (all say wrong) to 1 (all say useful). So people who agree with the outcome make it count more, people who call
    it luck make it count less, and neither can turn it around: the weight is within 1 - f to 1 + f.
    """
    return 1.0 + policy.feedback_weight * said * (1.0 if won else -1.0)


def dumped(part: Part) -> str:
    """The part as JSON text."""
    return orjson.dumps(part, option=orjson.OPT_SORT_KEYS).decode()


def loaded(body: str) -> Part:
    """A part from its JSON text; `EvidenceError` if it is none."""
    try:
        fields: dict[str, Any] = orjson.loads(body)
        fields["opinion"] = Opinion(**fields["opinion"])
        return Part(**fields)
    except (ValueError, TypeError, KeyError) as error:
        message = f"this is no outcome of a decision: {error}; it was written by another version, or changed by hand"
        raise EvidenceError(message) from error


def _closed(parts: list[Part], said: dict[str, float], policy: CalibrationPolicy) -> Closed:
    told = parts[0].opinion
    # fsum: the sum does not depend on the order in which the parts are read.
    profit = math.fsum(part.gain for part in parts) / math.fsum(part.cost for part in parts)
    weight = weight_of(int(profit > 0), said.get(told.decision, 0.0), policy)
    known_at = max(part.known_at for part in parts)
    return Closed(
        told.source, told.model, told.action, told.symbol, told.stated, told.counted, known_at, profit, told.decision,
        parts[0].book, weight,
    )  # fmt: skip
