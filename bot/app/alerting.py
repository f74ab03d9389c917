"""Alerts of a run: who watches it, where there is a channel to tell; use cases find the channels here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bot.app.world import World
from bot.journal.journal import Journal
from bot.outlets.alerts import AlertRules, Alerts
from bot.outlets.notifying.watch import Watch
from bot.outlets.outlets import Outlets
from bot.runtime.hosting import SourceHost, task_name
from bot.runtime.supervision import Supervisor
from bot.services.notifying.opening import HELD
from bot.services.use_case import Ground
from bot.settings import Settings


def alert_watch(
    settings: Settings,
    outlets: Outlets,
    ground: Ground,
    world: World,
    host: SourceHost,
    supervisor: Supervisor,
    journal: Journal,
    now: Callable[[], int],
) -> Watch | None:
    """The watch of a run, None where nobody would hear of what it sees; a channel that is off is said in the banner."""
    channels = ground.held[HELD] = outlets.channels
    world.notices.extend(
        f"notifications.channels.{name} is off: {why}"
        for name, why in channels.off.items()
        if settings.notifications.channels[name].enabled
    )
    if not channels.on:
        return None
    told = settings.notifications
    rules = AlertRules(denials=told.denials_every, errors=told.errors, window=told.errors_within)
    return Watch(
        Alerts(rules),
        outlets.notifications.alert,
        now,
        lambda: ailing_sources(host),
        lambda: failing_tasks(host, supervisor),
        lambda: hindrance(journal),
    )


def ailing_sources(host: SourceHost) -> Mapping[str, Sequence[str]]:
    """What is wrong with each source: what it says itself, and why its task fails."""
    found: dict[str, list[str]] = {name: list(ailments) for name, ailments in host.troubles.items()}
    for name, error in host.failing.items():
        found.setdefault(name, []).append(f"its task fails: {error}")
    return found


def failing_tasks(host: SourceHost, supervisor: Supervisor) -> Mapping[str, str]:
    """Why tasks that are no source's are down or keep failing."""
    of_sources = {task_name(name) for name in host.failing}
    return {task: error for task, error in supervisor.troubles.items() if task not in of_sources}


def hindrance(journal: Journal) -> str | None:
    """What keeps the journal from being written, in a word; None when nothing does."""
    trouble = journal.trouble
    return None if trouble is None else f"{trouble.value}, {journal.pending} rows wait"
