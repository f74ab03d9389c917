"""Matching against quotes and trades, as a live paper account sees the market.

A taker trades with the displayed other side and takes no more than is displayed; the rest of a market order waits for the
next quote. A resting limit trades at its own price when the other side comes to it, when a trade goes beyond it, or at a
touch once the queue displayed before it was served. Stops watch the extremes since the last quote, and then pay no better
than their trigger.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from bot.core.inputs import Closing
from bot.core.market import Quote, Side, Trade
from bot.core.matching import (
    displayed_size,
    market_price,
    marketable,
    met_by_quote,
    queue_ahead,
    round_against,
    takeable,
    traded_against,
    triggered_by_quote,
)
from bot.core.orders import ZERO, OrderType, TimeInForce
from execution.paper_book import PaperBook, PaperOrder
from execution.paper_clearing import Clearing


def bounded(side: Side, price: Decimal, limit: Decimal | None) -> Decimal:
    """The price, but never beyond the limit."""
    if limit is None:
        return price
    return min(price, limit) if side is Side.BUY else max(price, limit)


def match_quote(orders: Iterable[PaperOrder], book: PaperBook, quote: Quote, clearing: Clearing) -> None:
    """Hold the orders that rested when a quote came against it, oldest first."""
    for order in orders:
        if order.open:
            meet_quote(order, book, quote, quote.at, clearing)


def meet_quote(order: PaperOrder, book: PaperBook, quote: Quote, at: int, clearing: Clearing) -> None:
    """Hold one order against a quote: it arms, takes, rests or expires."""
    if order.trigger is not None:
        if _triggered(order, quote):
            trigger, order.trigger, order.met = order.request.trigger, None, False
            _arrive(order, book, quote, at, clearing, trigger)
        return
    if not order.met:
        _arrive(order, book, quote, at, clearing, None)
    elif order.takes_any_price:
        _take(order, book, quote, at, clearing, None)
    else:
        _rest(order, book, quote, at, clearing)


def _triggered(order: PaperOrder, quote: Quote) -> bool:
    assert order.trigger is not None
    if order.met:
        return triggered_by_quote(order.side, order.trigger, quote)
    # What happened before the order arrived cannot trigger it: only the quote as it stands counts.
    order.met = True
    return quote.ask >= order.trigger if order.side is Side.BUY else quote.bid <= order.trigger


def _arrive(order: PaperOrder, book: PaperBook, quote: Quote, at: int, clearing: Clearing, trigger: Decimal | None) -> None:
    """The first meeting of an order, or of a stop that was triggered, with the market: the only one in which a limit takes."""
    order.met = True
    request = order.request
    if order.limit is None or marketable(order.side, order.limit, quote):
        if request.post_only:
            clearing.close(order, Closing.EXPIRED, "post-only would have taken", at)
            return
        _take(order, book, quote, at, clearing, trigger)
    if not order.open:
        return
    if request.time_in_force is not TimeInForce.GTC:
        clearing.close(order, Closing.EXPIRED, f"{request.time_in_force}: the rest found no match", at)
    elif order.limit is not None:
        order.ahead = queue_ahead(order.side, order.limit, quote, order.ahead)


def _take(order: PaperOrder, book: PaperBook, quote: Quote, at: int, clearing: Clearing, trigger: Decimal | None) -> None:
    request, side = order.request, order.side
    instrument, model = clearing.instruments[request.symbol], clearing.model
    size = displayed_size(side, quote)
    amount = takeable(order.remaining, max(size - book.taken(side), 0.0), instrument, model)
    if amount <= 0 or (amount < order.remaining and request.time_in_force is TimeInForce.FOK):
        return
    price = market_price(side, amount, quote, instrument, model)
    evidence = f"quote {quote.ts} bid {quote.bid} ask {quote.ask}"
    if trigger is not None:
        # The trigger was passed at some moment since the last quote: a price that has recovered since is not ours to have.
        level = round_against(side, trigger, instrument)
        price = max(price, level) if side is Side.BUY else min(price, level)
        evidence += f" trigger {trigger} reached {quote.ask_high if side is Side.BUY else quote.bid_low}"
    price = bounded(side, price, request.price)
    book.take(side, float(clearing.fill(order, amount, price, quote.ts, at, evidence)) / model.max_participation)


def _rest(order: PaperOrder, book: PaperBook, quote: Quote, at: int, clearing: Clearing) -> None:
    limit, side, request = order.limit, order.side, order.request
    assert limit is not None
    assert request.price is not None
    # Extremes reach back to the quote before: they may be older than the order.
    reached = met_by_quote(side, limit, quote) if order.arrived <= book.seen else marketable(side, limit, quote)
    if not reached:
        order.ahead = queue_ahead(side, limit, quote, order.ahead)
        return
    order.ahead = 0.0
    instrument, model = clearing.instruments[request.symbol], clearing.model
    amount = takeable(order.remaining, max(displayed_size(side, quote) - book.taken(side), 0.0), instrument, model)
    if amount > 0:
        extreme = f"low ask {quote.ask_low}" if side is Side.BUY else f"high bid {quote.bid_high}"
        evidence = f"quote {quote.ts} bid {quote.bid} ask {quote.ask} {extreme}"
        traded = clearing.fill(order, amount, request.price, quote.ts, at, evidence, maker=True)
        book.take(side, float(traded) / model.max_participation)


def match_trade(book: PaperBook, trade: Trade, clearing: Clearing) -> None:
    """Let a public trade serve the queues before our limits, and then us, with no more than it traded."""
    left = trade.amount
    for order in list(book.resting.values()):
        if not order.open or not order.met or order.trigger is not None or order.limit is None or order.arrived > trade.ts:
            continue
        size, order.ahead = traded_against(order.side, order.limit, trade, order.ahead)
        amount = takeable(order.remaining, min(size, left), clearing.instruments[trade.symbol], clearing.model) if size else ZERO
        if amount > 0 and order.request.price is not None:
            evidence = f"trade {trade.id} {trade.ts} {trade.side} {trade.amount} at {trade.price}"
            traded = clearing.fill(order, amount, order.request.price, trade.ts, trade.at, evidence, maker=True)
            left -= float(traded) / clearing.model.max_participation


def refusal(order: PaperOrder, quote: Quote | None, age: int, stale_ms: int) -> str | None:
    """Why an order that must trade at once, or must not, cannot be taken against this quote; None if it can."""
    request = order.request
    must_trade = request.type is OrderType.MARKET or request.time_in_force is not TimeInForce.GTC
    if must_trade and order.trigger is None:
        if quote is None:
            return f"no quote of {request.symbol} yet"
        if age > stale_ms:
            return f"the quote of {request.symbol} is {age} ms old, more than {stale_ms}"
    if request.post_only and order.limit is not None and quote is not None and marketable(order.side, order.limit, quote):
        return f"post-only would take: bid {quote.bid} ask {quote.ask}"
    return None
