"""What the watch of a run is shown: sources that ail or whose tasks fail, and the tasks of the bot itself."""

from __future__ import annotations

from bot.app.alerting import ailing_sources, failing_tasks
from bot.core.desk import DeskConfig, TradingDesk
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.supervision import Supervisor
from tests.factories import LLM, T0, a_source
from tests.services.trading.trading_desk import Ailing


def test_a_dead_source_and_a_dead_task_are_both_handed_to_the_watch() -> None:
    inbox, desk, supervisor = Inbox(), TradingDesk(DeskConfig()), Supervisor()
    host = SourceHost(inbox, Port(inbox, desk, lambda: T0), supervisor)
    host.add_life(Ailing(a_source(LLM), "no answer"))
    assert (ailing_sources(host), failing_tasks(host, supervisor)) == ({LLM: ["no answer"]}, {})
    supervisor.failing.update({f"source {LLM}": "OSError: gone", "feed": "OSError: no route"})
    assert ailing_sources(host) == {LLM: ["no answer", "its task fails: OSError: gone"]}
    assert failing_tasks(host, supervisor) == {"feed": "OSError: no route"}
