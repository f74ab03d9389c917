"""Accounts and orders in Binance's words, over REST and over the user data stream."""

from __future__ import annotations

from decimal import Decimal

from bot.core.market import Side
from simulators.exchange.accounts import Account
from simulators.exchange.dialect import Wire
from simulators.exchange.events import BalancesMoved, Executed, Execution, ListMoved, Transferred
from simulators.exchange.orders import ZERO, Fill, OrderList, Reason, VenueOrder

CODES: dict[Reason, tuple[int, str]] = {
    Reason.PRICE_FILTER: (-1013, "Filter failure: PRICE_FILTER"),
    Reason.LOT_SIZE: (-1013, "Filter failure: LOT_SIZE"),
    Reason.MARKET_LOT_SIZE: (-1013, "Filter failure: MARKET_LOT_SIZE"),
    Reason.NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    Reason.INSUFFICIENT: (-2010, "Account has insufficient balance for requested action."),
    Reason.WOULD_TRIGGER: (-2010, "Stop price would trigger immediately."),
    Reason.WOULD_MATCH: (-2010, "Order would immediately match and take."),
    Reason.DUPLICATE: (-2010, "Duplicate order sent."),
    Reason.CLOSED: (-2010, "Market is closed."),
    Reason.CANNOT_CANCEL: (-2011, "Unknown order sent."),
    Reason.NO_ORDER: (-2013, "Order does not exist."),
    Reason.NO_LIST: (-2018, "Order list does not exist."),
    Reason.BAD_LIST: (-2010, "The relationship of the prices for the orders is not correct."),
    Reason.TOO_MANY: (-2010, "Filter failure: MAX_NUM_ORDERS"),
    Reason.MALFORMED: (-1102, "A mandatory parameter was not sent."),
}
"""The venue's code and text for each refusal."""


def text(value: Decimal) -> str:
    """Eight decimals, exactly."""
    return f"{value:.8f}"


def venue_id(symbol: str) -> str:
    """BTC/USDT as BTCUSDT."""
    return symbol.replace("/", "")


def _body(order: VenueOrder) -> Wire:
    """What every answer about an order says."""
    ticket = order.ticket
    body: Wire = {
        "symbol": venue_id(order.symbol),
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "price": text(ticket.price),
        "origQty": text(order.amount),
        "executedQty": text(order.filled),
        "origQuoteOrderQty": text(ticket.cost or ZERO),
        "cummulativeQuoteQty": text(order.cost),
        "status": order.status.value,
        "timeInForce": ticket.tif.value,
        "type": ticket.kind.value,
        "side": ticket.side.value.upper(),
        "selfTradePreventionMode": "NONE",
    }
    if ticket.kind.waits:
        body["stopPrice"] = text(ticket.stop)
    return body


def order_row(order: VenueOrder) -> Wire:
    """An order as questions are answered."""
    return {
        "stopPrice": text(order.ticket.stop),
        **_body(order),
        "icebergQty": text(ZERO),
        "time": order.created,
        "updateTime": order.updated,
        "isWorking": order.working,
        "workingTime": order.created if order.working else -1,
    }


