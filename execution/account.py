"""An account at a venue, as execution sees it: what may be asked of it, what it answers, and how asking can fail.

`VenueAccount` is the seam between the order promises and whatever speaks to the venue. Money is `Decimal`, times are milliseconds
UTC by the venue's clock. Every failure is one of the classes here, and each says what is known of the order:

* `NotSent`: it never left this process (a spent budget, an open breaker, a shape the venue would not take);
* `Refused`: the venue itself said no, the order never lived;
* `Unknown`: nobody can say, the venue must be asked;
* `NotFound`: the venue answered, and has no such order *now*;
* `ReadFailed`: a question was not answered. It is never an empty answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from bot.core.market import Side
from bot.core.orders import ZERO, OrderRequest
from bot.core.values import value


class AccountError(Exception):
    """Something an account could not do; `reason` is one line without secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(AccountError):  # noqa: N818 - it names what happened
    """Nothing left this process. It may be worth another try after `retry_after_ms`."""

    def __init__(self, reason: str, retry_after_ms: int = 0) -> None:
        super().__init__(reason)
        self.retry_after_ms = retry_after_ms


class Refused(AccountError):  # noqa: N818 - it names what happened
    """The venue said no."""


class Unknown(AccountError):  # noqa: N818 - it names what happened
    """The request may or may not have had its effect."""


class NotFound(AccountError):  # noqa: N818 - it names what happened
    """The venue answered that it has no such order."""


class ReadFailed(AccountError):  # noqa: N818 - it names what happened
    """A question got no usable answer. `transient` says that asking again may help, not before `retry_after_ms`."""

    def __init__(self, reason: str, transient: bool = True, retry_after_ms: int = 0) -> None:
        super().__init__(reason)
        self.transient = transient
        self.retry_after_ms = retry_after_ms


class ReportStatus(StrEnum):
    """How far the venue says an order has come. UNSAID: the venue has it, and told no more (OKX answers an order so)."""

    UNSAID = "unsaid"
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def ended(self) -> bool:
        """Whether the order is over."""
        return self not in {ReportStatus.UNSAID, ReportStatus.OPEN}


@value
class TradeReport:
    """One trade of the account, as the venue tells it.

    `id` is the venue's trade id, unique for a symbol. `client_id` is None where the venue tells only its own order id (a list of
    trades does, on most).
    """

    id: str
    venue_order_id: str
    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    ts: int
    maker: bool = False
    client_id: str | None = None


@value
class OrderReport:
    """What the venue says of one order at one moment.

    `client_id` is None where the venue told none. `filled` counts all that traded so far; `trades` are those told along with it,
    perhaps not all of them. `amount` is None where the venue answered with ids alone.
    """

    venue_id: str
    client_id: str | None
    symbol: str
    status: ReportStatus
    ts: int
    side: Side | None = None
    amount: Decimal | None = None
    filled: Decimal = ZERO
    price: Decimal | None = None
    trigger: Decimal | None = None
    trades: tuple[TradeReport, ...] = ()
    reason: str = ""


@value
class BalanceReport:
    """What the account holds of one currency; `locked` is bound in open orders."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Free and locked."""
        return self.free + self.locked


@value
class TransferReport:
    """A deposit (positive amount) or a withdrawal (negative, its fee included)."""

    id: str
    currency: str
    amount: Decimal
    ts: int


@value
class Permissions:
    """What the key may do; None where the venue does not say."""

    trade: bool | None
    withdraw: bool | None


class AccountSink(Protocol):
    """Who is told what the account stream says. Calls return at once and never raise."""

    def on_order(self, report: OrderReport) -> None:
        """The venue told of an order, ours or not."""
        ...

    def on_trade(self, report: TradeReport) -> None:
        """The venue told of a trade, ours or not."""
        ...

    def on_connected(self) -> None:
        """The stream is up, for the first time or again: what was told meanwhile is lost and must be asked for."""
        ...

    def on_lost(self, reason: str) -> None:
        """The stream is down, or has been silent beyond its patience."""
        ...


class VenueAccount(Protocol):
    """One account at one venue. Every call is bounded in time; what changes the account is never repeated inside."""

    async def create(self, request: OrderRequest) -> OrderReport:
        """Send an order under `request.id`, once. Raises `NotSent`, `Refused` or `Unknown`."""
        ...

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """Send a stop and a target of which one cancels the other, in one request and once; the venue takes both or none.

        Raises `NotSent` (as where the venue has no such orders), `Refused` or `Unknown`, for both together.
        """
        ...

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        """Cancel an order; None where the venue confirmed without saying more.

        Raises `NotSent`, `NotFound` (already over, or never there), `Refused` or `Unknown`.
        """
        ...

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        """Ask for one order by either id. Raises `NotFound` or `ReadFailed`."""
        ...

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        """Every open order of the account on these symbols, whoever made it. Raises `ReadFailed`."""
        ...

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        """Every trade of the account on a symbol from `since` on (ms, inclusive), oldest first. Raises `ReadFailed`."""
        ...

    async def balances(self) -> Mapping[str, BalanceReport]:
        """What the account holds, by currency; zeros may be missing. Raises `ReadFailed`."""
        ...

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        """Deposits and withdrawals from `since` on (ms); None where the venue has no such list. Raises `ReadFailed`."""
        ...

    async def permissions(self) -> Permissions:
        """What the key may do. Raises `ReadFailed`."""
        ...

    async def follow(self, sink: AccountSink) -> None:
        """Tell the sink what the account stream says, reconnecting for ever; runs until cancelled."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...
