"""From an answer to what may be proposed: named rules over the live market, and clamps that leave a trace.

Everything here is a pure function of the answer, the scene (the market and the books as they are now, not as they were asked
about) and the bounds. A rule that is broken refuses the answer; a clamp only ever makes it smaller, nearer or shorter, and says
so. What a model wrote becomes plain text and numbers, and never anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.core.decision import Action
from bot.core.market import timeframe_ms
from sources.llm.answer import LONGEST_INVALIDATION, LONGEST_REASONING, MOST_EVIDENCE, Answer, Unusable
from sources.llm.params import BoundsParams, WithoutPosition
from sources.llm.wording import plain

if TYPE_CHECKING:
    from sources.llm.records import Clamp

CONFIDENCE = "confidence"
_MINUTE_MS = 60_000
_CLAMPABLE = 2.0  # a stop up to so many times too far away is a matter of degree, beyond it of sense


@dataclass(frozen=True, slots=True)
class Scene:
    """What holds now. `asked_at` and `asked_price` are those of the snapshot; `share` is what is held, of equity; times ms UTC.

    `fee` is the taker's, as a fraction; `longest_ms` the longest that a decision may stand.
    """

    symbol: str
    bid: float
    ask: float
    fee: float
    share: float
    ids: frozenset[str]
    asked_at: int
    asked_price: float
    now: int
    longest_ms: int

    @property
    def price(self) -> float:
        """Halfway between bid and ask."""
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What may be proposed: an answer that passed, within its bounds. Texts are plain; `stands_ms` is how long it holds."""

    action: Action
    confidence: float
    size: float | None
    stop_loss: float | None
    take_profit: float | None
    stands_ms: int
    reasoning: str
    invalidation: str
    evidence: tuple[str, ...]
    clamps: tuple[Clamp, ...] = field(default=())


class Refused(Unusable):
    """An answer that breaks a rule; `rule` names it."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"semantic:{rule}", detail)
        self.rule = rule


Rule = Callable[[Answer, Scene, BoundsParams], str | None]
"""Says what is wrong with an answer, or None."""


def judge(answer: Answer, scene: Scene, bounds: BoundsParams) -> Wanted:
    """What may be proposed of an answer. `Refused` names the broken rule; `Unusable` with `stale` where its time is over."""
    late = staleness(scene, bounds)
    if late is not None:
        raise Unusable("stale", late)
    for name, rule in RULES.items():
        fault = rule(answer, scene, bounds)
        if fault is not None:
            raise Refused(name, fault)
    return _clamped(answer, scene, bounds)


def staleness(scene: Scene, bounds: BoundsParams) -> str | None:
    """Why nothing may be made of an answer any more: it came too late, or the price has gone."""
    age, oldest = scene.now - scene.asked_at, timeframe_ms(bounds.oldest)
    if age > oldest:
        return f"it is about a market of {age} ms ago; {oldest} are allowed"
    moved = abs(scene.price / scene.asked_price - 1.0)
    if moved > bounds.moved:
        return f"the price has moved by {moved:.4f} since it was asked about; {bounds.moved} are allowed"
    return None


def confident(confidence: float, action: Action, least: float) -> None:
    """`Refused` where a buy is not sure enough; whoever wants to get out need not be."""
    if action is Action.BUY and confidence < least:
        raise Refused(CONFIDENCE, f"a buy at {confidence:.3f}, below {least:.3f}")


def _symbol(answer: Answer, scene: Scene, _: BoundsParams) -> str | None:
    return None if answer.symbol == scene.symbol else f"it is about {plain(answer.symbol, 40)!r}, not {scene.symbol}"


def _evidence(answer: Answer, scene: Scene, _: BoundsParams) -> str | None:
    made_up = [one for one in answer.evidence if one not in scene.ids]
    return f"it cites {plain(', '.join(made_up), 120)!r}, which the snapshot does not have" if made_up else None


def _position(answer: Answer, scene: Scene, bounds: BoundsParams) -> str | None:
    if answer.action is not Action.SELL or scene.share > 0 or bounds.sell_without_position is WithoutPosition.HOLD:
        return None
    return f"it sells {scene.symbol}, of which nothing is held"


def _size(answer: Answer, _: Scene, __: BoundsParams) -> str | None:
    return "it buys a size of nothing" if answer.action is Action.BUY and answer.size_fraction <= 0 else None


def _stop_missing(answer: Answer, _: Scene, __: BoundsParams) -> str | None:
    return "a buy needs a stop" if answer.action is Action.BUY and answer.stop_loss is None else None


def _stop_side(answer: Answer, scene: Scene, _: BoundsParams) -> str | None:
    stop = answer.stop_loss
    if answer.action is not Action.BUY or stop is None or 0 < stop < scene.bid:
        return None
    return f"the stop at {stop:g} is not below the live price {scene.bid:g}"


def _stop_near(answer: Answer, scene: Scene, bounds: BoundsParams) -> str | None:
    distance = _distance(answer, scene)
    if distance is None or distance >= bounds.stop_nearest:
        return None
    return f"the stop is {distance:.5f} away from the live price; {bounds.stop_nearest} is the least"


def _stop_far(answer: Answer, scene: Scene, bounds: BoundsParams) -> str | None:
    distance, most = _distance(answer, scene), _CLAMPABLE * bounds.stop_farthest
    if distance is None or distance <= most:
        return None
    return f"the stop is {distance:.4f} away from the live price; beyond {most:g} it is no stop"


def _target_side(answer: Answer, scene: Scene, _: BoundsParams) -> str | None:
    target = answer.take_profit
    if answer.action is not Action.BUY or target is None or target > scene.ask:
        return None
    return f"the target at {target:g} is not above the live price {scene.ask:g}"


def _reward(answer: Answer, scene: Scene, bounds: BoundsParams) -> str | None:
    if answer.action is not Action.BUY or answer.stop_loss is None or not bounds.reward_risk:
        return None
    if answer.take_profit is None:
        return "a buy needs a target by which its reward can be told"
    ratio = reward_risk(scene, answer.stop_loss, _nearer_target(answer.take_profit, scene, bounds))
    return None if ratio >= bounds.reward_risk else f"reward to risk is {ratio:.2f}; {bounds.reward_risk:g} is the least"


RULES: dict[str, Rule] = {
    "symbol": _symbol,
    "evidence": _evidence,
    "no-position": _position,
    "size": _size,
    "stop-missing": _stop_missing,
    "stop-side": _stop_side,
    "stop-near": _stop_near,
    "stop-far": _stop_far,
    "target-side": _target_side,
    "reward-risk": _reward,
}
"""By the word that follows `semantic:` in the reason of an abstention, in the order in which they are asked."""


def reward_risk(scene: Scene, stop: float, target: float) -> float:
    """What is won at the target over what is lost at the stop, from the live ask, with the fees of getting in and out."""
    paid = scene.ask * (1.0 + scene.fee)
    return (target * (1.0 - scene.fee) - paid) / (paid - stop * (1.0 - scene.fee))


def _distance(answer: Answer, scene: Scene) -> float | None:
    """How far a buy's stop is below the live price, as a fraction."""
    if answer.action is not Action.BUY or answer.stop_loss is None:
        return None
    return 1.0 - answer.stop_loss / scene.bid