def placed(order: VenueOrder, style: str) -> Wire:
    """The answer to a new order; `style` is ACK, RESULT or FULL."""
    if style == "ACK":
        row = _body(order)
        return {name: row[name] for name in ("symbol", "orderId", "orderListId", "clientOrderId")} | {
            "transactTime": order.updated
        }
    row = {**_body(order), "transactTime": order.updated, "workingTime": order.created if order.working else -1}
    if style == "FULL":
        row["fills"] = [
            {
                "price": text(fill.price),
                "qty": text(fill.amount),
                "commission": text(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.id,
            }
            for fill in order.fills
        ]
    return row


def cancelled(order: VenueOrder) -> Wire:
    """The answer to a cancel."""
    return {**_body(order), "origClientOrderId": order.client_id, "clientOrderId": order.cancel_id, "transactTime": order.updated}


def order_list(pair: OrderList) -> Wire:
    """An order list, without what its orders say."""
    return {
        "orderListId": pair.id,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if pair.done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if pair.done else "EXECUTING",
        "listClientOrderId": pair.client_id,
        "transactionTime": max(pair.created, *(order.updated for order in pair.orders)),
        "symbol": venue_id(pair.symbol),
        "orders": [
            {"symbol": venue_id(pair.symbol), "orderId": order.id, "clientOrderId": order.client_id} for order in pair.orders
        ],
    }


def trade_row(fill: Fill) -> Wire:
    """A fill, as `GET myTrades` lists it."""
    return {
        "symbol": venue_id(fill.symbol),
        "id": fill.id,
        "orderId": fill.order_id,
        "orderListId": fill.list_id,
        "price": text(fill.price),
        "qty": text(fill.amount),
        "quoteQty": text(fill.cost),
        "commission": text(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.ts,
        "isBuyer": fill.side is Side.BUY,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def account_row(account: Account, left_out: str | None, without_zeros: bool) -> Wire:
    """`GET account`; `left_out` is an asset that is not told."""
    maker, taker = text(account.terms.maker_fee), text(account.terms.taker_fee)
    rows = sorted(account.balances.items())
    return {
        "makerCommission": int(account.terms.maker_fee * 10_000),
        "takerCommission": int(account.terms.taker_fee * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": maker, "taker": taker, "buyer": text(ZERO), "seller": text(ZERO)},
        "canTrade": True,
        "canWithdraw": account.terms.may_withdraw,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.updated,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}
            for asset, balance in rows
            if asset != left_out and (balance.total or not without_zeros)
        ],
        "permissions": ["SPOT"],
        "uid": account.number,
    }


def execution_report(event: Executed, now: int) -> Wire:
    """An order update of the user data stream."""
    order, ticket, fill = event.order, event.order.ticket, event.fill
    cancel = event.what is Execution.CANCELED
    return {
        "e": "executionReport",
        "E": now,
        "s": venue_id(order.symbol),
        "c": order.cancel_id if cancel else order.client_id,
        "S": ticket.side.value.upper(),
        "o": ticket.kind.value,
        "f": ticket.tif.value,
        "q": text(order.amount),
        "p": text(ticket.price),
        "P": text(ticket.stop),
        "F": text(ZERO),
        "g": order.list_id,
        "C": order.client_id if cancel else "",
        "x": event.what.value,
        "X": order.status.value,
        "r": "INSUFFICIENT_BALANCE" if event.what is Execution.REJECTED else "NONE",
        "i": order.id,
        "l": text(fill.amount if fill else ZERO),
        "z": text(order.filled),
        "L": text(fill.price if fill else ZERO),
        "n": text(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": event.ts,
        "t": fill.id if fill else -1,
        "I": event.ts,
        "w": order.working and order.status.open,
        "m": fill.maker if fill else False,
        "M": fill is not None,
        "O": order.created,
        "Z": text(order.cost),
        "Y": text(fill.cost if fill else ZERO),
        "Q": text(ticket.cost or ZERO),
        "W": order.created,
        "V": "NONE",
    }


def account_position(event: BalancesMoved, now: int) -> Wire:
    """A balance update of the user data stream."""
    rows = [{"a": asset, "f": text(free), "l": text(locked)} for asset, free, locked in event.rows]
    return {"e": "outboundAccountPosition", "E": now, "u": event.ts, "B": rows}


def balance_update(event: Transferred, now: int) -> Wire:
    """A deposit or a withdrawal on the user data stream."""
    return {"e": "balanceUpdate", "E": now, "a": event.asset, "d": text(event.amount), "T": event.ts}


def list_status(event: ListMoved, now: int) -> Wire:
    """An order list's beginning or end on the user data stream."""
    pair = event.orders
    return {
        "e": "listStatus",
        "E": now,
        "s": venue_id(pair.symbol),
        "g": pair.id,
        "c": "OCO",
        "l": "ALL_DONE" if event.done else "EXEC_STARTED",
        "L": "ALL_DONE" if event.done else "EXECUTING",
        "r": "NONE",
        "C": pair.client_id,
        "T": event.ts,
        "O": [{"s": venue_id(pair.symbol), "i": order.id, "c": order.client_id} for order in pair.orders],
    }
