"""The delivery log on both engines: what was told stays, so much of it and no more, and no failure of it holds anything up."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.core.effects import Severity
from bot.outlets.notifying import log as log_module
from bot.outlets.notifying.channel import Delivery, Outcome
from bot.outlets.notifying.log import DeliveryLog
from bot.outlets.topics import Topic
from bot.store.errors import StoreUnavailable
from tests.servers import postgres_url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        path = tmp_path / "arbiter.db"
        sqlite3.connect(path).close()
        yield f"sqlite:///{path}"
        return
    with postgres_url() as server:
        yield server


def row(text: str, channel: str = "phone", outcome: Outcome = Outcome.DELIVERED) -> Delivery:
    return Delivery(1_000, channel, Severity.WARNING, Topic.STOPS, "A stop", text, outcome, 2, "" if outcome else "why")


async def test_what_was_told_is_read_back_newest_first_and_by_channel(url: str) -> None:
    log = DeliveryLog(url)
    assert await log.page(10) == () or await log.page(10) == []
    for number in range(5):
        log.add(row(str(number), "mail" if number % 2 else "phone", Outcome.FAILED if number == 3 else Outcome.DELIVERED))
    await log.flush()
    found = await log.page(10)
    assert [each.delivery.text for each in found] == ["4", "3", "2", "1", "0"]
    assert found[1].delivery == row("3", "mail", Outcome.FAILED)
    assert [each.delivery.text for each in await log.page(10, channel="mail")] == ["3", "1"]
    older = await log.page(2, before=found[1].id)
    assert [each.delivery.text for each in older] == ["2", "1"]
    await log.close()


async def test_only_the_newest_rows_are_kept(url: str) -> None:
    log = DeliveryLog(url, keep=10)
    await log.start()
    for number in range(500):
        log.add(row(str(number)))
    await log.close(20.0)
    again = DeliveryLog(url, keep=10)
    assert [each.delivery.text for each in await again.page(50)] == [str(number) for number in range(499, 489, -1)]
    await again.close()


async def test_a_batch_under_way_at_the_end_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite writes in a thread, which nobody can call back."""
    begun, go_on, write = threading.Event(), threading.Event(), log_module._write

    def slowly(*args: Any, **more: Any) -> None:
        begun.set()
        assert go_on.wait(10)
        write(*args, **more)

    monkeypatch.setattr(log_module, "_write", slowly)
    url = f"sqlite:///{tmp_path / 'arbiter.db'}"
    log = DeliveryLog(url)
    await log.start()
    log.add(row("once"))
    assert await asyncio.to_thread(begun.wait, 10)
    closing = asyncio.create_task(log.close(10.0))
    for _ in range(10):
        await asyncio.sleep(0)
    go_on.set()
    await closing
    again = DeliveryLog(url)
    assert [each.delivery.text for each in await again.page(9)] == ["once"]
    await again.close()


async def test_what_finds_no_room_is_dropped_and_counted(tmp_path: Path) -> None:
    log = DeliveryLog(f"sqlite:///{tmp_path / 'arbiter.db'}", waiting=10)
    for number in range(25):
        log.add(row(str(number)))
    assert log.dropped == 15
    await log.flush()
    assert [each.delivery.text for each in await log.page(50)] == [str(number) for number in range(24, 14, -1)]
    await log.close()


async def test_a_database_that_fails_costs_no_row_and_no_wait(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    log = DeliveryLog(f"sqlite:///{folder / 'arbiter.db'}", seconds=0.5)
    await log.start()
    log.add(row("kept"))
    async with asyncio.timeout(10):
        while not log.failures:
            await asyncio.sleep(0.01)
    with pytest.raises(StoreUnavailable):
        await log.flush()
    folder.mkdir()
    await log.flush()
    assert [each.delivery.text for each in await log.page(5)] == ["kept"]
    await log.close()


async def test_to_look_makes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "arbiter.db"
    log = DeliveryLog(f"sqlite:///{path}")
    assert list(await log.page(5)) == []
    assert not path.exists()
    sqlite3.connect(path).close()
    assert list(await log.page(5)) == []
    await log.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
