"""The auditor: the venue's truth against the journal's rows, to the last satoshi. It imports nothing of the bot.

Each discrepancy is a plain sentence. An audit without findings says: every order the venue has from this bot was written down
before it was sent, every trade is in the journal exactly once and as it was, every order ended in both places alike, and what
the books hold is what the account holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from bot.drill.ledger import (
    ZERO,
    JournalBooks,
    JournalFill,
    JournalOrder,
    VenueAccount,
    VenueFill,
    VenueOrder,
    read_imbalance,
    read_journal,
    read_venue,
)

# The bot's clock and the venue's tick on one machine, rounded to the millisecond at different times.
_CLOCKS_MS = 20
_FLOAT_NOISE = 1e-6

_ENDS: Mapping[str, tuple[str, ...]] = {
    "FILLED": ("filled",),
    "CANCELED": ("cancelled",),
    "EXPIRED": ("expired", "cancelled"),  # some venues have one word for both
    "REJECTED": ("rejected", "expired", "cancelled"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What an audit is about.

    `opening` is what the books began with, by currency (None: all that was ever deposited); `sole` says that nobody else trades
    on the account, so that its balances are the books'. `clock_off_ms` is how wrong the venue's clock was at worst. `secrets`
    must be in no row and in no file of `folders`.
    """

    bot: str
    prefix: str
    quote: str = "USDT"
    opening: Mapping[str, Decimal] | None = None
    sole: bool = True
    clock_off_ms: int = 0
    secrets: tuple[str, ...] = field(default=(), repr=False)
    folders: tuple[Path, ...] = ()


def audit(venue_url: str, key: str, journal_url: str, question: Question) -> list[str]:
    """Read both sides and compare them; the findings. `Unreadable` when one cannot be read."""
    books = read_journal(journal_url, question.bot)
    findings = compare(read_venue(venue_url, key), books, question)
    for currency, over in read_imbalance(venue_url).items():
        if over:
            findings.append(f"the venue's own ledger is off by {over} {currency}")
    return findings + leaks(question.secrets, books.texts, question.folders)


def compare(account: VenueAccount, books: JournalBooks, question: Question) -> list[str]:
    """The findings of one account against the books of one bot."""
    ours = [order for order in account.orders if order.client_id.startswith(question.prefix)]
    fills = [fill for order in ours for fill in order.fills]
    return [
        *_orders(ours, books.orders, question),
        *_fills(fills, books.fills),
        *_worth(account, fills, books, question),
    ]


def _orders(ours: Iterable[VenueOrder], journaled: Iterable[JournalOrder], question: Question) -> Iterator[str]:
    at_venue: dict[str, list[VenueOrder]] = {}
    for order in ours:
        at_venue.setdefault(order.client_id, []).append(order)
    in_journal: dict[str, list[JournalOrder]] = {}
    for each in journaled:
        in_journal.setdefault(each.id, []).append(each)
    for name, orders in at_venue.items():
        if len(orders) > 1:
            yield f"the client order id {name} was used for {len(orders)} orders at the venue"
        rows = in_journal.get(name, [])
        if not rows:
            yield f"order {name} is at the venue and was never written down"
        elif len(rows) > 1:
            yield f"order {name} has {len(rows)} intents in the journal"
        else:
            yield from _order(orders[-1], rows[0], question)
    for name, rows in in_journal.items():
        if name not in at_venue:
            yield from (_nowhere(row) for row in rows if not (row.ended and not row.filled))


def _order(order: VenueOrder, row: JournalOrder, question: Question) -> Iterator[str]:
    name = order.client_id
    if row.intent_at is None:
        yield f"order {name} is at the venue and the journal has no intent of it"
    elif row.intent_at > order.created + question.clock_off_ms + _CLOCKS_MS:
        yield f"the intent of order {name} is {row.intent_at - order.created} ms younger than the order at the venue"
    if (order.symbol, order.side.lower(), order.amount) != (row.symbol, row.side, row.amount):
        asked = f"{row.side} {row.amount} {row.symbol}"
        yield f"order {name} is {order.side.lower()} {order.amount} {order.symbol} at the venue and {asked} in the journal"
    if row.filled != order.filled:
        yield f"order {name} traded {order.filled} at the venue and {row.filled} in the journal"
    if row.venue_id is not None and row.venue_id != order.id:
        yield f"order {name} has the id {order.id} at the venue and {row.venue_id} in the journal"
    if order.is_open:
        if row.ended:
            yield f"order {name} is open at the venue and {row.state} in the journal"
        elif row.state != "open":
            yield f"order {name} is open at the venue and still {row.state} in the journal"
    elif row.state not in _ENDS.get(order.status, ()):
        yield f"order {name} ended {order.status.lower()} at the venue and is {row.state} in the journal"


