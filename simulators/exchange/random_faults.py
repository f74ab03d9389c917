"""Faults by chance: a share of the requests, and of what accounts are told, goes wrong in a way that is drawn.

What becomes of the n-th matching request, and of the n-th private update, is drawn from the seed and n alone: the same seed makes
the same trouble, whatever the time.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from random import Random
from typing import Annotated, Literal

from pydantic import Field

from simulators.exchange.answer_faults import Coded, Dropped, Garbage, Garbled, Hung, Strike, When
from simulators.exchange.faults import Seconds, Status

Part = Annotated[float, Field(ge=0, le=1)]


class Trouble(StrEnum):
    """What may become of a request. After is after the venue has acted: the order is live and nobody is told.

    LATE holds the request itself back for `hang` seconds before the venue acts on it; SLOW delays it by up to `delay`.
    """

    DROPPED_BEFORE = "dropped-before"
    DROPPED_AFTER = "dropped-after"
    HUNG = "hung"
    LATE = "late"
    SLOW = "slow"
    GATEWAY_BEFORE = "gateway-before"
    GATEWAY_AFTER = "gateway-after"
    HTML = "html"
    TRUNCATED = "truncated"
    THROTTLED = "throttled"


class Slip(StrEnum):
    """What may become of a private update."""

    LOST = "lost"
    REPEATED = "repeated"
    REORDERED = "reordered"


@dataclass(frozen=True, slots=True)
class RandomFaults:
    """From now on this `share` of matching requests goes wrong, each by one of `kinds`, and `updates` of the private updates.

    A hung request gets no answer for `hang` seconds, then its connection breaks; a late one is acted on after that time.
    `seconds` None: until `Clear`. A second one replaces the first.
    """

    share: Part = 0.05
    updates: Part = 0.05
    seed: int = 0
    kinds: tuple[Trouble, ...] = tuple(Trouble)
    slips: tuple[Slip, ...] = tuple(Slip)
    path: str = "*"
    method: str = "*"
    hang: Seconds = 2.0
    delay: Seconds = 0.5
    seconds: Seconds | None = None
    fault: Literal["random_faults"] = "random_faults"


@dataclass(frozen=True, slots=True)
class Delay:
    """A request reaches the venue this many seconds later."""

    seconds: float


Drawn = Strike | Status | Delay


@dataclass(slots=True)
class Chance:
    """What is drawn. `counts` tells what went wrong, by kind, and how much could have."""

    clock: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=Counter)
    _rule: RandomFaults | None = None
    _until: float = -1.0
    _requests: int = 0
    _updates: int = 0

    def apply(self, fault: RandomFaults) -> None:
        """Begin to draw, from the first number of the seed on; `ValueError` when there is nothing to draw from."""
        if (fault.share and not fault.kinds) or (fault.updates and not fault.slips):
            message = "random_faults needs at least one of kinds and of slips, or a share of 0"
            raise ValueError(message)
        self._rule = fault
        self._until = math.inf if fault.seconds is None else self.clock() + fault.seconds
        self._requests = self._updates = 0

    def clear(self) -> None:
        """Nothing goes wrong by chance any more."""
        self._rule = None

    def active(self) -> list[str]:
        """What is on, in words."""
        rule = self._live()
        return [repr(rule)] if rule is not None else []

    def request(self, method: str, path: str) -> Drawn | None:
        """What becomes of the request that comes in, None if it goes well."""
        rule = self._live()
        if rule is None or not (fnmatchcase(path, rule.path) and fnmatchcase(method, rule.method)):
            return None
        self._requests += 1
        self.counts["random_requests"] += 1
        random = Random(f"request {rule.seed} {self._requests}")  # noqa: S311 - repeatable on purpose, nothing secret
        if random.random() >= rule.share:
            return None
        kind = random.choice(rule.kinds)
        self.counts[f"random_{kind.value}"] += 1
        return _drawn(kind, rule, random)

    def update(self) -> Slip | None:
        """What becomes of the private update that is about to be told, None if it is told as it should be."""
        rule = self._live()
        if rule is None:
            return None
        self._updates += 1
        self.counts["random_updates"] += 1
        random = Random(f"update {rule.seed} {self._updates}")  # noqa: S311 - repeatable on purpose, nothing secret
        if random.random() >= rule.updates:
            return None
        slip = random.choice(rule.slips)
        self.counts[f"random_{slip.value}"] += 1
        return slip

    def _live(self) -> RandomFaults | None:
        return self._rule if self.clock() < self._until else None


def _drawn(kind: Trouble, rule: RandomFaults, random: Random) -> Drawn:
    match kind:
        case Trouble.DROPPED_BEFORE:
            return Dropped(When.BEFORE)
        case Trouble.DROPPED_AFTER:
            return Dropped(When.AFTER)
        case Trouble.HUNG:
            return Hung(When.AFTER, seconds=rule.hang)
        case Trouble.LATE:
            return Delay(rule.hang)
        case Trouble.SLOW:
            return Delay(random.uniform(0.0, rule.delay))
        case Trouble.GATEWAY_BEFORE:
            return Status(503)
        case Trouble.GATEWAY_AFTER:
            return Coded(-1000, "An unknown error occurred while processing the request.", 502, When.AFTER)
        case Trouble.HTML:
            return Garbled(Garbage.HTML, When.AFTER)
        case Trouble.TRUNCATED:
            return Garbled(Garbage.TRUNCATED, When.AFTER)
        case Trouble.THROTTLED:
            return Status(429, retry_after=1)