def _nearer_target(target: float, scene: Scene, bounds: BoundsParams) -> float:
    return min(target, scene.ask * (1.0 + bounds.target_farthest))


class _Clamping:
    """Notes every number that was changed."""

    def __init__(self) -> None:
        self.done: list[Clamp] = []

    def to(self, name: str, given: float, used: float) -> float:
        if used != given:
            self.done.append({"name": name, "given": given, "used": used})
        return used


def _clamped(answer: Answer, scene: Scene, bounds: BoundsParams) -> Wanted:
    clamping = _Clamping()
    action, confidence = answer.action, answer.confidence
    if action is Action.SELL and scene.share <= 0:
        clamping.done.append({"name": "action", "given": action.value, "used": Action.HOLD.value})
        action = Action.HOLD
    minutes = min(answer.horizon_minutes, 10**9)
    stands_ms = min(scene.longest_ms, max(timeframe_ms(bounds.shortest), minutes * _MINUTE_MS))
    clamping.to("horizon_minutes", float(minutes), stands_ms / _MINUTE_MS)
    size = stop = target = None
    if action is Action.BUY:
        size = clamping.to("size_fraction", answer.size_fraction, min(answer.size_fraction, bounds.size))
        assert answer.stop_loss is not None  # as the rules have made sure of
        # Only ever nearer: what may be lost is never raised by us.
        stop = clamping.to("stop_loss", answer.stop_loss, max(answer.stop_loss, scene.bid * (1.0 - bounds.stop_farthest)))
        if answer.take_profit is not None:
            target = clamping.to("take_profit", answer.take_profit, _nearer_target(answer.take_profit, scene, bounds))
    elif action is Action.SELL:
        clamping.to("size_fraction", answer.size_fraction, 1.0)  # a sell is of the whole position
    evidence = tuple(dict.fromkeys(answer.evidence))[:MOST_EVIDENCE]
    clamping.to("evidence", float(len(answer.evidence)), float(len(evidence)))
    clamping.to("reasoning", float(len(answer.reasoning)), float(min(len(answer.reasoning), LONGEST_REASONING)))
    clamping.to("invalidation", float(len(answer.invalidation)), float(min(len(answer.invalidation), LONGEST_INVALIDATION)))
    return Wanted(
        action=action,
        confidence=confidence,
        size=size,
        stop_loss=stop,
        take_profit=target,
        stands_ms=stands_ms,
        reasoning=plain(answer.reasoning, LONGEST_REASONING),
        invalidation=plain(answer.invalidation, LONGEST_INVALIDATION),
        evidence=evidence,
        clamps=tuple(clamping.done),
    )
