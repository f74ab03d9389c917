"""What is made of ccxt's exceptions and dictionaries, without a venue."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.market import Side
from execution import ccxt_reports as reports
from execution.account import NotSent, OrderReport, ReportStatus, Unknown
from execution.budget import Lane
from execution.ccxt_outcome import (
    Call,
    Unreadable,
    Verdict,
    failed_cancel,
    failed_create,
    failed_read,
    judge,
    reason_of,
    venue_code,
)

KINDS = sorted((kind for kind in vars(ccxt).values() if isinstance(kind, type) and issubclass(kind, ccxt.BaseError)), key=str)


def sent(status: int = 0) -> Call:
    return Call(Lane.ORDERS, sent=True, status=status)


@pytest.mark.parametrize("kind", KINDS)
def test_what_never_left_is_not_sent_whatever_was_raised(kind: type[Exception]) -> None:
    assert judge(kind("x"), Call(Lane.ORDERS)) is Verdict.NOT_SENT


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, ccxt.OperationFailed)])
def test_a_failed_operation_is_never_called_a_refusal(kind: type[Exception]) -> None:
    assert judge(kind("x"), sent()) is not Verdict.REFUSED


@given(st.sampled_from(KINDS), st.sampled_from([500, 502, 503, 504, 520]))
def test_a_failing_server_refuses_nothing(kind: type[Exception], status: int) -> None:
    assert judge(kind("x"), sent(status)) not in {Verdict.REFUSED, Verdict.NOT_FOUND}


@pytest.mark.parametrize(
    "error", [KeyError("x"), TypeError("x"), ValueError("x"), TimeoutError(), Unreadable("x"), AssertionError()]
)
def test_what_nobody_expected_leaves_an_order_unknown(error: Exception) -> None:
    assert isinstance(failed_create(error, sent(200)), Unknown)
    assert isinstance(failed_cancel(error, sent(200)), Unknown)


def test_a_plain_error_with_an_unknown_code_decides_by_what_the_code_can_mean() -> None:
    def plain(code: int) -> Any:
        return ccxt.ExchangeError(f'venue {{"code":{code},"msg":"x"}}')

    assert judge(plain(-1104), sent(400)) is Verdict.REFUSED
    assert judge(plain(-1006), sent(400)) is Verdict.UNKNOWN
    assert judge(plain(-1104), sent(200)) is Verdict.UNKNOWN
    assert judge(plain(51_999), sent(200)) is Verdict.REFUSED
    assert judge(plain(50_026), sent(200)) is Verdict.UNKNOWN
    assert judge(ccxt.ExchangeError("no code"), sent(400)) is Verdict.UNKNOWN


def test_an_order_not_found_on_creation_is_nothing_to_rely_on() -> None:
    assert isinstance(failed_create(ccxt.OrderNotFound("x"), sent(400)), Unknown)


def test_the_innermost_code_is_the_orders_own() -> None:
    assert venue_code(ccxt.ExchangeError('okx {"code":"1","data":[{"sCode":"51008"}]}')) == 51_008
    assert venue_code(ccxt.ExchangeError("nothing")) is None


@pytest.mark.parametrize(
    "text",
    [
        "binance GET https://api/order?symbol=X&timestamp=1&signature=deadbeefcafe",
        'binance {"listenKey":"deadbeefcafe"}',
        "X-MBX-APIKEY: deadbeefcafe",
        '{"apiKey": "deadbeefcafe", "sign": "x"}',
        "OK-ACCESS-SIGN=deadbeefcafe",
        "POST /x?listenKey=deadbeefcafe&a=b",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    reason = reason_of(ccxt.NetworkError(text))
    assert "deadbeef" not in reason
    assert "***" in reason


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    assert "topsecret1" not in reason_of(ValueError("it was topsecret1!"), ("topsecret1",))


@given(st.text(max_size=500))
def test_a_reason_is_one_short_line(text: str) -> None:
    reason = reason_of(ValueError(text))
    assert len(reason) <= 160
    assert "\n" not in reason
    assert "\r" not in reason


def test_what_okx_says_of_the_order_itself_is_not_cut_off() -> None:
    row = {
        "algoId": "",
        "algoClOrdId": "a" * 28,
        "ordId": "",
        "clOrdId": "a" * 28,
        "sCode": "51279",
        "sMsg": "SL price is too high",
    }
    text = "okx " + json.dumps({"code": "1", "msg": "Operation failed.", "data": [row]})
    assert reason_of(ccxt.InvalidOrder(text)) == "InvalidOrder: okx 51279 SL price is too high"


def test_a_spent_or_forbidden_call_says_whether_trying_again_helps() -> None:
    shape = failed_create(ccxt.InvalidOrder("bad"), Call(Lane.ORDERS))
    assert isinstance(shape, NotSent)
    assert shape.retry_after_ms == 0
    read = failed_read(ccxt.BadSymbol("bad"), Call(Lane.READS))
    assert not getattr(read, "transient", True)


def order(**fields: Any) -> dict[str, Any]:
    return {"id": "1", "symbol": "BTC/USDT", "side": "buy", "status": "open", "amount": 1.5, "filled": 0.5, "info": {}} | fields


@given(st.decimals("0.00000001", "9000000", places=8))
def test_numbers_survive_ccxts_floats_to_the_last_satoshi(number: Decimal) -> None:
    assert reports.order_report(order(amount=float(number)), 0).amount == number


def test_an_order_without_an_id_is_no_order() -> None:
    for missing in ({"id": None}, {"id": ""}, {"symbol": None}, {"amount": "NaN"}, {"amount": float("inf")}):
        with pytest.raises(Unreadable):
            reports.order_report(order(**missing), 0)


def test_an_order_says_what_ccxt_said() -> None:
    told = order(status="canceled", lastUpdateTimestamp=7, price=2.0, stopLossPrice=1.0, clientOrderId="c")
    assert reports.order_report(told, 9) == OrderReport(
        "1", "c", "BTC/USDT", ReportStatus.CANCELLED, 7, Side.BUY, Decimal("1.5"), Decimal("0.5"), Decimal(2), Decimal(1)
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("open", ReportStatus.OPEN),
        ("canceling", ReportStatus.OPEN),
        ("closed", ReportStatus.FILLED),
        ("expired", ReportStatus.EXPIRED),
        ("rejected", ReportStatus.REJECTED),
        (None, ReportStatus.UNSAID),
        ("something new", ReportStatus.UNSAID),
    ],
)
def test_every_status_of_ccxt_is_known(status: str | None, expected: ReportStatus) -> None:
    assert reports.order_report(order(status=status), 0).status is expected


def test_an_algo_order_that_was_triggered_is_not_filled() -> None:
    told = order(status="closed", filled=1.5, info={"state": "effective", "algoClOrdId": "ours", "ordId": "77"})
    report = reports.order_report(told, 0)
    assert (report.status, report.filled, report.client_id, report.venue_id) == (ReportStatus.OPEN, Decimal(0), "ours", "77")


def test_a_cancel_names_the_order_it_cancelled() -> None:
    told = order(clientOrderId="the-cancel", info={"origClientOrderId": "the-order"})
    assert reports.order_report(told, 0).client_id == "the-order"


def test_trades_of_an_order_that_cannot_be_told_apart_are_left_out() -> None:
    fee = {"cost": 0.1, "currency": "BNB"}
    trades = [{"id": None, "amount": 1.0, "price": 2.0}, {"id": "t", "amount": 0.5, "price": 2.0, "fee": fee}]
    (trade,) = reports.order_report(order(trades=trades, clientOrderId="c"), 5).trades
    assert (trade.id, trade.venue_order_id, trade.client_id, trade.fee, trade.fee_currency) == (
        "t",
        "1",
        "c",
        Decimal("0.1"),
        "BNB",
    )


def test_a_trade_without_what_makes_one_is_no_trade() -> None:
    whole = {"id": "t", "order": "o", "symbol": "BTC/USDT", "side": "buy", "amount": 1.0, "price": 1.0}
    assert reports.trade_report(whole, 3).ts == 3
    for name in whole:
        with pytest.raises(Unreadable):
            reports.trade_report(whole | {name: None}, 3)


def test_a_withdrawal_costs_its_fee_too_and_a_failed_one_nothing() -> None:
    def row(status: str, amount: float, fee: float, at: int) -> dict[str, Any]:
        return {
            "id": f"{at}",
            "currency": "BTC",
            "amount": amount,
            "status": status,
            "timestamp": at,
            "fee": {"cost": fee, "currency": "BTC"},
        }

    found = reports.transfers(
        [row("ok", 1.0, 0.5, 10), row("pending", 1.0, 0.0, 11)], [row("ok", 2.0, 0.5, 12), row("failed", 3.0, 0.0, 13)], 5
    )
    assert [(move.amount, move.ts) for move in found] == [(Decimal(1), 10), (Decimal("-2.5"), 12)]
