"""Market, accounts and orders in OKX's words: everything is text, and the answer to an order is its id."""

from __future__ import annotations

from decimal import Decimal

from bot.core.market import Quote, Trade
from bot.market.simulated import Bar, Book
from simulators.exchange.accounts import Account
from simulators.exchange.dialect import Level, Wire, changes, number
from simulators.exchange.events import BalancesMoved, Executed
from simulators.exchange.orders import ZERO, Fill, Kind, Reason, Rules, Status, TimeInForce, VenueOrder
from simulators.exchange.venue import DayTicker

CODES: dict[Reason, tuple[int, str]] = {
    Reason.PRICE_FILTER: (51006, "Order price is not within the price limit"),
    Reason.LOT_SIZE: (51121, "Order quantity must be a multiple of the lot size."),
    Reason.MARKET_LOT_SIZE: (51201, "Value of per market order cannot exceed the limit."),
    Reason.NOTIONAL: (51020, "Your order should meet or exceed the minimum order amount."),
    Reason.INSUFFICIENT: (51008, "Order failed. Insufficient balance in account."),
    Reason.WOULD_TRIGGER: (51280, "SL trigger price must be less than the last price."),
    Reason.WOULD_MATCH: (51026, "Order would match immediately."),
    Reason.DUPLICATE: (51016, "Client order ID already exists."),
    Reason.CLOSED: (51028, "Contract under delivery. Trading is suspended."),
    Reason.CANNOT_CANCEL: (51400, "Cancellation failed as the order has been filled, canceled or does not exist."),
    Reason.NO_ORDER: (51603, "Order does not exist"),
    Reason.NO_LIST: (51603, "Order does not exist"),
    Reason.BAD_LIST: (51279, "TP trigger price must be higher than the last price."),
    Reason.TOO_MANY: (51103, "The number of pending orders exceeds the limit."),
    Reason.MALFORMED: (51000, "Parameter error"),
}
"""The venue's `sCode` and text for each refusal."""

_STATES = {
    Status.NEW: "live",
    Status.PARTIALLY_FILLED: "partially_filled",
    Status.FILLED: "filled",
    Status.CANCELED: "canceled",
    Status.EXPIRED: "canceled",
    Status.REJECTED: "order_failed",
}


def okx_id(symbol: str) -> str:
    """BTC/USDT as BTC-USDT."""
    return symbol.replace("/", "-")


def text(value: Decimal) -> str:
    """A decimal as it is, without an exponent or zeros at its end."""
    return f"{value.normalize():f}" if value else "0"


def state(status: Status) -> str:
    """The venue's word for a status."""
    return _STATES[status]


def order_type(order: VenueOrder) -> str:
    """The venue's word for an order's type."""
    kind, tif = order.ticket.kind, order.ticket.tif
    if not kind.limited:
        return "market"
    if kind is Kind.LIMIT_MAKER:
        return "post_only"
    return "limit" if tif is TimeInForce.GTC else tif.value.lower()


def instrument(rules: Rules) -> Wire:
    """What is traded and by which rules."""
    return {
        "instType": "SPOT",
        "instId": okx_id(rules.symbol),
        "baseCcy": rules.base,
        "quoteCcy": rules.quote,
        "settleCcy": "",
        "uly": "",
        "lever": "1",
        "tickSz": text(rules.price_step),
        "lotSz": text(rules.amount_step),
        "minSz": text(rules.min_amount),
        "maxLmtSz": text(rules.max_amount),
        "maxMktSz": text(rules.max_market_amount),
        "state": "live" if rules.tradable else "suspend",
        "listTime": "1548133413000",
    }


def ticker(day: DayTicker, now: int) -> Wire:
    """24 hours with the best bid and ask."""
    bar, quote = day.bar, day.quote
    return {
        "instType": "SPOT",
        "instId": okx_id(quote.symbol),
        "last": number(bar.close),
        "lastSz": "0",
        "bidPx": number(quote.bid),
        "bidSz": number(quote.bid_size),
        "askPx": number(quote.ask),
        "askSz": number(quote.ask_size),
        "open24h": number(bar.open),
        "high24h": number(bar.high),
        "low24h": number(bar.low),
        "vol24h": number(bar.volume),
        "volCcy24h": number(bar.turnover),
        "ts": str(now),
    }


def top(quote: Quote, now: int) -> Wire:
    """The best bid and ask, as `bbo-tbt` tells them."""
    bid, ask = number(quote.bid), number(quote.ask)
    bids, asks = [[bid, number(quote.bid_size), "0", "1"]], [[ask, number(quote.ask_size), "0", "1"]]
    return {"bids": bids, "asks": asks, "ts": str(now)}


