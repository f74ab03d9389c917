"""Where memory is kept: the protocol, what is recalled of evidence, and a store in the process itself.

A store keeps evidence and nothing else; lessons, confidence and parameters follow from what was known at the moment asked about.
So nothing that is learnt later can change an earlier answer, and a look-up in a backtest sees no future.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from bot.core.values import value
from research.memory.confidence import Confidence, confidence_of
from research.memory.evidence import BacktestEvidence, Evidence, Subject, TradeEvidence
from research.memory.lessons import Lesson, lesson_of_backtest, lesson_of_trades
from research.memory.parameters import RobustParameters, robust_parameters
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy


class MemoryStore(Protocol):
    """What keeps the memory: in the process, in a database, or one outside the bot.

    Every look-up takes `as_of` (ms UTC) and sees only evidence with `known_at` up to then. Calls raise `MemoryUnavailable` when
    the store cannot be used; an empty answer means that nothing is known.
    """

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        """Keep it all or none of it; how many were new. What is there already stays as it is."""
        ...

    async def subjects(self, as_of: int) -> Sequence[Subject]:
        """What anything is known about, sorted."""
        ...

    async def lessons(self, subject: Subject, as_of: int, limit: int = 100) -> Sequence[Lesson]:
        """What was learnt, newest first: a lesson of each backtest, and one of the trades so far."""
        ...

    async def confidence(self, subject: Subject, as_of: int) -> Confidence | None:
        """How far to believe it; None if nothing is known."""
        ...

    async def parameters(self, subject: Subject, as_of: int) -> RobustParameters | None:
        """The parameters that the history recommends; None if it cannot tell."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


@runtime_checkable
class RecallsEvidence(Protocol):
    """A store that can also give back the evidence itself, so that a quicker one can answer in its place."""

    @property
    def policy(self) -> MemoryPolicy:
        """How its look-ups weigh the evidence."""
        ...

    async def evidence(self, subject: Subject, as_of: int) -> Sequence[Evidence]:
        """All that a look-up sees."""
        ...


@value
class Recollection:
    """What is known of one subject at a moment; pure. Make it with `recall`."""

    trades: tuple[TradeEvidence, ...]
    backtests: tuple[BacktestEvidence, ...]
    policy: MemoryPolicy

    def lessons(self, limit: int = 100) -> list[Lesson]:
        """Newest first."""
        found = [lesson_of_backtest(backtest, self.policy) for backtest in self._newest(limit)]
        if self.trades:
            found.append(lesson_of_trades(self.trades, self.policy))
        return sorted(found, key=lambda lesson: (-lesson.known_at, lesson.origin, lesson.id))[: max(0, limit)]

    def _newest(self, limit: int) -> list[BacktestEvidence]:
        """The backtests that may be among so many of the newest lessons: with each of them all that became known with it."""
        newest = sorted(self.backtests, key=lambda backtest: -backtest.known_at)
        if not 0 < limit < len(newest):
            return newest if limit > 0 else []
        return [backtest for backtest in newest if backtest.known_at >= newest[limit - 1].known_at]

    def confidence(self) -> Confidence | None:
        """None if nothing is known."""
        return confidence_of(self.trades, self.backtests, self.policy) if self.trades or self.backtests else None

    def parameters(self) -> RobustParameters | None:
        """None if the history cannot tell."""
        return robust_parameters(self.backtests, self.policy)


def recall(evidence: Iterable[Evidence], as_of: int, policy: MemoryPolicy = DEFAULT_POLICY) -> Recollection:
    """What of this subject's evidence was known at `as_of`: the newest `policy.window` trades and as many backtests."""
    known = sorted((each for each in evidence if each.known_at <= as_of), key=lambda each: (each.known_at, each.id))
    return _recollection(known, policy)


def _recollection(known: Iterable[Evidence], policy: MemoryPolicy) -> Recollection:
    """Of evidence by (known_at, id)."""
    trades: deque[TradeEvidence] = deque(maxlen=policy.window)
    backtests: deque[BacktestEvidence] = deque(maxlen=policy.window)
    for each in known:
        if isinstance(each, TradeEvidence):
            trades.append(each)
        else:
            backtests.append(each)
    return Recollection(tuple(trades), tuple(backtests), policy)


