"""The auditor finds every kind of discrepancy, and nothing where there is none."""

from __future__ import annotations

import ast
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web

from bot.drill import auditor, ledger
from bot.drill.auditor import Question, audit, compare, leaks
from bot.drill.ledger import (
    JournalBooks,
    JournalFill,
    JournalOrder,
    Unreadable,
    VenueAccount,
    VenueFill,
    VenueOrder,
    read_journal,
)
from bot.journal import tables

D = Decimal
QUESTION = Question("drill", "dr")


def a_trade(name: str = "7", amount: str = "0.5", order: str = "dr1", side: str = "buy") -> VenueFill:
    cost = D(amount) * 100
    fee, currency = (D(amount) / 1000, "BTC") if side == "buy" else (cost / 1000, "USDT")
    return VenueFill(name, order[2:], order, "BTC/USDT", side, D(amount), D(100), cost, fee, currency)


def a_venue_order(order: str = "dr1", status: str = "FILLED", amount: str = "0.5", *fills: VenueFill) -> VenueOrder:
    filled = sum((fill.amount for fill in fills), D(0))
    return VenueOrder(order[2:], order, "BTC/USDT", "buy", status, D(amount), filled, 1_000, fills)


def a_journal_order(order: str = "dr1", state: str = "filled", amount: str = "0.5", filled: str = "0.5") -> JournalOrder:
    return JournalOrder(order, "BTC/USDT", "buy", D(amount), state, D(filled), order[2:], 995)


def a_row(fill: VenueFill) -> JournalFill:
    return JournalFill(fill.id, fill.client_id, fill.symbol, fill.side, fill.amount, fill.price, fill.fee, fill.fee_currency)


TRADE = a_trade()
RESTING = a_venue_order("dr2", "NEW", "1")
ACCOUNT = VenueAccount(
    (a_venue_order("dr1", "FILLED", "0.5", TRADE), RESTING),
    {"USDT": D("9950"), "BTC": D("0.4995")},
    {"USDT": D(10_000)},
)
BOOKS = JournalBooks(
    (a_journal_order(), a_journal_order("dr2", "open", "1", "0"), a_journal_order("dr3", "rejected", "1", "0")),
    (a_row(TRADE),),
    {"BTC/USDT": D("0.4995")},
    D("9950"),
    10_000.0,
)


def books(**changes: object) -> JournalBooks:
    return replace(BOOKS, **changes)  # type: ignore[arg-type]


def first_order(**changes: object) -> JournalBooks:
    return books(orders=(replace(BOOKS.orders[0], **changes), *BOOKS.orders[1:]))  # type: ignore[arg-type]


def the_fill(**changes: object) -> JournalBooks:
    return books(fills=(replace(BOOKS.fills[0], **changes),))  # type: ignore[arg-type]


def test_books_that_agree_with_the_venue_have_no_findings() -> None:
    assert compare(ACCOUNT, BOOKS, QUESTION) == []


def test_orders_and_trades_of_others_are_not_the_bots() -> None:
    other = a_venue_order("xx9", "FILLED", "0.5", a_trade("8", order="xx9"))
    account = replace(ACCOUNT, orders=(*ACCOUNT.orders, other))
    assert compare(account, BOOKS, replace(QUESTION, sole=False)) == []


