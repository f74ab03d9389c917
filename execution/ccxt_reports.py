"""ccxt's dictionaries as reports: copied and exact, so that what ccxt does to them later harms nobody.

Numbers become `Decimal(str(x))`. ccxt writes an order's later updates into the dictionary it gave out before, keeps a fee of
OKX's stream with the venue's sign, calls an algo order `closed` when it was triggered, and gives the id of a cancel
where the id of the cancelled order is meant; all of that is set right here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from bot.core.market import Side
from bot.core.orders import ZERO
from execution.account import BalanceReport, OrderReport, ReportStatus, TradeReport, TransferReport
from execution.ccxt_outcome import Unreadable

Dict = Mapping[str, Any]

_STATUS = {
    "open": ReportStatus.OPEN,
    "closed": ReportStatus.FILLED,
    "canceled": ReportStatus.CANCELLED,
    "canceling": ReportStatus.OPEN,
    "expired": ReportStatus.EXPIRED,
    "rejected": ReportStatus.REJECTED,
}
_TRIGGERED = frozenset({"effective", "partially_effective"})
_DONE_TRANSFERS = frozenset({"ok", "pending"})


def order_report(order: Dict, now: int, client_id: str | None = None) -> OrderReport:
    """What an order of ccxt says; `now` (ms) stands in for a time it does not tell, `client_id` for an id.

    Raises `Unreadable` for an order without a venue id or a symbol.
    """
    info = _info(order)
    venue_id, symbol = _text(info.get("ordId")) or _text(order.get("id")), _text(order.get("symbol"))
    if venue_id is None or symbol is None:
        message = "the answer holds no order"
        raise Unreadable(message)
    side = order.get("side")
    client_id = client_id or _own_id(order, info)
    amount = _decimal(order.get("amount"))
    status = ReportStatus.OPEN if triggered(order) else _STATUS.get(order.get("status") or "", ReportStatus.UNSAID)
    filled = ZERO if triggered(order) else _decimal(order.get("filled")) or ZERO
    if status is ReportStatus.FILLED and not filled and amount is not None:
        filled = amount
    ts = _ts(order, ("lastUpdateTimestamp", "lastTradeTimestamp", "timestamp"), now)
    return OrderReport(
        venue_id=venue_id,
        client_id=client_id,
        symbol=symbol,
        status=status,
        ts=ts,
        side=Side(side) if side else None,
        amount=amount or None,
        filled=filled,
        price=_decimal(order.get("price")) or None,
        trigger=_trigger(order),
        trades=_trades_of(order, venue_id, client_id, symbol, ts),
        reason=_reason(info),
    )


def trade_report(trade: Dict, now: int) -> TradeReport:
    """What a trade of the account says. Raises `Unreadable` for one without id, order, symbol, amount or price."""
    info = _info(trade)
    found = {name: _text(trade.get(name)) for name in ("id", "order", "symbol", "side")}
    found["order"] = _text(info.get("ordId")) or found["order"]
    amount, price = _decimal(trade.get("amount")), _decimal(trade.get("price"))
    if None in found.values() or not amount or not price:
        message = "the answer holds no trade"
        raise Unreadable(message)
    fee, currency = _fee(trade, info)
    return TradeReport(
        id=str(found["id"]),
        venue_order_id=str(found["order"]),
        symbol=str(found["symbol"]),
        side=Side(str(found["side"])),
        amount=amount,
        price=price,
        fee=fee,
        fee_currency=currency,
        ts=_ts(trade, ("timestamp",), now),
        maker=trade.get("takerOrMaker") == "maker",
        client_id=_trade_client_id(info),
    )


def triggered(order: Dict) -> bool:
    """Whether this is an algo order that has become another order: its own fate is told by that one."""
    return _info(order).get("state") in _TRIGGERED


def balances(answer: Dict) -> dict[str, BalanceReport]:
    """Free and locked by currency. Raises `Unreadable` when the answer holds none of it."""
    free, used = answer.get("free"), answer.get("used")
    if not isinstance(free, Mapping) or not isinstance(used, Mapping):
        message = "the answer holds no balances"
        raise Unreadable(message)
    return {
        currency: BalanceReport(_decimal(free.get(currency)) or ZERO, _decimal(used.get(currency)) or ZERO)
        for currency in sorted({*free, *used})
    }


def transfers(deposits: Sequence[Dict], withdrawals: Sequence[Dict], since: int) -> list[TransferReport]:
    """Deposits that arrived and withdrawals that left from `since` (ms) on, oldest first."""
    found = [_transfer(row, 1) for row in deposits if row.get("status") == "ok"]
    found += [_transfer(row, -1) for row in withdrawals if row.get("status") in _DONE_TRANSFERS]
    return sorted((one for one in found if one.ts >= since), key=lambda one: (one.ts, one.id))


def _transfer(row: Dict, sign: int) -> TransferReport:
    amount, fee = _decimal(row.get("amount")), row.get("fee") or {}
    if amount is None or not row.get("currency"):
        message = "the answer holds no transfer"
        raise Unreadable(message)
    if sign < 0 and fee.get("currency") in {None, row["currency"]}:
        amount += abs(_decimal(fee.get("cost")) or ZERO)
    # When it was credited is what the balance shows; some venues tell only when it began.
    ts = _ts(row, ("updated", "timestamp"), 0)
    return TransferReport(str(row.get("id") or row.get("txid") or ts), str(row["currency"]), sign * amount, ts)


def _trades_of(order: Dict, venue_id: str, client_id: str | None, symbol: str, ts: int) -> tuple[TradeReport, ...]:
    """The trades told along with an order; those without an id of their own cannot be told apart, and are left out."""
    rest = {"order": venue_id, "symbol": symbol, "side": order.get("side"), "timestamp": ts}
    found = []
    for trade in order.get("trades") or ():
        if _text(trade.get("id")) is None:
            continue
        whole = trade_report({**rest, **{name: value for name, value in trade.items() if value is not None}}, ts)
        found.append(
            TradeReport(
                whole.id, venue_id, symbol, whole.side, whole.amount, whole.price, whole.fee, whole.fee_currency, whole.ts,
                whole.maker, client_id,
            )
        )  # fmt: skip
    return tuple(found)


def _own_id(order: Dict, info: Dict) -> str | None:
    """The client id of the order itself: a cancel has one too, and an algo order's child carries that of its parent."""
    return _text(info.get("origClientOrderId")) or _text(order.get("clientOrderId")) or _text(info.get("algoClOrdId"))


