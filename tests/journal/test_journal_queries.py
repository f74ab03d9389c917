from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from bot.core.decision import Action, Denial, Fate, Tier
from bot.core.facts import DecisionSeen, LotClosed, OverrideClosed, PositionChanged, ShadowClosed, Verdict
from bot.core.inputs import TradingState
from bot.core.market import Health
from bot.core.orders import OrderState
from bot.journal.address import is_postgres
from bot.journal.database import open_database
from bot.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from bot.journal.journal import Journal
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.journal.soundness import backup, check
from bot.journal.tables import runs
from bot.journal.upkeep import DAY_MS, Retention, retire
from tests.journal.journal_databases import another_database, change, rows
from tests.journal.journal_facts import (
    BOOK,
    NOW,
    Watcher,
    decision,
    equity,
    every_fact,
    fate,
    fill_of,
    journal_of,
    order,
    run_of,
    stored,
)
from tests.servers import free_port


@pytest.fixture
async def journal(tmp_path: Path, database_url: str) -> AsyncIterator[Journal]:
    opened = journal_of(database_url, tmp_path)
    opened.begin(run_of(), Watcher().watch)
    yield opened
    await opened.close(NOW + 9, final={"n": 1})


async def test_every_table_answers_with_its_types(journal: Journal, database_url: str) -> None:
    for fact in every_fact():
        journal.append(fact)
    await journal.flush()
    with Queries(database_url) as q:
        (seen,) = q.decisions()
        assert seen.cost == Decimal("0.00120")
        assert str(seen.cost) == "0.00120"
        assert seen.tier is Tier.TRADITIONAL
        assert seen.action is Action.BUY
        assert seen.evidence == {"fast": 1.5, "slow": 1, "up": True, "note": None}
        assert (seen.fate, seen.denial, seen.fate_reason, seen.filled_fraction) == (Fate.DENIED, Denial.COOL_DOWN, "won", 0.5)
        (made,) = q.orders()
        assert (made.state, str(made.filled), made.average, made.post_only) == (
            OrderState.OPEN,
            "0.0050",
            Decimal("50000.10"),
            False,
        )
        assert [event.state for event in q.order_events("arb1")] == [OrderState.OPEN]
        assert q.fills()[0].realised == Decimal("-0.1")
        assert q.positions(BOOK)[0].amount == Decimal("0.0050")
        assert q.equity()[0].cash == Decimal("9000.5")
        assert q.shadow()[0].wins == 2
        assert q.shadow_trades()[0].pnl == Decimal(4)
        assert q.lots()[0].opener_tier is Tier.TRADITIONAL
        assert q.verdicts(id="v1")[0].outranked == ("d2", "d3")
        assert q.overrides()[0].cost == -1.0
        assert q.risk_states()[0].state is TradingState.HALTED
        assert q.health()[0].health is Health.GAP
        assert q.commands()[0].actor == "operator"
        run = q.latest_run()
        assert run is not None
        assert (run.id, run.simulated, run.ended, run.world, run.closed_cleanly) == ("run1", True, None, "simulated", False)
        assert q.run("latest") == run
        assert q.initial_snapshot("run1") == {"cash": "10000"}


async def test_an_empty_filter_finds_nothing_in_every_list(journal: Journal, database_url: str) -> None:
    for fact in every_fact():
        journal.append(fact)
    await journal.flush()
    with Queries(database_url) as q:
        assert q.fills()
        assert (q.fills(symbol=""), q.orders(symbol=""), q.decisions(symbol=""), q.order_events("")) == ([], [], [], [])
        assert (q.verdicts(id=""), q.lots(symbol=""), q.overrides(decision_id=""), q.shadow_trades(source="")) == ([], [], [], [])


