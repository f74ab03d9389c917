"""Errors by fingerprint: counted from any thread, bounded, without secrets, kept over a restart, open again when they recur."""

from __future__ import annotations

import io
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bot import logs
from bot.journal.upgrade import upgrade
from bot.latency import LatencyHistogram
from bot.logs import Redactor
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.monitoring.components import Seen, State, Watch
from bot.services.monitoring.error_book import HOUR_MS, HOURS, ErrorBook, ErrorEntry, Kind, Resolved
from bot.services.monitoring.error_log import ErrorHandler
from bot.services.monitoring.live import LiveMonitor, Measured
from bot.services.use_case import Ground, UseCaseError, use_case
from bot.settings import load

NOW = 1_795_000_000_000
CANARY = "canary-value-0123456789-WXYZ"
KIND = Kind("feed_stalled", "bot.market", "warning")


class Clock:
    """Moves when it is told to (ms)."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> int:
        return self.at


def _noted(book: ErrorBook, kind: Kind, at: int) -> None:
    if book.note(kind, at):
        book.show(kind, at, f"at {at}")


def _only(book: ErrorBook) -> ErrorEntry:
    (entry,) = book.entries()
    return entry


def test_the_same_error_is_one_entry_with_first_last_and_count() -> None:
    book = ErrorBook()
    for at in (NOW, NOW + 1, NOW + 120_000):
        _noted(book, KIND, at)
    entry = _only(book)
    assert (entry.first, entry.last, entry.count, entry.sample) == (NOW, NOW + 120_000, 3, f"at {NOW + 120_000}")


def test_a_resolved_error_is_open_again_when_it_happens_again() -> None:
    book = ErrorBook()
    _noted(book, KIND, NOW)
    assert book.resolve(KIND.fingerprint, Resolved(NOW, "ann")) is not None
    assert _only(book).resolved is not None
    _noted(book, KIND, NOW + 1)
    assert (_only(book).resolved, _only(book).reopened) == (None, 1)
    assert book.resolve("0" * 16, Resolved(NOW, "ann")) is None


def test_a_full_book_drops_what_is_new_and_counts_it_but_gives_up_what_is_settled() -> None:
    book = ErrorBook(most=3)
    kinds = [Kind(f"event-{letter}", "x", "error") for letter in "abcde"]
    for kind in kinds[:4]:
        _noted(book, kind, NOW)
    assert book.dropped == 1
    book.unsaved()
    book.resolve(kinds[1].fingerprint, Resolved(NOW, "ann"))
    _noted(book, kinds[4], NOW)
    assert {entry.kind for entry in book.entries()} == {kinds[0], kinds[2], kinds[4]}
    assert book.unsaved().gone == [kinds[1].fingerprint]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 100 * HOUR_MS)), max_size=60))
def test_counts_are_conserved_and_bounded(happened: list[tuple[str, int]]) -> None:
    book = ErrorBook(most=4)
    now = NOW
    for name, later in happened:
        now += later
        _noted(book, Kind(name, "x", "error"), now)
    entries = book.entries()
    assert len(entries) <= 4
    assert all(sum(entry.hours.values()) <= entry.count and len(entry.hours) <= HOURS for entry in entries)
    assert sum(entry.count for entry in entries) + book.dropped <= len(happened)
    if len({name for name, _ in happened}) <= 4:
        assert sum(entry.count for entry in entries) == len(happened)


def _often(book: ErrorBook) -> None:
    for _ in range(500):
        _noted(book, KIND, NOW)


def test_threads_lose_no_count() -> None:
    book = ErrorBook()
    threads = [threading.Thread(target=_often, args=(book,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert _only(book).count == 2_000


@pytest.fixture
def logging_to() -> Iterator[io.StringIO]:
    stream, before, root = io.StringIO(), structlog.get_config(), logging.getLogger()
    level = root.level
    logs.configure(level="debug", stream=stream, as_json=True)
    yield stream
    structlog.configure(**before)
    root.setLevel(level)
    for handler in [one for one in root.handlers if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(handler)


@pytest.fixture
def heard(logging_to: io.StringIO) -> Iterator[ErrorBook]:
    del logging_to
    book, root = ErrorBook(), logging.getLogger()
    handler = ErrorHandler(book, Redactor([CANARY]), Clock())
    root.addHandler(handler)
    yield book
    root.removeHandler(handler)
    assert handler.failed == 0


def test_only_warnings_and_above_are_errors(heard: ErrorBook) -> None:
    log = structlog.get_logger("bot.somewhere")
    log.info("fine")
    log.warning("odd", n=1)
    log.error("bad", n=2)
    assert {(one.kind.event, one.kind.logger, one.kind.level) for one in heard.entries()} == {
        ("odd", "bot.somewhere", "warning"),
        ("bad", "bot.somewhere", "error"),
    }


def test_exceptions_of_different_types_are_different_errors(heard: ErrorBook) -> None:
    log = structlog.get_logger("bot.somewhere")
    for error in (ValueError("one"), KeyError("two"), ExceptionGroup("three", [OSError("x")])):
        try:
            raise error
        except Exception:
            log.exception("failed")
            logging.getLogger("library").exception("failed too")
    ours = {one.kind.exception for one in heard.entries() if one.kind.logger == "bot.somewhere"}
    assert {"ValueError", "KeyError"} < ours
    assert {one.kind.exception for one in heard.entries() if one.kind.logger == "library"} == {
        "ValueError",
        "KeyError",
        "ExceptionGroup",
    }


def test_messages_that_differ_in_numbers_are_one_error(heard: ErrorBook) -> None:
    for number in range(5):
        logging.getLogger("library").warning("no answer after %s s", number)
        logging.getLogger("library").warning(f"gave up at 0x{number:x} after {number} s")
    assert sorted(one.count for one in heard.entries()) == [5, 5]


def test_no_sample_and_no_event_holds_a_secret(heard: ErrorBook) -> None:
    log = structlog.get_logger("bot.somewhere")
    log.warning("odd", api_key="hidden-by-its-key", url="redis://me:hidden-in-url@host/0", text=f"before {CANARY} after")
    log.warning("x" * 490 + CANARY)
    logging.getLogger("library").warning("calling with %s", CANARY)
    logging.getLogger("library").warning(f"named {CANARY}")
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.exception("failed")
    told = "".join(one.sample + one.kind.event for one in heard.entries())
    assert len(heard.entries()) == 5
    assert not [word for word in ("hidden", CANARY, CANARY[:8]) if word in told]


def test_what_is_learnt_later_is_not_shown_either(heard: ErrorBook) -> None:
    logs.learn("learnt-just-now-0815")
    structlog.get_logger("bot.x").warning("odd", text="it was learnt-just-now-0815")
    assert "learnt" not in _only(heard).sample


def test_a_field_that_cannot_be_shown_fails_nobody(logging_to: io.StringIO) -> None:
    class Sore:
        def __str__(self) -> str:
            raise RuntimeError

    root, handler = logging.getLogger(), ErrorHandler(ErrorBook(), Redactor(), Clock())
    root.addHandler(handler)
    try:
        logging.getLogger("library").warning("odd", extra={"x": 1})
        structlog.get_logger("x").warning("odd", sore=Sore())
    except RuntimeError:
        pass  # the line itself, which is not this handler's
    finally:
        root.removeHandler(handler)
    assert handler.failed <= 1


@asynccontextmanager
async def _ground(home: Path, clock: Clock) -> AsyncIterator[Ground]:
    (home / "bot.yaml").write_text(f"bot: {{data_dir: {home / 'data'}}}\n")
    (home / "risk.yaml").write_text("")
    (home / "data").mkdir(exist_ok=True)
    loaded = load(home, environ={})
    upgrade(loaded.settings.database_url)
    async with own_ground(loaded, Secrets(home / "data", {}), clock) as ground:
        yield ground


@asynccontextmanager
async def _running(home: Path, clock: Clock, watch: Watch | None = None) -> AsyncIterator[tuple[Ground, LiveMonitor]]:
    async with _ground(home, clock) as ground:
        took = LatencyHistogram()
        took.add(0.002)
        monitor = LiveMonitor(ground, watch or Watch({}), Measured(lambda: {"fill": took, "none": LatencyHistogram()}, lambda: 7))
        await monitor.begin(ground)
        try:
            yield ground, monitor
        finally:
            await monitor.close()


async def _do(ground: Ground, name: str, **args: object) -> Mapping[str, Any]:
    case = use_case(name)
    return await case.run(ground, case.read(args), lambda progress: None)


async def test_errors_outlive_a_restart_and_go_on_counting(tmp_path: Path, logging_to: io.StringIO) -> None:
    del logging_to
    clock, log = Clock(), structlog.get_logger("bot.somewhere")
    async with _running(tmp_path, clock):
        log.warning("odd", n=1)
    clock.at += HOUR_MS
    async with _running(tmp_path, clock) as (ground, _):
        log.warning("odd", n=2)
        found = await _do(ground, "monitor.errors")
        (one,) = found["errors"]
        assert (one["count"], one["first"], one["last"], found["open"]) == (2, NOW, NOW + HOUR_MS, 1)
        trend = await _do(ground, "monitor.error-trend", fingerprint=one["fingerprint"], hours=3)
        assert [hour["count"] for hour in trend["hours"]] == [0, 1, 1]
    async with _ground(tmp_path, clock) as ground:  # no bot runs, and what is kept is told
        assert (await _do(ground, "monitor.errors"))["errors"][0]["count"] == 2


async def test_what_happens_before_the_past_is_read_is_counted_with_it(tmp_path: Path, logging_to: io.StringIO) -> None:
    del logging_to
    clock, log = Clock(), structlog.get_logger("bot.somewhere")
    async with _running(tmp_path, clock) as (ground, _):
        log.warning("odd")
        fingerprint = (await _do(ground, "monitor.errors"))["errors"][0]["fingerprint"]
        await _do(ground, "monitor.resolve", fingerprint=fingerprint, author="ann", note="known")
    async with _ground(tmp_path, clock) as ground:
        (one,) = (await _do(ground, "monitor.errors", state="resolved"))["errors"]
        assert one["resolved"] == {"at": NOW, "author": "ann", "note": "known"}
        book = ErrorBook()
        _noted(book, Kind("odd", "bot.somewhere", "warning"), NOW + 5)
        monitor = LiveMonitor(ground, Watch({}), Measured(dict, lambda: 0))
        monitor.book = book
        await monitor.begin(ground)
        assert (_only(book).count, _only(book).first, _only(book).resolved, _only(book).reopened) == (2, NOW, None, 1)
        await monitor.close()


async def test_a_past_that_could_not_be_read_is_not_written_over(tmp_path: Path, logging_to: io.StringIO) -> None:
    del logging_to
    clock, log = Clock(), structlog.get_logger("bot.somewhere")
    async with _running(tmp_path, clock):
        log.warning("odd")
        log.warning("odd")
    async with _ground(tmp_path, clock) as ground:
        monitor = LiveMonitor(ground, Watch({}), Measured(dict, lambda: 0))
        path = tmp_path / "data" / "arbiter.db"
        with closing(sqlite3.connect(path)) as database:
            database.execute("ALTER TABLE monitor_errors RENAME TO elsewhere")
        await monitor.begin(ground)
        log.warning("odd")
        await monitor.save()
        assert monitor.unsaved == 1
        with closing(sqlite3.connect(path)) as database:
            database.execute("ALTER TABLE elsewhere RENAME TO monitor_errors")
        await monitor.close()
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT count FROM monitor_errors WHERE event = 'odd'").fetchall() == [(3,)]


async def test_resolving_without_a_bot_is_kept(tmp_path: Path, logging_to: io.StringIO) -> None:
    del logging_to
    clock = Clock()
    async with _running(tmp_path, clock):
        structlog.get_logger("bot.x").error("bad")
    async with _ground(tmp_path, clock) as ground:
        fingerprint = (await _do(ground, "monitor.errors"))["errors"][0]["fingerprint"]
        assert (await _do(ground, "monitor.resolve", fingerprint=fingerprint))["error"]["state"] == "resolved"
        with pytest.raises(UseCaseError, match="no error has the fingerprint"):
            await _do(ground, "monitor.resolve", fingerprint="0" * 16)
    async with _ground(tmp_path, clock) as ground:
        found = await _do(ground, "monitor.errors", state="all")
        assert (found["open"], found["resolved"]) == (0, 1)


def _sore() -> Mapping[str, Seen]:
    raise KeyError


async def test_parts_keep_since_when_they_are_so(tmp_path: Path) -> None:
    clock, state = Clock(), [State.OK]
    watch = Watch({"feed": lambda: {"feed": Seen(state[0], "told", 3)}, "sore": _sore})
    async with _running(tmp_path, clock, watch) as (ground, _):
        clock.at += 1_000
        found = await _do(ground, "monitor.components")
        parts = {one["name"]: one for one in found["components"]}
        assert parts["feed"] == {"name": "feed", "state": "ok", "since": NOW, "detail": "told", "restarts": 3}
        assert (parts["sore"]["state"], found["state"]) == ("down", "down")
        state[0] = State.DEGRADED
        changed = (await _do(ground, "monitor.components"))["components"][0]
        assert (changed["state"], changed["since"]) == ("degraded", NOW + 1_000)


async def test_latencies_have_their_number_and_nothing_is_made_up(tmp_path: Path) -> None:
    async with _running(tmp_path, Clock()) as (ground, _):
        stages = {one["stage"]: one for one in (await _do(ground, "monitor.latencies"))["stages"]}
    assert stages["fill"]["n"] == 1
    assert 2.0 <= stages["fill"]["p99_ms"] <= 2.2
    assert (stages["none"]["n"], stages["none"]["p50_ms"]) == (0, None)
    assert stages["database_read"]["n"] > 0


async def test_the_database_is_told_with_and_without_a_bot(tmp_path: Path) -> None:
    clock = Clock()
    async with _running(tmp_path, clock) as (ground, _):
        found = await _do(ground, "monitor.database")
        assert (found["engine"], found["journal_pending"]) == ("sqlite", 7)
        assert found["bytes"] > 0
        assert {"decisions", "runs", "monitor_errors"} <= {one["name"] for one in found["tables"]}
    async with _ground(tmp_path, clock) as ground:
        assert (await _do(ground, "monitor.database"))["journal_pending"] is None
        for name in ("monitor.components", "monitor.latencies"):
            with pytest.raises(UseCaseError, match="none runs here"):
                await _do(ground, name)


async def test_looking_at_a_journal_that_is_not_there_makes_none(tmp_path: Path) -> None:
    async with _ground(tmp_path, Clock()) as ground:
        path = tmp_path / "data" / "arbiter.db"
        path.unlink()
        with pytest.raises(UseCaseError, match="no journal"):
            await _do(ground, "monitor.database")
        assert not path.exists()


async def test_providers_are_told_without_a_bot(tmp_path: Path) -> None:
    async with _ground(tmp_path, Clock()) as ground:
        found = await _do(ground, "monitor.providers")
    assert (found["running"], found["quantconnect"]["configured"]) == (False, False)
    assert found["quantconnect"]["left"] > 0
    assert all(one["calls"] == one["errors"] == 0 for one in found["llm"])
