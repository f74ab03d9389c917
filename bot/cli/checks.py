"""What `doctor` looks at. Every check ends by itself in bounded time and answers with one line and, if need be, a remedy."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.cli.exits import one_line
from bot.settings import ConfigError, Embedded, Loaded, load
from bot.settings.kinds import redact_url

if TYPE_CHECKING:
    from bot.settings import Settings

REDIS_HERE = "redis://127.0.0.1:6379/0"
_LOW_DISK = 1 << 30
_NO_DISK = 64 << 20
_CLOCK_WARN_MS = 1_000
_CLOCK_BAD_MS = 5_000
_PACKAGES = (
    "aiohttp",
    "alembic",
    "apscheduler",
    "asyncpg",
    "ccxt",
    "cryptography",
    "numpy",
    "orjson",
    "polars",
    "prometheus-client",
    "pydantic",
    "pydantic-settings",
    "PyYAML",
    "redis",
    "rich",
    "sqlalchemy",
    "structlog",
    "typer",
)


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `remedy` is what to do about it."""

    check: str
    state: State
    detail: str
    remedy: str = ""


def check_python() -> Finding:
    """The interpreter."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", State.OK, f"{version} on {sys.platform}")


def check_packages() -> Finding:
    """Whether everything the bot imports is installed."""
    missing = []
    for name in _PACKAGES:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", State.BROKEN, f"missing: {', '.join(missing)}", "say `make setup`")
    return Finding("packages", State.OK, f"{len(_PACKAGES)} installed, ccxt {metadata.version('ccxt')}")


def check_config(config: Path | None, overrides: dict[str, object]) -> tuple[Finding, Loaded | None]:
    """The settings, and themselves if they can be used."""
    try:
        loaded = load(config, overrides=overrides)
    except ConfigError as error:
        return Finding("config", State.BROKEN, str(error), "correct it, then say `python -m bot config check`"), None
    if loaded.directory is None:
        return Finding("config", State.NOTE, "built-in defaults, no directory", "write one: `python -m bot config init`"), loaded
    return Finding("config", State.OK, ", ".join(str(path) for path in loaded.files)), loaded


def check_sources(loaded: Loaded) -> Finding:
    """The configured sources."""
    from sources.config import SourceConfigError
    from sources.loading import load_sources

    directory = loaded.sources_directory
    if directory is None or not directory.is_dir():
        return Finding("sources", State.NOTE, "none are configured: nothing will be traded", "say `python -m bot config init`")
    try:
        names = [source.spec.name for source in load_sources(directory)]
    except SourceConfigError as error:
        return Finding("sources", State.BROKEN, one_line(error), "correct the file it names")
    return Finding("sources", State.OK if names else State.NOTE, f"{len(names)} in {directory}")


def check_data_dir(settings: Settings) -> Finding:
    """Whether the data directory takes files, and how many more."""
    place = settings.bot.data_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
            file.write(b"x")
            file.flush()
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Finding("data", State.BROKEN, f"{place} cannot be written: {error.strerror or error}", "choose another --data-dir")
    shown = f"{settings.bot.data_dir} is writable, {free / (1 << 30):.1f} GiB free"
    if free < _NO_DISK + settings.journal.ballast_bytes:
        return Finding("data", State.BROKEN, shown, "free some disk: orders need durable intents")
    return Finding("data", State.OK if free >= _LOW_DISK else State.NOTE, shown, "" if free >= _LOW_DISK else "free some disk")


def check_database(settings: Settings) -> Finding:
    """Whether the journal opens and has this version's schema."""
    from bot.journal.address import SQLITE_PREFIX, shown
    from bot.journal.errors import JournalCorrupt, JournalError
    from bot.journal.migrations import HEAD
    from bot.journal.upgrade import examine

    url = settings.database_url
    place = shown(url).removeprefix(SQLITE_PREFIX)
    try:
        revision = examine(url)
    except JournalCorrupt as error:
        return Finding("database", State.BROKEN, one_line(error), "see `python -m bot db backup` for the next time")
    except JournalError as error:
        return Finding("database", State.BROKEN, one_line(error), "correct journal.url, or see that the server runs")
    if revision is None:
        return Finding("database", State.OK, f"{place} will be made at the first run")
    if revision != HEAD:
        return Finding("database", State.NOTE, f"{place} is at {revision}, not {HEAD}", "say `python -m bot db upgrade`")
    return Finding("database", State.OK, f"{place} is at {revision}")