def _trade_client_id(info: Dict) -> str | None:
    if info.get("e") == "executionReport":
        return _text(info.get("C")) or _text(info.get("c"))
    return _text(info.get("clOrdId")) or _text(info.get("algoClOrdId"))


def _fee(trade: Dict, info: Dict) -> tuple[Decimal, str]:
    fee = trade.get("fee") or next(iter(trade.get("fees") or ()), None) or {}
    cost = _decimal(fee.get("cost")) or ZERO
    if "fillFee" in info:  # OKX's stream: what is charged is negative there, and ccxt leaves it so
        cost = -(_decimal(info["fillFee"]) or ZERO)
    return cost, fee.get("currency") or ""


def _trigger(order: Dict) -> Decimal | None:
    names = ("triggerPrice", "stopLossPrice", "takeProfitPrice")
    return next((found for name in names if (found := _decimal(order.get(name)))), None)


def _reason(info: Dict) -> str:
    reason = _text(info.get("r")) or _text(info.get("cancelSourceReason")) or ""
    return "" if reason == "NONE" else reason[:160]


def _ts(row: Dict, names: Sequence[str], now: int) -> int:
    return next((int(row[name]) for name in names if row.get(name)), now)


def _info(row: Dict) -> Dict:
    info = row.get("info")
    return info if isinstance(info, Mapping) else {}


def _text(value: object) -> str | None:
    return str(value) if value not in (None, "") else None


def _decimal(value: object) -> Decimal | None:
    if value in (None, ""):
        return None
    number = Decimal(str(value))
    if not number.is_finite():
        message = "the answer holds a number that is none"
        raise Unreadable(message)
    return number
