"""An order that takes the place of another, in one step at the venue, answered by halves. Binance alone has it for spot.

The desk moves its orders by cancel, confirm and create; this is for those who must not be without one in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.core.orders import OrderRequest
from bot.core.values import value
from execution import ccxt_reports as reports
from execution.account import AccountError, NotFound, NotSent, OrderReport, Refused, Unknown
from execution.budget import Lane
from execution.ccxt_account import CcxtAccount
from execution.ccxt_orders import Native, shaped
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


class CcxtNative:
    """What a `CcxtAccount` can do in one step where its venue has it."""

    def __init__(self, account: CcxtAccount) -> None:
        self._account = account
        self._exchange = account.exchange

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
        if what not in self._account.natives(symbol):
            message = f"{self._exchange.id} has no {what} for {symbol}"
            raise NotSent(message)

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
