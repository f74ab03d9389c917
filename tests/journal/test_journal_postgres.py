from __future__ import annotations

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import Connection, text

from bot.journal.database import open_database
from bot.journal.errors import JournalUnavailable, Trouble
from bot.journal.journal import Journal, JournalLimits
from bot.journal.queries import Queries
from bot.journal.sqlstates import kind_of, refuses_row
from bot.journal.upgrade import upgrade
from bot.journal.writer import WriterLimits
from tests.journal.journal_databases import change, lose_connections, rescue_file, rows
from tests.journal.journal_facts import NOW, Watcher, at_once, fate, journal_of, run_of, stored
from tests.journal.postgres_proxy import Cut, wire
from tests.servers import PostgresProcess, free_port, postgres_process

FATES = "SELECT count(*), count(DISTINCT decision_id) FROM fates"
QUICK = JournalLimits(WriterLimits(retry=0.02, retry_longest=0.1), record_inputs=False)


def begun(url: str, folder: Path, run: str = "run1") -> tuple[Journal, Watcher]:
    journal, watcher = journal_of(url, folder, QUICK), Watcher()
    journal.begin(run_of(run), watcher.watch)
    return journal, watcher


async def test_sessions_that_an_administrator_ends_cost_nothing(tmp_path: Path, server_url: str) -> None:
    journal, watcher = begun(server_url, tmp_path)
    accepted, kept = 0, set()
    for number in range(15):
        for _ in range(200):
            accepted += journal.append(fate(accepted))
        if await stored(journal, number) is None:
            kept.add(f"arb{number}")
        ended = await asyncio.to_thread(lose_connections, server_url)
        assert ended >= 1
    await journal.flush()
    await journal.close(NOW)
    assert rows(server_url, FATES) == [(accepted, accepted)]
    assert kept <= {name for (name,) in rows(server_url, "SELECT id FROM orders")}
    assert len(kept) >= 14
    assert watcher.troubles == []
    assert (journal.counts.lost, journal.counts.rescued) == (0, 0)


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_a_commit_whose_answer_is_lost_is_stored_once(tmp_path: Path, server_url: str, cut: Cut) -> None:
    with wire(server_url) as proxy:
        journal, watcher = begun(proxy.url, tmp_path)
        proxy.cut = cut
        for number in range(100):
            assert journal.append(fate(number))
        assert await asyncio.to_thread(proxy.was_cut.wait, 5)
        for number in range(100, 150):
            assert journal.append(fate(number))
        await journal.flush()
        await journal.close(NOW)
    assert rows(server_url, FATES) == [(150, 150)]
    assert watcher.troubles == []


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_an_intent_whose_commit_is_not_answered_is_not_sent(tmp_path: Path, server_url: str, cut: Cut) -> None:
    with wire(server_url) as proxy:
        journal, watcher = begun(proxy.url, tmp_path)
        proxy.cut = cut
        assert isinstance(await stored(journal, 1), JournalUnavailable)
        assert await stored(journal, 2) is None
        await asyncio.wait_for(watcher.recovered.wait(), 20)
        await journal.close(NOW)
    events = rows(server_url, "SELECT order_id FROM order_events ORDER BY order_id")
    assert events == ([("arb1",), ("arb2",)] if cut is Cut.AFTER_COMMIT else [("arb2",)])
    assert [trouble.kind for trouble in watcher.troubles] == [Trouble.CONNECTION]


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_what_may_be_stored_or_not_survives_a_stop_without_the_server(tmp_path: Path, server_url: str, cut: Cut) -> None:
    """The answer is lost, the server stays away, the bot ends, the next one finds all of it once."""
    with wire(server_url) as proxy:
        journal, watcher = begun(proxy.url, tmp_path)
        proxy.cut_and_refuse = True
        proxy.cut = cut
        with at_once():
            for number in range(100):
                assert journal.append(fate(number))
        await asyncio.wait_for(watcher.troubled.wait(), 20)
        for number in range(100, 150):
            assert journal.append(fate(number))
        await journal.close(NOW, final={"n": 1})
        assert journal.counts.rescued == 151
        assert rescue_file(proxy.url, tmp_path, "run1").exists()
        assert rows(server_url, FATES) == ([(100, 100)] if cut is Cut.AFTER_COMMIT else [(0, 0)])
        with pytest.raises(JournalUnavailable, match="refused"):
            journal_of(proxy.url, tmp_path)
        proxy.cut_and_refuse = False
        proxy.accept()
        journal_of(proxy.url, tmp_path)
    assert rows(server_url, FATES) == [(150, 150)]
    assert rows(server_url, "SELECT closed_cleanly FROM runs") == [(True,)]
    assert not rescue_file(server_url, tmp_path, "run1").exists()


async def test_a_server_that_does_not_answer_holds_up_neither_orders_nor_the_end(tmp_path: Path, server_url: str) -> None:
    with wire(server_url) as proxy:
        journal, watcher = begun(proxy.url, tmp_path)
        proxy.cut = Cut.STALL
        assert journal.append(fate())
        error = await stored(journal)
        assert isinstance(error, JournalUnavailable)
        assert watcher.troubles[0].kind is Trouble.CONNECTION
        await journal.close(NOW, timeout=4.0)
        assert journal.counts.rescued == 2
    journal_of(server_url, tmp_path)
    assert rows(server_url, FATES) == [(1, 1)]


