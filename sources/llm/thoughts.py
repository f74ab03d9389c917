"""What a consideration is made of, and what it ends as: the thoughts, the scene they are judged in, the evidence they leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Decision, Evidence, SourceSpec
from bot.core.market import MarketView
from bot.core.protocols import SourcePort
from sources.llm.answer import VERSION, Answer, Unusable
from sources.llm.deciding import CONFIDENCE, Refused, Scene, Wanted
from sources.llm.ensemble import Combined, Vote
from sources.llm.params import LlmParams
from sources.llm.snapshot import Snapshot
from sources.llm.thinking import Prepared, Said
from sources.llm.wording import plain

_FEE = 0.001  # where the venue says nothing


class Trigger(StrEnum):
    """Why somebody is asked."""

    CANDLE = "candle"
    SCHEDULE = "schedule"
    DEMAND = "demand"


@dataclass(slots=True)
class Thought:
    """What one question came to: what is wanted and by whom, or why nothing is."""

    prepared: Prepared | None = None
    said: list[Said] = field(default_factory=list)
    problems: dict[int, Unusable] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    votes: list[Vote] = field(default_factory=list)
    combined: Combined | None = None
    decision: Decision | None = None
    problem: Unusable | None = None

    @property
    def cost(self) -> Decimal:
        """USD of every try of every member."""
        return sum((one.cost for one in self.said), Decimal(0))

    @property
    def fresh(self) -> bool:
        """Whether anybody was asked."""
        return any(not one.cached for one in self.said)


@dataclass(frozen=True, slots=True)
class Considered:
    """How a consideration ended: with a decision or an abstention, in USD `cost`. Neither: nobody had to be asked."""

    symbol: str
    trigger: Trigger
    decision: Decision | None = None
    abstention: Abstention | None = None
    snapshot: Snapshot | None = None
    cost: Decimal = Decimal(0)
    thoughts: tuple[Thought, ...] = ()
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a source's configuration says of its decisions; `longest_ms` is how long one stands at most, `trailing` a fraction."""

    spec: SourceSpec
    params: LlmParams
    timeframes: tuple[str, ...]
    longest_ms: int
    trailing: float | None = None

    @property
    def least(self) -> float:
        """The confidence below which nothing is bought."""
        return max(self.spec.threshold, self.params.bounds.confidence)


def scene_of(snapshot: Snapshot, port: SourcePort, longest_ms: int) -> Scene:
    """The market and the books as they are now; `Unusable` where the price is gone."""
    view, briefing = port.view, port.briefing()
    price = view.price(snapshot.symbol)
    if not price or not snapshot.price:
        reason = "no-price"
        raise Unusable(reason, f"there is no price of {snapshot.symbol} any more")
    bid, ask = _sides(view, snapshot.symbol, price)
    instrument = view.instruments.get(snapshot.symbol)
    return Scene(
        symbol=snapshot.symbol,
        bid=bid,
        ask=ask,
        fee=_FEE if instrument is None else max(0.0, float(instrument.taker_fee)),
        share=briefing.share(snapshot.symbol),
        ids=snapshot.ids,
        asked_at=snapshot.at,
        asked_price=snapshot.price,
        now=port.now(),
        longest_ms=longest_ms,
    )


def _sides(view: MarketView, symbol: str, price: float) -> tuple[float, float]:
    quote = view.quotes.get(symbol)
    return (price, price) if quote is None or not 0 < quote.bid <= quote.ask else (quote.bid, quote.ask)


def exposure_of(briefing: Briefing, symbol: str) -> float:
    """What is held of a symbol, as 0..1 of the most that the risk checks admit."""
    most = next((use.limit for use in briefing.limits if use.name == "max_position"), 1.0)
    return min(1.0, max(0.0, briefing.share(symbol) / most)) if most > 0 else 1.0


def evidence_of(thought: Thought, wanted: Wanted, trigger: Trigger) -> Evidence:
    """What a decision rests on, flat: where it came from, what was cited and what was changed."""
    assert thought.prepared is not None
    assert thought.combined is not None
    snapshot, lead = thought.prepared.snapshot, thought.combined.lead
    said = next((one for one in thought.said if one.member == lead.member), thought.said[0])
    reply = said.reply
    told: dict[str, str | float | int | bool | None] = {
        "snapshot": snapshot.hash,
        "candle": snapshot.candle_id,
        "provider": reply.provider,
        "model": reply.model,
        "template": thought.prepared.template.label,
        "schema": VERSION,
        "fallback": reply.fallback,
        "request_id": plain(reply.request_id, 80),
        "trigger": trigger.value,
        "cached": said.cached,
        "cited": ",".join(wanted.evidence),
        "invalidation": wanted.invalidation,
        "clamps": "; ".join(f"{one['name']} {one['given']} -> {one['used']}" for one in wanted.clamps)[:400],
        "advice": thought.prepared.advice.value,
    }
    if len(thought.said) > 1:
        told["members"] = len(thought.said)
        told["agreement"] = round(thought.combined.agreement, 4)
        told["votes"] = "; ".join(map(str, thought.votes))[:600]
    return told


def is_nonsense(problem: Unusable) -> bool:
    """Whether an answer broke a rule of sense: too little confidence is none."""
    return isinstance(problem, Refused) and problem.rule != CONFIDENCE
