"""From what the desk tells to evidence: what came of each decision.

A decision to buy is judged by the closings of what its source's shadow ledger bought for it. A decision to sell is judged by what
the exit avoided: if the shadow sold on it, the price at which it sold against the first price that the desk itself saw on that
symbol once the decision had expired, and no later than as long again after that (a minute at least). Where no price was told in
that time the decision is left out, as are sells that sold nothing, holds, and decisions that were not admitted. Fees of the exit
are not counted: the position would have had to be left some day.

What is told twice is told once, in whatever order runs tell it: parts are named by what they are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from bot.core.decision import Action, Evidence
from bot.core.orders import Leg
from bot.core.values import value
from research.calibration.evidence import SELL, Opinion, Part
from research.memory.errors import EvidenceError

MODEL = "model"
"""Where a decision's evidence names the model that made it."""

_LEAST_WINDOW_MS = 60_000
_OPINIONS = 20_000
_PENDING = 100
_SELLERS = 5_000


class Proposal(Protocol):
    """A decision: the desk's own, or the journal's row of it."""

    @property
    def id(self) -> str: ...  # noqa: D102 - the names are those of `Decision`
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def symbol(self) -> str: ...  # noqa: D102
    @property
    def action(self) -> Action: ...  # noqa: D102
    @property
    def confidence(self) -> float | None: ...  # noqa: D102
    @property
    def raw_confidence(self) -> float | None: ...  # noqa: D102
    @property
    def created(self) -> int: ...  # noqa: D102
    @property
    def expires(self) -> int: ...  # noqa: D102
    @property
    def evidence(self) -> Evidence: ...  # noqa: D102


class ShadowClosing(Protocol):
    """A closing in a shadow ledger: the desk's `ShadowClosed`, or the journal's row of it."""

    @property
    def at(self) -> int: ...  # noqa: D102 - the names are those of `ShadowClosed`
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def symbol(self) -> str: ...  # noqa: D102
    @property
    def decision_id(self) -> str: ...  # noqa: D102
    @property
    def opened(self) -> int: ...  # noqa: D102
    @property
    def entry(self) -> Decimal: ...  # noqa: D102
    @property
    def exit(self) -> Decimal: ...  # noqa: D102
    @property
    def amount(self) -> Decimal: ...  # noqa: D102
    @property
    def pnl(self) -> Decimal: ...  # noqa: D102
    @property
    def leg(self) -> str: ...  # noqa: D102


@value
class _Exit:
    """A sell that the shadow carried out at `price`, waiting for what comes after."""

    opinion: Opinion
    price: float

    @property
    def until(self) -> int:
        told = self.opinion
        return told.expires + max(_LEAST_WINDOW_MS, told.expires - told.created)


def opinion_of(told: Proposal, named: str) -> Opinion | None:
    """What is kept of a decision, under its source's name here; None for a hold or one that cannot be judged."""
    if told.action is Action.HOLD:
        return None
    model = told.evidence.get(MODEL)
    stated = told.confidence if told.raw_confidence is None else told.raw_confidence
    if stated is None or told.confidence is None:
        return None
    said = model if isinstance(model, str) else ""
    try:
        return Opinion(
            told.id,
            named,
            said,
            told.action.value,
            told.symbol,
            float(stated),
            float(told.confidence),
            told.created,
            told.expires,
        )
    except EvidenceError:
        return None


class Outcomes:
    """Gathers outcomes from facts in their order. Bounded: `forgotten` opinions were let go of before they were judged.

    `book` says whose books they are; `named` gives the name under which a source is known here. `unknown` closings were of
    decisions that it never saw.
    """

    def __init__(self, book: str = "", named: Callable[[str], str] = str, *, opinions: int = _OPINIONS) -> None:
        self._book = book
        self._named = named
        self._most = opinions
        self._opinions: dict[tuple[str, str], Opinion] = {}
        self._sellers: dict[tuple[str, str], Opinion] = {}
        self._exits: dict[str, deque[_Exit]] = {}
        self.unknown = 0
        self.forgotten = 0
        self.refused = 0

    def seen(self, told: Proposal) -> None:
        """A decision reached the desk."""
        found = opinion_of(told, self._named(told.source))
        if found is None:
            return
        if found.action == SELL:
            self._sellers.pop((found.source, found.symbol), None)
            self._sellers[found.source, found.symbol] = found
            if len(self._sellers) > _SELLERS:
                del self._sellers[next(iter(self._sellers))]
            return
        before = self._opinions.pop((found.source, found.decision), None)
        # The desk refuses a decision that is told again: what it says the second time does not change what was stated.
        again = before is not None and found.created <= before.expires
        self._opinions[found.source, found.decision] = before if before is not None and again else found
        if len(self._opinions) > self._most:
            del self._opinions[next(iter(self._opinions))]
            self.forgotten += 1

    def closed(self, told: ShadowClosing) -> list[Part]:
        """A shadow closed something it had bought."""
        source = self._named(told.source)
        found = self.priced(told.at, told.symbol, float(told.exit))
        seller = self._sellers.get((source, told.symbol))
        if told.leg == Leg.EXIT.value and seller is not None and seller.created <= told.at:
            del self._sellers[source, told.symbol]
            waiting = self._exits.setdefault(told.symbol, deque(maxlen=_PENDING))
            waiting.append(_Exit(seller, float(told.exit)))
        opinion = self._opinions.get((source, told.decision_id))
        if opinion is None:
            self.unknown += 1
            return found
        reference = f"{told.opened} {told.at} {told.amount.normalize():f} {told.leg}"
        return found + self._part(opinion, told.at, float(told.pnl), float(told.amount * told.entry), reference)

    def priced(self, at: int, symbol: str, price: float) -> list[Part]:
        """The desk saw a price: sells whose time is over are judged by it."""
        waiting = self._exits.get(symbol)
        if not waiting or not (math.isfinite(price) and price > 0):
            return []
        found: list[Part] = []
        for _ in range(len(waiting)):
            left = waiting.popleft()
            if at < left.opinion.expires:
                waiting.append(left)
            elif at <= left.until:
                # One part a decision: whichever price a run comes upon first is the one that is kept.
                found += self._part(left.opinion, at, left.price - price, left.price, "avoided")
        return found

    def _part(self, opinion: Opinion, at: int, gain: float, cost: float, reference: str) -> list[Part]:
        try:
            return [Part(opinion, at, gain, cost, reference, self._book)]
        except EvidenceError:
            self.refused += 1
            return []
