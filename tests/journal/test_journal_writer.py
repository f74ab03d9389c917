from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from bot.core.facts import DecisionSeen
from bot.core.orders import OrderState
from bot.journal.engine import Mark, Write
from bot.journal.errors import JournalUnavailable, Trouble
from bot.journal.journal import JournalLimits
from bot.journal.run import BookKey, RunStart
from bot.journal.sqlite import SqliteEngine
from bot.journal.writer import WriterLimits
from tests.journal.journal_databases import change, locked, rescue_file, rows
from tests.journal.journal_facts import (
    NOW,
    Watcher,
    at_once,
    decision,
    equity,
    every_fact,
    fate,
    journal_of,
    order,
    request,
    run_of,
    stored,
)


async def test_every_kind_of_fact_becomes_its_rows(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    watcher = Watcher()
    journal.begin(run_of(), watcher.watch)
    facts = every_fact()
    for fact in facts:
        assert journal.append(fact)
    await journal.flush()
    assert journal.counts.rows == len(facts) + 1
    assert journal.counts.refused == 0
    await journal.close(NOW + 1, final={"n": 1})
    assert watcher.troubles == []
    assert rows(database_url, "SELECT amount, price, decision_id, realised FROM fills") == [("0.0050", "50000.10", "d1", "-0.1")]
    assert rows(database_url, "SELECT state, filled, venue_id FROM orders") == [("open", "0.0050", "v1")]
    assert rows(database_url, "SELECT ended, closed_cleanly FROM runs") == [(NOW + 1, 1)]


async def test_a_run_that_ends_without_its_last_state_did_not_close_cleanly(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    await journal.close(NOW + 1)
    assert rows(database_url, "SELECT ended, closed_cleanly FROM runs") == [(NOW + 1, 0)]


async def test_an_intent_is_on_the_disk_before_it_is_answered(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    assert await stored(journal) is None
    assert rows(database_url, "SELECT id, state FROM orders") == [("arb1", "intent")]
    assert rows(database_url, "SELECT order_id, state FROM order_events") == [("arb1", "intent")]
    await journal.close(NOW)


async def test_a_flush_waits_for_the_intents_that_were_accepted_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    writing, go = threading.Event(), threading.Event()
    commit = SqliteEngine.commit

    def held(engine: SqliteEngine, writes: Iterable[Write], *, durable: bool, mark: Mark | None = None) -> None:
        writing.set()
        assert go.wait(10)
        commit(engine, writes, durable=durable, mark=mark)

    monkeypatch.setattr(SqliteEngine, "commit", held)
    journal = journal_of(sqlite_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    answered: list[int] = []
    journal.store(request(1), NOW, lambda _: answered.append(1))
    assert await asyncio.to_thread(writing.wait, 10)
    journal.store(request(2), NOW, lambda _: answered.append(2))  # facts are the writer's next, once the first is written
    flushing = asyncio.create_task(journal.flush(10))
    await asyncio.sleep(0)
    go.set()
    await flushing
    assert answered == [1, 2]
    await journal.close(NOW)


async def test_a_flush_brings_what_was_committed_before_it_to_the_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def told(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", told)
    journal = journal_of(sqlite_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    log = f"{Path(sqlite_url.removeprefix('sqlite:///')).name}-wal"
    for _ in range(2):
        rows_before = journal.counts.rows
        journal.append(fate(1))
        async with asyncio.timeout(20):
            while journal.counts.rows == rows_before:  # committed without the disk, by itself
                await asyncio.sleep(0.01)
        synced.clear()
        await journal.flush()
        assert synced == [log]
        await journal.flush()
        assert synced == [log]  # there was nothing new
    await journal.close(NOW)


async def test_an_order_has_one_row_and_all_its_events(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    assert await stored(journal) is None
    for state in (OrderState.SENT, OrderState.OPEN, OrderState.FILLED):
        journal.append(order(state=state), durable=True)
    await journal.close(NOW)
    assert rows(database_url, "SELECT state FROM orders") == [("filled",)]
    assert rows(database_url, 'SELECT state FROM order_events ORDER BY "row"') == [("intent",), ("sent",), ("open",), ("filled",)]


async def test_one_answer_per_intent_and_one_call_per_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    loop = asyncio.get_running_loop()
    calls: list[object] = []
    original = loop.call_soon_threadsafe

    def counted(callback: Callable[..., object], *args: object) -> asyncio.Handle:
        calls.append(callback)
        return original(callback, *args)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    answers: list[Exception | None] = []
    done = asyncio.Event()

    def answered(error: Exception | None) -> None:
        answers.append(error)
        if len(answers) == 500:
            done.set()

    for number in range(500):
        journal.store(request(number), NOW, answered)
    await asyncio.wait_for(done.wait(), 10)
    batches = journal.counts.batches
    assert answers == [None] * 500
    assert len(calls) <= batches
    assert batches < 100
    await journal.close(NOW)


async def test_a_row_the_database_cannot_hold_does_not_hold_up_the_others(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    watcher = Watcher()
    journal.begin(run_of(), watcher.watch)
    journal.append(fate(1))
    journal.append(DecisionSeen(2**70, decision()))
    journal.append(fate(2))
    await journal.flush()
    assert journal.counts.refused == 1
    assert [trouble.kind for trouble in watcher.troubles] == [Trouble.ROW_REFUSED]
    await journal.close(NOW)
    assert rows(database_url, 'SELECT decision_id FROM fates ORDER BY "row"') == [("d1",), ("d2",)]


async def test_text_that_no_database_takes_is_made_storable(tmp_path: Path, database_url: str) -> None:
    from dataclasses import replace

    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    journal.append(DecisionSeen(NOW, replace(decision(), reasoning="bad \ud800 \0 text é", confidence=float("nan"))))
    await journal.close(NOW)
    assert rows(database_url, "SELECT reasoning, confidence FROM decisions") == [("bad ?  text é", None)]


async def test_a_lock_fails_intents_and_keeps_everything_else(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    watcher = Watcher()
    journal.begin(run_of(), watcher.watch)
    with locked(database_url):
        for number in range(100):
            assert journal.append(fate(number))
        error = await stored(journal)
        assert isinstance(error, JournalUnavailable)
        await asyncio.wait_for(watcher.troubled.wait(), 20)
        assert watcher.troubles[0].kind is Trouble.LOCKED
        with pytest.raises(JournalUnavailable, match="locked"):
            await journal.flush(0.2)
    await asyncio.wait_for(watcher.recovered.wait(), 10)
    assert await stored(journal, 2) is None
    await journal.close(NOW)
    assert rows(database_url, "SELECT count(*), count(DISTINCT decision_id) FROM fates") == [(100, 100)]
    assert rows(database_url, "SELECT id FROM orders") == [("arb2",)]


async def test_a_full_disk_is_told_and_loses_nothing_accepted(tmp_path: Path, sqlite_url: str) -> None:
    """`max_bytes` makes SQLite answer as a full disk does; what could not go in waits for the next start."""
    journal = journal_of(sqlite_url, tmp_path, JournalLimits(max_bytes=600_000, ballast_bytes=65_536))
    watcher = Watcher()
    journal.begin(run_of(), watcher.watch)
    ballast = tmp_path / "journal.db.ballast"
    assert ballast.stat().st_size == 65_536
    accepted = sum(journal.append(fate(number)) for number in range(10_000))
    await asyncio.wait_for(watcher.troubled.wait(), 10)
    assert watcher.troubles[0].kind is Trouble.DISK_FULL
    assert watcher.troubles[0].ballast
    assert not ballast.exists()
    assert not watcher.recovered.is_set()
    await journal.close(NOW)
    assert journal.counts.rescued > 0
    assert journal.counts.lost == 0

    again = journal_of(sqlite_url, tmp_path)
    assert rows(sqlite_url, "SELECT count(*), count(DISTINCT decision_id) FROM fates") == [(accepted, accepted)]
    assert list(tmp_path.glob("*.rescue-*")) == []
    again.begin(run_of("run2"), Watcher().watch)
    assert await stored(again, 3) is None
    await again.close(NOW)


async def test_a_full_disk_fails_the_intent_that_does_not_fit(tmp_path: Path, sqlite_url: str) -> None:
    journal = journal_of(sqlite_url, tmp_path, JournalLimits(max_bytes=500_000, ballast_bytes=0))
    watcher = Watcher()
    journal.begin(run_of(), watcher.watch)
    for number in range(20_000):
        error = await stored(journal, number)
        if error is not None:
            break
    assert isinstance(error, JournalUnavailable)
    assert "full" in str(error)
    await journal.close(NOW)
    assert (f"arb{number}",) not in rows(sqlite_url, "SELECT id FROM orders")


async def test_statistics_are_dropped_and_counted_decisions_never(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path, JournalLimits(WriterLimits(waiting=10), busy_ms=20, ballast_bytes=0))
    journal.begin(run_of(), Watcher().watch)
    with locked(database_url), at_once():
        for number in range(40):
            assert journal.append(fate(number))
        assert [journal.append(equity()) for _ in range(5)] == [False] * 5
    await journal.flush()
    assert journal.counts.dropped == 5
    await journal.close(NOW)
    assert rows(database_url, "SELECT count(*) FROM fates") == [(40,)]


async def test_after_close_nothing_is_promised(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    await journal.close(NOW)
    assert isinstance(await stored(journal), JournalUnavailable)
    assert not journal.append(fate())
    with pytest.raises(JournalUnavailable):
        await journal.flush()


async def test_books_of_two_worlds_never_meet(tmp_path: Path, database_url: str) -> None:
    for name, world in (("a", "real"), ("b", "simulated"), ("c", "real")):
        journal = journal_of(database_url, tmp_path)
        run = RunStart(name, BookKey("arbiter", "paper", "binance", world), NOW, simulated=False, config={}, code_version="t")
        journal.begin(run, Watcher().watch)
        assert await stored(journal) is None
        await journal.close(NOW)
    assert rows(database_url, "SELECT book, run FROM orders ORDER BY book") == [(1, "a"), (2, "b")]
    assert rows(database_url, "SELECT id, book FROM runs ORDER BY id") == [("a", 1), ("b", 2), ("c", 1)]


async def test_only_the_newest_snapshots_are_kept(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    from bot.core.inputs import Wake

    for number in range(6):
        journal.input(Wake(NOW + number))
        journal.snapshot(NOW + number, {"n": number})
    await journal.close(NOW + 9, final={"n": 99})
    assert rows(database_url, "SELECT seq FROM snapshots ORDER BY seq") == [(4,), (5,), (6,)]
    assert rows(database_url, "SELECT final_snapshot FROM runs") == [('{"n":99}',)]


KILLED = """
import asyncio, sys
from pathlib import Path
from bot.journal.journal import Journal, JournalLimits
from tests.journal.journal_facts import NOW, Watcher, request, run_of

async def main(url, folder):
    journal = Journal.open(url, folder, JournalLimits(ballast_bytes=0))
    journal.begin(run_of(), Watcher().watch)
    def said(number):
        def on_stored(error):
            if error is None:
                sys.stdout.write(f"arb{number}\\n")
                sys.stdout.flush()
        return on_stored
    number = 0
    while True:
        number += 1
        journal.store(request(number), NOW, said(number))
        await asyncio.sleep(0.0002)

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


def test_kill_nine_loses_nothing_acknowledged(tmp_path: Path, database_url: str) -> None:
    command = [sys.executable, "-c", KILLED, database_url, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(300)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout.read().splitlines()]
    kept = {name for (name,) in rows(database_url, "SELECT id FROM orders")}
    assert len(acknowledged) >= 300
    assert set(acknowledged) <= kept


FULL = """
import asyncio, sys
from pathlib import Path
from tests.journal.journal_facts import NOW, Watcher, fate, journal_of, request, run_of, stored
from bot.journal.journal import JournalLimits

async def main(folder):
    url = f"sqlite:///{folder / 'journal.db'}"
    journal = journal_of(url, folder, JournalLimits(ballast_bytes=512 * 1024, ballast_seconds=0.1))
    watcher = Watcher()
    journal.begin(run_of(), watcher.watch)
    assert await stored(journal, 1) is None
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    accepted = 0
    while not watcher.troubled.is_set():
        for _ in range(50):
            accepted += journal.append(fate(accepted))
        await journal.flush()
    assert watcher.troubles[0].kind == "disk-full", watcher.troubles
    assert watcher.troubles[0].ballast
    exits = [await stored(journal, number) for number in range(100, 110)]
    assert exits == [None] * 10, exits
    assert not watcher.recovered.is_set()
    filler.unlink()
    await asyncio.wait_for(watcher.recovered.wait(), 10)
    assert (folder / "journal.db.ballast").exists()
    await journal.close(NOW)
    assert journal.counts.lost == journal.counts.rescued == 0
    import sqlite3
    connection = sqlite3.connect(folder / "journal.db")
    print(accepted - connection.execute("SELECT count(*) FROM fates").fetchone()[0])
    print(connection.execute("SELECT count(*) FROM orders").fetchone()[0])
    connection.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def test_on_a_really_full_disk_the_ballast_lets_exits_in_until_there_is_room(tmp_path: Path) -> None:
    """A small file system of its own, where the kernel allows an ordinary user to mount one."""
    script = 'mount -t tmpfs -o size=6m tmpfs "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, FULL]
    environment = {**os.environ, "PYTHONPATH": "."}
    probe = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$1"', "sh", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody mount a small file system here")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == ["0", "11"]


def test_a_torn_rescue_file_gives_back_its_whole_lines_and_keeps_the_rest(tmp_path: Path, database_url: str) -> None:
    journal_of(database_url, tmp_path)
    path = rescue_file(database_url, tmp_path, "r0")
    change(database_url, "INSERT INTO books VALUES (1, 'a', 'paper', 'binance', 'real')")
    change(database_url, "INSERT INTO runs VALUES ('r0', 1, 1, NULL, false, '', '{}', 't', NULL, NULL, NULL, false)")
    row = '{"table":"commands","row":{"book":1,"run":"r0","at":1,"actor":"me","command":"kill","detail":""}}\n'
    path.write_text(row + row.replace("kill", "resume") + row[:40])
    journal_of(database_url, tmp_path)
    assert rows(database_url, 'SELECT command FROM commands ORDER BY "row"') == [("kill",), ("resume",)]
    assert not path.exists()
    assert path.with_suffix(".refused").read_text() == row[:40]
