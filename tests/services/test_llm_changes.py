"""How loud it is told that a language model fails, and that it may be asked again."""

from __future__ import annotations

import pytest

from bot.core.effects import Notify, Severity
from bot.outlets.notify import Notifications, NotifySettings
from bot.services.llm.access import _of_change
from sources.llm.health import Change, ChangeKind


@pytest.mark.parametrize("kind", ChangeKind)
def test_a_failure_is_a_warning_and_its_end_an_all_clear(kind: ChangeKind) -> None:
    well = {ChangeKind.ENABLED, ChangeKind.BREAKER_CLOSED, ChangeKind.RESTED}
    assert _of_change(Change(0, kind, "openai")).severity is (Severity.INFO if kind in well else Severity.WARNING)


class Box:
    """A notifier that keeps what it was given."""

    name = "box"

    def __init__(self) -> None:
        self.kept: list[Notify] = []

    async def send(self, notice: Notify) -> None:
        self.kept.append(notice)


async def test_the_last_that_is_told_of_a_model_is_how_it_is() -> None:
    now, box = [1_000.0], Box()
    notifications = Notifications((box,), NotifySettings(), lambda: now[0])
    await notifications.start()
    opened = Change(0, ChangeKind.BREAKER_OPENED, "openai/gpt", "timeout: no answer")
    told = [_of_change(each) for each in (opened, Change(1, ChangeKind.BREAKER_CLOSED, "openai/gpt"), opened)]
    for notice in told:
        notifications.put(notice)
    now[0] += 300
    notifications.put(Notify(Severity.WARNING, "Another thing", "which wakes it"))
    await notifications.close()
    assert box.kept[:2] == told[:2]
    assert told[2] in box.kept[2:]
