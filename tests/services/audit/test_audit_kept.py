from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.services.audit.entry import Entry, Outcome
from bot.services.audit.live import AuditLimits, LiveAudit
from bot.services.audit.store import AuditStore, Scene, Wanted
from bot.services.audit.use_cases import ListArgs
from bot.services.ground import own_ground
from bot.services.use_case import use_case
from bot.settings import load

PATIENCE = 10.0
REAL = Scene("main", "run-1", "paper", simulated=False)
GAME = Scene("main", "run-2", "demo", simulated=True)


def line(at: int, command: str = "kill", actor: str = "cli", **more: Any) -> Entry:
    what = Entry(at, actor, command, "", {"reason": "x"}, {"state": "active"}, {"state": "halted"}, Outcome.OK, "", f"nonce-{at}")
    return replace(what, **more)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AuditStore]:
    store = await AuditStore.open(url)
    try:
        yield store
    finally:
        await store.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_lines_are_kept_whole_and_found_by_who_what_and_when(journal: str) -> None:
    async with opened(journal) as store:
        await store.keep(REAL, [line(1_000), line(2_000, "resume", "web:anna", before=None, target="desk")])
        await store.keep(GAME, [line(3_000, outcome=Outcome.REFUSED, detail="no")])
        newest, anna, first = await store.newest(Wanted(), 10)
        assert (newest["number"], anna["number"], first["number"]) == (3, 2, 1)
        assert (newest["outcome"], newest["detail"], newest["simulated"], newest["run"]) == ("refused", "no", True, "run-2")
        assert first == {
            "number": 1,
            "id": first["id"],
            "at": 1_000,
            "bot": "main",
            "run": "run-1",
            "mode": "paper",
            "simulated": False,
            "actor": "cli",
            "command": "kill",
            "target": "",
            "args": {"reason": "x"},
            "before": {"state": "active"},
            "after": {"state": "halted"},
            "outcome": "ok",
            "detail": "",
            "nonce": "nonce-1000",
        }
        for wanted, numbers in (
            (Wanted(actor="web:anna"), [2]),
            (Wanted(command="kill"), [3, 1]),
            (Wanted(since=2_000), [3, 2]),
            (Wanted(until=2_000), [1]),
            (Wanted(simulated=True), [3]),
            (Wanted(simulated=False), [2, 1]),
            (Wanted(before=3), [2, 1]),
            (Wanted(actor="' OR 1=1 --"), []),
        ):
            assert [row["number"] for row in await store.newest(wanted, 10)] == numbers
        assert [row["number"] for row in await store.newest(Wanted(), 1)] == [3]


async def test_a_line_whose_write_was_cut_short_is_there_only_once(journal: str) -> None:
    async with opened(journal) as store:
        again = line(1_000)
        await store.keep(REAL, [again])
        await store.keep(REAL, [again, line(2_000)])
        assert [row["at"] for row in await store.newest(Wanted(), 10)] == [2_000, 1_000]


async def test_what_is_too_old_or_too_much_goes_and_numbers_go_on(journal: str) -> None:
    async with opened(journal) as store:
        await store.keep(REAL, [line(at) for at in range(1, 3_001)])
        assert await store.retire(501, 10_000) == 500
        assert await store.retire(None, 1_000) == 1_500
        assert await store.retire(None, 1_000) == 0
        kept = await store.newest(Wanted(), 500)
        assert kept[0]["number"] == 3_000
        await store.keep(REAL, [line(9_000)])
        assert (await store.newest(Wanted(), 1))[0]["number"] == 3_001


async def test_two_writers_at_once_never_take_the_same_number(journal: str) -> None:
    async with opened(journal) as one, opened(journal) as other:
        await asyncio.gather(*(store.keep(REAL, [line(at)]) for at in range(10) for store in (one, other)))
        numbers = [row["number"] for row in await one.newest(Wanted(), 100)]
    assert numbers == list(range(20, 0, -1))


async def test_a_run_writes_what_comes_and_at_its_end_what_waits(journal: str) -> None:
    audit = LiveAudit(journal, REAL, lambda: 5_000)
    task = asyncio.create_task(audit.run())
    audit.put(line(1_000))
    await until(lambda: audit.written == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    audit.put(line(2_000))
    await audit.close(5.0)
    assert audit.report() == {"written": 2, "waiting": 0, "dropped": 0, "failures": 0}
    async with opened(journal) as store:
        assert [row["at"] for row in await store.newest(Wanted(), 10)] == [2_000, 1_000]


async def test_a_database_that_cannot_be_used_is_tried_again_and_costs_only_the_oldest(tmp_path: Path) -> None:
    path = tmp_path / "later" / "arbiter.db"
    audit = LiveAudit(f"sqlite:///{path}", REAL, lambda: 0, AuditLimits(waiting=3, retry=0.01, retry_longest=0.02))
    with capture_logs() as logs:
        task = asyncio.create_task(audit.run())
        for at in range(5):
            audit.put(line(at))
        await until(lambda: audit.failures >= 2)
        assert audit.report()["waiting"] == 3
        assert audit.dropped == 2
        path.parent.mkdir()
        await asyncio.to_thread(upgrade, f"sqlite:///{path}")
        await until(lambda: audit.written == 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await audit.close(5.0)
    assert {entry["event"] for entry in logs} >= {"audit_unavailable", "audit_line_dropped"}
    async with opened(f"sqlite:///{path}") as store:
        assert [row["at"] for row in await store.newest(Wanted(), 10)] == [4, 3, 2]


async def test_old_lines_go_while_the_run_lasts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'arbiter.db'}"
    upgrade(url)
    audit = LiveAudit(url, REAL, lambda: 10_000, AuditLimits(keep_ms=1_000, upkeep=0.01))
    task = asyncio.create_task(audit.run())
    audit.put(line(8_999))
    audit.put(line(9_001))
    async with opened(url) as store:
        async with asyncio.timeout(PATIENCE):
            while [row["at"] for row in await store.newest(Wanted(), 10)] != [9_001]:
                await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await audit.close(5.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    upgrade(f"sqlite:///{tmp_path / 'arbiter.db'}")
    return tmp_path


async def test_the_list_is_read_page_by_page_by_any_process(home: Path) -> None:
    loaded = load(None, environ={"ARBITER_BOT__DATA_DIR": str(home)})
    async with opened(loaded.settings.database_url) as store:
        await store.keep(REAL, [line(at) for at in range(5)])
    case = use_case("audit.list")
    async with own_ground(loaded, Secrets(home, {}), lambda: 0) as ground:
        pages = []
        before: object = None
        while True:
            page: Any = await case.run(ground, case.read({"limit": 2, "before": before}), lambda _: None)
            pages.append([row["at"] for row in page["lines"]])
            before = page["next"]
            if before is None:
                break
    assert pages == [[4, 3], [2, 1], [0]]
    assert ListArgs().limit == 50