def candle(bar: Bar, closed: bool) -> list[str]:
    """A candle; the last field says whether it is closed."""
    prices = [number(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    return [str(bar.ts), *prices, number(bar.volume), number(bar.turnover), number(bar.turnover), str(int(closed))]


def trade(one: Trade) -> Wire:
    """A public trade."""
    return {
        "instId": okx_id(one.symbol),
        "tradeId": one.id,
        "px": number(one.price),
        "sz": number(one.amount),
        "side": one.side.value,
        "ts": str(one.ts),
        "count": "1",
    }


def book(shown: Book, now: int, before: Book | None = None) -> Wire:
    """A snapshot, or with `before` what has changed since."""
    bids, asks = shown.bids, shown.asks
    if before is not None:
        bids, asks = changes(before.bids, bids), changes(before.asks, asks)
    previous = -1 if before is None else before.sequence
    return {"bids": _levels(bids), "asks": _levels(asks), "ts": str(now), "seqId": shown.sequence, "prevSeqId": previous}


def _levels(levels: tuple[Level, ...]) -> list[list[str]]:
    return [[number(price), number(amount) if amount else "0", "0", "1"] for price, amount in levels]


def order_row(order: VenueOrder) -> Wire:
    """An order, as questions are answered."""
    ticket = order.ticket
    fees = [fill.fee for fill in order.fills]
    last = order.fills[-1] if order.fills else None
    by_cost = ticket.cost is not None
    return {
        "instType": "SPOT",
        "instId": okx_id(order.symbol),
        "ordId": str(order.id),
        "clOrdId": order.client_id,
        "algoId": str(order.id) if ticket.kind.waits else "",
        "tag": "",
        "px": text(ticket.price) if ticket.kind.limited else "",
        "sz": text(ticket.cost if ticket.cost is not None else order.amount),
        "tgtCcy": "quote_ccy" if by_cost else "base_ccy",
        "ordType": order_type(order),
        "side": ticket.side.value,
        "posSide": "net",
        "tdMode": "cash",
        "accFillSz": text(order.filled),
        "avgPx": text(order.cost / order.filled) if order.filled else "",
        "fillPx": text(last.price) if last else "",
        "fillSz": text(last.amount) if last else "0",
        "fillTime": str(last.ts) if last else "",
        "tradeId": str(last.id) if last else "",
        "fee": text(-sum(fees, ZERO)),
        "feeCcy": last.fee_asset if last else "",
        "rebate": "0",
        "rebateCcy": "",
        "state": state(order.status),
        "category": "normal",
        "reduceOnly": "false",
        "cTime": str(order.created),
        "uTime": str(order.updated),
    }


def algo_row(order: VenueOrder) -> Wire:
    """An order that waits for its trigger, or has had it."""
    ticket = order.ticket
    end = "live" if order.status.open else "effective" if order.working else "canceled"
    return {
        "instType": "SPOT",
        "instId": okx_id(order.symbol),
        "algoId": str(order.id),
        "algoClOrdId": order.client_id,
        "clOrdId": order.client_id,
        "ordId": str(order.id) if order.working else "",
        "ordType": "oco" if order.list_id > 0 else "conditional",
        "side": ticket.side.value,
        "sz": text(order.amount),
        "tdMode": "cash",
        "slTriggerPx" if ticket.kind.stops else "tpTriggerPx": text(ticket.stop),
        "slOrdPx" if ticket.kind.stops else "tpOrdPx": text(ticket.price) if ticket.kind.limited else "-1",
        "state": end,
        "cTime": str(order.created),
        "uTime": str(order.updated),
    }


def fill_row(fill: Fill, client_id: str) -> Wire:
    """A fill."""
    return {
        "instType": "SPOT",
        "instId": okx_id(fill.symbol),
        "tradeId": str(fill.id),
        "ordId": str(fill.order_id),
        "clOrdId": client_id,
        "billId": str(fill.id),
        "fillPx": text(fill.price),
        "fillSz": text(fill.amount),
        "side": fill.side.value,
        "posSide": "net",
        "execType": "M" if fill.maker else "T",
        "fee": text(-fill.fee),
        "feeCcy": fill.fee_asset,
        "ts": str(fill.ts),
    }


def order_push(event: Executed) -> Wire:
    """An order update: the order, and the fill that made it."""
    fill = event.fill
    row = order_row(event.order) | {"fillSz": "0", "tradeId": "", "fillPx": ""}
    if fill is not None:
        row |= {
            "fillPx": text(fill.price),
            "fillSz": text(fill.amount),
            "fillTime": str(fill.ts),
            "tradeId": str(fill.id),
            "fillFee": text(-fill.fee),
            "fillFeeCcy": fill.fee_asset,
            "fee": text(-fill.fee),
            "feeCcy": fill.fee_asset,
            "execType": "M" if fill.maker else "T",
        }
    return row


def account_push(event: BalancesMoved) -> Wire:
    """Balances that may have changed."""
    return _account([_balance(asset, free, locked, event.ts) for asset, free, locked in event.rows], event.ts)


def account_row(account: Account, left_out: str | None = None) -> Wire:
    """All balances; `left_out` is an asset that is not told."""
    rows = [
        _balance(asset, balance.free, balance.locked, account.updated)
        for asset, balance in sorted(account.balances.items())
        if asset != left_out
    ]
    return _account(rows, account.updated)


def _account(details: list[Wire], ts: int) -> Wire:
    return {"uTime": str(ts), "totalEq": "", "details": details}


def _balance(asset: str, free: Decimal, locked: Decimal, ts: int) -> Wire:
    total, available, kept = text(free + locked), text(free), text(locked)
    return {
        "ccy": asset,
        "eq": total,
        "cashBal": total,
        "availEq": available,
        "availBal": available,
        "frozenBal": kept,
        "ordFrozen": kept,
        "uTime": str(ts),
    }