async def test_a_restarted_server_is_used_again_and_nothing_is_missing(tmp_path: Path, own_server: PostgresProcess) -> None:
    upgrade(own_server.url)
    journal, watcher = begun(own_server.url, tmp_path)
    for number in range(500):
        assert journal.append(fate(number))
    await journal.flush()
    own_server.stop()
    for number in range(500, 700):
        assert journal.append(fate(number))
    assert isinstance(await stored(journal, 1), JournalUnavailable)
    assert watcher.troubles[0].kind is Trouble.CONNECTION
    own_server.start()
    await asyncio.wait_for(watcher.recovered.wait(), 10)
    assert await stored(journal, 2) is None
    await journal.close(NOW)
    assert rows(own_server.url, FATES) == [(700, 700)]
    assert rows(own_server.url, "SELECT id FROM orders") == [("arb2",)]


async def test_telemetry_that_a_crash_of_the_server_takes_is_stored_again(tmp_path: Path) -> None:
    """It was committed without waiting for the server's disk, which is slow here on purpose."""
    with postgres_process(wal_writer_delay="10s", wal_writer_flush_after="1GB") as server:
        upgrade(server.url)
        journal, watcher = begun(server.url, tmp_path)
        told = gone = 0
        for _ in range(3):  # the server brings all to its disk every ten seconds, which may be just then
            assert journal.append(fate(told), durable=True)
            await journal.flush()
            written = journal.counts.rows
            for number in range(told + 1, told + 2_000):
                assert journal.append(fate(number))
            told += 2_000
            while journal.counts.rows < written + 1_999:
                await asyncio.sleep(0.01)
            assert rows(server.url, FATES) == [(told, told)]
            server.kill()
            server.start(wal_writer_delay="10s", wal_writer_flush_after="1GB")
            gone = told - rows(server.url, FATES)[0][0]
            if gone:
                break
        assert gone > 0
        assert journal.append(fate(told))
        await journal.flush()
        await journal.close(NOW)
        assert rows(server.url, FATES) == [(told + 1, told + 1)]
        assert watcher.troubles == []


async def test_a_database_that_became_read_only_is_told_and_used_again(tmp_path: Path, server_url: str) -> None:
    journal, watcher = begun(server_url, tmp_path)
    name = urlsplit(server_url).path[1:]
    change(server_url, f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    lose_connections(server_url)
    assert journal.append(fate())
    await asyncio.wait_for(watcher.troubled.wait(), 20)
    assert watcher.troubles[0].kind is Trouble.READ_ONLY
    assert isinstance(await stored(journal), JournalUnavailable)
    change(server_url, "SET default_transaction_read_only TO off", f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await asyncio.wait_for(watcher.recovered.wait(), 10)
    await journal.close(NOW)
    assert rows(server_url, FATES) == [(1, 1)]


async def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://bot:hunter2@127.0.0.1:{free_port()}/journal"
    with pytest.raises(JournalUnavailable, match=r"127\.0\.0\.1:.*refused") as caught:
        Journal.open(url, tmp_path)
    assert "hunter2" not in str(caught.value)


async def test_the_driver_named_in_the_url_makes_no_difference(tmp_path: Path, server_url: str) -> None:
    url = server_url.replace("postgresql://", "postgresql+asyncpg://")
    journal, _ = begun(url, tmp_path)
    assert await stored(journal) is None
    await journal.close(NOW)
    with Queries(url) as queries:
        assert [order.id for order in queries.orders()] == ["arb1"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.DiskFullError(), Trouble.DISK_FULL),
        (asyncpg.LockNotAvailableError(), Trouble.LOCKED),
        (asyncpg.DeadlockDetectedError(), Trouble.LOCKED),
        (asyncpg.SerializationError(), Trouble.LOCKED),
        (asyncpg.ReadOnlySQLTransactionError(), Trouble.READ_ONLY),
        (asyncpg.InsufficientPrivilegeError(), Trouble.READ_ONLY),
        (asyncpg.AdminShutdownError(), Trouble.CONNECTION),
        (asyncpg.CannotConnectNowError(), Trouble.CONNECTION),
        (asyncpg.TooManyConnectionsError(), Trouble.CONNECTION),
        (asyncpg.ConnectionDoesNotExistError(), Trouble.CONNECTION),
        (asyncpg.InterfaceError("connection is closed"), Trouble.CONNECTION),
        (ConnectionRefusedError(), Trouble.CONNECTION),
        (TimeoutError(), Trouble.CONNECTION),
        (asyncpg.DataCorruptedError(), Trouble.CORRUPT),
        (asyncpg.QueryCanceledError(), Trouble.IO),
        (asyncpg.UndefinedTableError(), Trouble.IO),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.value,
)
def test_what_went_wrong_is_named_for_what_it_is(error: Exception, kind: Trouble) -> None:
    assert kind_of(error) is kind
    assert not refuses_row(error)


@pytest.mark.parametrize("error", [asyncpg.NotNullViolationError(), asyncpg.CharacterNotInRepertoireError(), ValueError("x")])
def test_what_a_row_broke_is_told_from_what_the_database_lacks(error: Exception) -> None:
    assert refuses_row(error)


def test_a_question_to_a_server_that_fell_silent_ends_with_its_own_limit(server_url: str) -> None:
    with wire(server_url) as proxy:
        database = open_database(proxy.url, seconds=1.0)
        try:
            assert database.run(lambda connection: connection.execute(text("SELECT 1")).scalar_one()) == 1

            def asked(connection: Connection) -> object:
                proxy.cut = Cut.STALL
                return connection.execute(text("SELECT 2")).scalar_one()

            began = time.monotonic()
            with pytest.raises(JournalUnavailable):
                database.run(asked)
            assert time.monotonic() - began < 3.0
        finally:
            proxy.refuse()
            database.close()
