"""Alerts of a run: who watches it, where there is a channel to tell; use cases find the channels here."""

from __future__ import annotations

from collections.abc import Callable

from bot.app.world import World
from bot.outlets.alerts import AlertRules, Alerts
from bot.outlets.notifying.watch import Watch
from bot.outlets.outlets import Outlets
from bot.runtime.hosting import SourceHost
from bot.services.notifying.opening import HELD
from bot.services.use_case import Ground
from bot.settings import Settings


def alert_watch(
    settings: Settings, outlets: Outlets, ground: Ground, world: World, host: SourceHost, now: Callable[[], int]
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
    return Watch(Alerts(rules), outlets.notifications.alert, now, lambda: host.troubles)
