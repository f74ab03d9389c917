"""Stores: the same answers from each, and never from the future."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.journal.upgrade import upgrade
from research.memory.confidence import confidence_of
from research.memory.errors import EvidenceError, MemoryUnavailable
from research.memory.evidence import Evidence, Subject, dumped, kind_of, loaded
from research.memory.policy import MemoryPolicy
from research.memory.sql import VERSION, SqlMemory
from research.memory.store import InMemoryStore, MemoryStore, recall
from tests.journal.journal_databases import change, rows
from tests.research.memory_evidence import DAY, SUBJECT, YEAR, backtest, evidence, trade

Answers = tuple[object, ...]


async def answers(store: MemoryStore, as_of: int) -> Answers:
    """All that a store says as of a moment."""
    found: list[object] = []
    for subject in await store.subjects(as_of):
        lessons = list(await store.lessons(subject, as_of))
        found.append((subject, lessons, await store.confidence(subject, as_of), await store.parameters(subject, as_of)))
    return tuple(found)


def moment_in(history: list[Evidence], data: st.DataObject) -> int:
    """When some of it was known and some perhaps not."""
    return data.draw(st.sampled_from(history)).known_at - data.draw(st.integers(0, 1))


@given(st.lists(evidence, min_size=1, max_size=12), st.data())
@settings(max_examples=60)
async def test_a_look_up_never_sees_what_was_not_yet_known(history: list[Evidence], data: st.DataObject) -> None:
    as_of = moment_in(history, data)
    knowing, innocent = InMemoryStore(), InMemoryStore()
    await knowing.remember(history)
    await innocent.remember([each for each in history if each.known_at <= as_of])
    assert await answers(knowing, as_of) == await answers(innocent, as_of)


@given(st.lists(evidence, min_size=1, max_size=12), st.data())
@settings(max_examples=10)
async def test_a_look_up_in_a_database_never_sees_it_either(history: list[Evidence], data: st.DataObject) -> None:
    as_of = moment_in(history, data)
    innocent = InMemoryStore()
    await innocent.remember([each for each in history if each.known_at <= as_of])
    with TemporaryDirectory() as folder:
        knowing = await SqlMemory.open(f"sqlite:///{folder}/journal.db")
        await knowing.remember(history)
        assert await answers(knowing, as_of) == await answers(innocent, as_of)
        await knowing.close()


@given(st.lists(evidence, min_size=1, max_size=12), st.data())
def test_recalling_leaves_out_what_was_not_yet_known(history: list[Evidence], data: st.DataObject) -> None:
    as_of = moment_in(history, data)
    found = recall(history, as_of)
    seen: list[Evidence] = [*found.trades, *found.backtests]
    assert sorted(each.id for each in seen) == sorted(each.id for each in history if each.known_at <= as_of)


async def test_evidence_that_comes_late_changes_the_answer_it_should_have_changed() -> None:
    store = InMemoryStore()
    await store.remember([trade(5)])
    assert store.confidence_now(SUBJECT, YEAR) is not None
    await store.remember([trade(1, -0.5)])
    found = store.confidence_now(SUBJECT, 3 * DAY)
    assert found is not None
    assert found == confidence_of([trade(1, -0.5)], [])


@given(st.lists(evidence, max_size=12), st.lists(st.integers(0, 3 * YEAR), max_size=4))
@settings(max_examples=40)
async def test_asking_between_memories_changes_no_answer(all_of_it: list[Evidence], moments: list[int]) -> None:
    asked, silent = InMemoryStore(), InMemoryStore()
    for each in all_of_it:
        await asked.remember([each])
        for moment in moments:
            await answers(asked, moment)
    await silent.remember(all_of_it)
    for moment in moments:
        assert await answers(asked, moment) == await answers(silent, moment)


@given(evidence)
def test_evidence_comes_back_as_it_was(each: Evidence) -> None:
    back = loaded(kind_of(each), dumped(each))
    assert back == each
    assert back.id == each.id


async def test_a_database_answers_as_the_process_does(database_url: str) -> None:
    given_: list[Evidence] = [
        *[trade(day, 0.01 if day % 3 else -0.02) for day in range(40)],
        *[backtest({"fast": fast, "slow": 20}, known_at=2 * YEAR + fast * DAY, sharpe=fast / 2) for fast in range(5)],
        trade(3, strategy="breakout"),
    ]
    plain, store = InMemoryStore(), await SqlMemory.open(database_url)
    try:
        assert await store.remember(given_) == await plain.remember(given_) == len(given_)
        for as_of in (0, 10 * DAY, YEAR, 2 * YEAR + 2 * DAY, 3 * YEAR):
            assert await answers(store, as_of) == await answers(plain, as_of)
        assert sorted(each.id for each in await store.evidence(SUBJECT, 10 * DAY)) == sorted(each.id for each in given_[:10])
    finally:
        await store.close()


async def test_what_is_remembered_twice_is_remembered_once_and_outlives_the_process(database_url: str) -> None:
    store = await SqlMemory.open(database_url)
    assert await store.remember([trade(1), trade(2), trade(1)]) == 2
    assert await store.remember([trade(2), trade(3)]) == 1
    assert await store.remember([]) == 0
    await store.close()
    again = await SqlMemory.open(database_url)
    try:
        found = await again.confidence(SUBJECT, YEAR)
        assert found is not None
        assert found.trades == 3
        assert await again.confidence(Subject("ETH/USDT", "sma-cross", "1h"), YEAR) is None
    finally:
        await again.close()


async def test_many_pieces_are_kept_all_at_once_and_the_newest_are_looked_at(database_url: str) -> None:
    store = await SqlMemory.open(database_url, MemoryPolicy(window=50))
    try:
        assert await store.remember([trade(day) for day in range(250)]) == 250
        found = await store.confidence(SUBJECT, YEAR)
        assert found is not None
        assert found.trades == 50
    finally:
        await store.close()


async def test_two_bots_that_start_at_once_make_one_schema(database_url: str) -> None:
    stores = await asyncio.gather(*(SqlMemory.open(database_url) for _ in range(3)))
    assert rows(database_url, "SELECT version FROM memory_schema") == [(VERSION,)]
    for store in stores:
        await store.close()


async def test_the_memory_of_a_newer_bot_is_left_alone(database_url: str) -> None:
    await (await SqlMemory.open(database_url)).close()
    change(database_url, f"INSERT INTO memory_schema VALUES ({VERSION + 1})")
    with pytest.raises(MemoryUnavailable, match="newer bot"):
        await SqlMemory.open(database_url)


async def test_a_reader_sees_what_is_kept_and_makes_nothing(database_url: str) -> None:
    with pytest.raises(MemoryUnavailable, match="nothing was remembered yet"):
        await SqlMemory.open_to_read(database_url)
    store = await SqlMemory.open(database_url)
    await store.remember([trade(1), backtest()])
    reader = await SqlMemory.open_to_read(database_url)
    try:
        assert await answers(reader, 4 * YEAR) == await answers(store, 4 * YEAR)
        change(database_url, f"INSERT INTO memory_schema VALUES ({VERSION + 1})")
        with pytest.raises(MemoryUnavailable, match=f"version {VERSION + 1}, this bot reads {VERSION}"):
            await SqlMemory.open_to_read(database_url)
    finally:
        await reader.close()
        await store.close()


async def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(MemoryUnavailable, match=r"there is no .*run a backtest with --analyse"):
        await SqlMemory.open_to_read(f"sqlite:///{tmp_path / 'arbiter.db'}")
    assert list(tmp_path.iterdir()) == []


@given(st.lists(evidence, min_size=1, max_size=40), st.integers(1, 4))
async def test_a_store_that_forgets_still_answers_of_now_as_one_that_does_not(history: list[Evidence], window: int) -> None:
    policy, now = MemoryPolicy(window=window), 9 * YEAR
    whole, short = InMemoryStore(policy), InMemoryStore(policy, forgets=True)
    for each in history:
        whole.add([each])
        short.add([each])
    assert await answers(short, now) == await answers(whole, now)
    held = [len(entries) for entries in short._by_subject.values()]
    assert max(held) <= 4 * window


async def test_the_memory_lives_beside_a_journal_that_still_upgrades(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    upgrade(url)
    store = await SqlMemory.open(url)
    await store.remember([trade(1)])
    await store.close()
    upgrade(url)
    assert rows(url, "SELECT count(*) FROM memory_evidence") == [(1,)]


async def test_a_row_that_is_no_evidence_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    store = await SqlMemory.open(url)
    await store.remember([trade(1)])
    change(url, "UPDATE memory_evidence SET body = '{\"symbol\": 1}'")
    with pytest.raises(EvidenceError, match="no evidence of a trade"):
        await store.confidence(SUBJECT, YEAR)
    await store.close()


@pytest.mark.parametrize(
    "url", ["mysql://user:hunter2@host/name?password=hunter2", "sqlite:///", "postgresql://user:hunter2@127.0.0.1:1/name"]
)
async def test_a_memory_that_cannot_be_reached_says_so_without_its_password(url: str) -> None:
    with pytest.raises(MemoryUnavailable) as raised:
        await SqlMemory.open(url, seconds=2.0)
    assert "hunter2" not in str(raised.value)


async def test_a_file_that_another_holds_too_long_is_unavailable_and_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = await SqlMemory.open(f"sqlite:///{path}", seconds=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MemoryUnavailable, match="locked"):
            await store.remember([trade(1)])
        other.execute("ROLLBACK")
    assert await store.remember([trade(1)]) == 1
    await store.close()


async def test_a_damaged_file_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(MemoryUnavailable, match="not a database"):
        await SqlMemory.open(f"sqlite:///{tmp_path / 'journal.db'}")
