"""An account at a venue, through ccxt.

The exchange comes opened, by a class that `execution.ccxt_stream.trading` derived, with its markets loaded. Every call says what
it is for, so that a budget lets an order go before a question, and is bounded in time. Nothing that changes the account is
repeated, with one exception: an order whose time stamp the venue would not have never lived, and goes once more, under the same
id, when the clock is set.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import structlog

from bot.core.orders import OrderRequest
from execution import ccxt_reports as reports
from execution.account import (
    AccountError,
    AccountSink,
    BalanceReport,
    NotFound,
    OrderReport,
    Permissions,
    ReadFailed,
    Refused,
    TradeReport,
    TransferReport,
)
from execution.budget import Budget, Lane
from execution.ccxt_follow import AccountStream, StreamConfig
from execution.ccxt_history import trades_since
from execution.ccxt_orders import BINANCE, OKX, Native, Shaped, is_algo, natives, shaped
from execution.ccxt_outcome import (
    CALL,
    Call,
    Unreadable,
    Verdict,
    failed_cancel,
    failed_create,
    failed_read,
    judge,
    reason_of,
)
from execution.ccxt_pairs import halves, paired
from execution.ccxt_stream import set_budget

_log = structlog.get_logger(__name__)

RECV_WINDOW_MS = 5_000
"""How old a request may be when it reaches a venue of Binance's dialect: after that it cannot act any more."""
_REQUEST_LIFE_MS = 30_000  # of OKX, and taken of every venue that does not say
_ALGOS_REMEMBERED = 10_000
_ALL_SYMBOLS_WEIGH = 14  # asking for all open orders at once weighs as much as asking for this many symbols
_PAGE = 100
_LONGEST_LIST = 100
_DAY_MS = 86_400_000

Failed = Callable[[BaseException, Call, Sequence[str]], AccountError]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """Seconds that an order or cancel, and a question, may take on the wire; waiting for a turn is the budget's affair."""

    order_timeout: float = 5.0
    read_timeout: float = 10.0
    stream: StreamConfig = field(default_factory=StreamConfig)


