"""What is asked on each route, and what of the answer is a signal. One object per route and project, called again and again.

A route may give the same signals every time: the intake knows them. So a poll that fails half-way loses nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import orjson
import structlog

from bot.core.decision import derive_id
from sources.quantconnect.insights import (
    Heading,
    Signal,
    Unusable,
    Way,
    closed_holding,
    of_holding,
    of_insight,
    of_message,
    of_order,
    portfolio_total,
)
from sources.quantconnect.intake import MOST_NOTICES, Bounded
from sources.quantconnect.models_trade import OrderStatus
from sources.quantconnect.settings import ObjectParams
from sources.quantconnect.values import moment_ms

if TYPE_CHECKING:
    from sources.quantconnect.calls import Page
    from sources.quantconnect.client import Client
    from sources.quantconnect.models_live import Holding, Portfolio
    from sources.quantconnect.models_trade import Insight, Order

log = structlog.get_logger(__name__)

T = TypeVar("T")

INSIGHTS, ORDERS = 100, 1_000
"""Rows of a page."""
TAIL = 500
"""Of a long list only so many of its newest rows are read at start: the others are old."""
OVERLAP = 50
"""Rows that are read again, in case some came late."""
MOST_PAGES = 200
LIVE_FOR_MS = 30_000
"""How long it is believed that an algorithm still runs."""

_OPEN = frozenset(
    {
        OrderStatus.NEW,
        OrderStatus.SUBMITTED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.CANCEL_PENDING,
        OrderStatus.UPDATE_SUBMITTED,
    }
)


class RouteTrouble(Exception):  # noqa: N818 - it names what the route has
    """A route has nothing it may go by; the message says why and what to do. It is tried again later."""


class Route(Protocol):
    """Something that is asked for signals."""

    @property
    def way(self) -> Way:
        """Which of the ways it is."""
        ...

    @property
    def name(self) -> str:
        """The way, and what tells it from others of the same way."""
        ...

    async def read(self, client: Client, now: int) -> Sequence[Signal]:
        """What is there, new or not; `QcError` or `RouteTrouble` if that cannot be said. `now` in ms UTC."""
        ...


async def rows_from(read: Callable[[int, int], Awaitable[Page[T]]], size: int, start: int, most: int) -> tuple[list[T], int]:
    """The rows from `start` on, and the row after the last; of what follows the first page only the last `most`.

    A list that has become shorter than `start` is another list, such as that of a new deployment: it is read anew.
    """
    rows: list[T] = []
    for _ in range(MOST_PAGES):
        page = await read(start, start + size)
        if page.length is not None and page.length < start:
            if rows:
                break
            start = max(0, page.length - most)
            continue
        rows += page.rows
        came = len(page.rows) + page.skipped
        start += came
        if not came or (page.length is not None and start >= page.length):
            break
        if page.length is not None and page.length - start > most:
            start = page.length - most
    return rows, start


class Deployments:
    """When the live algorithms of projects were launched, asked at most every half minute."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}

    async def launched(self, client: Client, project: int, now: int) -> int:
        """When the running algorithm of a project was launched, ms UTC; `RouteTrouble` where none runs."""
        known = self._known.get(project)
        if known is not None and now - known[0] < LIVE_FOR_MS:
            return known[1]
        self._known.pop(project, None)
        live = await client.live.read(project)
        if not live.active:
            message = f"no live algorithm of project {project} runs, it is {live.status.value}: deploy it"
            raise RouteTrouble(message)
        self._known[project] = now, live.launched or 0
        return live.launched or 0


class _OfProject:
    """What the routes of a live algorithm share."""

    way: Way

    def __init__(self, project: int, deployments: Deployments) -> None:
        self.project = project
        self.unusable = 0
        self._start = 0
        self._launched = 0
        self._deployments = deployments
        self._noticed = Bounded(MOST_NOTICES)

    @property
    def name(self) -> str:
        """The way and the project."""
        return f"{self.way}:{self.project}"

    async def _since(self, client: Client, now: int) -> int:
        """When its present deployment was launched; the rows of another are another list."""
        launched = await self._deployments.launched(client, self.project, now)
        if launched != self._launched:
            self._launched, self._start = launched, 0
        return launched

    def _passed_over(self, name: object, error: Unusable) -> None:
        if self._noticed.add(str(name)):
            self.unusable += 1
            log.warning("quantconnect_signal_unusable", route=self.name, reason=str(error))


class LiveInsights(_OfProject):
    """The insights of a live algorithm, of its present deployment; the service's snapshot of them is up to ten minutes old."""

    way = Way.INSIGHTS

    async def read(self, client: Client, now: int) -> Sequence[Signal]:
        """The newest rows, some of them again."""
        launched = await self._since(client, now)

        async def page(start: int, end: int) -> Page[Insight]:
            return await client.live.insights_page(self.project, start, end)

        rows, end = await rows_from(page, INSIGHTS, self._start, TAIL)
        self._start = max(0, end - OVERLAP)
        signals = []
        for row in rows:
            if row.generated_time is not None and row.generated_time < launched:
                continue  # of an earlier deployment: the list is the project's
            try:
                signals.append(of_insight(row, self.way, self.project))
            except Unusable as error:
                self._passed_over(row.id, error)
        return signals


