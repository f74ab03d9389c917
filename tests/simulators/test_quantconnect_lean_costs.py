"""What fills cost on the stand-in for LEAN: fee and slippage models, and what statistics say of them."""

from __future__ import annotations

import pytest

from simulators.quantconnect.lean import AlgorithmError
from simulators.quantconnect.results import result_of
from tests.simulators.lean_runs import ran

RATE = """
class Rate(FeeModel):
    def __init__(self, rate, currency):
        self._rate, self._currency = rate, currency

    def get_order_fee(self, parameters):
        return OrderFee(CashAmount(self._rate * abs(parameters.order.get_value(parameters.security)), self._currency))
"""
TURN = """
    def on_data(self, data):
        if self.time.hour == 2:
            self.market_order(self.s, 2)
        if self.time.hour == 5:
            self.market_order(self.s, -2)
"""


def body(begin: str) -> str:
    return f"\n    def begin(self):\n        {begin}\n{TURN}{RATE}"


def test_a_fee_model_is_asked_with_the_worth_of_the_order() -> None:
    run = ran(body('self.securities[self.s].set_fee_model(Rate(0.01, "USD"))'))
    bought, sold = run.ledger.orders
    assert [one.events[-1].fee for one in (bought, sold)] == pytest.approx([2 * 101 * 0.01, 2 * 104 * 0.01])
    assert run.portfolio.total_fees == pytest.approx(4.1)
    (trade,) = run.ledger.trades
    assert trade.fees == pytest.approx(4.1)
    assert run.portfolio.total_portfolio_value == pytest.approx(10_000 + 2 * 3 - 4.1)
    assert result_of(run)["statistics"]["Total Fees"] == "$4.10"  # type: ignore[index]


def test_slippage_is_against_the_order_and_the_fee_is_of_the_market_price() -> None:
    models = "; ".join(
        f"self.securities[self.s].{each}"
        for each in ('set_fee_model(Rate(0.01, "USD"))', "set_slippage_model(ConstantSlippageModel(0.1))")
    )
    run = ran(body(models))
    assert [one.average_fill_price for one in run.ledger.orders] == pytest.approx([101 * 1.1, 104 * 0.9])
    assert run.portfolio.total_fees == pytest.approx(4.1)


def test_a_limit_does_not_slip_and_a_stop_does() -> None:
    run = ran("""
    def begin(self):
        self.securities[self.s].set_slippage_model(ConstantSlippageModel(0.01))

    def on_data(self, data):
        if self.time.hour == 2:
            self.limit_order(self.s, 1, 101.5)
            self.stop_market_order(self.s, 1, 104)
""")
    limit, stop = run.ledger.orders
    assert limit.average_fill_price == pytest.approx(101.5)
    assert stop.average_fill_price == pytest.approx(104 + 0.01 * 103)


def test_an_order_that_its_fee_makes_too_dear_is_refused() -> None:
    run = ran(body("self.securities[self.s].set_fee_model(ConstantFeeModel(9_900))").replace("set_brokerage", "x"))
    assert "Insufficient buying power" in run.ledger.orders[0].events[-1].message


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ('Rate(0.01, "EUR")', "takes fees in EUR; give them in USD"),
        ('Rate(float("nan"), "USD")', "gave nan as the fee of an order of BTCUSDT"),
    ],
)
def test_a_fee_that_cannot_be_charged_is_an_error_of_the_algorithm(model: str, words: str) -> None:
    with pytest.raises(AlgorithmError, match=words):
        ran(body(f"self.securities[self.s].set_fee_model({model})"))


def test_texts_may_have_dataclasses_read_times_and_import_from_within_packages() -> None:
    run = ran("""
    def on_data(self, data):
        moment = datetime.strptime("2026-01-02 03:04", "%Y-%m-%d %H:%M")
        self.seen.append((Level(1.5).price, isinstance([], Sequence), moment.hour))


from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Level:
    price: float
    why: str = "none"
""")
    assert run.algorithm.seen[0] == (1.5, True, 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["collections.nothing", "_strptime.sys", "datetime.sys"])
def test_what_is_not_within_a_package_is_not_found(name: str) -> None:
    with pytest.raises(AlgorithmError, match="No module named"):
        ran(f"\n\nfrom {name} import anything\n")


def test_what_strptime_needs_leads_nowhere() -> None:
    with pytest.raises(AlgorithmError, match="cannot import name 'sys'"):
        ran("\n\nfrom _strptime import sys\n")
