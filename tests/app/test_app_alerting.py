"""What the watch of a run is shown: sources that ail or whose tasks fail, and the tasks of the bot itself."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from bot.app.alerting import ailing_sources, failing_tasks, hindrance
from bot.core.decision import Action
from bot.core.desk import DeskConfig, TradingDesk
from bot.outlets.alerts import AlertRules, Alerts
from bot.outlets.notifying.watch import Watch
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.supervision import Supervisor
from tests.factories import LLM, T0, a_source
from tests.runtime.shell_rig import running
from tests.services.trading.trading_desk import Ailing


def test_a_dead_source_and_a_dead_task_are_both_handed_to_the_watch() -> None:
    inbox, desk, supervisor = Inbox(), TradingDesk(DeskConfig()), Supervisor()
    host = SourceHost(inbox, Port(inbox, desk, lambda: T0), supervisor)
    host.add_life(Ailing(a_source(LLM), "no answer"))
    assert (ailing_sources(host), failing_tasks(host, supervisor)) == ({LLM: ["no answer"]}, {})
    supervisor.failing.update({f"source {LLM}": "OSError: gone", "feed": "OSError: no route"})
    assert ailing_sources(host) == {LLM: ["no answer", "its task fails: OSError: gone"]}
    assert failing_tasks(host, supervisor) == {"feed": "OSError: no route"}


async def test_a_journal_that_cannot_write_is_told_though_no_order_fails_and_its_recovery_too(tmp_path: Path) -> None:
    heard: list[str] = []
    async with running(tmp_path) as rig:
        journal = rig.shell.journal
        watch = Watch(
            Alerts(AlertRules(settle=0)),
            lambda _, notice: heard.append(notice.title),
            lambda: T0,
            dict,
            dict,
            lambda: hindrance(journal),
        )
        await journal.flush()
        watch.look()
        assert heard == []
        with closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            rig.quote(100.0)
            await rig.propose(Action.SELL)
            async with asyncio.timeout(20):
                while not heard:
                    await asyncio.sleep(0.01)
                    watch.look()
            other.execute("ROLLBACK")
        await journal.flush()
        async with asyncio.timeout(20):
            while len(heard) < 2:
                await asyncio.sleep(0.01)
                watch.look()
    assert heard == ["The journal cannot be written", "The journal can be written again"]