class LiveOrders(_OfProject):
    """What a live algorithm has had filled. Rows are read again from its oldest open order on, which may yet be filled."""

    way = Way.ORDERS

    async def read(self, client: Client, now: int) -> Sequence[Signal]:
        """A signal per order that is filled, at least in part."""
        launched = await self._since(client, now)

        async def page(start: int, end: int) -> Page[Order]:
            return await client.live.orders_page(self.project, start, end)

        rows, end = await rows_from(page, ORDERS, self._start, ORDERS)
        first_open = next((place for place, row in enumerate(rows) if row.status in _OPEN), len(rows))
        self._start = max(0, end - ORDERS, end - (len(rows) - first_open) - OVERLAP)
        signals = []
        for row in rows:
            try:
                signal = of_order(row, self.project)
            except Unusable as error:
                self._passed_over(row.id, error)
                continue
            if signal is not None and (signal.generated is None or signal.generated >= launched):
                signals.append(signal)
        return signals


class LivePortfolio(_OfProject):
    """What a live algorithm holds, as positions to have: said when it changes, and again in every slot while it stays.

    What it held and holds no longer is closed. With `unheld`, so is what it does not hold when it is first looked at, of those
    symbols of the bot. `slot_ms` is how long a target stands.
    """

    way = Way.PORTFOLIO

    def __init__(self, project: int, deployments: Deployments, slot_ms: int, unheld: Mapping[str, str] | None = None) -> None:
        super().__init__(project, deployments)
        self._slot_ms = max(1, slot_ms)
        self._held: dict[str, Holding] = {}
        self._closed: dict[str, Signal] = {}
        self._unheld = unheld

    async def read(self, client: Client, now: int) -> Sequence[Signal]:
        """A signal for each security that is held, and for each that was."""
        launched = await self._deployments.launched(client, self.project, now)
        portfolio = await client.live.portfolio(self.project)
        held = {sid: holding for sid, holding in portfolio.holdings.items() if holding.quantity != 0.0}
        for sid, before in self._held.items():
            if sid not in held:
                self._closed[sid] = closed_holding(sid, before, self.project)
        if self._unheld is not None:
            self._close_unheld(self._unheld, held, launched)
            self._unheld = None
        for sid in held:
            self._closed.pop(sid, None)
        self._held = held
        total, slot = portfolio_total(portfolio.holdings, _cash(portfolio)), now // self._slot_ms
        targets = [of_holding(sid, holding, total, slot, self.project) for sid, holding in held.items()]
        return [*targets, *self._closed.values()]

    def _close_unheld(self, unheld: Mapping[str, str], held: Mapping[str, Holding], launched: int) -> None:
        tickers = {sid.partition(" ")[0] for sid in held}
        for symbol, ticker in unheld.items():
            if ticker not in tickers:
                name = derive_id("unheld", self.project, launched, symbol)
                tag = "the portfolio holds none"
                self._closed[f"unheld {symbol}"] = Signal(
                    self.way, name, Heading.FLAT, ticker, tag=tag, project=self.project, symbol=symbol, target=0.0
                )


def _cash(portfolio: Portfolio) -> float:
    worth = 0.0
    for cash in portfolio.cash.values():
        value = cash.value_in_account_currency
        worth += cash.amount * (1.0 if cash.conversion_rate is None else cash.conversion_rate) if value is None else value
    return worth


class StoredObject:
    """An object of the store with signals in it: one, a list, a map with such a list, or signals by symbol."""

    way = Way.OBJECTS

    def __init__(self, params: ObjectParams, key: str) -> None:
        self.unusable = 0
        self._organization = params.organization
        self._key = key
        self._version = ""
        self._signals: Sequence[Signal] = ()

    @property
    def name(self) -> str:
        """The way and the object's key."""
        return f"{self.way}:{self._key}"

    async def read(self, client: Client, now: int) -> Sequence[Signal]:
        """Its signals; it is fetched again only when it has changed."""
        found = await client.objects.properties(self._organization, self._key)
        version = f"{found.modified}{found.md5}"
        if version != self._version or not version:
            text = found.preview if found.whole_preview else await client.objects.text(self._organization, self._key)
            self._signals = self._read(text, f"{self._key}{version}", found.modified or now)
            self._version = version
        return self._signals

    def _read(self, text: str, version: str, modified: int) -> Sequence[Signal]:
        try:
            raw = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            message = f"object {self._key} is no JSON: {error}; store it with json.dumps"
            raise RouteTrouble(message) from error
        signals, bad = [], ""
        for number, row in enumerate(_rows(raw)):
            try:
                signals.append(of_message(_dated(row, modified), self.way, derive_id(version, number)))
            except Unusable as error:
                self.unusable += 1
                bad = bad or str(error)
        if bad:
            log.warning("quantconnect_signal_unusable", route=self.name, reason=bad)
        if bad and not signals:
            message = f"object {self._key}: {bad}"
            raise RouteTrouble(message)
        return signals


def _rows(raw: object) -> list[object]:
    if not isinstance(raw, dict):
        return raw if isinstance(raw, list) else [raw]
    for key in ("signals", "insights", "Insights"):
        if isinstance(raw.get(key), list):
            return list(raw[key])
    if raw and all(isinstance(value, dict) for value in raw.values()):
        return [{"symbol": symbol, **value} for symbol, value in raw.items()]
    return [raw] if raw else []


def _dated(row: object, modified: int) -> object:
    """A signal without a time was made when it was stored."""
    if not isinstance(row, dict) or moment_ms(row.get("time")) is not None or "generatedTime" in row:
        return row
    return {**row, "time": modified}
