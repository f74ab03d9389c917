"""A venue in a few lines that a test speaks for. It keeps orders, trades, balances and transfers, and lies when told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from bot.core.decision import Tier
from bot.core.inputs import Input
from bot.core.market import Side
from bot.core.orders import Leg, OrderRequest, OrderType, client_order_id
from execution.account import (
    AccountError,
    AccountSink,
    BalanceReport,
    NotFound,
    OrderReport,
    Permissions,
    ReportStatus,
    TradeReport,
    TransferReport,
)
from execution.reconcile import Reconciler, ReconcileRules
from execution.tracked import TrackedOrders

BTC, ETH = "BTC/USDT", "ETH/USDT"
T0 = 1_700_000_000_000
OURS, SISTER = "arb", "arbx"
RULES = ReconcileRules(symbols=(BTC, ETH), prefix=OURS, sisters=(SISTER,), pause_ms=0, quiet_ms=600_000)


def D(text: str | int) -> Decimal:  # noqa: N802 - reads as the literal that Python lacks
    return Decimal(text)


def an_id(cause: str, prefix: str = OURS) -> str:
    return client_order_id(prefix, "main", "bot", cause, Leg.ENTRY, 0)


def a_request(client_id: str, symbol: str = BTC, amount: str = "1", side: Side = Side.BUY, at: int = T0) -> OrderRequest:
    return OrderRequest(
        id=client_id,
        symbol=symbol,
        side=side,
        type=OrderType.LIMIT,
        amount=D(amount),
        leg=Leg.ENTRY,
        cause="test",
        attempt=0,
        source="rules:test",
        tier=Tier.TRADITIONAL,
        confidence=0.9,
        reference=100.0,
        created=at,
        price=D(100),
    )


class ScriptedAccount:
    """Answers truly, but for what a test put into `omit` (things left out of the next answers that hold them), `fail` (errors of
    the next calls) and `before` (what happens just before a call is answered)."""

    def __init__(self, now: Callable[[], int], balances: Mapping[str, str]) -> None:
        self.now = now
        self.orders: dict[str, OrderReport] = {}
        self.told: list[TradeReport] = []
        self.totals = {currency: D(total) for currency, total in balances.items()}
        self.moves: list[TransferReport] = []
        self.lists_transfers = True
        self.calls: Counter[str] = Counter()
        self.since: dict[str, int] = {}
        self.cancelled: list[str] = []
        self.omit: Counter[str] = Counter()
        self.fail: dict[str, list[AccountError]] = {}
        self.before: dict[str, list[Callable[[], object]]] = {}

    # What happens at the venue.

    def rest(self, client_id: str | None, symbol: str = BTC, amount: str = "1", side: Side = Side.BUY) -> OrderReport:
        """A new open order, whoever made it."""
        venue_id = f"v{len(self.orders) + 1}"
        report = OrderReport(venue_id, client_id, symbol, ReportStatus.OPEN, self.now(), side, D(amount), price=D(100))
        self.orders[venue_id] = report
        return report

    def fill(self, venue_id: str, amount: str, price: str = "100", fee: str = "0.1", fee_currency: str = "USDT") -> TradeReport:
        """A part of an order trades, and the balances move."""
        order = self.orders[venue_id]
        assert order.side is not None
        assert order.amount is not None
        number = f"t{len(self.told) + 1}"
        trade = TradeReport(number, venue_id, order.symbol, order.side, D(amount), D(price), D(fee), fee_currency, self.now())
        base, quote = order.symbol.split("/")
        self.take(base, trade.amount * order.side.sign)
        self.take(quote, -trade.amount * trade.price * order.side.sign)
        self.take(fee_currency, -trade.fee)
        filled = order.filled + trade.amount
        status = ReportStatus.FILLED if filled >= order.amount else order.status
        self.orders[venue_id] = replace(order, filled=filled, status=status)
        self.told.append(trade)
        return trade

    def end(self, venue_id: str, status: ReportStatus = ReportStatus.CANCELLED) -> None:
        """An order is over."""
        self.orders[venue_id] = replace(self.orders[venue_id], status=status)

    def move(self, currency: str, amount: str) -> TransferReport:
        """A deposit or a withdrawal."""
        transfer = TransferReport(f"m{len(self.moves) + 1}", currency, D(amount), self.now())
        self.take(currency, transfer.amount)
        self.moves.append(transfer)
        return transfer

    def take(self, currency: str, amount: Decimal) -> None:
        """The balance changes, and nothing else says so."""
        self.totals[currency] = self.totals.get(currency, D(0)) + amount

    # What it answers.

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        self._asked("order")
        for report in self.orders.values():
            named = report.client_id == client_id if client_id is not None else report.venue_id == venue_id
            if named and report.symbol == symbol and not self._omits(report.client_id):
                return report
        raise NotFound("no such order")

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        self._asked("open_orders")
        live = [one for one in self.orders.values() if not one.status.ended and one.symbol in symbols]
        return [one for one in live if not self._omits(one.client_id)]

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        self._asked("trades")
        self.since[symbol] = since
        return [one for one in self.told if one.symbol == symbol and one.ts >= since and not self._omits(one.id)]

    async def balances(self) -> Mapping[str, BalanceReport]:
        self._asked("balances")
        return {name: BalanceReport(total, D(0)) for name, total in self.totals.items() if not self._omits(name)}

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        self._asked("transfers")
        return [one for one in self.moves if one.ts >= since] if self.lists_transfers else None

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        self._asked("cancel")
        found = next((one for one in self.orders.values() if one.client_id == client_id and not one.status.ended), None)
        if found is None:
            raise NotFound("no such order")
        self.end(found.venue_id)
        self.cancelled.append(client_id)
        return None

    async def create(self, request: OrderRequest) -> OrderReport:
        raise AssertionError("reconciliation sends no order")

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        raise AssertionError("reconciliation sends no order")

    async def permissions(self) -> Permissions:
        raise AssertionError("reconciliation asks for no permissions")

    async def follow(self, sink: AccountSink) -> None:
        raise AssertionError("reconciliation follows no stream")

    async def close(self) -> None:
        raise AssertionError("reconciliation closes nothing")

    def _asked(self, what: str) -> None:
        self.calls[what] += 1
        if self.before.get(what):
            self.before[what].pop(0)()
        if self.fail.get(what):
            raise self.fail[what].pop(0)

    def _omits(self, name: str | None) -> bool:
        if name is None or not self.omit[name]:
            return False
        self.omit[name] -= 1
        return True


@dataclass(slots=True)
class World:
    """A scripted venue, the orders tracked on it, and what the desk was told."""

    at: int = T0
    said: list[Input] = field(default_factory=list)
    over: set[str] = field(default_factory=set)
    account: ScriptedAccount = field(init=False)
    tracked: TrackedOrders = field(init=False)
    reconciler: Reconciler = field(init=False)

    def __post_init__(self) -> None:
        self.account = ScriptedAccount(lambda: self.at, {"USDT": "10000", "BTC": "2", "ETH": "5"})
        self.tracked = TrackedOrders(self.said.append, lambda: self.at)
        self.restart()

    def restart(self, memory: object = None, rules: ReconcileRules = RULES) -> None:
        """A new process, with the memory of the old one or none."""
        self.reconciler = Reconciler(
            self.account, self.tracked, lambda: self.at, rules, ended=self.over.__contains__, memory=memory
        )

    def send(self, cause: str, symbol: str = BTC, amount: str = "1", side: Side = Side.BUY) -> OrderReport:
        """An order of ours that the venue accepted."""
        client_id = an_id(cause)
        self.tracked.begin(a_request(client_id, symbol, amount, side, self.at))
        report = self.account.rest(client_id, symbol, amount, side)
        self.tracked.report(report)
        return report

    def doubt(self, cause: str, symbol: str = BTC) -> str:
        """An order of ours whose answer was lost; its client id."""
        client_id = an_id(cause)
        self.tracked.begin(a_request(client_id, symbol, at=self.at))
        self.tracked.unknown(client_id, "the answer was lost")
        return client_id

    def told(self, kind: type[Input]) -> list[Input]:
        """What the desk was told, of one kind."""
        return [one for one in self.said if isinstance(one, kind)]
