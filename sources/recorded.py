"""Decisions that were made before, of any tier, proposed again on time: one JSON object per line of a file.

A line says when (`offset_ms` after the start, or an absolute `at`), who (`source`, `tier`), on which `symbol`, and then either an
`action` with its `confidence` and `horizon`, or `abstain` with a reason. `claim_ms` makes the source claim the symbol that long
before it speaks. Without a `price` the reference is the market's when the line comes due.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

import structlog
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from bot.core.decision import Abstention, Action, Claim, Decision, SourceSpec, derive_id
from bot.core.inputs import Abstained, Claimed, Proposed
from bot.core.market import MarketView, timeframe_ms
from bot.core.protocols import SourcePort
from sources.base import Proposal, Proposer, Protection, Strict
from sources.config import Amount, Duration, SourceConfig, SourceConfigError, SourceName, TierName, explain

log = structlog.get_logger(__name__)

RECORDED = "recorded"
"""The kind of source that plays a recording."""

CLAIM_SLACK_MS = 250
"""How much longer than announced a claim lasts, so that the decision it is for arrives within it."""

Said = Proposed | Claimed | Abstained
Sleep = Callable[[float], Awaitable[object]]


def _moment(value: object) -> object:
    """Milliseconds from an ISO 8601 time with its zone."""
    if not isinstance(value, str):
        return value
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        message = "a time needs its zone; write it as 2026-01-31T09:00:00Z"
        raise ValueError(message)
    return round(moment.timestamp() * 1000)


class RecordedLine(Strict):
    """One line of a recording."""

    offset_ms: int | None = Field(default=None, ge=0, description="milliseconds after the start of the run")
    at: Annotated[int | None, BeforeValidator(_moment)] = Field(
        default=None, description="milliseconds UTC, or ISO 8601 with zone"
    )
    source: SourceName
    tier: TierName
    symbol: str = Field(pattern=r"^[^/\s]+/[^/\s]+$", description="unified symbol such as BTC/USDT")
    action: Action | None = None
    confidence: float | None = Field(default=None, ge=0, le=1)
    horizon: Duration | None = Field(default=None, description="how long the decision stands, such as 30s")
    price: float | None = Field(default=None, gt=0)
    protection: Protection | None = None
    size: float | None = Field(default=None, gt=0, le=1, description="fraction of the desk's own size")
    reasoning: str = Field(default="", max_length=4_000)
    evidence: dict[str, str | float | int | bool | None] = Field(default_factory=dict)
    cost: Amount = Field(default=Decimal(0), ge=0, description="what it cost, in USD")
    external_id: str | None = Field(default=None, max_length=128)
    claim_ms: int | None = Field(default=None, gt=0, description="how long before it speaks the source claims the symbol")
    abstain: str | None = Field(default=None, min_length=1, max_length=64, description="why it has no opinion")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        faults = {
            "give either offset_ms or at": (self.offset_ms is None) == (self.at is None),
            "give either action or abstain": (self.action is None) == (self.abstain is None),
            "an action needs confidence and horizon": self.action is not None and None in (self.confidence, self.horizon),
            "claim_ms reaches back before the start": self.offset_ms is not None and (self.claim_ms or 0) > self.offset_ms,
        }
        for fault, found in faults.items():
            if found:
                raise ValueError(fault)
        return self

    def due(self, start: int) -> int:
        """When it speaks, in milliseconds UTC, in a run that began at `start`."""
        return start + self.offset_ms if self.offset_ms is not None else self.at or 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A line and its number in the file."""

    number: int
    line: RecordedLine


@dataclass(frozen=True, slots=True)
class Cue:
    """Something a recorded source does at a time; `due` is when it speaks, which for a claim is later."""

    at: int
    due: int
    entry: Entry
    claims: bool

    def say(self, spec: SourceSpec, view: MarketView, now: int) -> Said:
        """What reaches the desk, said at `now`. A line without a price abstains while the market has none."""
        line = self.entry.line
        if self.claims:
            return Claimed(now, Claim(spec.name, spec.tier, line.symbol, self.due + CLAIM_SLACK_MS))
        if line.abstain is not None:
            return Abstained(now, Abstention(spec.name, spec.tier, line.symbol, line.abstain, line.reasoning))
        price = view.price(line.symbol) if line.price is None else line.price
        if price is None:
            return Abstained(now, Abstention(spec.name, spec.tier, line.symbol, "no-price", "the market has no price yet"))
        return Proposed(now, self._decision(spec, price, now))

    def _decision(self, spec: SourceSpec, price: float, now: int) -> Decision:
        line, due = self.entry.line, self.due
        assert line.action is not None
        assert line.confidence is not None
        assert line.horizon is not None
        proposal = Proposal(line.action, line.confidence, line.reasoning, line.evidence, size_fraction=line.size)
        proposer = Proposer(spec, timeframe_ms(line.horizon), line.protection or Protection())
        decision = proposer.decide(line.symbol, proposal, now, due, price)
        name = derive_id(spec.name, line.symbol, line.action, due, self.entry.number)
        return replace(decision, id=name, cost=line.cost, external_id=line.external_id)