def sorted_subjects(subjects: Iterable[Subject]) -> list[Subject]:
    """By symbol, strategy and timeframe."""
    return sorted(set(subjects), key=lambda subject: (subject.symbol, subject.strategy, subject.timeframe))


class InMemoryStore:
    """A store that lives as long as the process: for tests, backtests and as the quick copy beside a slow store.

    `confidence_now` answers without waiting, and at once while nothing new has become known: a decision may ask it. With
    `forgets` it holds no more of each subject than a look-up of now can see, and some: earlier moments are then answered by what
    is left of them.
    """

    def __init__(self, policy: MemoryPolicy = DEFAULT_POLICY, *, forgets: bool = False) -> None:
        self._policy = policy
        self._most = policy.window * 4 if forgets else None
        self._ids: set[str] = set()
        self._by_subject: dict[Subject, list[tuple[int, str, Evidence]]] = {}
        # By subject, for how many known pieces of evidence it was worked out, and the answer.
        self._confidence: dict[Subject, tuple[int, Confidence | None]] = {}

    @property
    def policy(self) -> MemoryPolicy:
        """How its look-ups weigh the evidence."""
        return self._policy

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        """Keep it; how many were new."""
        return self.add(evidence)

    def add(self, evidence: Iterable[Evidence]) -> int:
        """`remember`, without waiting."""
        fresh = {key: each for key, each in ((each.id, each) for each in evidence) if key not in self._ids}
        for key, each in fresh.items():
            self._ids.add(key)
            subject = each.subject
            insort(self._by_subject.setdefault(subject, []), (each.known_at, key, each), key=_order)
            self._confidence.pop(subject, None)
            if self._most is not None and len(self._by_subject[subject]) > self._most:
                self._forget(subject)
        return len(fresh)

    def _forget(self, subject: Subject) -> None:
        """Let go of what no look-up of now sees."""
        entries = self._by_subject[subject]
        seen = _recollection((each for _, _, each in entries), self._policy)
        kept = {each.id for each in seen.trades} | {each.id for each in seen.backtests}
        self._ids.difference_update(key for _, key, _ in entries if key not in kept)
        entries[:] = [entry for entry in entries if entry[1] in kept]

    async def subjects(self, as_of: int) -> Sequence[Subject]:
        """What anything is known about."""
        return sorted_subjects(subject for subject, entries in self._by_subject.items() if entries[0][0] <= as_of)

    async def lessons(self, subject: Subject, as_of: int, limit: int = 100) -> Sequence[Lesson]:
        """Newest first."""
        return self._recalled(subject, as_of).lessons(limit)

    async def confidence(self, subject: Subject, as_of: int) -> Confidence | None:
        """None if nothing is known."""
        return self.confidence_now(subject, as_of)

    async def parameters(self, subject: Subject, as_of: int) -> RobustParameters | None:
        """None if the history cannot tell."""
        return self._recalled(subject, as_of).parameters()

    async def evidence(self, subject: Subject, as_of: int) -> Sequence[Evidence]:
        """All that a look-up sees."""
        found = self._recalled(subject, as_of)
        return [*found.trades, *found.backtests]

    async def close(self) -> None:
        """Nothing to release."""

    def confidence_now(self, subject: Subject, as_of: int) -> Confidence | None:
        """`confidence`, without waiting."""
        known = self._known(subject, as_of)
        held = self._confidence.get(subject)
        if held is None or held[0] != known:
            held = known, self._recalled(subject, as_of).confidence()
            self._confidence[subject] = held
        return held[1]

    def _known(self, subject: Subject, as_of: int) -> int:
        """How many of the subject's entries were known then; they are in the order in which they became so."""
        return bisect_right(self._by_subject.get(subject, ()), as_of, key=lambda entry: entry[0])

    def _recalled(self, subject: Subject, as_of: int) -> Recollection:
        entries = self._by_subject.get(subject, [])[: self._known(subject, as_of)]
        return _recollection((each for _, _, each in entries), self._policy)


def _order(entry: tuple[int, str, Evidence]) -> tuple[int, str]:
    return entry[:2]
