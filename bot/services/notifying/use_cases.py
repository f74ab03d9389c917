"""What people ask of notifications: where they go, whether one arrives, and what became of those that were sent.

A test is a real message. It is sent by whoever is asked, also where no bot runs, and logged like any other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import Field

from bot.core.effects import Severity
from bot.journal.errors import JournalError
from bot.journal.upgrade import upgrade
from bot.outlets.notifying.channel import Channel, Delivery, Outcome
from bot.outlets.notifying.channels import Channels
from bot.outlets.notifying.log import LARGEST_PAGE, DeliveryLog, Logged
from bot.outlets.notifying.service import NotDelivered
from bot.outlets.topics import Topic
from bot.runtime.jobs import Report, Result
from bot.services.notifying.opening import HELD, ChannelOff, service_of
from bot.services.use_case import Arguments, Ground, Missing, UseCase, UseCaseError
from bot.settings.notifications import ChannelSettings
from bot.store.errors import StoreUnavailable

_TEST_SECONDS = 15.0
_HELD_TO_READ = "notify.log.read"


class NoArgs(Arguments):
    """Nothing to say."""


class TryArgs(Arguments):
    """Which channel to try."""

    channel: str = Field(max_length=32, description="a name of notifications.channels; it may be disabled")


class LogArgs(Arguments):
    """Which rows."""

    channel: str | None = Field(None, max_length=32, description="absent: all channels")
    limit: int = Field(50, ge=1, le=LARGEST_PAGE, description="how many, the newest first")
    before: int | None = Field(None, ge=1, description="rows older than the one of this id: `next` of the page before")


async def channels(ground: Ground, args: NoArgs, report: Report) -> Result:
    """Every channel, with its masked address, what it is told, and what became of its last message."""
    del args, report
    settings = ground.loaded.settings.notifications
    held: Channels | None = ground.held.get(HELD)
    rows = [await _channel(ground, name, channel, held) for name, channel in settings.channels.items()]
    silent = [topic.value for topic in Topic if not settings.topics.admits(topic)]
    return {"running": held is not None, "silent_topics": silent, "channels": rows}


async def send_test(ground: Ground, args: TryArgs, report: Report) -> Result:
    """Send a message now, once, and say whether it arrived."""
    del report
    name, settings = args.channel, ground.loaded.settings.notifications
    channel = settings.channels.get(name)
    if channel is None:
        known = ", ".join(settings.channels) or "none; add one under notifications.channels in bot.yaml"
        message = f"no channel is called {name!r}; there are {known}"
        raise Missing(message)
    try:
        service = await asyncio.to_thread(service_of, name, channel, ground.secrets)
    except ChannelOff as error:
        raise UseCaseError(str(error)) from error
    bot = ground.loaded.settings.bot.name
    title = f"[{bot}{' SIMULATED' if ground.simulated else ''}] Test message"
    text = f"If you can read this, the channel {name} works."
    seconds = min(settings.timeout / 1_000, _TEST_SECONDS)
    at, began, detail = ground.now(), time.monotonic(), ""
    try:
        async with asyncio.timeout(seconds + 1.0):
            await service.send(Severity.INFO, title, text, seconds)
    except (NotDelivered, TimeoutError) as error:
        detail = str(error) or f"no answer within {seconds:g} s"
    took = round((time.monotonic() - began) * 1_000)
    outcome = Outcome.FAILED if detail else Outcome.DELIVERED
    await _log(ground, Delivery(at, name, Severity.INFO, Topic.OTHER, title, text, outcome, 1, detail))
    return {"channel": name, "url": service.masked, "delivered": not detail, "detail": detail, "took_ms": took}


async def log(ground: Ground, args: LogArgs, report: Report) -> Result:
    """What was told, the newest first; `next` leads to the page before."""
    del report
    rows = await _page(ground, args.limit + 1, args.channel, args.before)
    shown = rows[: args.limit]
    return {"deliveries": [_told(row) for row in shown], "next": shown[-1].id if len(rows) > len(shown) else None}


async def _channel(ground: Ground, name: str, channel: ChannelSettings, held: Channels | None) -> dict[str, object]:
    running = next((each for each in held.on if each.name == name), None) if held is not None else None
    url, why = None, ""
    if running is not None:
        url = running.service.masked
    else:
        try:
            url = (await asyncio.to_thread(service_of, name, channel, ground.secrets)).masked
        except ChannelOff as error:
            why = str(error)
        why = why if channel.enabled else "it is disabled"
    last = await _page(ground, 1, name, None)
    return {
        "channel": name,
        "url": url,
        "secret": channel.url_secret,
        "state": "off" if why else "on",
        "why": why,
        "severity": channel.severity.value,
        "topics": [topic.value for topic in channel.topics] or "all",
        "digest_ms": channel.digest,
        **_counted(running),
        "last": _told(last[0]) if last else None,
    }


def _counted(running: Channel | None) -> dict[str, object]:
    """What a running bot's channel did since the start; nulls where none runs."""
    if running is None:
        return {"waiting": None, **{outcome.value: None for outcome in Outcome}}
    return {"waiting": running.waiting, **{outcome.value: count for outcome, count in running.counts.items()}}


async def _page(ground: Ground, limit: int, channel: str | None, before: int | None) -> Sequence[Logged]:
    try:
        return await _to_read(ground).page(limit, channel=channel, before=before)
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error


def _to_read(ground: Ground) -> DeliveryLog:
    """The log of the running bot, else one of our own that is closed with the ground."""
    held: Channels | None = ground.held.get(HELD)
    if held is not None and held.log is not None:
        return held.log
    log: DeliveryLog | None = ground.held.get(_HELD_TO_READ)
    if log is None:
        settings = ground.loaded.settings
        log = ground.held[_HELD_TO_READ] = DeliveryLog(settings.database_url, keep=settings.notifications.keep)
        ground.closing.push_async_callback(log.close)
    return log


async def _log(ground: Ground, delivery: Delivery) -> None:
    """Keep what became of a test; where there is no journal yet, it is made."""
    log = _to_read(ground)
    try:
        if ground.held.get(HELD) is None:
            await asyncio.to_thread(upgrade, ground.loaded.settings.database_url)
        log.add(delivery)
        await log.flush()
    except (JournalError, StoreUnavailable) as error:
        message = f"{'it was delivered' if not delivery.detail else delivery.detail}, but that cannot be logged: {error}"
        raise UseCaseError(message) from error


def _told(row: Logged) -> dict[str, object]:
    """As plain JSON."""
    return {"id": row.id} | {name: getattr(value, "value", value) for name, value in asdict(row.delivery).items()}


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase("notify.channels", "Where notifications go, and whether they arrive.", NoArgs, channels, quick=True),
    UseCase("notify.test", "Send a real message to a channel and say whether it arrived.", TryArgs, send_test, quick=True),
    UseCase("notify.log", "What was told, and what became of it.", LogArgs, log, quick=True, reads=True),
)