class RecordedSource:
    """A `LiveSource` that plays its lines of a recording; `cues` and `inputs` are the same without a clock.

    With `repeat_ms` a recording begins again that long after it began. Lines whose absolute time is over when the run begins are
    not said; `missed` counts them.
    """

    def __init__(
        self,
        spec: SourceSpec,
        entries: Sequence[Entry],
        repeat_ms: int | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`sleep` waits for seconds; tests bring their own clock."""
        self._spec = spec
        self._entries = tuple(entries)
        self._repeat_ms = repeat_ms
        self._sleep = sleep
        self.missed = 0

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        return self._spec

    def cues(self, start: int) -> Iterator[Cue]:
        """What it does and when, in time order, in a run that begins at `start`; endless if it repeats."""
        for turn in count():
            yield from sorted(self._turn(start + turn * (self._repeat_ms or 0)), key=lambda cue: cue.at)
            if self._repeat_ms is None or not self._entries:
                return

    def _turn(self, start: int) -> Iterator[Cue]:
        for entry in self._entries:
            due = entry.line.due(start)
            if entry.line.claim_ms is not None:
                yield Cue(due - entry.line.claim_ms, due, entry, claims=True)
            yield Cue(due, due, entry, claims=False)

    def inputs(self, start: int, view: MarketView) -> Iterator[Said]:
        """Its inputs in time order.

        A price that a line leaves open is read from `view` when the iterator is asked for that input: whoever merges this
        with other inputs takes `cues`, which tell the time first.
        """
        for cue in self.cues(start):
            if cue.at >= start:
                yield cue.say(self._spec, view, cue.at)

    async def run(self, port: SourcePort) -> None:
        """Say every line on time, by the port's clock; returns after the last one."""
        start = port.now()
        for cue in self.cues(start):
            if cue.at < start:
                self.missed += 1
                continue
            while (early := cue.at - port.now()) > 0:
                await self._sleep(early / 1000)
            await _hand_over(port, cue.say(self._spec, port.view, port.now()))
        if self.missed:
            log.warning("recorded_lines_missed", source=self._spec.name, missed=self.missed)


async def _hand_over(port: SourcePort, said: Said) -> None:
    match said:
        case Proposed(decision=decision):
            await port.propose(decision)
        case Claimed(claim=claim):
            await port.claim(claim)
        case Abstained(abstention=abstention):
            await port.abstain(abstention)


def _no_constant(text: str) -> NoReturn:
    message = f"{text} is not a number"
    raise ValueError(message)


def _entry(file: Path, number: int, text: str) -> Entry:
    where = f"{file}:{number}"
    try:
        content: Any = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise SourceConfigError(where, "", None, f"not a line of JSON: {error}") from error
    if not isinstance(content, dict):
        raise SourceConfigError(where, "", None, "must be a JSON object such as {...}")
    try:
        return Entry(number, RecordedLine.model_validate(content))
    except ValidationError as error:
        raise explain(error, where, RecordedLine) from error


def read_recording(file: Path) -> dict[str, list[Entry]]:
    """The lines of a JSONL file by the name of their source; empty lines are passed over.

    `SourceConfigError`, with the line's number, if the file cannot be read, a line is wrong or a source changes its tier.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceConfigError(
            file, "", None, f"cannot be read ({error}); check the path, its encoding and permissions"
        ) from error
    recording: dict[str, list[Entry]] = {}
    for number, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        entry = _entry(file, number, row)
        lines = recording.setdefault(entry.line.source, [])
        if lines and lines[0].line.tier is not entry.line.tier:
            remedy = f"line {lines[0].number} says {lines[0].line.tier.label}; a source has one tier"
            raise SourceConfigError(f"{file}:{number}", "tier", entry.line.tier.label, remedy)
        lines.append(entry)
    return recording


def recorded_sources(file: Path) -> list[RecordedSource]:
    """A source for every name in the file, with the defaults of its tier."""
    recording = read_recording(file).items()
    specs = ((SourceConfig(source=name, kind=RECORDED, tier=entries[0].line.tier).spec(), entries) for name, entries in recording)
    return [RecordedSource(spec, entries) for spec, entries in specs]