async def test_decisions_are_filtered_paged_and_counted(journal: Journal, database_url: str) -> None:
    for number in range(10):
        source = "llm:x" if number % 2 else "rules:sma"
        journal.append(DecisionSeen(NOW + number, decision(number, source, "ETH/USDT" if number > 7 else "BTC/USDT")))
        if number < 8:
            journal.append(fate(number, Fate.OUTRANKED if number % 2 else Fate.EXECUTED, NOW + number, source))
    await journal.flush()
    with Queries(database_url) as q:
        first = q.decisions(limit=4)
        assert [one.id for one in first] == ["d9", "d8", "d7", "d6"]
        assert [one.id for one in q.decisions(limit=4, before=first[-1].row)] == ["d5", "d4", "d3", "d2"]
        assert [one.id for one in q.decisions(fate=Fate.OUTRANKED, book=BOOK, run="run1")] == ["d7", "d5", "d3", "d1"]
        assert [one.id for one in q.decisions(symbol="ETH/USDT")] == ["d9", "d8"]
        assert {one.source for one in q.decisions(source="llm:x")} == {"llm:x"}
        counts = {(one.source, one.fate): one.count for one in q.counts(run="run1")}
        assert counts == {
            ("llm:x", None): 1,
            ("llm:x", Fate.OUTRANKED): 4,
            ("rules:sma", None): 1,
            ("rules:sma", Fate.EXECUTED): 4,
        }
        assert q.decisions(book=BookKey("other", "paper", "binance", "real")) == []


async def test_a_decision_seen_again_in_a_later_run_keeps_both_fates_apart(tmp_path: Path, database_url: str) -> None:
    for number, became in enumerate((Fate.EXECUTED, Fate.EXPIRED)):
        journal = journal_of(database_url, tmp_path)
        journal.begin(run_of(f"r{number}"), Watcher().watch)
        journal.append(DecisionSeen(NOW + number * 100, decision()))
        journal.append(fate(1, became, NOW + number * 100 + 5))
        await journal.close(NOW + number)
    with Queries(database_url) as q:
        assert [(one.run, one.fate) for one in q.decisions()] == [("r1", Fate.EXPIRED), ("r0", Fate.EXECUTED)]


async def test_open_orders_outlive_their_run(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of("a"), Watcher().watch)
    for number in (1, 2, 3):
        assert await stored(journal, number) is None
    journal.append(order(2, OrderState.FILLED))
    journal.append(order(3, OrderState.UNKNOWN))
    await journal.close(NOW)
    with Queries(database_url) as q:
        assert [(one.id, one.state) for one in q.open_orders(BOOK)] == [("arb1", OrderState.INTENT), ("arb3", OrderState.UNKNOWN)]
        assert q.open_orders(BookKey("arbiter", "paper", "binance", "real")) == []