def check_secrets(settings: Settings) -> Finding:
    """Which secrets are set: names only."""
    from bot.secrets import SecretError, Secrets

    try:
        rows = Secrets(settings.bot.data_dir).listed()
    except SecretError as error:
        return Finding("secrets", State.BROKEN, one_line(error), "paper trading needs none: move the file away to go on")
    names = ", ".join(row.name for row in rows)
    return Finding("secrets", State.OK, f"set: {names}" if names else "none set; paper trading needs none")


async def check_redis(settings: Settings, timeout: float) -> Finding:
    """Whether Redis answers."""
    if settings.redis.url == "off":
        return Finding("redis", State.OK, "off by configuration")
    url = REDIS_HERE if settings.redis.url == "auto" else settings.redis.url
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    client = Redis.from_url(url, socket_connect_timeout=timeout, socket_timeout=timeout)
    try:
        async with asyncio.timeout(timeout):
            await _ping(client)
    except (RedisError, OSError, TimeoutError) as error:
        if settings.redis.url == "auto":
            return Finding("redis", State.NOTE, "none on this machine: its feed is off", "start one, or set redis.url")
        return Finding("redis", State.BROKEN, f"{redact_url(url)}: {one_line(error)}", "start it, or set redis.url: off")
    finally:
        await client.aclose()
    return Finding("redis", State.OK, f"{redact_url(url)} answers")


async def _ping(client: Any) -> None:
    await client.ping()


async def check_venue(settings: Settings, timeout: float) -> Finding:
    """Whether the venue answers, and how far its clock is from ours."""
    exchange = settings.exchange
    if exchange.embedded is Embedded.ALWAYS:
        return Finding("venue", State.OK, "embedded: always, the simulated world is used")
    from bot.market.ccxt_venue import CcxtVenue, VenueConfig, VenueError, VenueUnreachable

    given: dict[str, object] = {"options": dict(exchange.options)}
    if exchange.urls:
        given["urls"] = {"api": dict(exchange.urls)}
    try:
        venue = await CcxtVenue.open(VenueConfig(exchange.id, given, exchange.sandbox, reach_timeout=timeout, clock_samples=1))
    except VenueUnreachable as error:
        return _unreachable(exchange.embedded, one_line(error))
    except VenueError as error:
        return Finding("venue", State.BROKEN, one_line(error), "set exchange.id")
    offset = venue.offset
    await venue.close()
    return (
        _clock(exchange.id, round(offset.round_trip), offset.offset)
        if offset
        else Finding("venue", State.OK, f"{exchange.id} answers")
    )


def _unreachable(embedded: Embedded, detail: str) -> Finding:
    if embedded is Embedded.AUTO:
        return Finding(
            "venue", State.NOTE, f"{detail}; --paper will trade in the simulated world", "check the network for real data"
        )
    return Finding("venue", State.BROKEN, detail, "check the network, or set exchange.embedded: auto")


def _clock(venue: str, trip_ms: int, offset_ms: int) -> Finding:
    detail = f"{venue} answers in {trip_ms} ms, clock offset {offset_ms:+d} ms"
    if abs(offset_ms) > _CLOCK_BAD_MS:
        return Finding("venue", State.BROKEN, detail, "set this machine's clock (NTP): the venue would refuse orders")
    if abs(offset_ms) > _CLOCK_WARN_MS:
        return Finding("venue", State.NOTE, detail, "set this machine's clock (NTP)")
    return Finding("venue", State.OK, detail)
