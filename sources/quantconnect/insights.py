"""Opinions of QuantConnect, whatever way they come, as one `Signal`; and a signal as a `Decision`.

An insight says where the price goes, an order what was done, a holding what is held, a message whatever its author wrote. Up is a
buy, down a sell, flat a close. What says nothing about a price, or nothing readable, is `Unusable` and never traded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bot.core.decision import Action, Decision, SourceSpec, derive_id
from sources.base import Proposal, Proposer, Protection
from sources.quantconnect.models_trade import Insight, InsightDirection, InsightType, Order, OrderDirection, OrderStatus
from sources.quantconnect.shapes import letters
from sources.quantconnect.values import moment_ms, number, span_s

if TYPE_CHECKING:
    from sources.quantconnect.models_live import Holding

LONGEST_ID = 128
LONGEST_TEXT = 1_000
_GUID = re.compile(r"[0-9a-f]{32}")


class Unusable(ValueError):  # noqa: N818 - it names what the message is
    """Something that is no opinion on a price; the message says what is missing or wrong."""


class Way(StrEnum):
    """The ways in which opinions come; also the names of the routes in the configuration."""

    WEBHOOK = "webhook"
    INSIGHTS = "insights"
    ORDERS = "orders"
    PORTFOLIO = "portfolio"
    OBJECTS = "objects"
    BACKTEST = "backtest"


class Heading(StrEnum):
    """What an opinion wants."""

    UP = "up"
    DOWN = "down"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Signal:
    """One opinion. `id` is the service's own; times are ms UTC, None where it names none.

    `size` scales the desk's size, 0..1; `target` replaces it: the share of the capital to hold, 0..1. `symbol` is the bot's own,
    where it is known without looking.
    """

    way: Way
    id: str
    heading: Heading
    ticker: str
    sid: str = ""
    market: str = ""
    confidence: float | None = None
    price: float | None = None
    generated: int | None = None
    closes: int | None = None
    size: float | None = None
    model: str = ""
    tag: str = ""
    magnitude: float | None = None
    weight: float | None = None
    project: int | None = None
    symbol: str = ""
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a signal came: now, when the poll that brought it was answered, and when the one before was (ms UTC)."""

    at: int
    polled: int | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How signals become decisions: who speaks, how long without a period of its own and at most (ms), how sure if unsaid."""

    spec: SourceSpec
    horizon: int
    longest: int
    confidence: float
    protection: Protection = field(default_factory=Protection)

    def expiry(self, signal: Signal, at: int) -> int:
        """When its word ends: at its own close, but no later than the longest stand from now.

        Without a close it stands for the horizon from now, not from when it was made: what is polled is minutes old already.
        """
        end = at + self.horizon if signal.closes is None else signal.closes
        return min(end, at + self.longest)

    def decision(self, signal: Signal, symbol: str, price: float, arrival: Arrival, held: float = 0.0) -> Decision:
        """A decision made on arrival: the desk measures its age from there. The signal's own age is in its evidence.

        `held` is the share of the book's equity that is in the symbol now: a target is bought up to, or sold down to.
        """
        at = arrival.at
        given = signal.confidence
        sure = self.confidence if given is None else given
        proposal = Proposal(
            self._action(signal, held),
            sure,
            reasoning(signal),
            evidence(signal, arrival),
            size_fraction=signal.size,
            target=signal.target,
        )
        horizon = max(1, self.expiry(signal, at) - at)
        made = Proposer(self.spec, horizon, self.protection).decide(symbol, proposal, at, at, price)
        return replace(made, id=derive_id(self.spec.name, symbol, signal.id), external_id=signal.id)

    def _action(self, signal: Signal, held: float) -> Action:
        if signal.target is None:
            return Action.BUY if signal.heading is Heading.UP else Action.SELL
        return Action.BUY if held < signal.target * float(self.spec.capital) else Action.SELL

    def stale(self, signal: Signal, symbol: str, price: float, arrival: Arrival, why: str) -> Decision:
        """The same, so old that the desk must say stale: it is journaled and never traded."""
        made = self.decision(signal, symbol, price, arrival)
        created = min(signal.generated or arrival.at, arrival.at - 1)
        told = {**made.evidence, "stale": why}
        return replace(made, created=created, expires=created + 1, evidence=told, reasoning=f"stale, {why}: {made.reasoning}")


def reasoning(signal: Signal) -> str:
    """Who said it and what it noted, in one line."""
    who = signal.model or signal.way.value
    return f"{who}: {signal.tag}" if signal.tag else f"{who} says {signal.heading}"


def evidence(signal: Signal, arrival: Arrival) -> dict[str, str | float | int | bool | None]:
    """What there was to see: the way it came, its own figures and how old it and the poll that brought it are (ms)."""
    told: dict[str, str | float | int | bool | None] = {
        "route": signal.way.value,
        "heading": signal.heading.value,
        "ticker": signal.sid or signal.ticker,
        "reference": signal.price,
        "generated": signal.generated,
        "age_ms": None if signal.generated is None else arrival.at - signal.generated,
        "confidence_given": signal.confidence is not None,
    }
    if arrival.polled is not None:
        told["poll_age_ms"] = arrival.at - arrival.polled
        told["poll_gap_ms"] = None if arrival.before is None else arrival.polled - arrival.before
    extra = {
        "model": signal.model or None,
        "tag": signal.tag or None,
        "magnitude": signal.magnitude,
        "weight": signal.weight,
        "project": signal.project,
    }
    return told | {name: figure for name, figure in extra.items() if figure is not None}


def of_insight(insight: Insight, way: Way = Way.INSIGHTS, project: int | None = None) -> Signal:
    """A price insight as a signal; `Unusable` for volatility and for a direction that is none."""
    if insight.type is not InsightType.PRICE:
        message = f"insight {insight.id[:40]} is about {insight.type.name.lower()}, not about the price"
        raise Unusable(message)
    heading = _HEADINGS.get(insight.direction)
    if heading is None:
        message = f"insight {insight.id[:40]} has no direction that is known"
        raise Unusable(message)
    closes = insight.close_time
    if closes is None and insight.generated_time is not None and insight.period is not None:
        closes = insight.generated_time + round(insight.period * 1_000)
    return Signal(
        way,
        plain_id(insight.id),
        heading,
        insight.ticker,
        insight.symbol,
        confidence=sureness(insight.confidence),
        price=positive(insight.reference),
        generated=insight.generated_time,
        closes=closes,
        model=insight.source_model[:LONGEST_ID],
        tag=insight.tag[:LONGEST_TEXT],
        magnitude=insight.magnitude,
        weight=insight.weight,
        project=insight.project_id or project,
        target=0.0 if heading is Heading.FLAT else None,
    )


_HEADINGS = {InsightDirection.UP: Heading.UP, InsightDirection.DOWN: Heading.DOWN, InsightDirection.FLAT: Heading.FLAT}


def of_order(order: Order, project: int) -> Signal | None:
    """An order that was filled, at least in part, by its last fill; None for one that was not.

    `Unusable` where it does not say which way it went.
    """
    fills = [event for event in order.events if event.fill_quantity != 0.0]
    if not fills and order.status not in {OrderStatus.FILLED, OrderStatus.PARTIALLY_FILLED}:
        return None
    last = fills[-1] if fills else None
    if order.quantity == 0.0 and order.direction not in {OrderDirection.BUY, OrderDirection.SELL}:
        message = f"order {order.id} of project {project} says neither buy nor sell"
        raise Unusable(message)
    buys = order.quantity > 0.0 if order.quantity != 0.0 else order.direction is OrderDirection.BUY
    at = order.last_fill_time or (last and last.time) or order.time
    return Signal(
        Way.ORDERS,
        (last and last.id) or f"{project}-{order.id}-{at}",
        Heading.UP if buys else Heading.DOWN,
        order.symbol.value,
        order.symbol.id,
        price=positive((last and last.fill_price) or order.price),
        generated=at,
        model=(last.algorithm_id if last else "")[:LONGEST_ID],
        tag=order.tag[:LONGEST_TEXT],
        project=project,
    )


def of_holding(sid: str, holding: Holding, total: float, slot: int, project: int) -> Signal:
    """What is held of one security, as the position to have: a share of the whole portfolio, not a trade.

    Its id is made of what is held and of `slot`, so that a target that stays is said once in each; a new entry has another
    average price and thus another id.
    """
    heading = Heading.UP if holding.quantity > 0 else Heading.DOWN if holding.quantity < 0 else Heading.FLAT
    share = abs(_value(holding)) / total if total > 0 else 1.0
    return Signal(
        Way.PORTFOLIO,
        derive_id("holding", project, sid, holding.quantity, holding.average_price, slot),
        heading,
        "",
        sid,
        price=positive(holding.market_price),
        size=(min(1.0, share) or None) if heading is Heading.DOWN else None,
        tag=f"holds {holding.quantity:g}, {min(1.0, share):.1%} of the portfolio",
        weight=share,
        project=project,
        target=None if heading is Heading.DOWN else min(1.0, share),
    )


def closed_holding(sid: str, before: Holding, project: int) -> Signal:
    """What is held no longer, after it was."""
    name = derive_id("closed", project, sid, before.quantity, before.average_price)
    price, tag = positive(before.market_price), f"holds no more of {before.quantity:g}"
    return Signal(Way.PORTFOLIO, name, Heading.FLAT, "", sid, price=price, tag=tag, project=project, target=0.0)


def portfolio_total(holdings: Mapping[str, Holding], cash: float) -> float:
    """What the portfolio is worth, in its own currency."""
    return cash + sum(_value(holding) for holding in holdings.values())


def _value(holding: Holding) -> float:
    value = holding.market_value or holding.quantity * holding.market_price or holding.quantity * holding.average_price
    return value * (holding.conversion_rate or 1.0)


def of_message(raw: object, way: Way, fallback_id: str = "") -> Signal:
    """A message that an algorithm wrote: the suggested body, or an insight as the service writes it. `Unusable` for others.

    The suggested body is `{"v":1,"id":...,"source":...,"symbol":...,"market":...,"side":...,"confidence":...,"price":...,
    "time":...,"ttl":seconds}`; keys in any case, `direction` for `side`, and where the author gives one `size`, a part of the
    desk's own, or `target`, the share of the capital to hold (0..1).
    """
    if not isinstance(raw, dict):
        message = "a signal must be a JSON object"
        raise Unusable(message)
    given = {letters(str(key)): value for key, value in raw.items()}
    if "generatedtime" in given or "closetime" in given:
        try:
            return of_insight(Insight.model_validate(raw), way)
        except ValidationError as error:
            message = "an insight without an id"
            raise Unusable(message) from error
    return _written(given, way, fallback_id)


def _written(given: Mapping[str, Any], way: Way, fallback_id: str) -> Signal:
    name = plain_id(_text(given, "id", LONGEST_ID) or fallback_id)
    if not name:
        message = "a signal without an id: write one that is its own, such as the insight's"
        raise Unusable(message)
    word = _text(given, "side", 16) or _text(given, "direction", 16)
    heading = _WORDS.get(word.lower())
    if heading is None:
        message = f"signal {name[:40]}: side {word!r} is none; write buy, sell or flat"
        raise Unusable(message)
    generated, ttl = moment_ms(given.get("time")), span_s(given.get("ttl", given.get("period")))
    if ttl is not None and not 0 < ttl <= 366 * 86_400:
        message = f"signal {name[:40]}: ttl {ttl:g} is no number of seconds within a year"
        raise Unusable(message)
    size, target = number(given.get("size")), number(given.get("target"))
    if target is not None and not 0.0 <= target <= 1.0:
        message = f"signal {name[:40]}: target {target:g} is no share of the capital; write 0 to 1"
        raise Unusable(message)
    sid = _text(given, "sid", 64)
    symbol = _text(given, "symbol", 64)
    return Signal(
        way,
        name,
        heading,
        symbol.replace("/", "") if " " not in symbol else symbol.partition(" ")[0],
        sid or (symbol if " " in symbol else ""),
        _text(given, "market", 32),
        confidence=sureness(number(given.get("confidence"))),
        price=positive(number(given.get("price", given.get("reference")))),
        generated=generated,
        closes=None if generated is None or ttl is None else generated + round(ttl * 1_000),
        size=size if size is not None and 0 < size <= 1 else None,
        model=_text(given, "source", LONGEST_ID) or _text(given, "sourcemodel", LONGEST_ID),
        tag=_text(given, "tag", LONGEST_TEXT),
        target=0.0 if heading is Heading.FLAT else target,
    )


_WORDS = {
    **dict.fromkeys(("buy", "up", "long", "1"), Heading.UP),
    **dict.fromkeys(("sell", "down", "short", "-1"), Heading.DOWN),
    **dict.fromkeys(("flat", "close", "0"), Heading.FLAT),
}


def _text(given: Mapping[str, Any], key: str, most: int) -> str:
    """A short text or number; control characters would end up in logs and on pages."""
    raw = given.get(key)
    if not isinstance(raw, str | int | float) or isinstance(raw, bool):
        return ""
    return "".join(letter if letter.isprintable() else " " for letter in str(raw)[:most]).strip()


def plain_id(raw: str) -> str:
    """An id as the service writes it: a GUID has its dashes in some places and not in others."""
    text = raw.strip()[:LONGEST_ID]
    bare = text.replace("-", "").strip("{}").lower()
    return bare if _GUID.fullmatch(bare) else text


def sureness(raw: float | None) -> float | None:
    """A confidence in 0..1; None for one that is missing or out of it, which the default then stands for."""
    return raw if raw is not None and math.isfinite(raw) and 0.0 <= raw <= 1.0 else None


def positive(raw: float | None) -> float | None:
    """A price, where zero and less mean unknown."""
    return raw if raw is not None and math.isfinite(raw) and raw > 0 else None
