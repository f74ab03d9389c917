"""The paper broker: a venue of our own making that fills orders against the market it is shown.

It stands outside the desk, is called by the desk's task and answers with inputs like any venue. It draws no random number and
reads no clock: the same orders and the same market give the same fills, each citing what made it. Where nothing rests and
nothing travels, a quote, trade or candle costs it one look-up.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NamedTuple

from bot.core.inputs import CancelRefused, Closing, OrderRefused
from bot.core.market import Candle, Instrument, Quote, Trade
from bot.core.matching import FillModel, candle_market_price, market_price
from bot.core.orders import OrderRequest, OrderType
from bot.core.protocols import Emit
from execution import paper_candles, paper_quotes
from execution.paper_account import Balance, PaperAccount
from execution.paper_book import PaperOrder
from execution.paper_candles import FillOn
from execution.paper_clearing import Clearing
from execution.paper_state import (
    VERSION,
    Json,
    PaperStateError,
    account_from_json,
    account_to_json,
    book_from_json,
    book_to_json,
    request_from_json,
    request_to_json,
)

STALE_MS = 60_000
"""Default age in milliseconds beyond which a quote fills no market order."""


class Drive(StrEnum):
    """What moves the paper world: quotes and trades as they come, or closed candles."""

    QUOTES = "quotes"
    CANDLES = "candles"


class OpenOrder(NamedTuple):
    """What the venue says of an order that works."""

    request: OrderRequest
    venue_id: str
    filled: Decimal
    arrived: int


class _Travelling(NamedTuple):
    """An order, perhaps with the one it cancels, or without one the cancel of `order_id`, on its way to the venue."""

    due: int
    number: int
    order_id: str
    symbol: str
    request: OrderRequest | None
    target: OrderRequest | None = None

    def to_json(self) -> list[Any]:
        """As plain JSON values."""
        requests = (self.request,) if self.target is None else (self.request, self.target)
        told = [None if request is None else request_to_json(request) for request in requests]
        return [self.due, self.number, self.order_id, self.symbol, *told]


class PaperBroker:
    """A `MatchingBroker` on a `PaperAccount`.

    `instruments` is read at every order, so that changes to the mapping take hold. `fill_on` matters only where candles drive;
    `model.latency_ms` and `stale_ms` only where quotes do. With no latency an order is matched inside `submit`, else at the first
    event or `wake` at or after its due time.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        model: FillModel,
        emit: Emit,
        drive: Drive = Drive.QUOTES,
        fill_on: FillOn = FillOn.NEXT_OPEN,
        *,
        account: PaperAccount,
        stale_ms: int = STALE_MS,
    ) -> None:
        self._clearing = Clearing(instruments, model, emit, account)
        self._books = self._clearing.books
        self._emit = emit
        self._drive = Drive(drive)
        self._fill_on = FillOn(fill_on)
        self._stale_ms = stale_ms
        self._latency_ms = model.latency_ms if self._drive is Drive.QUOTES else 0
        self._travelling: list[_Travelling] = []
        self._number = 0

    @property
    def account(self) -> PaperAccount:
        """The balances, for deposits and withdrawals."""
        return self._clearing.account

    def balances(self) -> dict[str, Balance]:
        """Free and locked, by currency."""
        return self.account.balances()

    def open_orders(self) -> tuple[OpenOrder, ...]:
        """Every order that works, by symbol and arrival; those still travelling are not at the venue yet."""
        return tuple(
            OpenOrder(order.request, order.venue_id, order.filled, order.arrived)
            for book in self._books.values()
            for order in book.resting.values()
        )

    def submit(self, request: OrderRequest, at: int) -> None:
        """Send an order; its id may be used once."""
        if self._knows(request):
            self._emit(OrderRefused(at, request.id, f"duplicate order id {request.id}"))
        elif self._latency_ms:
            self._send(at, request.id, request.symbol, request)
        else:
            self._arrive(request, at, at)

    def submit_pair(self, stop: OrderRequest, target: OrderRequest, at: int) -> None:
        """Send two orders of which one cancels the other; both ids may be used once."""
        if self._knows(stop) or self._knows(target):
            for request in (stop, target):
                self._emit(OrderRefused(at, request.id, f"duplicate order id {stop.id} or {target.id}"))
        elif self._latency_ms:
            self._send(at, stop.id, stop.symbol, stop, target)
        else:
            self._arrive_pair(stop, target, at, at)

    def cancel(self, order_id: str, symbol: str, at: int) -> None:
        """Ask for a cancel; it travels as long as an order does."""
        if self._latency_ms:
            self._send(at, order_id, symbol, None)
        else:
            self._cancel(order_id, symbol, at)

    def on_quote(self, quote: Quote) -> None:
        """See a quote; ignored where candles drive."""
        book = self._books.get(quote.symbol)
        if book is None:
            if quote.symbol not in self._clearing.instruments:
                return
            book = self._clearing.book(quote.symbol)
        book.previous, book.quote = book.quote, quote
        if not book.resting and not self._travelling:
            return
        if self._drive is Drive.CANDLES:
            return
        # What arrives with this quote meets it once, as it stands; its extremes are for those that were here before.
        resting = list(book.resting.values())
        self.wake(quote.at)
        paper_quotes.match_quote(resting, book, quote, self._clearing)

    def on_trade(self, trade: Trade) -> None:
        """See a public trade; ignored where candles drive."""
        book = self._books.get(trade.symbol)
        if self._travelling:
            self.wake(trade.at)
        if book is None or not book.resting or self._drive is Drive.CANDLES:
            return
        paper_quotes.match_trade(book, trade, self._clearing)

    def on_candle(self, candle: Candle) -> None:
        """See a closed candle; where quotes drive it fills nothing."""
        book = self._books.get(candle.symbol)
        if book is None:
            if candle.symbol not in self._clearing.instruments:
                return
            book = self._clearing.book(candle.symbol)
        book.candle = candle
        if book.resting and self._drive is Drive.CANDLES:
            paper_candles.match_candle(book, candle, self._clearing)

    def wake(self, at: int) -> None:
        """Let what has travelled long enough arrive."""
        while self._travelling and self._travelling[0].due <= at:
            arriving = heapq.heappop(self._travelling)
            if arriving.request is None:
                self._cancel(arriving.order_id, arriving.symbol, at)
            elif arriving.target is not None:
                self._arrive_pair(arriving.request, arriving.target, arriving.due, at)
            else:
                self._arrive(arriving.request, arriving.due, at)

    def next_due(self) -> int | None:
        """When the next order or cancel arrives, None while nothing travels."""
        return self._travelling[0].due if self._travelling else None

    def snapshot(self) -> Json:
        """Balances, orders and the market last seen, as plain JSON values."""
        return {
            "version": VERSION,
            "account": account_to_json(self.account),
            "books": {symbol: book_to_json(book) for symbol, book in self._books.items()},
            "travelling": [item.to_json() for item in self._travelling],
            "number": self._number,
            "finished": dict(self._clearing.finished),
            "forgotten": self._clearing.forgotten,
        }

    def restore(self, state: object) -> None:
        """Continue from a snapshot; `PaperStateError` if it does not fit, and then nothing has changed."""
        if not isinstance(state, dict) or state.get("version") != VERSION:
            message = f"version: a paper snapshot of version {VERSION} is needed; start with fresh paper balances"
            raise PaperStateError(message)
        try:
            account = account_from_json(state["account"])
            books = {symbol: book_from_json(book) for symbol, book in state["books"].items()}
            travelling = [_travelling_from_json(*item) for item in state["travelling"]]
            number, finished, forgotten = int(state["number"]), dict(state["finished"]), int(state["forgotten"])
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            message = f"the paper snapshot cannot be read ({error!r}); start with fresh paper balances"
            raise PaperStateError(message) from error
        clearing = self._clearing
        clearing.account, clearing.finished, clearing.forgotten = account, finished, forgotten
        self._books.clear()
        self._books.update(books)
        clearing.working = {order.request.id: order for book in books.values() for order in book.resting.values()}
        self._travelling = travelling
        heapq.heapify(self._travelling)
        self._number = number

    def _knows(self, request: OrderRequest) -> bool:
        if request.id in self._clearing.working or request.id in self._clearing.finished:
            return True
        sent = (one for item in self._travelling for one in (item.request, item.target))
        return any(one is not None and one.id == request.id for one in sent)

    def _send(
        self, at: int, order_id: str, symbol: str, request: OrderRequest | None, target: OrderRequest | None = None
    ) -> None:  # fmt: skip
        self._number += 1
        heapq.heappush(self._travelling, _Travelling(at + self._latency_ms, self._number, order_id, symbol, request, target))

    def _arrive(self, request: OrderRequest, arrived: int, at: int) -> None:
        clearing = self._clearing
        instrument = clearing.instruments.get(request.symbol)
        if instrument is None:
            clearing.refuse(request, f"the venue has no {request.symbol}", at)
            return
        order = PaperOrder.of(request, arrived)
        reason = self._refusal(order, at)
        if reason is not None:
            clearing.refuse(request, reason, at)
            return
        if clearing.admit(order, self._valued(request, instrument), at):
            self._meet(order, at)

    def _arrive_pair(self, stop: OrderRequest, target: OrderRequest, arrived: int, at: int) -> None:
        clearing = self._clearing
        instrument = clearing.instruments.get(stop.symbol)
        orders = PaperOrder.of(stop, arrived), PaperOrder.of(target, arrived)
        if instrument is None or target.symbol != stop.symbol:
            reason: str | None = f"the venue has no {stop.symbol} and {target.symbol} in one"
        else:
            reason = self._refusal(orders[0], at) or self._refusal(orders[1], at)
        if reason is not None or instrument is None:
            for order in orders:
                clearing.refuse(order.request, reason or "", at)
            return
        prices = self._valued(stop, instrument), self._valued(target, instrument)
        clearing.admit_pair(*orders, prices, at)
        for order in orders:
            if order.open:
                self._meet(order, at)

    def _refusal(self, order: PaperOrder, at: int) -> str | None:
        """Why an order that must trade at once, or must not, cannot be taken now; None if it can."""
        book = self._clearing.book(order.request.symbol)
        if self._drive is Drive.CANDLES:
            return paper_candles.refusal(order, book.candle, self._fill_on)
        age = 0 if book.quote is None else at - book.quote.at
        return paper_quotes.refusal(order, book.quote, age, self._stale_ms)

    def _meet(self, order: PaperOrder, at: int) -> None:
        """Hold an order that just arrived against the market as it was last seen."""
        clearing = self._clearing
        book = clearing.book(order.request.symbol)
        if self._drive is Drive.CANDLES:
            paper_candles.arrive(order, book.candle, self._fill_on, at, clearing)
        elif book.quote is not None and at - book.quote.at <= self._stale_ms:
            paper_quotes.meet_quote(order, book, book.quote, at, clearing)

    def _valued(self, request: OrderRequest, instrument: Instrument) -> Decimal | None:
        """The price at which the venue values an order to check and lock its cost; None while it has none."""
        if request.price is not None:
            return request.price
        model, book = self._clearing.model, self._clearing.book(request.symbol)
        if request.trigger is not None:
            return candle_market_price(request.side, float(request.trigger), instrument, model)
        if request.type is not OrderType.MARKET:
            return None
        if self._drive is Drive.QUOTES:
            return None if book.quote is None else market_price(request.side, request.amount, book.quote, instrument, model)
        seen = request.reference if request.leg.protective or book.candle is None else book.candle.close
        return candle_market_price(request.side, seen, instrument, model)

    def _cancel(self, order_id: str, symbol: str, at: int) -> None:
        order = self._clearing.working.get(order_id)
        if order is None or order.request.symbol != symbol:
            outcome = self._clearing.finished.get(order_id, "unknown")
            self._emit(CancelRefused(at, order_id, f"order is {outcome}"))
        else:
            self._clearing.close(order, Closing.CANCELLED, "cancelled on request", at)


def _travelling_from_json(due: int, number: int, order_id: str, symbol: str, *requests: Any) -> _Travelling:
    return _Travelling(due, number, order_id, symbol, *(None if one is None else request_from_json(one) for one in requests))
