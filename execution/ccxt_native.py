"""What a venue does with two orders in one step: one that cancels the other, and one that takes the place of another.

Both are asked for under our own client ids and answered by halves. Binance alone has them for spot, in its own words: ccxt has
none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bot.core.market import Side
from bot.core.orders import OrderRequest, OrderType, TimeInForce
from bot.core.values import value
from execution import ccxt_reports as reports
from execution.account import AccountError, NotFound, NotSent, OrderReport, Refused, Unknown
from execution.budget import Lane
from execution.ccxt_account import CcxtAccount
from execution.ccxt_orders import BINANCE, Native, shaped
from execution.ccxt_outcome import CALL, Call, Unreadable, failed_create

_NOTHING_THERE = frozenset({-2011, -2013})
_PARTLY, _FAILED = -2021, -2022


@value
class Replacement:
    """What became of either half of a cancel-replace.

    `gone` and `placed` say what the venue told of the old order and the new; where a half failed, its error says why instead.
    """

    gone: OrderReport | None
    placed: OrderReport | None
    not_gone: AccountError | None = None
    not_placed: AccountError | None = None


class NativeProtection(Protocol):
    """A venue that watches over orders itself."""

    def natives(self, symbol: str) -> frozenset[Native]:
        """What it can do on a symbol."""
        ...

    async def create_protection(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """A stop and a target of which one cancels the other; both or none. Raises `NotSent`, `Refused` or `Unknown`."""
        ...

    async def cancel_replace(
        self, symbol: str, client_id: str, venue_id: str | None, request: OrderRequest
    ) -> Replacement:  # fmt: skip
        """Cancel an order and, only if that worked, place another. Raises `NotSent`, `Refused` or `Unknown` for both together."""
        ...


class CcxtNative:
    """`NativeProtection` over a `CcxtAccount`."""

    def __init__(self, account: CcxtAccount) -> None:
        self._account = account
        self._exchange = account.exchange

    def natives(self, symbol: str) -> frozenset[Native]:
        """What the venue can do on a symbol."""
        found = self._account.natives(symbol)
        return found if self._exchange.id in BINANCE else found - {Native.OCO, Native.CANCEL_REPLACE}

    async def create_protection(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """A stop and a target of which one cancels the other; both or none. Raises `NotSent`, `Refused` or `Unknown`."""
        self._need(Native.OCO, stop.symbol)
        asked = self._pair(stop, target)

        async def act() -> tuple[OrderReport, OrderReport]:
            answer = await self._exchange.privatePostOrderListOco(asked)
            rows = answer.get("orderReports") or () if isinstance(answer, dict) else ()
            found = {row.get("clientOrderId"): row for row in rows}
            if stop.id not in found or target.id not in found:
                message = "the answer holds no pair of orders"
                raise Unreadable(message)
            return self._report(found[stop.id], stop), self._report(found[target.id], target)

        return await self._account.perform("protection", Lane.ORDERS, act, failed_create)

    async def cancel_replace(
        self, symbol: str, client_id: str, venue_id: str | None, request: OrderRequest
    ) -> Replacement:  # fmt: skip
        """Cancel an order and, only if that worked, place another. Raises `NotSent`, `Refused` or `Unknown` for both together."""
        self._need(Native.CANCEL_REPLACE, symbol)
        new = shaped(self._exchange, request)
        asked = self._exchange.create_order_request(new.symbol, new.type, new.side, new.amount, new.price, dict(new.params))
        asked["cancelReplaceMode"] = "STOP_ON_FAILURE"
        asked |= {"cancelOrigClientOrderId": client_id} if client_id else {"cancelOrderId": venue_id}

        async def act() -> Replacement:
            call = CALL.get()
            try:
                answer = await self._exchange.privatePostOrderCancelReplace(asked)
            except Exception:
                # The two halves of a failure stand in an answer that ccxt raises as one error.
                halves = _halves(call)
                if halves is None:
                    raise
                return self._replacement(halves, client_id, request)
            return self._replacement(answer, client_id, request)

        return await self._account.perform("cancel_replace", Lane.ORDERS, act, failed_create)

    def _need(self, what: Native, symbol: str) -> None:
        if what not in self.natives(symbol):
            message = f"{self._exchange.id} has no {what} for {symbol}"
            raise NotSent(message)

    def _pair(self, stop: OrderRequest, target: OrderRequest) -> dict[str, object]:
        """Binance's words for a pair: which leg is above the market depends on the side."""
        if (stop.symbol, stop.side, stop.amount) != (target.symbol, target.side, target.amount):
            message = "a stop and its target need the same symbol, side and amount"
            raise NotSent(message)
        limit, rest = shaped(self._exchange, target), shaped(self._exchange, stop)
        stop_words = {"Type": "STOP_LOSS", "StopPrice": rest.params["stopLossPrice"], "ClientOrderId": stop.id}
        if rest.price is not None:
            tif = stop.time_in_force.value.upper()
            stop_words |= {"Type": "STOP_LOSS_LIMIT", "Price": rest.price, "TimeInForce": tif}
        target_words = {"ClientOrderId": target.id, **self._target_words(target, limit.price)}
        above, below = (target_words, stop_words) if stop.side is Side.SELL else (stop_words, target_words)
        return {
            "symbol": self._exchange.market_id(stop.symbol),
            "side": stop.side.value.upper(),
            "quantity": rest.amount,
            "newOrderRespType": "RESULT",
            **{f"above{name}": word for name, word in above.items()},
            **{f"below{name}": word for name, word in below.items()},
        }

    def _target_words(self, target: OrderRequest, price: str | None) -> dict[str, object]:
        """A target rests as a limit, or waits for its trigger and then takes the market."""
        if target.type is OrderType.LIMIT and target.time_in_force is TimeInForce.GTC:
            return {"Type": "LIMIT_MAKER", "Price": price}
        if target.trigger is None:
            message = "a target is a limit order, or one with a trigger"
            raise NotSent(message)
        trigger = self._exchange.price_to_precision(target.symbol, format(target.trigger, "f"))
        return {"Type": "TAKE_PROFIT", "StopPrice": trigger}

    def _replacement(self, halves: Mapping[str, Any], client_id: str, request: OrderRequest) -> Replacement:
        cancelled, placed = halves.get("cancelResult"), halves.get("newOrderResult")
        gone_row, placed_row = halves.get("cancelResponse") or {}, halves.get("newOrderResponse") or {}
        if cancelled not in {"SUCCESS", "FAILURE"} or placed not in {"SUCCESS", "FAILURE", "NOT_ATTEMPTED"}:
            message = "the answer does not say what became of both orders"
            raise Unreadable(message)
        gone = self._gone(gone_row, request.symbol, client_id) if cancelled == "SUCCESS" else None
        made = self._report(placed_row, request) if placed == "SUCCESS" else None
        return Replacement(
            gone, made,
            None if cancelled == "SUCCESS" else _why_not_gone(gone_row),
            None if placed == "SUCCESS" else _why_not_placed(placed, placed_row),
        )  # fmt: skip

    def _gone(self, row: Mapping[str, Any], symbol: str, client_id: str) -> OrderReport | None:
        """The old order; None where the answer is about the pair it belonged to."""
        if not row.get("orderId"):
            return None
        order = self._exchange.parse_order(row, self._exchange.market(symbol))
        return reports.order_report(order, self._account.now(), client_id or None)

    def _report(self, row: Mapping[str, Any], request: OrderRequest) -> OrderReport:
        order = self._exchange.parse_order(row, self._exchange.market(request.symbol))
        return reports.order_report(order, self._account.now(), request.id)


def _halves(call: Call | None) -> Mapping[str, Any] | None:
    """The two results inside the venue's error, None where there are none."""
    answer = call.answer if call is not None else None
    if not isinstance(answer, dict) or answer.get("code") not in {_PARTLY, _FAILED}:
        return None
    data = answer.get("data")
    return data if isinstance(data, dict) else None


def _why_not_gone(row: Mapping[str, Any]) -> AccountError:
    reason = _said(row)
    return NotFound(reason) if row.get("code") in _NOTHING_THERE else Refused(reason)


def _why_not_placed(result: str, row: Mapping[str, Any]) -> AccountError:
    if result == "NOT_ATTEMPTED":
        return NotSent("not attempted: the other order was not cancelled")
    if "duplicate" in str(row.get("msg", "")).lower():
        return Unknown(_said(row))
    return Refused(_said(row))


def _said(row: Mapping[str, Any]) -> str:
    return f"{row.get('code', '')} {row.get('msg', '')}".strip()[:160]