class CcxtAccount:
    """A `VenueAccount`. `counts` says how calls went: `create.sent`, `create.unknown`, `clock.adjusted`, ..."""

    def __init__(
        self,
        exchange: Any,
        budget: Budget | None = None,
        config: AccountConfig | None = None,
        random: Random | None = None,
    ) -> None:
        if not getattr(exchange, "trading", False):
            message = "the exchange must be opened with derive=execution.ccxt_stream.trading"
            raise ValueError(message)
        self.exchange = exchange
        self.config = config or AccountConfig()
        self.counts: Counter[str] = Counter()
        self._algos: OrderedDict[str, None] = OrderedDict()
        # Short ones are a test's; masking them everywhere would spoil the text.
        keys = (exchange.apiKey, exchange.secret, exchange.password)
        self._secrets = tuple(str(key) for key in keys if key and len(str(key)) >= 8)
        if "recvWindow" in exchange.options:
            exchange.options["recvWindow"] = RECV_WINDOW_MS
        if exchange.id in BINANCE:  # ccxt refuses to list the orders of all symbols until it is told that their weight is known
            exchange.options["fetchOpenOrders"] = {**exchange.options.get("fetchOpenOrders", {}), "warnWithoutSymbol": False}
        set_budget(exchange, budget)
        self.stream = AccountStream(
            exchange, self.config.stream, self.now, self.adjust_clock, random or Random(), self._secrets  # noqa: S311 - it spreads attempts
        )  # fmt: skip

    @property
    def request_life_ms(self) -> int:
        """How long after it was sent a request can still act: an order that is not found later than this never will be."""
        return RECV_WINDOW_MS if "recvWindow" in self.exchange.options else _REQUEST_LIFE_MS

    def natives(self, symbol: str) -> frozenset[Native]:
        """What the venue watches over itself on a symbol."""
        return natives(self.exchange, symbol)

    async def create(self, request: OrderRequest) -> OrderReport:
        """Send an order under `request.id`, once. Raises `NotSent`, `Refused` or `Unknown`."""
        asked = shaped(self.exchange, request)
        if is_algo(self.exchange, request):
            self._remember_algo(request.id)

        async def act() -> OrderReport:
            return self._created(await self._create(asked), request)

        return await self.perform("create", Lane.ORDERS, act, failed_create)

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """Send a stop and a target of which one cancels the other, in one request and once; the venue takes both or none.

        Raises `NotSent`, `Refused` or `Unknown`, for both together.
        """
        asked = paired(self.exchange, stop, target)

        async def act() -> tuple[OrderReport, OrderReport]:
            first, second = halves(await self.exchange.privatePostOrderListOco(asked), stop, target)
            return self._parsed(first, stop), self._parsed(second, target)

        return await self.perform("protection", Lane.ORDERS, act, failed_create)

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        """Cancel an order; None where the venue confirmed without saying more.

        Raises `NotSent`, `NotFound` (already over, or never there), `Refused` or `Unknown`.
        """
        if self.exchange.id not in OKX:
            return await self._cancel(symbol, client_id, venue_id, {})
        if client_id not in self._algos:
            return await self._cancel_either(symbol, client_id, venue_id, ({}, {"trigger": True}))
        try:
            return await self._cancel_either(symbol, client_id, venue_id, ({"trigger": True}, {}))
        except NotFound:
            if not venue_id:
                raise
            # A stop that was triggered is another order, which goes by the venue's id alone.
            return await self._cancel(symbol, "", venue_id, {})

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        """Ask for one order by either id. Raises `NotFound` or `ReadFailed`."""
        if client_id is None and venue_id is None:
            message = "an order needs a client id or a venue id"
            raise ReadFailed(message, transient=False)
        if self.exchange.id not in OKX:
            return await self._order(symbol, client_id, venue_id, {})
        try:
            return await self._order(symbol, client_id, venue_id, {})
        except NotFound:
            return await self._algo(symbol, client_id, venue_id)

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        """Every open order of the account on these symbols, whoever made it. Raises `ReadFailed`."""
        if self.exchange.id in OKX:
            found = await self._open_pages(None, {})
            for kind in ("conditional,oco", "trigger"):
                found += await self._open_pages(None, {"trigger": True, "ordType": kind})
        elif len(symbols) > _ALL_SYMBOLS_WEIGH and self.exchange.id in BINANCE:
            found = await self._open(None, {})
        else:
            found = [one for symbol in symbols for one in await self._open(symbol, {})]
        wanted = frozenset(symbols)
        unique = {report.venue_id: report for report in found if report.symbol in wanted}
        return list(unique.values())

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        """Every trade of the account on a symbol from `since` on (ms, inclusive), oldest first. Raises `ReadFailed`."""

        async def page(start: int | None, limit: int | None, params: Mapping[str, object]) -> list[TradeReport]:
            async def ask() -> list[TradeReport]:
                rows = await self.exchange.fetch_my_trades(symbol, start, limit, dict(params))
                return [reports.trade_report(row, self.now()) for row in rows]

            return await self.perform("trades", Lane.READS, ask, failed_read)

        return await trades_since(self.exchange.id, page, since, self.now())

    async def balances(self) -> Mapping[str, BalanceReport]:
        """What the account holds, by currency; zeros may be missing. Raises `ReadFailed`."""

        async def ask() -> dict[str, BalanceReport]:
            return reports.balances(await self.exchange.fetch_balance())

        return await self.perform("balances", Lane.READS, ask, failed_read)

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        """Deposits and withdrawals from `since` on (ms); None where the venue has no such list. Raises `ReadFailed`.

        OKX lists those of its funding account, which is another than the one that trades, so it has none either.
        """
        has = self.exchange.has
        if self.exchange.id in OKX or not (has.get("fetchDeposits") and has.get("fetchWithdrawals")):
            return None
        begin = since - _DAY_MS  # a deposit may have begun long before it was credited

        async def incoming() -> list[Mapping[str, Any]]:
            return list(await self.exchange.fetch_deposits(None, begin))

        async def outgoing() -> list[Mapping[str, Any]]:
            return list(await self.exchange.fetch_withdrawals(None, begin))

        deposits = await self.perform("deposits", Lane.READS, incoming, failed_read)
        withdrawals = await self.perform("withdrawals", Lane.READS, outgoing, failed_read)
        return reports.transfers(deposits, withdrawals, since)

    async def permissions(self) -> Permissions:
        """What the key may do. Raises `ReadFailed`."""
        exchange = self.exchange

        async def ask() -> Permissions:
            if exchange.id in OKX:
                row = (await exchange.privateGetAccountConfig())["data"][0]
                may = frozenset(str(row["perm"]).split(","))
                return Permissions("trade" in may, "withdraw" in may)
            if exchange.id not in BINANCE:
                return Permissions(None, None)
            if exchange.isSandboxModeEnabled:  # its testnet has no word on keys; nothing can be withdrawn there
                return Permissions(bool((await exchange.privateGetAccount())["canTrade"]), None)
            row = await exchange.sapiGetAccountApiRestrictions()
            return Permissions(bool(row["enableSpotAndMarginTrading"]), bool(row["enableWithdrawals"]))

        return await self.perform("permissions", Lane.READS, ask, failed_read)

    async def follow(self, sink: AccountSink) -> None:
        """Tell the sink what the account stream says, reconnecting for ever; runs until cancelled."""
        await self.stream.run(sink)

    async def close(self) -> None:
        """Let go of the connections."""
        self.exchange.timeout_on_exit = 0
        await self.exchange.close()

    async def adjust_clock(self) -> bool:
        """Measure the venue's clock and stamp requests by it from now on; whether that worked."""
        try:
            await self._within(Call(Lane.ORDERS, self.config.read_timeout), self.exchange.load_time_difference)
        except Exception as error:  # noqa: BLE001 - whatever it is, the clock stays as it was; counted, and the call that needed it fails
            self.counts["clock.failed"] += 1
            _log.warning("clock_not_adjusted", venue=self.exchange.id, error=reason_of(error, self._secrets))
            return False
        self.counts["clock.adjusted"] += 1
        _log.info("clock_adjusted", venue=self.exchange.id, ahead_ms=self.exchange.options.get("timeDifference"))
        return True

    async def perform(self, name: str, lane: Lane, act: Callable[[], Awaitable[T]], failed: Failed) -> T:
        """Do something at the venue; once more only where its clock forbade it. Raises what `failed` makes of a failure."""
        seconds = self.config.order_timeout if lane is Lane.ORDERS else self.config.read_timeout
        for last in (False, True):
            call = Call(lane, seconds)
            try:
                done = await self._within(call, act)
            except AccountError:
                self.counts[f"{name}.said"] += 1
                raise
            except Exception as error:  # noqa: BLE001 - the boundary to ccxt: whatever it raises is judged, counted and said
                if not last and judge(error, call) is Verdict.CLOCK and await self.adjust_clock():
                    continue
                outcome = failed(error, call, self._secrets)
                self.counts[f"{name}.{type(outcome).__name__}"] += 1
                raise outcome from None
            self.counts[f"{name}.done"] += 1
            return done
        raise AssertionError  # the second time always ends above

    async def _within(self, call: Call, act: Callable[[], Awaitable[T]]) -> T:
        token = CALL.set(call)
        try:
            async with asyncio.timeout(call.seconds) as call.scope:
                return await act()
        finally:
            call.scope = None
            CALL.reset(token)

    async def _create(self, asked: Shaped) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await self.exchange.create_order(
            asked.symbol, asked.type, asked.side, asked.amount, asked.price, dict(asked.params)
        )
        return answer

    def _parsed(self, row: Mapping[str, Any], request: OrderRequest) -> OrderReport:
        """The venue's own words of an order of ours."""
        order = self.exchange.parse_order(row, self.exchange.market(request.symbol))
        return reports.order_report(order, self.now(), request.id)

    def _created(self, order: Mapping[str, Any], request: OrderRequest) -> OrderReport:
        # Some venues answer without the symbol; it is the one that was asked for.
        known = {"symbol": request.symbol, "side": request.side.value}
        told = {name: value for name, value in order.items() if value is not None}
        return reports.order_report({**known, **told}, self.now(), request.id)

    async def _cancel(
        self, symbol: str, client_id: str, venue_id: str | None, params: Mapping[str, object]
    ) -> OrderReport | None:  # fmt: skip
        by_client = {"clientOrderId": client_id} if client_id else {}

        async def act() -> OrderReport | None:
            answer = await self.exchange.cancel_order(venue_id or client_id, symbol, {**by_client, **params})
            return self._cancelled(answer, symbol, client_id)

        return await self.perform("cancel", Lane.ORDERS, act, failed_cancel)

    async def _cancel_either(
        self, symbol: str, client_id: str, venue_id: str | None, kinds: Sequence[Mapping[str, object]]
    ) -> OrderReport | None:  # fmt: skip
        """Cancel it among the orders or among the stops, whichever has it; a refusal at the second place says nothing."""
        try:
            return await self._cancel(symbol, client_id, venue_id, kinds[0])
        except NotFound as first:
            try:
                return await self._cancel(symbol, client_id, venue_id, kinds[1])
            except Refused:
                raise first from None

    def _cancelled(self, answer: Mapping[str, Any] | None, symbol: str, client_id: str) -> OrderReport | None:
        """What a cancel's answer says of the order; an answer about a pair holds two."""
        info = (answer or {}).get("info") or {}
        for row in info.get("orderReports") or ():
            if client_id in {row.get("origClientOrderId"), row.get("clientOrderId")}:
                answer = self.exchange.parse_order(row, self.exchange.market(symbol))
        if not (answer or {}).get("id"):
            if info.get("orderListId") is not None:
                return None
            message = "the answer to a cancel holds no order"
            raise Unreadable(message)
        if answer is None or answer.get("status") is None:
            return None
        return reports.order_report(answer, self.now(), client_id or None)

    async def _order(
        self, symbol: str, client_id: str | None, venue_id: str | None, params: Mapping[str, object]
    ) -> OrderReport:  # fmt: skip
        by_client = {"clientOrderId": client_id} if client_id else {}

        async def ask() -> OrderReport:
            answer = await self.exchange.fetch_order(None if client_id else venue_id, symbol, {**by_client, **params})
            _require_one(CALL.get())
            return reports.order_report(answer, self.now(), client_id)

        return await self.perform("order", Lane.READS, ask, failed_read)

    async def _algo(self, symbol: str, client_id: str | None, venue_id: str | None) -> OrderReport:
        """An algo order of OKX; once triggered it is another order, which says how far it has come."""

        async def ask() -> tuple[OrderReport, str]:
            by_client = {"clientOrderId": client_id} if client_id else {}
            answer = await self.exchange.fetch_order(None if client_id else venue_id, symbol, {**by_client, "trigger": True})
            _require_one(CALL.get())
            child = str(answer["info"].get("ordId") or "") if reports.triggered(answer) else ""
            return reports.order_report(answer, self.now(), client_id), child

        report, child = await self.perform("order", Lane.READS, ask, failed_read)
        if not child:
            return report
        found = await self._order(symbol, None, child, {})
        return _named(found, report.client_id)

    async def _open(self, symbol: str | None, params: Mapping[str, object]) -> list[OrderReport]:
        async def ask() -> list[OrderReport]:
            rows = await self.exchange.fetch_open_orders(symbol, None, None, dict(params))
            return [reports.order_report(row, self.now()) for row in rows]

        return await self.perform("open_orders", Lane.READS, ask, failed_read)

    async def _open_pages(self, symbol: str | None, params: Mapping[str, object]) -> list[OrderReport]:
        """All pages of OKX's list, newest first."""
        found: dict[str, OrderReport] = {}
        after: dict[str, object] = {}
        for _ in range(_LONGEST_LIST):
            page = await self._open(symbol, {**params, **after})
            new = [report for report in page if report.venue_id not in found]
            found |= {report.venue_id: report for report in new}
            if len(page) < _PAGE or not new:
                return list(found.values())
            after = {"after": min(page, key=lambda report: int(report.venue_id)).venue_id}
        message = f"more than {_LONGEST_LIST * _PAGE} open orders"
        raise ReadFailed(message, transient=False)

    def _remember_algo(self, client_id: str) -> None:
        self._algos[client_id] = None
        if len(self._algos) > _ALGOS_REMEMBERED:
            self._algos.popitem(last=False)

    def now(self) -> int:
        """The venue's time, ms."""
        ahead = self.exchange.options.get("timeDifference")
        return int(self.exchange.milliseconds()) - (ahead if isinstance(ahead, int) else 0)


def _require_one(call: Call | None) -> None:
    """Raises `NotFound` where OKX answered, with an empty list."""
    answer = call.answer if call is not None else None
    if isinstance(answer, dict) and answer.get("code") == "0" and answer.get("data") == []:
        message = "the venue's list of such orders is empty"
        raise NotFound(message)


def _named(report: OrderReport, client_id: str | None) -> OrderReport:
    """The same order under the id we gave its parent."""
    return OrderReport(
        report.venue_id, client_id, report.symbol, report.status, report.ts, report.side, report.amount, report.filled,
        report.price, report.trigger, report.trades, report.reason,
    )  # fmt: skip