def _nowhere(row: JournalOrder) -> str:
    return f"order {row.id} is {row.state} in the journal with {row.filled} traded, and the venue never had it"


def _fills(ours: Iterable[VenueFill], journaled: Iterable[JournalFill]) -> Iterator[str]:
    at_venue = {(fill.symbol, fill.id): fill for fill in ours}
    in_journal: dict[tuple[str, str], list[JournalFill]] = {}
    for each in journaled:
        in_journal.setdefault((each.symbol, each.id), []).append(each)
    for key, fill in at_venue.items():
        rows = in_journal.get(key, [])
        if len(rows) != 1:
            times = "is not" if not rows else f"is {len(rows)} times"
            yield f"trade {fill.id} of {fill.amount} {fill.symbol} (order {fill.client_id}) {times} in the journal"
        for row in rows[:1]:
            there = (fill.client_id, fill.side.lower(), fill.amount, fill.price, fill.fee, fill.fee_currency)
            here = (row.order_id, row.side, row.amount, row.price, row.fee, row.fee_currency)
            yield from (f"trade {fill.id} of {fill.symbol} is {told}" for told in _differences(there, here))
    for key, rows in in_journal.items():
        if key not in at_venue:
            yield from (
                f"trade {row.id} of {row.symbol} (order {row.order_id}) is in the journal and not at the venue" for row in rows
            )


def _differences(there: tuple[object, ...], here: tuple[object, ...]) -> Iterator[str]:
    names = ("order", "side", "amount", "price", "fee", "fee currency")
    for name, venue, journal in zip(names, there, here, strict=True):
        if venue != journal:
            yield f"{name} {venue} at the venue and {name} {journal} in the journal"


def _worth(account: VenueAccount, fills: Iterable[VenueFill], books: JournalBooks, question: Question) -> Iterator[str]:
    """What the trades left, against the books; and against the account, where nobody else trades on it."""
    left = dict(account.transfers if question.opening is None else question.opening)
    symbols: dict[str, str] = {}
    for fill in fills:
        base, _, quote = fill.symbol.partition("/")
        symbols[fill.symbol] = base
        sign = 1 if fill.side.lower() == "buy" else -1
        for currency, amount in ((base, sign * fill.amount), (quote, -sign * fill.cost), (fill.fee_currency, -fill.fee)):
            left[currency] = left.get(currency, ZERO) + amount
    if question.sole:
        for currency in sorted({*left, *account.balances}):
            held, due = account.balances.get(currency, ZERO), left.get(currency, ZERO)
            if held != due:
                yield f"the account holds {held} {currency}; deposits and this bot's trades leave {due}"
    cash = left.get(question.quote, ZERO)
    if books.cash is None:
        yield "the journal has no sample of the books' cash"
    elif books.cash != cash:
        yield f"the books hold {books.cash} {question.quote}; the trades leave {cash}"
    for symbol in sorted({*symbols, *books.positions}):
        held, due = books.positions.get(symbol, ZERO), left.get(symbol.partition("/")[0], ZERO)
        if held != due:
            yield f"the books hold {held} {symbol.partition('/')[0]}; the trades leave {due}"
    if books.equity is not None and books.cash is not None and not any(books.positions.values()):
        worth = float(books.cash)
        if abs(books.equity - worth) > _FLOAT_NOISE * max(1.0, abs(worth)):
            yield f"the books hold nothing but {books.cash} {question.quote} and call it {books.equity}"


def leaks(secrets: Iterable[str], texts: Iterable[str], folders: Iterable[Path]) -> list[str]:
    """Where a secret is readable: rows of the journal, and every file of the folders."""
    wanted = [(number, secret) for number, secret in enumerate(secrets, 1) if secret]
    found: Counter[str] = Counter()
    for text in texts:
        for number, secret in wanted:
            if secret in text:
                found[f"secret {number} is in a row of the journal"] += 1
    for path in (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()):
        content = path.read_bytes()
        for number, secret in wanted:
            if secret.encode() in content:
                found[f"secret {number} is in the file {path.name}"] += 1
    return list(found)
