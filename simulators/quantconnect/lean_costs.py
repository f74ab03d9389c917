"""What a fill costs: fee and slippage models, of which every security has one each.

As in LEAN a fee is charged on the worth of the order at the market's price (at the better or worse of its own and the market's
for limits and stops), and slippage moves market and stop fills against the order; limits do not slip. All money is in the
account's currency, so that a fee in another one is an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from simulators.quantconnect.lean_types import OrderDirection, OrderType, SecurityType, Symbol


class Priced(Protocol):
    """A security, as far as costs look at it."""

    @property
    def symbol(self) -> Symbol:
        """Which."""
        ...

    @property
    def price(self) -> float:
        """The last price."""
        ...


@dataclass(frozen=True, slots=True)
class CashAmount:
    """An amount of a currency."""

    amount: float
    currency: str


class OrderFee:
    """What an order costs."""

    def __init__(self, value: CashAmount) -> None:
        self.value = value


@dataclass(frozen=True, slots=True)
class Order:
    """An order as a model sees it; the quantity is signed."""

    id: int
    symbol: Symbol
    quantity: float
    type: OrderType = OrderType.MARKET
    limit_price: float = 0.0
    stop_price: float = 0.0

    @property
    def absolute_quantity(self) -> float:
        """The quantity without its sign."""
        return abs(self.quantity)

    @property
    def direction(self) -> OrderDirection:
        """Its side."""
        return OrderDirection.BUY if self.quantity > 0 else OrderDirection.SELL

    def get_value(self, security: Priced) -> float:
        """Signed worth in the account's currency."""
        price = security.price
        if self.type is OrderType.LIMIT:
            price = min(self.limit_price, price) if self.quantity > 0 else max(self.limit_price, price)
        elif self.type is OrderType.STOP_MARKET:
            price = max(self.stop_price, price) if self.quantity > 0 else min(self.stop_price, price)
        return self.quantity * price


@dataclass(frozen=True, slots=True)
class OrderFeeParameters:
    """What a fee model is asked with."""

    security: Priced
    order: Order


class FeeModel:
    """A model of fees to derive from; on its own it takes none."""

    def get_order_fee(self, parameters: OrderFeeParameters) -> OrderFee:
        """What an order costs."""
        return OrderFee(CashAmount(0.0, parameters.security.symbol.quote))


class ConstantFeeModel(FeeModel):
    """The same fee for every order."""

    def __init__(self, fee: float, currency: str = "USD") -> None:
        self._fee = OrderFee(CashAmount(abs(float(fee)), currency))

    def get_order_fee(self, parameters: OrderFeeParameters) -> OrderFee:
        """What an order costs."""
        return self._fee


class SlippageModel(Protocol):
    """How far a fill is from the price that it was decided on."""

    def get_slippage_approximation(self, asset: Priced, order: Order) -> float:
        """In units of the price, not below 0."""
        ...


class NullSlippageModel:
    """No slippage, which is the default."""

    def get_slippage_approximation(self, asset: Priced, order: Order) -> float:
        """In units of the price."""
        return 0.0


class ConstantSlippageModel:
    """A fraction of the last price."""

    def __init__(self, slippage_percent: float) -> None:
        self._fraction = float(slippage_percent)

    def get_slippage_approximation(self, asset: Priced, order: Order) -> float:
        """In units of the price."""
        return asset.price * self._fraction


def usual_fee(symbol: Symbol, quantity: float, price: float) -> float:
    """What a fill costs without a model: crypto 0.1 %, equities 0.005 a share and 1 at least, currencies and cfds 0.002 %."""
    if symbol.security_type is SecurityType.EQUITY:
        return max(1.0, 0.005 * abs(quantity))
    rate = 2e-5 if symbol.security_type in (SecurityType.FOREX, SecurityType.CFD) else 1e-3
    return abs(quantity) * price * rate


def modelled_fee(model: FeeModel, security: Priced, order: Order, currency: str) -> float:
    """What a model takes for an order; `ValueError` when that is no number or in another currency than the account's."""
    asked = model.get_order_fee(OrderFeeParameters(security, order)).value
    amount = float(asked.amount)
    if amount and asked.currency != currency:
        message = f"{type(model).__name__} takes fees in {asked.currency}; give them in {currency}, as the account is"
        raise ValueError(message)
    if not math.isfinite(amount):
        message = f"{type(model).__name__} gave {amount} as the fee of an order of {order.symbol}"
        raise ValueError(message)
    return amount
