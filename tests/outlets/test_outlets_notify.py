from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.core.effects import Notify, Severity
from bot.outlets.notify import LogNotifier, Notifications, NotifySettings


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Letterbox:
    """A notifier that keeps what it was given."""

    name = "letterbox"

    def __init__(self, error: Exception | None = None) -> None:
        self.kept: list[Notify] = []
        self.error = error

    async def send(self, notice: Notify) -> None:
        if self.error:
            raise self.error
        self.kept.append(notice)


class Hang:
    name = "hang"

    async def send(self, notice: Notify) -> None:
        await asyncio.Event().wait()


def notice(text: str = "x", severity: Severity = Severity.WARNING) -> Notify:
    return Notify(severity, "Market data", text)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def told(clock: Clock, *notices: Notify | float, **settings: Any) -> tuple[list[Notify], dict[str, int]]:
    """What arrives of these notices; a number lets so many seconds pass."""
    box = Letterbox()
    notifications = Notifications((box,), NotifySettings(**settings), clock)
    await notifications.start()
    for item in notices:
        if isinstance(item, Notify):
            notifications.put(item)
        else:
            clock.now += item
    await notifications.close()
    return box.kept, dict(notifications.outcomes)


async def test_every_notifier_is_told_in_order(clock: Clock) -> None:
    kept, outcomes = await told(clock, notice("a"), notice("b"))
    assert kept == [notice("a"), notice("b")]
    assert outcomes["sent"] == 2


async def test_the_same_notice_is_told_once_in_its_window_and_then_says_how_often(clock: Clock) -> None:
    kept, outcomes = await told(clock, notice(), notice(), notice(), 299.0, notice(), 1.0, notice(), 300.0, notice())
    assert [item.text for item in kept] == ["x", "x (and 3 times since it was last told)", "x"]
    assert outcomes["repeated"] == 3


DIFFER = Notify(Severity.CRITICAL, "The account and the books differ: no entries", "BTC: 1 against 2")
EXPLAINED = Notify(Severity.INFO, "The account is explained again", "entries are admitted")


async def test_the_last_that_is_told_of_the_account_is_how_it_is(clock: Clock) -> None:
    changes = (DIFFER, 10.0, EXPLAINED, 10.0, DIFFER)
    kept, _ = await told(clock, *changes)
    assert kept == [DIFFER, EXPLAINED, DIFFER]
    kept, _ = await told(clock, *changes, 1.0, EXPLAINED)
    assert kept == [DIFFER, EXPLAINED, DIFFER, EXPLAINED]


DEGRADED = Notify(Severity.WARNING, "The venue is degraded", "breaker open")
ANSWERS = Notify(Severity.INFO, "The venue answers again", "binance")


async def test_a_venue_that_flaps_is_told_once_in_the_window_and_the_last_that_is_told_is_how_it_is(clock: Clock) -> None:
    flapping = [change for _ in range(20) for change in (DEGRADED, 2.0, ANSWERS, 2.0)]
    kept, _ = await told(clock, *flapping)
    assert kept == [DEGRADED, ANSWERS]
    clock.now += 1_000
    kept, _ = await told(clock, DEGRADED, 2.0, ANSWERS, 2.0, DEGRADED, 296.0, notice())
    assert kept[:2] == [DEGRADED, ANSWERS]
    assert sorted(kept[2:], key=str) == sorted([notice(), DEGRADED], key=str), "the window is over and it still is degraded"


async def test_a_fault_that_came_again_is_told_by_itself_when_its_window_is_over() -> None:
    box = Letterbox()
    notifications = Notifications((box,), NotifySettings(window=0.2))
    await notifications.start()
    for change in (DEGRADED, ANSWERS, DEGRADED):
        notifications.put(change)
    async with asyncio.timeout(20):
        while len(box.kept) < 3:
            await asyncio.sleep(0.01)
    await notifications.close()
    assert box.kept == [DEGRADED, ANSWERS, DEGRADED]


async def test_what_is_held_back_is_bounded_by_what_is_remembered(clock: Clock) -> None:
    notifications = Notifications((), NotifySettings(remembered=10, per_minute=10_000), clock)
    faults = [Notify(Severity.WARNING, "The venue is degraded", str(number)) for number in range(100)]
    for change in (*faults, ANSWERS, *reversed(faults)):
        notifications.put(change)
    assert 1 <= len(notifications._held) <= 10


async def test_the_all_clear_of_one_thing_does_not_take_back_what_is_held_of_another(clock: Clock) -> None:
    fails = Notify(Severity.WARNING, "The account is not reconciled", "no answer; trading goes on")
    again = Notify(Severity.INFO, "The account is reconciled again", "after 3 passes that failed")
    box = Letterbox()
    notifications = Notifications((box,), NotifySettings(), clock)
    await notifications.start()
    for change in (fails, again, fails, ANSWERS):
        notifications.put(change)
    clock.now += 300
    notifications.put(notice())
    await notifications.close()
    assert box.kept.count(fails) == 2


async def test_an_all_clear_of_the_account_makes_nothing_else_new(clock: Clock) -> None:
    kept, outcomes = await told(clock, notice(), DIFFER, DIFFER, EXPLAINED, EXPLAINED, notice())
    assert kept == [notice(), DIFFER, EXPLAINED]
    assert outcomes["repeated"] == 3


async def test_a_minute_has_room_for_so_many_but_always_for_a_critical_one(clock: Clock) -> None:
    many = [notice(str(number)) for number in range(5)]
    kept, outcomes = await told(clock, *many, notice("halt", Severity.CRITICAL), 60.0, notice("later"), per_minute=3)
    assert [item.text for item in kept] == ["0", "1", "2", "halt", "later"]
    assert outcomes["limited"] == 2


async def test_a_full_queue_drops_the_oldest_and_keeps_the_critical(clock: Clock) -> None:
    kept, outcomes = await told(clock, notice("halt", Severity.CRITICAL), notice("a"), notice("b"), notice("c"), queue=3)
    assert [item.text for item in kept] == ["halt", "b", "c"]
    assert outcomes["overflowed"] == 1


async def test_what_is_remembered_is_bounded(clock: Clock) -> None:
    notifications = Notifications((), NotifySettings(remembered=10, per_minute=10_000), clock)
    for number in range(1_000):
        notifications.put(notice(str(number)))
    assert len(notifications._told) == 10
    assert notifications.outcomes["overflowed"] == 800


async def test_a_notifier_that_fails_is_counted_names_no_secret_and_does_not_stop_the_others(clock: Clock) -> None:
    box = Letterbox()
    notifications = Notifications((Letterbox(OSError("https://hooks/hunter2secret")), box), NotifySettings(), clock)
    with capture_logs() as logs:
        await notifications.start()
        notifications.put(notice("a"))
        notifications.put(notice("b"))
        await notifications.close()
    assert [item.text for item in box.kept] == ["a", "b"]
    assert (notifications.outcomes["sent"], notifications.outcomes["failed"]) == (2, 2)
    assert "hunter2secret" not in repr(logs)


async def test_a_notifier_that_hangs_is_given_up(clock: Clock) -> None:
    notifications = Notifications((Hang(),), NotifySettings(timeout=0.02), clock)
    await notifications.start()
    notifications.put(notice())
    await notifications.close(timeout=5)
    assert notifications.outcomes["failed"] == 1


async def test_the_log_gets_the_severity() -> None:
    with capture_logs() as logs:
        for severity in Severity:
            await LogNotifier().send(notice("t", severity))
    assert [line["log_level"] for line in logs] == ["info", "warning", "critical"]
    assert logs[0]["title"] == "Market data"
