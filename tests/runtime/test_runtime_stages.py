"""How long each stage of an order takes, measured in the shell with its real journal and broker."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.core.decision import Action
from bot.core.facts import FillBooked
from bot.core.orders import OrderState
from bot.runtime.shell import ShellRules
from tests.runtime.shell_rig import Rig, running


def counts(rig: Rig) -> dict[str, int]:
    stages = rig.shell.tally.stages
    names = ("intended", "stored", "sent", "accepted", "filled")
    return {name: getattr(stages, name).count for name in names}


@pytest.mark.parametrize("await_intent", [True, False])
async def test_every_stage_of_every_order_is_measured_once(tmp_path: Path, await_intent: bool) -> None:
    async with running(tmp_path, rules=ShellRules(await_intent=await_intent)) as rig:
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        rig.quote(110.0)
        await rig.propose(Action.SELL)
        await rig.facts.count(FillBooked, 2)
        await rig.shell.journal.flush()
        await rig.settled()
        assert counts(rig) == {"intended": 2, "stored": 2, "sent": 2, "accepted": 2, "filled": 2}
        stages = rig.shell.tally.stages
        assert 0 < stages.stored.total < 5
        if await_intent:  # an order that waits for the disk is not sent before
            assert stages.sent.total >= stages.stored.total
        assert rig.shell.tally.to_fill.total >= stages.intended.total


async def test_an_intent_that_cannot_be_stored_was_neither_stored_nor_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.quote(100.0)
        await rig.settled()
        await rig.shell.journal.flush()
        with closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await rig.propose(Action.BUY)
            await rig.facts.until(lambda: OrderState.CANCELLED in rig.facts.states())
            assert counts(rig) | {"intended": 0} == dict.fromkeys(counts(rig), 0)
            other.execute("ROLLBACK")
        await rig.facts.count(FillBooked)
        assert counts(rig)["sent"] == counts(rig)["filled"] == 1
