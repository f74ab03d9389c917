"""Fills against what the paper model would have made of them.

A taker order of the paper broker fills at the touch that stands when its latency has passed (a buy at the ask, a sell at the
bid), moved against it by `paper.slippage`; a limit order fills at its limit. Depth and impact are left out, so the model here is
the paper broker's at its kindest. Quotes come from the run's own recorded inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.core.market import Quote, Side
from bot.core.orders import OrderType
from bot.journal.records import JournaledFill, JournaledOrder
from bot.services.tearsheet.sheet import Slippage, weighted


@dataclass(slots=True)
class PaperModel:
    """Watches quotes go by, in order, and notes what each order would have got. `latency` in ms, `slippage` a fraction."""

    latency: int
    slippage: float
    expected: dict[str, float] = field(default_factory=dict)
    _waiting: dict[str, list[JournaledOrder]] = field(default_factory=dict)
    _last: dict[str, Quote] = field(default_factory=dict)

    def follow(self, orders: Iterable[JournaledOrder]) -> None:
        """The orders to watch for."""
        for order in sorted(orders, key=lambda each: (each.created, each.id), reverse=True):
            if order.type is OrderType.LIMIT and order.price is not None:
                self.expected[order.id] = float(order.price)
            else:
                self._waiting.setdefault(order.symbol, []).append(order)

    def see(self, quote: Quote) -> None:
        """A quote came: orders whose latency ended before it would have met the one before."""
        waiting, last = self._waiting.get(quote.symbol), self._last.get(quote.symbol)
        while waiting and waiting[-1].created + self.latency < quote.at:
            self._fill(waiting.pop(), last)
        self._last[quote.symbol] = quote

    def end(self) -> None:
        """No more quotes: what still waits meets the last one."""
        for symbol, waiting in self._waiting.items():
            while waiting:
                self._fill(waiting.pop(), self._last.get(symbol))

    def _fill(self, order: JournaledOrder, quote: Quote | None) -> None:
        if quote is not None:
            touch = quote.ask if order.side is Side.BUY else quote.bid
            self.expected[order.id] = touch * (1.0 + order.side.sign * self.slippage)


@dataclass(slots=True)
class _Group:
    notional: list[float] = field(default_factory=list)
    actual: list[float] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    paper: list[float] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)


def slippage_by_leg(
    fills: Sequence[JournaledFill], orders: Mapping[str, JournaledOrder], expected: Mapping[str, float]
) -> tuple[Slippage, ...]:
    """One line per source and leg; fills whose order or reference is not known are left out."""
    groups: dict[tuple[str, str], _Group] = {}
    for fill in fills:
        order = orders.get(fill.order_id)
        if order is None or not order.reference:
            continue
        price, notional = float(fill.price), float(fill.price * fill.amount)
        group = groups.setdefault((fill.source, order.leg.value), _Group())
        group.notional.append(notional)
        group.actual.append(fill.side.sign * (price / order.reference - 1.0))
        paper = expected.get(order.id)
        if paper is not None:
            group.weight.append(notional)
            group.paper.append(fill.side.sign * (paper / order.reference - 1.0))
            group.beyond.append(fill.side.sign * (price / paper - 1.0))
    return tuple(_line(source, leg, group) for (source, leg), group in sorted(groups.items()))


def _line(source: str, leg: str, group: _Group) -> Slippage:
    notional = sum(group.notional)
    actual = weighted(group.actual, group.notional)
    return Slippage(
        source,
        leg,
        len(group.notional),
        notional,
        actual,
        actual * notional,
        len(group.paper),
        weighted(group.paper, group.weight) if group.paper else None,
        weighted(group.beyond, group.weight) if group.paper else None,
    )