@pytest.mark.parametrize(
    ("forged", "finding"),
    [
        (books(orders=BOOKS.orders[1:]), "order dr1 is at the venue and was never written down"),
        (books(orders=(*BOOKS.orders, BOOKS.orders[0])), "order dr1 has 2 intents in the journal"),
        (first_order(intent_at=None), "order dr1 is at the venue and the journal has no intent of it"),
        (first_order(intent_at=1_100), "the intent of order dr1 is 100 ms younger than the order at the venue"),
        (first_order(amount=D("0.6")), "order dr1 is buy 0.5 BTC/USDT at the venue and buy 0.6 BTC/USDT in the journal"),
        (first_order(side="sell"), "order dr1 is buy 0.5 BTC/USDT at the venue and sell 0.5 BTC/USDT in the journal"),
        (first_order(filled=D("0.49999999")), "order dr1 traded 0.5 at the venue and 0.49999999 in the journal"),
        (first_order(venue_id="77"), "order dr1 has the id 1 at the venue and 77 in the journal"),
        (first_order(state="open"), "order dr1 ended filled at the venue and is open in the journal"),
        (first_order(state="unknown"), "order dr1 ended filled at the venue and is unknown in the journal"),
        (first_order(state="cancelled"), "order dr1 ended filled at the venue and is cancelled in the journal"),
        (
            books(orders=(BOOKS.orders[0], replace(BOOKS.orders[1], state="cancelled"))),
            "order dr2 is open at the venue and cancelled in the journal",
        ),
        (
            books(orders=(BOOKS.orders[0], replace(BOOKS.orders[1], state="sent"))),
            "order dr2 is open at the venue and still sent in the journal",
        ),
        (
            books(orders=(*BOOKS.orders, a_journal_order("dr4", "open", "1", "0"))),
            "order dr4 is open in the journal with 0 traded, and the venue never had it",
        ),
        (
            books(orders=(*BOOKS.orders, a_journal_order("dr4", "filled", "1", "1"))),
            "order dr4 is filled in the journal with 1 traded, and the venue never had it",
        ),
        (books(fills=()), "trade 7 of 0.5 BTC/USDT (order dr1) is not in the journal"),
        (books(fills=BOOKS.fills * 2), "trade 7 of 0.5 BTC/USDT (order dr1) is 2 times in the journal"),
        (
            books(fills=(*BOOKS.fills, a_row(a_trade("8")))),
            "trade 8 of BTC/USDT (order dr1) is in the journal and not at the venue",
        ),
        (the_fill(amount=D("0.50000001")), "trade 7 of BTC/USDT is amount 0.5 at the venue and amount 0.50000001 in the journal"),
        (the_fill(price=D("100.01")), "trade 7 of BTC/USDT is price 100 at the venue and price 100.01 in the journal"),
        (the_fill(fee=D(0)), "trade 7 of BTC/USDT is fee 0.0005 at the venue and fee 0 in the journal"),
        (the_fill(order_id="dr2"), "trade 7 of BTC/USDT is order dr1 at the venue and order dr2 in the journal"),
        (books(cash=D("9950.00000001")), "the books hold 9950.00000001 USDT; the trades leave 9950.0"),
        (books(cash=None, equity=None), "the journal has no sample of the books' cash"),
        (books(positions={"BTC/USDT": D("0.5")}), "the books hold 0.5 BTC; the trades leave 0.4995"),
        (books(positions={}), "the books hold 0 BTC; the trades leave 0.4995"),
    ],
)
def test_a_journal_that_says_otherwise_is_found_out(forged: JournalBooks, finding: str) -> None:
    assert finding in compare(ACCOUNT, forged, QUESTION)


def test_an_id_used_twice_at_the_venue_is_found() -> None:
    account = replace(ACCOUNT, orders=(*ACCOUNT.orders, replace(RESTING, id="9")))
    assert "the client order id dr2 was used for 2 orders at the venue" in compare(account, BOOKS, QUESTION)


def test_a_balance_that_no_trade_explains_is_found() -> None:
    account = replace(ACCOUNT, balances={**ACCOUNT.balances, "USDT": D("9950.00000001")})
    assert compare(account, BOOKS, QUESTION) == [
        "the account holds 9950.00000001 USDT; deposits and this bot's trades leave 9950.0"
    ]


def test_books_begin_with_their_allocation_where_the_account_is_shared() -> None:
    shared = replace(QUESTION, sole=False, opening={"USDT": D(4_000)})
    assert compare(ACCOUNT, books(cash=D("3950")), shared) == []
    assert compare(ACCOUNT, BOOKS, shared) == ["the books hold 9950 USDT; the trades leave 3950.0"]


def test_a_worth_that_is_not_the_cash_of_an_empty_book_is_found() -> None:
    account = VenueAccount((), {"USDT": D(100)}, {"USDT": D(100)})
    empty = JournalBooks((), (), {}, D(100), 99.0)
    assert compare(account, empty, QUESTION) == ["the books hold nothing but 100 USDT and call it 99.0"]


def test_a_clock_that_was_off_excuses_an_order_that_looks_older_than_its_intent() -> None:
    assert compare(ACCOUNT, first_order(intent_at=1_100), replace(QUESTION, clock_off_ms=100)) == []


def test_a_secret_in_a_row_or_a_file_is_found_and_never_quoted(tmp_path: Path) -> None:
    (tmp_path / "stderr").write_text("signed with hush-hush today")
    found = leaks(("hush-hush", "other"), ("fine", "an other row"), (tmp_path,))
    assert found == ["secret 2 is in a row of the journal", "secret 1 is in the file stderr"]


def test_the_auditor_shares_no_code_with_what_it_audits() -> None:
    for module in (auditor, ledger):
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text())
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        ours = {name for name in imported if name.partition(".")[0] not in {*sys.stdlib_module_names, "asyncpg"}}
        assert ours <= {"bot.drill.ledger"}


