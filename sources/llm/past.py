"""A source's own past: its last decisions with what became of them, and why its open positions were entered.

It learns of outcomes from the desk's facts and looks nothing up. After a restart the last decisions are read back from the
records, and so is why the open positions were entered; what became of those decisions is then not known, and said to be so.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import structlog

from bot.core.decision import Action, Decision, Fate
from bot.core.facts import DecisionFate, Fact, LotClosed
from bot.store.errors import StoreUnavailable
from sources.llm.answer import Answer, Unusable, read_fields
from sources.llm.records import DECIDED
from sources.llm.snapshot import OwnDecision, Thesis
from sources.llm.wording import plain

if TYPE_CHECKING:
    from bot.core.briefing import Briefing
    from sources.llm.deciding import Wanted
    from sources.llm.records import Records

log = structlog.get_logger(__name__)

_PER_SYMBOL = 12
_MOST_SYMBOLS = 1_000
_MOST_THESES = 1_000
_LONGEST = 600
_MOST_RECALLED = 40
_UNKNOWN = "unknown"


@dataclass(slots=True)
class _Made:
    """A decision and what is known of it. `pnl` is in the accounting currency."""

    id: str
    at: int
    action: Action
    confidence: float
    reasoning: str
    fate: str = "waiting"
    pnl: Decimal | None = None


class Past:
    """Remembers, within bounds."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._made: dict[str, deque[_Made]] = {}
        self._theses: OrderedDict[str, Thesis] = OrderedDict()

    def decided(self, decision: Decision, wanted: Wanted) -> None:
        """A decision was proposed."""
        made = _Made(decision.id, decision.created, decision.action, decision.confidence, decision.reasoning)
        if decision.symbol in self._made or len(self._made) < _MOST_SYMBOLS:
            self._made.setdefault(decision.symbol, deque(maxlen=_PER_SYMBOL)).appendleft(made)
        if decision.action is Action.BUY:
            self.remember(decision.id, Thesis(wanted.reasoning, wanted.invalidation))

    def remember(self, decision: str, thesis: Thesis) -> None:
        """Why a position is entered that this decision opens."""
        self._theses[decision] = thesis
        while len(self._theses) > _MOST_THESES:
            self._theses.popitem(last=False)

    def saw(self, fact: Fact) -> None:
        """Take note of what became of an own decision."""
        if isinstance(fact, DecisionFate) and fact.source == self._source:
            made = self._find(fact.symbol, fact.decision_id)
            if made is not None:
                made.fate = fact.fate.value
            if fact.fate is not Fate.EXECUTED:
                self._theses.pop(fact.decision_id, None)  # it opened nothing
        elif isinstance(fact, LotClosed) and fact.opener == self._source and fact.opening_decision is not None:
            made = self._find(fact.symbol, fact.opening_decision)
            if made is not None:
                made.pnl = fact.pnl + (made.pnl or Decimal(0))

    def decisions(self, symbol: str, equity: float) -> list[OwnDecision]:
        """The last ones about a symbol, newest first; profits as fractions of equity."""
        return [_told(one, equity) for one in self._made.get(symbol, ())]

    @property
    def theses(self) -> Mapping[str, Thesis]:
        """By the decision that opened the position."""
        return self._theses

    def _find(self, symbol: str, decision: str) -> _Made | None:
        return next((one for one in self._made.get(symbol, ()) if one.id == decision), None)

    async def recall(self, briefing: Briefing, records: Records) -> None:
        """Read back the last decisions, and why the open positions were entered; what cannot be read is done without."""
        opened = [held.decision_id for held in briefing.held if held.source == self._source and held.decision_id]
        try:
            for symbol, made in await _decisions(self._source, records):
                kept = self._made.setdefault(symbol, deque(maxlen=_PER_SYMBOL))
                if len(kept) < _PER_SYMBOL and all(one.id != made.id for one in kept):
                    kept.append(made)  # they come newest first
            for decision in opened:
                thesis = None if decision in self._theses else await _recorded(decision, records)
                if thesis is not None:
                    self.remember(decision, thesis)
        except StoreUnavailable as error:
            log.warning("llm_past_unread", source=self._source, error=str(error))


def _told(one: _Made, equity: float) -> OwnDecision:
    pnl = float(one.pnl) / equity if one.pnl is not None and equity > 0 else None
    return OwnDecision(one.at, one.action, one.confidence, one.reasoning, one.fate, pnl, _outcome(one))


def _outcome(one: _Made) -> str:
    if one.pnl is None:
        return _UNKNOWN if one.fate == _UNKNOWN else "open"
    return "won" if one.pnl > 0 else "lost"


async def _decisions(source: str, records: Records) -> list[tuple[str, _Made]]:
    """The last decisions of a source that rest on one answer alone, newest first, with their symbols."""
    lines = [one for one in await records.lines(source=source, limit=_MOST_RECALLED) if one.decision and one.outcome == DECIDED]
    answers = Counter(line.decision for line in lines)
    found = []
    for line in lines:
        texts = await records.texts(line.id) if answers[line.decision] == 1 else None
        answer = None if texts is None else _answer_in(texts.validation)
        if answer is not None:
            reasoning = plain(answer.reasoning, _LONGEST)
            made = _Made(str(line.decision), line.ts, answer.action, answer.confidence, reasoning, _UNKNOWN)
            found.append((line.symbol, made))
    return found


async def _recorded(decision: str, records: Records) -> Thesis | None:
    """The thesis in the record of a decision: of several members' answers the first that bought."""
    for line in await records.lines(decision=decision, limit=16):
        texts = await records.texts(line.id) if line.outcome == DECIDED else None
        thesis = None if texts is None else thesis_in(texts.validation)
        if thesis is not None:
            return thesis
    return None


def validation_of(fields: Mapping[str, object], problems: Sequence[str] = ()) -> str:
    """What the checks found, as a record keeps it: the answer as it was read, and what was wrong with it."""
    return json.dumps({"answer": dict(fields), "problems": list(problems)}, sort_keys=True, default=str)


def thesis_in(validation: str) -> Thesis | None:
    """The thesis in what a record keeps of an accepted buy; None for anything else."""
    answer = _answer_in(validation)
    if answer is None or answer.action is not Action.BUY:
        return None
    return Thesis(plain(answer.reasoning, _LONGEST), plain(answer.invalidation, _LONGEST))


def _answer_in(validation: str) -> Answer | None:
    """The reverse of `validation_of`."""
    try:
        return read_fields(json.loads(validation)["answer"])
    except (ValueError, KeyError, TypeError, Unusable):
        return None
