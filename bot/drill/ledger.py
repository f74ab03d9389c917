"""What the auditor compares: the venue's word over HTTP, and the journal's rows by plain SQL.

Nothing of the bot or of the simulators is imported here or in `auditor`, so that no error of theirs is shared. Everything blocks;
whoever has a loop calls from a thread.
"""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote

ZERO = Decimal(0)
_SQLITE = "sqlite:///"
_PATIENCE_SECONDS = 10.0

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class VenueFill:
    """A trade as the venue booked it; `cost` is in quote currency."""

    id: str
    order_id: str
    client_id: str
    symbol: str
    side: str
    amount: Decimal
    price: Decimal
    cost: Decimal
    fee: Decimal
    fee_currency: str


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue keeps it; `created` in milliseconds of the venue's clock."""

    id: str
    client_id: str
    symbol: str
    side: str
    status: str
    amount: Decimal
    filled: Decimal
    created: int
    fills: tuple[VenueFill, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether more can happen to it."""
        return self.status in {"NEW", "PARTIALLY_FILLED"}


@dataclass(frozen=True, slots=True)
class VenueAccount:
    """Everything the venue knows of one account; `transfers` are what came in (negative: went out), by currency."""

    orders: tuple[VenueOrder, ...]
    balances: Mapping[str, Decimal]
    transfers: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class JournalOrder:
    """An order as the journal has it; `intent_at` in milliseconds, None when no intent was ever stored."""

    id: str
    symbol: str
    side: str
    amount: Decimal
    state: str
    filled: Decimal
    venue_id: str | None
    intent_at: int | None

    @property
    def ended(self) -> bool:
        """Whether the journal calls it over."""
        return self.state in {"filled", "cancelled", "expired", "rejected"}


@dataclass(frozen=True, slots=True)
class JournalFill:
    """A fill as the journal has it."""

    id: str
    order_id: str
    symbol: str
    side: str
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str


@dataclass(frozen=True, slots=True)
class JournalBooks:
    """All live books of one bot: orders, fills, newest positions by symbol, newest cash and equity (None without a sample)."""

    orders: tuple[JournalOrder, ...]
    fills: tuple[JournalFill, ...]
    positions: Mapping[str, Decimal]
    cash: Decimal | None
    equity: float | None
    texts: tuple[str, ...] = field(default=(), repr=False)
    """Every text of every row, for the search after secrets."""


class Unreadable(Exception):  # noqa: N818 - it names what happened
    """The venue or the journal could not be read: the audit has found nothing out."""


def read_venue(url: str, key: str) -> VenueAccount:
    """The account of an API key at the simulator of that address; `Unreadable`."""
    try:
        return _account(_get(f"{url}/admin/accounts/{quote(key)}"))
    except (OSError, ValueError, KeyError) as error:
        message = f"the venue's account cannot be read: {error}"
        raise Unreadable(message) from error


def read_imbalance(url: str) -> dict[str, Decimal]:
    """By currency: what all accounts, the venue's fees and its market's side hold beyond all that was deposited; `Unreadable`."""
    over: dict[str, Decimal] = {}
    try:
        ledger = _get(f"{url}/admin/ledger")
        accounts = [_account(_get(f"{url}/admin/accounts/{quote(key)}")) for key in _get(f"{url}/admin/accounts")]
        sides = [{name: Decimal(text) for name, text in ledger[side].items()} for side in ("fees", "house")]
    except (OSError, ValueError, KeyError) as error:
        message = f"the venue's ledger cannot be read: {error}"
        raise Unreadable(message) from error
    for sign, held in [
        *((1, side) for side in sides),
        *((1, a.balances) for a in accounts),
        *((-1, a.transfers) for a in accounts),
    ]:
        for currency, amount in held.items():
            over[currency] = over.get(currency, ZERO) + sign * amount
    return over


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310 - the address of a simulator
        return json.loads(answer.read())


def _account(told: Mapping[str, Any]) -> VenueAccount:
    transfers: dict[str, Decimal] = {}
    for moved in told["transfers"]:
        transfers[moved["asset"]] = transfers.get(moved["asset"], ZERO) + Decimal(moved["amount"])
    balances = {asset: Decimal(each["free"]) + Decimal(each["locked"]) for asset, each in told["balances"].items()}
    return VenueAccount(tuple(_order(each) for each in told["orders"]), balances, transfers)


def _order(told: Mapping[str, Any]) -> VenueOrder:
    return VenueOrder(
        str(told["id"]),
        told["client_id"],
        told["symbol"],
        told["side"],
        told["status"],
        Decimal(told["amount"]),
        Decimal(told["filled"]),
        int(told["created"]),
        tuple(_fill(told, each) for each in told["fills"]),
    )


def _fill(order: Mapping[str, Any], told: Mapping[str, Any]) -> VenueFill:
    return VenueFill(
        str(told["id"]),
        str(order["id"]),
        order["client_id"],
        order["symbol"],
        order["side"],
        Decimal(told["amount"]),
        Decimal(told["price"]),
        Decimal(told["cost"]),
        Decimal(told["fee"]),
        told["fee_asset"],
    )


_LIVE_BOOKS = "SELECT id FROM books WHERE bot = '{bot}' AND mode = 'live'"
_ORDERS = """SELECT o.id, o.symbol, o.side, o.amount, o.state, o.filled, o.venue_id,
    (SELECT min(e.at) FROM order_events e WHERE e.book = o.book AND e.order_id = o.id AND e.state = 'intent')
    FROM orders o WHERE o.book IN ({books}) ORDER BY o.created, o.id"""
_FILLS = """SELECT id, order_id, symbol, side, amount, price, fee, fee_currency FROM fills WHERE book IN ({books}) ORDER BY row"""
_POSITIONS = """SELECT p.symbol, p.amount FROM positions p WHERE p.book IN ({books}) AND p.row =
    (SELECT max(q.row) FROM positions q WHERE q.book = p.book AND q.symbol = p.symbol)"""
_EQUITY = "SELECT cash, equity FROM equity WHERE book IN ({books}) ORDER BY row DESC LIMIT 1"


def read_journal(url: str, bot: str) -> JournalBooks:
    """The live books of the bot of that name; `url` as the setting `journal.url`. `Unreadable`."""
    books = _LIVE_BOOKS.format(bot=bot.replace("'", "''"))
    asked = [text.format(books=books) for text in (_ORDERS, _FILLS, _POSITIONS, _EQUITY)]
    orders, fills, positions, equity, *tables = select(url, asked, whole_tables=True)
    cash, worth = (Decimal(equity[0][0]), equity[0][1]) if equity else (None, None)
    return JournalBooks(
        tuple(_journal_order(row) for row in orders),
        tuple(_journal_fill(row) for row in fills),
        {row[0]: Decimal(row[1]) for row in positions},
        cash,
        worth,
        tuple(str(value) for rows in tables for row in rows for value in row if isinstance(value, str)),
    )


def _journal_order(row: Row) -> JournalOrder:
    name, symbol, side, amount, state, filled, venue_id, intent_at = row
    return JournalOrder(name, symbol, side, Decimal(amount), state, Decimal(filled), venue_id, intent_at)


def _journal_fill(row: Row) -> JournalFill:
    name, order, symbol, side, amount, price, fee, currency = row
    return JournalFill(name, order, symbol, side, Decimal(amount), Decimal(price), Decimal(fee), currency)


def select(url: str, queries: Iterable[str], whole_tables: bool = False) -> list[Sequence[Row]]:
    """What the database answers to each query; with `whole_tables`, after those all rows of every table. `Unreadable`."""
    if url.startswith(_SQLITE):
        return _select_sqlite(url.removeprefix(_SQLITE), list(queries), whole_tables)
    return _select_postgres(url, list(queries), whole_tables)


def _select_sqlite(path: str, queries: list[str], whole_tables: bool) -> list[Sequence[Row]]:
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=_PATIENCE_SECONDS)) as connection:
            if whole_tables:
                found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                queries += [f'SELECT * FROM "{name}"' for (name,) in found]  # noqa: S608 - the names are the database's own
            return [connection.execute(query).fetchall() for query in queries]
    except sqlite3.Error as error:
        message = f"the journal {path} cannot be read: {error}"
        raise Unreadable(message) from error


def _select_postgres(url: str, queries: list[str], whole_tables: bool) -> list[Sequence[Row]]:
    import asyncio  # noqa: PLC0415 - only PostgreSQL's driver needs a loop

    import asyncpg  # noqa: PLC0415

    async def ask() -> list[Sequence[Row]]:
        connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=_PATIENCE_SECONDS)
        try:
            if whole_tables:
                found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
                queries.extend(f'SELECT * FROM "{name}"' for (name,) in found)  # noqa: S608 - the names are the database's own
            return [await connection.fetch(query, timeout=_PATIENCE_SECONDS) for query in queries]
        finally:
            await connection.close(timeout=_PATIENCE_SECONDS)

    try:
        with ThreadPoolExecutor(1) as aside:  # whoever asks may be in a loop already
            return aside.submit(lambda: asyncio.run(ask())).result()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"the journal in PostgreSQL cannot be read: {error}"
        raise Unreadable(message) from error
