"""The accounts of the venue: what belongs to whom, to the last satoshi.

Nothing is created here: what an account gains comes out of a transfer, or out of the market's hands (`house`), or goes into the
venue's (`fees`). So for every asset, all balances + fees + house = transfers, exactly and always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from simulators.exchange.orders import ZERO, Fill, OrderList, OrderRefused, Reason, Reserve, VenueOrder, booked

_MAX_ORDERS = 1_000_000


@dataclass(slots=True)
class Balance:
    """Of one asset: what can be used, and what open orders keep."""

    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Both together."""
        return self.free + self.locked


@dataclass(frozen=True, slots=True)
class Transfer:
    """A deposit (positive) or a withdrawal (negative)."""

    id: int
    asset: str
    amount: Decimal
    ts: int


@dataclass(frozen=True, slots=True)
class Terms:
    """Who an account is and on what terms it trades; fees are fractions of the value."""

    key: str
    secret: str
    passphrase: str = ""
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")
    fees_in_bnb: bool = False
    may_withdraw: bool = False


@dataclass(slots=True)
class Account:
    """Balances, and everything that was ever ordered."""

    terms: Terms
    number: int
    balances: dict[str, Balance] = field(default_factory=dict)
    orders: dict[int, VenueOrder] = field(default_factory=dict)
    open: dict[int, VenueOrder] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    """The newest order of each client order id."""
    lists: dict[int, OrderList] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    updated: int = 0

    def balance(self, asset: str) -> Balance:
        """Of an asset, which may never have been held."""
        return self.balances.setdefault(asset, Balance())

    def lock(self, asset: str, amount: Decimal) -> None:
        """Keep `amount` more (negative: less) from use; `OrderRefused` when there is not enough."""
        balance = self.balance(asset)
        if amount > balance.free:
            raise OrderRefused(Reason.INSUFFICIENT)
        balance.free -= amount
        balance.locked += amount

    def pay(self, reserve: Reserve, amount: Decimal) -> None:
        """Give away `amount` of the reserve's asset, out of the reserve as far as it goes."""
        balance = self.balance(reserve.asset)
        kept = min(reserve.amount, amount)
        reserve.amount -= kept
        balance.locked -= kept
        balance.free -= amount - kept

    @property
    def full(self) -> bool:
        """Whether no further order is remembered."""
        return len(self.orders) >= _MAX_ORDERS

    def register(self, order: VenueOrder) -> None:
        """Remember a new order."""
        self.orders[order.id] = order
        self.newest[order.client_id] = order.id
        self.open[order.id] = order

    def order(self, order_id: int | None, client_id: str | None) -> VenueOrder | None:
        """By venue id, else the newest with the client order id."""
        if order_id is None:
            order_id = self.newest.get(client_id or "")
        return self.orders.get(order_id) if order_id is not None else None


class Accounts:
    """All of them by API key, the fees that the venue took, and what the market on the other side of all trades gained."""

    def __init__(self) -> None:
        self._by_key: dict[str, Account] = {}
        self._transfers = 0
        self.fees: dict[str, Decimal] = {}
        self.house: dict[str, Decimal] = {}

    def all(self) -> list[Account]:
        """In the order in which they were opened."""
        return list(self._by_key.values())

    def get(self, key: str) -> Account | None:
        """The account of an API key."""
        return self._by_key.get(key)

    def open(self, terms: Terms, balances: Mapping[str, Decimal], now: int) -> Account:
        """A new account with deposits; `ValueError` when the key is taken."""
        if terms.key in self._by_key:
            message = f"there is an account with the key {terms.key!r} already"
            raise ValueError(message)
        account = Account(terms, len(self._by_key) + 1, updated=now)
        for asset, amount in balances.items():
            self.transfer(account, asset, amount, now)
        self._by_key[terms.key] = account
        return account

    def transfer(self, account: Account, asset: str, amount: Decimal, now: int) -> Transfer:
        """Deposit or withdraw; `ValueError` for a withdrawal above what is free, or for less than a satoshi."""
        if not amount.is_finite() or amount == 0 or amount != booked(amount):
            message = f"a transfer is a whole number of satoshis and not 0, not {amount} {asset}"
            raise ValueError(message)
        balance = account.balance(asset)
        if balance.free + amount < 0:
            message = f"{-amount} {asset} cannot be withdrawn; {balance.free} are free"
            raise ValueError(message)
        balance.free += amount
        self._transfers += 1
        transfer = Transfer(self._transfers, asset, amount, now)
        account.transfers.append(transfer)
        account.updated = now
        return transfer

    def trade(self, asset: str, amount: Decimal) -> None:
        """The market on the other side gains this much (loses it when negative)."""
        self.house[asset] = self.house.get(asset, ZERO) + amount

    def collect(self, asset: str, amount: Decimal) -> None:
        """The venue takes a fee."""
        self.fees[asset] = self.fees.get(asset, ZERO) + amount
