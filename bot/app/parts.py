"""Parts of a run that the settings shape."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from bot.app.telling import WatcherNotifier
from bot.app.world import World
from bot.core.decision import derive_id
from bot.core.desk import TradingDesk
from bot.core.effects import Notify
from bot.core.orders import ZERO
from bot.journal.journal import JournalLimits
from bot.journal.segments import SegmentLimits
from bot.outlets.command import CommandHandler
from bot.outlets.envelope import Identity, masking
from bot.outlets.listener import ListenerSettings, Readiness
from bot.outlets.local_feed import LocalSettings
from bot.outlets.notify import LogNotifier
from bot.outlets.outlets import Outlets, OutletSettings
from bot.outlets.redis_feed import RedisSettings
from bot.secrets import Secrets
from bot.services.notifying.opening import open_channels
from bot.services.quantconnect.access import budget_of, credentials_of
from bot.services.use_case import Ground
from bot.settings import Loaded, RunWatcher, Settings
from sources.quantconnect.budget import Budget
from sources.quantconnect.limits import Limits

_LOCAL_REDIS = "redis://127.0.0.1:6379/0"


def outlets(
    settings: Settings,
    identity: Identity,
    secrets: Secrets,
    watcher: RunWatcher,
    version: str,
    now: Callable[[], int],
    obey: CommandHandler,
    ready: Readiness,
) -> Outlets:
    """Redis, the local feed, metrics, health and notifications."""
    url = {"auto": _LOCAL_REDIS, "off": None}.get(settings.redis.url, settings.redis.url)
    command_secret = secrets.get("REDIS_COMMAND_SECRET")
    return Outlets(
        identity,
        OutletSettings(
            data_dir=settings.bot.data_dir,
            redis=RedisSettings(
                url,
                prefix=settings.redis.prefix,
                streams=settings.redis.streams,
                stream_length=settings.redis.stream_length,
                buffer=settings.feed.buffer,
            ),
            command_secret=None if command_secret is None else command_secret.value,
            local=LocalSettings(port=settings.feed.port, queue=settings.feed.buffer),
            listener=ListenerSettings(
                settings.metrics.host, settings.metrics.port, settings.metrics.allow_remote, settings.metrics.enabled
            ),
        ),
        now=now,
        handler=obey,
        ready=ready,
        notifiers=(LogNotifier(), WatcherNotifier(watcher)),
        channels=open_channels(settings, secrets, identity, now),
        redact=masking(secrets.values()),
        version=version,
    )


def ground(
    loaded: Loaded, secrets: Secrets, now: Callable[[], int], world: World, run: str, notify: Callable[[Notify], None]
) -> Ground:
    """What use cases stand on: an embedded world has services of its own, and nothing in it asks the real ones."""
    settings, services = loaded.settings, world.services
    if services is None:
        who = credentials_of(settings, secrets)
        return Ground(loaded, secrets, now, who, budget=budget_of(settings), run=run, notify=notify)
    # A simulated service sets no limit, and a demonstration looks more often than one would.
    budget = Budget(Limits(requests=600, burst=30))
    return Ground(
        loaded,
        secrets,
        now,
        services.quantconnect,
        simulated=True,
        budget=budget,
        llm=services.llm,
        keys=services.keys,
        run=run,
        notify=notify,
    )


def journal_limits(settings: Settings) -> JournalLimits:
    """The journal's bounds."""
    journal = settings.journal
    return JournalLimits(segments=SegmentLimits(segment_bytes=journal.segment_bytes), ballast_bytes=journal.ballast_bytes)


def balances(desk: TradingDesk) -> dict[str, Decimal]:
    """The paper account that belongs to the desk's books: its cash, and what it holds."""
    balances = {desk.portfolio.currency: desk.portfolio.cash}
    for symbol, position in desk.portfolio.positions.items():
        if position.amount > ZERO:
            base = symbol.partition("/")[0]
            balances[base] = balances.get(base, ZERO) + position.amount
    return balances


def run_id(now: int) -> str:
    """A name that sorts by time and that two starts do not share."""
    moment = datetime.fromtimestamp(now / 1_000, UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{derive_id(now, os.getpid(), length=4)}"
