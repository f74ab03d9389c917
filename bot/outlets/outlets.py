"""All outlets behind one door: the runtime publishes an event, and every outlet gets the same message.

Publishing never waits and never raises. An event that nobody follows is only counted, so that the numbers stay true for whoever
comes later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from bot.core.effects import Notify
from bot.core.market import Candle, Quote
from bot.outlets.admission import Admission, AdmissionLimits
from bot.outlets.command import Command, CommandHandler, CommandResult
from bot.outlets.envelope import KINDS, Encoder, Heartbeat, Identity, Message, Publishable, Redact
from bot.outlets.listener import Listener, ListenerSettings, Readiness
from bot.outlets.local_feed import LocalFeed, LocalSettings, LocalStats
from bot.outlets.metrics import Metrics
from bot.outlets.notify import LogNotifier, Notifications, Notifier, NotifySettings
from bot.outlets.notifying.channels import Channels
from bot.outlets.redis_commands import RedisCommands, RedisCommandSettings, RedisCommandStats
from bot.outlets.redis_feed import FeedState, RedisFeed, RedisSettings, RedisStats

_log = structlog.get_logger(__name__)

_LAG_STEP = 0.25
_LAG_KEPT = 20


@dataclass(frozen=True, slots=True)
class OutletSettings:
    """What follows the desk. Without a `data_dir` there is no local feed; `heartbeat` is in seconds.

    Without a `command_secret` no commands are taken over Redis.
    """

    data_dir: Path | None = None
    redis: RedisSettings = field(default_factory=RedisSettings)
    local: LocalSettings = field(default_factory=LocalSettings)
    listener: ListenerSettings = field(default_factory=ListenerSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    heartbeat: float = 5.0
    command_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class OutletStats:
    """What the outlets have done so far. `last` is the newest `seq` by channel; `failures` counts events nobody could encode."""

    last: Mapping[str, int]
    failures: int
    redis: RedisStats
    local: LocalStats | None
    notifications: Mapping[str, int]
    loop_lag: float
    redis_commands: RedisCommandStats | None = None


async def _no_commands(command: Command) -> CommandResult:
    return CommandResult(ok=False, error=f"this bot takes no commands, so not {command.name!r} either")


class Outlets:
    """Redis, the local feed, metrics, health and notifications of one run.

    `now` gives the desk's time in milliseconds; `handler` carries out the commands of local clients; `ready` says why the bot is
    not ready; `redact` sees every message but market data before it leaves; `channels` lead to a person elsewhere.
    """

    def __init__(
        self,
        identity: Identity,
        settings: OutletSettings,
        *,
        now: Callable[[], int],
        handler: CommandHandler = _no_commands,
        ready: Readiness = tuple,
        notifiers: Sequence[Notifier] | None = None,
        channels: Channels | None = None,
        redact: Redact | None = None,
        version: str = "0",
    ) -> None:
        self.metrics = Metrics(identity, version)
        self.redis = RedisFeed(settings.redis)
        self.local = LocalFeed(settings.data_dir, identity, handler, settings.local) if settings.data_dir else None
        self.commands = self._redis_commands(identity, settings, handler, redact)
        self.listener = Listener(settings.listener, self.metrics, ready)
        self.channels = channels or Channels()
        self.notifications = Notifications(
            (LogNotifier(),) if notifiers is None else notifiers,
            settings.notify,
            channels=self.channels.on,
            admits=self.channels.admits,
            archive=self.channels.log,
        )
        self._settings = settings
        self._encoder = Encoder(identity, redact)
        self._now = now
        self._started = now()
        self._failures: dict[type, int] = {}
        self._lags = [0.0] * _LAG_KEPT
        self._pulse: asyncio.Task[None] | None = None
        self._bind()

    def publish(self, event: Publishable) -> None:
        """Tell every outlet of a fact or a market event. Never waits, never raises."""
        try:
            if not isinstance(event, (Quote, Candle, Heartbeat)):
                self.metrics.observe(event)
            local, redis = self.local, self.redis.enabled
            followed = local is not None and local.wants(KINDS[type(event)].channel)
            if not (redis or followed):
                self._encoder.skip(event)
                return
            message = self._encoder.encode(event)
            if redis:
                self.redis.publish(message)
            if followed and local is not None:
                local.publish(message)
        except Exception:  # noqa: BLE001 - the outlets' boundary: what cannot be told must not stop trading
            self._count_failure(type(event))

    def notify(self, notice: Notify) -> None:
        """Tell the person. Never waits, never raises."""
        self.notifications.put(notice)

    async def start(self) -> None:
        """Open everything. `OutletError` if an address cannot be had; an absent Redis is not an error."""
        try:
            if self._settings.listener.enabled:
                await self.listener.start()
            if self.local is not None:
                await self.local.start()
            await self.redis.start()
            if self.commands is not None:
                await self.commands.start()
            await self.notifications.start()
        except BaseException:
            await self.close(timeout=0.1)
            raise
        self._pulse = asyncio.create_task(self._beat(), name="outlets-pulse")

    async def close(self, timeout: float = 1.0) -> None:
        """Send what is left, each outlet for at most `timeout` seconds and all at once, then close them."""
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.gather(self._pulse, return_exceptions=True)
            self._pulse = None
        closing = [self.redis.close(timeout), self.notifications.close(timeout), self.listener.close()]
        if self.local is not None:
            closing.append(self.local.close(timeout))
        if self.commands is not None:
            closing.append(self.commands.close(timeout))
        for failure in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(failure, BaseException):
                _log.error("outlet_close_failed", error=repr(failure))

    def stats(self) -> OutletStats:
        """What the outlets have done so far."""
        local = self.local.stats() if self.local else None
        notified = self.notifications.outcomes
        commands = None if self.commands is None else self.commands.stats()
        lag, failures = max(self._lags), sum(self._failures.values())
        return OutletStats(self._encoder.last, failures, self.redis.stats(), local, notified, lag, commands)

    def _redis_commands(
        self, identity: Identity, settings: OutletSettings, handler: CommandHandler, redact: Redact | None
    ) -> RedisCommands | None:
        """Where commands come in over Redis; a nonce is known whichever way it came first."""
        if settings.redis.url is None or settings.command_secret is None:
            return None
        admission = Admission(identity, handler, AdmissionLimits(seconds=settings.local.command))
        source = RedisCommandSettings(settings.redis.url, settings.redis.prefix, settings.command_secret)
        return RedisCommands(source, identity, self.local.admission if self.local else admission, redact)

    async def _beat(self) -> None:
        """Measure how late the loop wakes us, and say every so often that the bot is alive."""
        loop = asyncio.get_running_loop()
        due, place = loop.time(), 0
        while True:
            if loop.time() >= due:
                due = loop.time() + self._settings.heartbeat
                self.publish(self._heartbeat())
            before = loop.time()
            await asyncio.sleep(_LAG_STEP)
            self._lags[place] = max(0.0, loop.time() - before - _LAG_STEP)
            place = (place + 1) % _LAG_KEPT

    def _count_failure(self, kind: type) -> None:
        """Count an event that could not be told; log the first of each type, since thousands may follow it."""
        if kind not in self._failures:
            _log.exception("publish_failed", event_type=kind.__name__)
        self._failures[kind] = self._failures.get(kind, 0) + 1

    def _heartbeat(self) -> Heartbeat:
        at = self._now()
        redis = self.redis.stats()
        return Heartbeat(at, at - self._started, redis.state.value, sum(redis.dropped.values()), self._encoder.last)

    def _bind(self) -> None:
        """The metrics that the outlets themselves can answer."""
        bind = self.metrics.bind
        bind("bot_loop_lag_seconds", lambda: max(self._lags))
        bind("bot_outlet_messages", self._sent)
        bind("bot_outlet_drops", self._dropped)
        bind("bot_outlet_failures", lambda: sum(self._failures.values()))
        bind("bot_redis_up", lambda: self.redis.state is FeedState.UP)
        bind("bot_redis_reconnects", lambda: self.redis.stats().reconnects)
        bind("bot_local_clients", lambda: self.local.stats().clients if self.local else 0)
        bind("bot_notifications", lambda: self.notifications.outcomes)

    def _sent(self) -> dict[str, float]:
        return {"redis": self.redis.stats().published, "local": self.local.stats().sent if self.local else 0}

    def _dropped(self) -> dict[str, float]:
        redis = sum(self.redis.stats().dropped.values())
        return {"redis": redis, "local": self.local.stats().dropped if self.local else 0}


__all__ = ["Identity", "Message", "OutletSettings", "OutletStats", "Outlets"]