def a_database(path: Path) -> None:
    """One live book with the order, the fill and the sample of `BOOKS`, and a paper book that must be passed over."""
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{path}")
    tables.metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(path)) as db:
        for number, mode in ((1, "live"), (2, "paper")):
            db.execute("INSERT INTO books VALUES (?, 'drill', ?, 'binance', 'real')", (number, mode))
            db.execute(
                "INSERT INTO runs (id, book, started, simulated, config_hash, config, code_version, closed_cleanly)"
                " VALUES (?, ?, 1, 0, '', '{}', '1', 1)",
                (f"run{number}", number),
            )
            _insert(db, "orders", book=number, run=f"run{number}", id="dr1", state="filled", filled="0.5", amount="0.5",
                    symbol="BTC/USDT", side="buy", venue_id="1")  # fmt: skip
            for at, state in ((995, "intent"), (999, "filled")):
                _insert(db, "order_events", book=number, run=f"run{number}", at=at, order_id="dr1", state=state)
            _insert(db, "equity", book=number, run=f"run{number}", cash="9950", equity=10_000.0 if number == 1 else 5.0)
        _insert(db, "fills", book=1, run="run1", id="7", order_id="dr1", symbol="BTC/USDT", side="buy", amount="0.5",
                price="100", fee="0.0005", fee_currency="BTC")  # fmt: skip
        for amount in ("0.1", "0.4995"):
            _insert(db, "positions", book=1, run="run1", symbol="BTC/USDT", amount=amount)
        db.commit()


def _insert(db: sqlite3.Connection, table: str, **given: object) -> None:
    """A row, with something in every column that must not be empty."""
    row = dict(given)
    for column in tables.metadata.tables[table].columns:
        if column.name not in row and not column.nullable and column.name != "row":
            row[column.name] = "x" if column.type.python_type is str else 0
    names = ", ".join(f'"{name}"' for name in row)
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def test_the_journal_is_read_by_plain_sql_its_live_books_alone(tmp_path: Path) -> None:
    a_database(tmp_path / "arbiter.db")
    found = read_journal(f"sqlite:///{tmp_path / 'arbiter.db'}", "drill")
    assert found.orders == BOOKS.orders[:1]
    assert found.fills == BOOKS.fills
    assert (found.cash, found.equity, found.positions) == (BOOKS.cash, BOOKS.equity, BOOKS.positions)
    assert "run1" in found.texts
    assert read_journal(f"sqlite:///{tmp_path / 'arbiter.db'}", "another").orders == ()


def test_a_journal_that_is_not_there_is_no_empty_journal(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be read"):
        read_journal(f"sqlite:///{tmp_path / 'none.db'}", "drill")


async def a_venue(answer: Callable[[str], object]) -> tuple[web.AppRunner, str]:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(answer(request.path)), content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/{tail:.*}", serve)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


TOLD = {
    "transfers": [{"asset": "USDT", "amount": "10000"}],
    "balances": {"USDT": {"free": "9950", "locked": "0"}, "BTC": {"free": "0.4", "locked": "0.0995"}},
    "orders": [
        {
            "id": 1, "client_id": "dr1", "symbol": "BTC/USDT", "side": "buy", "status": "FILLED", "amount": "0.5",
            "filled": "0.5", "created": 1000,
            "fills": [{"id": 7, "price": "100", "amount": "0.5", "cost": "50", "fee": "0.0005", "fee_asset": "BTC"}],
        }
    ],
}  # fmt: skip


@pytest.mark.parametrize(("house", "findings"), [("50", []), ("49", ["the venue's own ledger is off by -1 USDT"])])
async def test_an_audit_reads_both_sides_itself(tmp_path: Path, house: str, findings: list[str]) -> None:
    import asyncio

    a_database(tmp_path / "arbiter.db")
    told: dict[str, object] = {
        "/admin/accounts": ["key"],
        "/admin/accounts/key": TOLD,
        "/admin/ledger": {"fees": {"BTC": "0.0005"}, "house": {"USDT": house, "BTC": "-0.5"}},
    }
    runner, url = await a_venue(lambda path: told[path])
    try:
        found = await asyncio.to_thread(audit, url, "key", f"sqlite:///{tmp_path / 'arbiter.db'}", QUESTION)
    finally:
        await runner.cleanup()
    assert found == findings


def test_a_venue_that_does_not_answer_is_no_empty_account(tmp_path: Path) -> None:
    a_database(tmp_path / "arbiter.db")
    with pytest.raises(Unreadable, match="the venue's account cannot be read"):
        audit("http://127.0.0.1:1", "key", f"sqlite:///{tmp_path / 'arbiter.db'}", QUESTION)
