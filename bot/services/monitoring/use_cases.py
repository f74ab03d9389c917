"""What people ask of how the bot does. Without a running bot, what is kept in the database is still told."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from typing import Any

from pydantic import Field

from bot.latency import LatencyHistogram
from bot.runtime.jobs import Report, Result
from bot.services.monitoring import database_look, providers
from bot.services.monitoring.components import worst
from bot.services.monitoring.error_book import HOUR_MS, HOURS, MOST, ErrorBook, ErrorEntry, Resolved
from bot.services.monitoring.error_store import ErrorStore
from bot.services.monitoring.live import LiveMonitor, monitor_of
from bot.services.side_store import store_of
from bot.services.use_case import Arguments, Ground, Missing, UseCase, UseCaseError
from bot.store.errors import StoreUnavailable

_STORE = "monitor.errors"
_FINGERPRINT = r"^[0-9a-f]{16}$"


class Which(StrEnum):
    """Which errors."""

    OPEN = "open"
    RESOLVED = "resolved"
    ALL = "all"


class NoArgs(Arguments):
    """Nothing to say."""


class ErrorArgs(Arguments):
    """Which errors, and how many."""

    state: Which = Field(Which.OPEN, description="open, resolved or all")
    limit: int = Field(50, ge=1, le=MOST, description="how many, those that happened last")


class TrendArgs(Arguments):
    """Of which error, and how far back."""

    fingerprint: str | None = Field(None, pattern=_FINGERPRINT, description="an error's; absent: all together")
    hours: int = Field(24, ge=1, le=HOURS, description="how many hours, the current one included")


class ResolveArgs(Arguments):
    """Which error is settled, and who says so."""

    fingerprint: str = Field(pattern=_FINGERPRINT, description="as `monitor.errors` tells it")
    author: str = Field("operator", min_length=1, max_length=60, description="who says so")
    note: str = Field("", max_length=200, description="why, in a line")


async def errors(ground: Ground, args: ErrorArgs, report: Report) -> Result:
    """Errors by fingerprint, the newest first."""
    del report
    book, monitor = await _book(ground), monitor_of(ground)
    found = book.entries()
    open_ones = sum(entry.resolved is None for entry in found)
    chosen = [entry for entry in found if args.state is Which.ALL or (entry.resolved is None) is (args.state is Which.OPEN)]
    return {
        "at": ground.now(),
        "open": open_ones,
        "resolved": len(found) - open_ones,
        "dropped": 0 if monitor is None else monitor.lost,
        "errors": [_told(entry) for entry in chosen[: args.limit]],
    }


async def trend(ground: Ground, args: TrendArgs, report: Report) -> Result:
    """Counts by hour, the oldest first; hours without any are there, with 0."""
    del report
    found = (await _book(ground)).entries()
    if args.fingerprint is not None:
        found = [entry for entry in found if entry.fingerprint == args.fingerprint]
        if not found:
            raise _unknown(args.fingerprint)
    now = ground.now()
    current = now - now % HOUR_MS
    moments = [current - HOUR_MS * back for back in reversed(range(args.hours))]
    return {
        "at": now,
        "fingerprint": args.fingerprint,
        "hours": [{"at": at, "count": sum(entry.hours.get(at, 0) for entry in found)} for at in moments],
    }


async def resolve(ground: Ground, args: ResolveArgs, report: Report) -> Result:
    """Settle an error; it is open again when it happens again."""
    del report
    book, monitor = await _book(ground), monitor_of(ground)
    entry = book.resolve(args.fingerprint, Resolved(ground.now(), args.author, args.note))
    if entry is None:
        raise _unknown(args.fingerprint)
    if monitor is not None:
        await monitor.save()
    else:
        store = await _store(ground)
        try:
            await store.save(book.unsaved())
        except StoreUnavailable as error:
            raise UseCaseError(str(error)) from error
    return {"error": _told(entry)}


async def _book(ground: Ground) -> ErrorBook:
    """That of the running bot, else what was kept."""
    monitor = monitor_of(ground)
    if monitor is not None:
        return monitor.book
    store, book = await _store(ground), ErrorBook()
    try:
        book.remember(await store.load(MOST))
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    return book


async def _store(ground: Ground) -> ErrorStore:
    return await store_of(ground, _STORE, partial(ErrorStore.open, bot=ground.loaded.settings.bot.name))


def _unknown(fingerprint: str) -> Missing:
    return Missing(f"no error has the fingerprint {fingerprint}; monitor.errors lists them")


def _told(entry: ErrorEntry) -> dict[str, object]:
    kind, resolved = entry.kind, entry.resolved
    return {
        "fingerprint": entry.fingerprint,
        "state": "open" if resolved is None else "resolved",
        "event": kind.event,
        "logger": kind.logger,
        "level": kind.level,
        "exception": kind.exception or None,
        "first": entry.first,
        "last": entry.last,
        "count": entry.count,
        "sample": entry.sample,
        "reopened": entry.reopened,
        "resolved": None if resolved is None else {"at": resolved.at, "author": resolved.author, "note": resolved.note},
    }


def _running(ground: Ground, what: str) -> LiveMonitor:
    monitor = monitor_of(ground)
    if monitor is None:
        message = f"{what} are those of a running bot, and none runs here; start one, or name its --data-dir"
        raise UseCaseError(message)
    return monitor


async def components(ground: Ground, args: NoArgs, report: Report) -> Result:
    """Every part, and the state of the whole: that of its worst part."""
    del args, report
    now, monitor = ground.now(), _running(ground, "components")
    found = monitor.watch.look(now)
    return {
        "at": now,
        "state": worst(found).value,
        "components": [one.told() for one in found],
        "failures": monitor.watch.failures,
    }


async def latencies(ground: Ground, args: NoArgs, report: Report) -> Result:
    """By stage since the run began, and a small read of the database as it is now; ms."""
    del args, report
    monitor = _running(ground, "latencies")
    stages = [_stage(name, took) for name, took in monitor.measured.latencies().items()]
    reading = LatencyHistogram()
    for seconds in await database_look.read_seconds(ground):
        reading.add(seconds)
    return {"at": ground.now(), "stages": [*stages, _stage("database_read", reading)]}


def _stage(name: str, took: LatencyHistogram) -> dict[str, object]:
    told = {f"p{share}_ms": round(took.percentile(share / 100) * 1_000, 4) if took.count else None for share in (50, 95, 99)}
    return {"stage": name, "n": took.count, **told}


async def database(ground: Ground, args: NoArgs, report: Report) -> Result:
    """Engine, sizes, rows, the oldest row, and what waits to be written."""
    del args, report
    monitor = monitor_of(ground)
    pending = None if monitor is None else monitor.measured.pending()
    return {"at": ground.now(), **await database_look.look(ground), "journal_pending": pending}


async def provider_performance(ground: Ground, args: NoArgs, report: Report) -> Result:
    """Language models and QuantConnect."""
    del args, report
    found: Mapping[str, object] = providers.quantconnect(ground)
    return {
        "at": ground.now(),
        "running": monitor_of(ground) is not None,
        "llm": await providers.language_models(ground),
        "quantconnect": found,
    }


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase("monitor.errors", "What went wrong, by kind.", ErrorArgs, errors, quick=True),
    UseCase("monitor.error-trend", "How often it went wrong, hour by hour.", TrendArgs, trend, quick=True),
    UseCase("monitor.resolve", "Settle an error until it happens again.", ResolveArgs, resolve, quick=True),
    UseCase("monitor.components", "Every part of the running bot.", NoArgs, components, quick=True),
    UseCase("monitor.latencies", "How long each stage takes.", NoArgs, latencies, quick=True),
    UseCase("monitor.database", "The journal's database.", NoArgs, database, quick=True),
    UseCase("monitor.providers", "How services outside answer.", NoArgs, provider_performance, quick=True),
)