async def test_the_last_snapshot_of_a_book_is_its_newest_state(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    with Queries(database_url) as q:
        assert q.last_snapshot(BOOK) is None
        journal.begin(run_of("a"), Watcher().watch)
        begun = q.last_snapshot(BOOK)
        assert begun is not None
        assert begun.state == {"cash": "10000"}
        journal.snapshot(NOW + 1, {"cash": Decimal("9000.10")})
        await journal.flush()
        kept = q.last_snapshot(BOOK)
        assert kept is not None
        assert (kept.at, kept.seq, kept.state) == (NOW + 1, 0, {"cash": Decimal("9000.10")})
        await journal.close(NOW + 2, final={"cash": Decimal(8)})
        final = q.last_snapshot(BOOK)
        assert final is not None
        assert (final.at, final.seq, final.state) == (NOW + 2, None, {"cash": Decimal(8)})


async def test_the_equity_curve_is_thinned_and_ends_with_the_newest(journal: Journal, database_url: str) -> None:
    for number in range(1_000):
        journal.append(equity(NOW + number, float(number)))
    await journal.flush()
    with Queries(database_url) as q:
        thin = q.equity(run="run1", limit=100)
        assert 90 <= len(thin) <= 101
        assert thin[-1].equity == 999.0
        assert [one.at for one in thin] == sorted(one.at for one in thin)
        assert len(q.equity(since=NOW + 990, until=NOW + 994)) == 5
        assert len(q.equity(limit=5_000)) == 1_000


async def test_the_equity_curve_is_thinned_alike_where_rows_in_between_are_missing(journal: Journal, database_url: str) -> None:
    for number in range(300):
        journal.append(equity(NOW + number, float(number)))
    await journal.flush()
    with Queries(database_url) as q:
        alone = q.equity(run="run1", limit=50)
        change(database_url, "DELETE FROM equity WHERE row % 3 = 0")
        among = q.equity(run="run1", limit=50)
    assert 40 <= len(alone) <= 51
    assert 40 <= len(among) <= 51
    gaps = [later.at - earlier.at for earlier, later in pairwise(among)]
    assert max(gaps) <= 2 * min(gaps)


@pytest.mark.parametrize("gaps", [False, True])
async def test_a_thinned_equity_curve_keeps_the_deepest_fall(journal: Journal, database_url: str, gaps: bool) -> None:
    for number in range(300):
        journal.append(replace(equity(NOW + number, float(number)), drawdown=0.4 if number == 153 else 0.01))
    await journal.flush()
    if gaps:
        change(database_url, "DELETE FROM equity WHERE row % 7 = 0 AND drawdown < 0.4")
    with Queries(database_url) as q:
        for limit in (7, 11, 40):
            thin = q.equity(book=BOOK, limit=limit)
            assert max(point.drawdown or 0.0 for point in thin) == 0.4
            assert thin[-1].equity == (299.0 if not gaps else max(point.equity or 0.0 for point in q.equity()))
            assert [point.at for point in thin] == sorted(point.at for point in thin)
            assert len(thin) <= limit + 2


async def test_what_is_asked_for_since_a_moment_leaves_out_what_was_before(journal: Journal, database_url: str) -> None:
    kinds = (Verdict, LotClosed, ShadowClosed, OverrideClosed)
    for number in range(6):
        for fact in every_fact():
            if isinstance(fact, kinds):
                journal.append(replace(fact, at=NOW + number))
            if isinstance(fact, Verdict):
                journal.append(replace(fact, id=f"alone{number}", at=NOW + number, outranked=()))
    await journal.flush()
    since = NOW + 4
    with Queries(database_url) as q:
        for found in (q.lots(since=since), q.shadow_trades(since=since), q.overrides(since=since), q.conflicts(BOOK, since, 100)):
            assert [each.at for each in found] == [NOW + 5, NOW + 4]
        assert all(each.outranked for each in q.conflicts(BOOK, 0, 100))
        assert len(q.conflicts(BOOK, 0, 100)) == 6
        assert len(q.conflicts(BOOK, 0, 2)) == 2


async def test_questions_asked_together_find_what_each_finds_alone(journal: Journal, database_url: str) -> None:
    for number in range(3):
        journal.append(DecisionSeen(NOW + number, decision(number)))
        journal.append(equity(NOW + number, float(number)))
    await journal.flush()
    with Queries(database_url) as q:
        assert q.together(lambda one: (one.decisions(), one.equity(), one.runs())) == (q.decisions(), q.equity(), q.runs())
        assert q.together(lambda one: one.together(lambda again: again.path)) == q.path


def test_questions_asked_together_of_a_missing_journal_are_an_error(nowhere_url: str) -> None:
    with pytest.raises(JournalUnavailable, match=r"does not exist|holds no journal"), Queries(nowhere_url) as q:
        q.together(lambda one: one.runs())


def test_a_missing_journal_is_an_error_not_an_empty_answer(nowhere_url: str) -> None:
    with pytest.raises(JournalUnavailable, match=r"does not exist|holds no journal"), Queries(nowhere_url) as q:
        q.runs()


def test_a_server_that_is_not_there_is_an_error_not_an_empty_answer(server_url: str) -> None:
    for url in (another_database(server_url, "nowhere"), f"postgresql://bot:hunter2@127.0.0.1:{free_port()}/journal"):
        with pytest.raises(JournalUnavailable, match=r"does not exist|refused") as caught, Queries(url) as q:
            q.runs()
        assert "hunter2" not in str(caught.value)


def test_a_broken_journal_is_an_error_not_an_empty_answer(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "journal.db").write_bytes(b"x" * 5_000)
    with Queries(sqlite_url) as q, pytest.raises(JournalCorrupt, match=r"journal\.db"):
        q.runs()
    with pytest.raises(JournalCorrupt):
        check(sqlite_url)


async def test_queries_cannot_write(journal: Journal, database_url: str) -> None:
    with closing(open_database(database_url)) as database, pytest.raises(JournalUnavailable, match=r"read-?only"):
        database.run(lambda connection: connection.execute(runs.delete()))
    assert rows(database_url, "SELECT count(*) FROM runs") == [(1,)]


async def test_retention_spares_orders_fills_open_decisions_and_the_present(
    tmp_path: Path, journal: Journal, database_url: str
) -> None:
    old = NOW - 40 * DAY_MS
    for number in (1, 2, 3):
        journal.append(DecisionSeen(old, replace(decision(number), created=old)))
    journal.append(fate(1, at=old))  # has an order: stays whole
    journal.append(fate(2, Fate.EXPIRED, at=old))  # may go; d3 is open
    journal.append(order(1, OrderState.FILLED, at=old))
    journal.append(fill_of(at=old))
    for at in (old, NOW):
        journal.append(equity(at))
    for amount in ("1", "2"):
        journal.append(PositionChanged(old, "BTC/USDT", Decimal(amount), None, 1.0, Decimal(0), 0.0, None))
    await journal.flush()
    done = retire(database_url, tmp_path, NOW, Retention(row_days=30))
    assert done.rows == 4
    assert rows(database_url, "SELECT id FROM decisions ORDER BY id") == [("d1",), ("d3",)]
    assert rows(database_url, "SELECT decision_id FROM fates") == [("d1",)]
    assert rows(database_url, "SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM fills") == [(1,), (1,)]
    assert rows(database_url, "SELECT at FROM equity") == [(NOW,)]
    assert rows(database_url, "SELECT amount FROM positions") == [("2",)]
    assert retire(database_url, tmp_path, NOW, Retention(row_days=30)).rows == 0


async def test_old_and_surplus_segments_go_oldest_first(tmp_path: Path, database_url: str) -> None:
    from bot.core.inputs import Wake

    for number in range(4):
        journal = journal_of(database_url, tmp_path)
        journal.begin(run_of(f"r{number}"), Watcher().watch)
        for at in range(100):
            journal.input(Wake(NOW + number * DAY_MS + at))
        await journal.close(NOW)
    size = next((tmp_path / "segments" / "r0").iterdir()).stat().st_size
    done = retire(database_url, tmp_path, NOW + 3 * DAY_MS, Retention(None, 2, None))
    assert (done.segments, done.segment_bytes) == (1, size)
    assert not (tmp_path / "segments" / "r0").exists()
    done = retire(database_url, tmp_path, NOW + 3 * DAY_MS, Retention(None, None, int(size * 1.5)))
    assert done.segments == 2
    assert [path.name for path in (tmp_path / "segments").iterdir()] == ["r3"]
    assert rows(database_url, "SELECT run FROM segments") == [("r3",)]


async def test_a_backup_of_a_running_journal_is_whole_and_opens(tmp_path: Path, sqlite_url: str) -> None:
    journal = journal_of(sqlite_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    for number in range(3_000):
        journal.append(DecisionSeen(NOW, decision(number)))
    await journal.flush()
    for number in range(2_000):
        journal.append(fate(number))
    copy = tmp_path / "copies" / "journal.db"
    assert backup(sqlite_url, copy) == copy.stat().st_size
    check(f"sqlite:///{copy}")
    with Queries(f"sqlite:///{copy}") as q:
        assert len(q.decisions(limit=10_000)) == 3_000
    with pytest.raises(JournalError, match="exists already"):
        backup(sqlite_url, copy)
    await journal.close(NOW)


def test_a_backup_on_a_server_is_left_to_its_own_tools(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="pg_dump") as caught:
        backup("postgresql://bot:hunter2@db/journal", tmp_path / "copy")
    assert "hunter2" not in str(caught.value)


async def test_a_check_follows_every_reference(tmp_path: Path, journal: Journal, database_url: str) -> None:
    journal.append(order(filled="0.0050"))
    await journal.flush()
    check(database_url)
    if is_postgres(database_url):
        # As only a superuser can, or a disk.
        change(database_url, "SET session_replication_role = replica", "DELETE FROM orders")
    else:
        change(database_url, "DELETE FROM orders")
    with pytest.raises(JournalCorrupt, match="a row of order_events refers to nothing in orders"):
        check(database_url)


async def test_a_check_finds_a_damaged_page(tmp_path: Path, sqlite_url: str) -> None:
    journal = journal_of(sqlite_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    for number in range(2_000):
        journal.append(fate(number))
    await journal.close(NOW)
    check(sqlite_url)
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    content[-4096 * 20 : -4096 * 10] = b"\xa5" * (4096 * 10)
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt, match=r"journal\.db is damaged"):
        check(sqlite_url)
