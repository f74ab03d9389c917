"""A rig: one venue, one journal, and the bots of a drill in a scratch folder; everything it started is gone when it ends."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from bot.drill.auditor import Question, audit
from bot.drill.child import Child
from bot.drill.database import Database, PostgresDatabase, SqliteDatabase
from bot.drill.venue import DrillVenue
from bot.drill.waiting import NeverHappened, until
from bot.drill.witness import Witness

NAME = "drill"
PREFIX = "dr"
_FINDINGS_TOLD = 4

# Nothing but the order promises shall keep an order back.
_RISK: Mapping[str, object] = {
    "max_position": 1.0, "max_exposure": 1.0, "max_order_notional": None, "max_open_orders": 100, "max_orders_per_minute": None,
    "max_daily_loss": None, "max_drawdown": None, "loss_streak": None, "symbol_cool_down": None, "price_collar": None,
}  # fmt: skip


class Broken(Exception):  # noqa: N818 - it names what happened
    """A promise was not kept; the message says how that showed."""


def require(held: bool, otherwise: str) -> None:
    """`Broken` unless it holds."""
    if not held:
        raise Broken(otherwise)


@dataclass(slots=True)
class Ground:
    """Where drills happen: scratch folders are made in `root`; `database` is a PostgreSQL server, None for SQLite.

    `entry` starts the bot's interpreter: tests replace it, to prove that drills can fail.
    """

    root: Path
    database: str | None = None
    entry: Sequence[str] = ("-m", "bot")


@dataclass(slots=True)
class Rig:
    """What a drill plays with."""

    place: Path
    venue: DrillVenue
    database: Database
    bot: Child
    witness: Witness
    question: Question
    journals: list[Database] = field(default_factory=list)
    """All that are closed with the rig: its own, and those of other bots."""

    async def start(self, **extra: str) -> Mapping[str, Any]:
        """Start the bot and wait until it trades."""
        await self.bot.start(**extra)
        return await self.bot.ready()

    async def buys(self, symbol: str = "BTC/USDT") -> None:
        """Let it buy, and wait until the venue has traded and the books know all of it."""
        await self._trades("buy", symbol)

    async def sells(self, symbol: str = "BTC/USDT") -> None:
        """Let it sell what it holds, likewise."""
        await self._trades("sell", symbol)

    async def _trades(self, action: str, symbol: str) -> None:
        before = self.venue.fills
        await self.bot.propose(action, symbol)
        await self.venue.until(lambda venue: venue.fills > before and not venue.open, f"a {action} at the venue")
        await self.settled()

    async def settled(self, seconds: float = 20.0) -> None:
        """Wait until the bot knows what the venue knows: as many working orders, and what it holds of the base currencies."""
        last: dict[str, object] = {}

        async def agrees() -> bool:
            status = await self.bot.status()
            held = {symbol: Decimal(status["positions"].get(symbol, "0")) for symbol in self.venue.symbols}
            there = {symbol: self.venue.held(symbol.partition("/")[0]) for symbol in self.venue.symbols}
            last.update(working=status["working_orders"], held=held, open=len(self.venue.open), there=there)
            return bool(status["working_orders"] == len(self.venue.open) and held == there)

        try:
            await until(agrees, "an agreement of bot and venue", seconds)
        except NeverHappened as never:
            message = f"{never} (the bot: {last.get('working')} working orders, {_words(last.get('held'))}; "
            message += f"the venue: {last.get('open')}, {_words(last.get('there'))})"
            raise NeverHappened(message) from None

    async def finish(self, *, sells: bool = True, codes: Sequence[int] = (0,)) -> None:
        """Sell, to show that it trades on; stop it in order, and let the auditor look. `Broken` with what was found."""
        if sells:
            await self.sells()
        await self.bot.stop(codes)
        found = await self.findings()
        if found:
            raise Broken("; ".join(found[:_FINDINGS_TOLD]) + (f"; {len(found)} findings" if len(found) > _FINDINGS_TOLD else ""))

    async def findings(self) -> list[str]:
        """What the auditor and the witness have found; ask when the bot has stopped."""
        found = await asyncio.to_thread(audit, self.venue.url, self.venue.keys.key, self.database.audit_url, self.question)
        return [*self.witness.findings, *found]


def _words(held: object) -> str:
    return ", ".join(f"{amount} of {symbol}" for symbol, amount in held.items()) if isinstance(held, dict) else "nothing said"


@asynccontextmanager
async def rig(
    ground: Ground, name: str, dialect: str = "binance", settings: Mapping[str, object] | None = None
) -> AsyncIterator[Rig]:
    """Set one up; `settings` are laid over the configuration, by section. Its folder stays if the drill fails."""
    place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=ground.root))
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(DrillVenue(dialect))
        database = await a_database(ground, place)
        journals, keep = [database], False
        bot = Child(place, _environment(place, venue), ground.entry)
        try:
            configure(bot, venue, database, settings or {})
            witness = Witness(database.audit_url, PREFIX)
            venue.arrivals.append(witness)
            keys = (venue.keys.secret, venue.keys.passphrase)
            question = Question(NAME, PREFIX, secrets=keys, folders=(place,))
            yield Rig(place, venue, database, bot, witness, question, journals)
        except Exception:
            keep = True
            raise
        finally:
            await bot.kill()
            for each in journals:
                await each.close(keep)
    shutil.rmtree(place, ignore_errors=True)


async def a_database(ground: Ground, place: Path) -> Database:
    """A journal of its own for a bot of a drill; whoever asks closes it."""
    return SqliteDatabase(place) if ground.database is None else await PostgresDatabase.create(ground.database)


def _environment(place: Path, venue: DrillVenue) -> dict[str, str]:
    return {**venue.environment(), "ARBITER_KEY_FILE": str(place / "master.key"), "COLUMNS": "200"}


def configure(
    bot: Child, venue: DrillVenue, database: Database, settings: Mapping[str, object], name: str = NAME, prefix: str = PREFIX
) -> None:
    """Write the bot's configuration: the house's defaults, but quick, and on this venue and journal."""
    base: dict[str, object] = {
        "bot": {"name": name, "order_prefix": prefix},
        "exchange": {**venue.settings(), "timeframes": ["1s"], "embedded": "never", "connect_timeout": "10s"},
        "desk": {
            "sizing_timeframe": "1s", "settle_ms": {"quantconnect": "0ms", "llm": "0ms", "traditional": "0ms"},
            "retry_every": "300ms", "sample_every": "1s",
        },
        "journal": {"url": database.url, "ballast_bytes": 0},
        "redis": {"url": "off"},
        "metrics": {"port": 0},
        "web": {"enabled": False},
        "live": {
            "confirm": "I-understand",
            "reconcile_every": "2s", "poll_every": "500ms", "grace": "1500ms", "call_timeout": "1500ms",
        },
    }  # fmt: skip
    changes = {section: value for section, value in settings.items() if section != "risk"}
    bot.config.mkdir(parents=True, exist_ok=True)
    (bot.config / "sources").mkdir(exist_ok=True)
    (bot.config / "bot.yaml").write_text(yaml.safe_dump(_laid_over(base, changes)))
    risk = settings.get("risk", {})
    assert isinstance(risk, Mapping)
    (bot.config / "risk.yaml").write_text(yaml.safe_dump({**_RISK, **risk}))


def _laid_over(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _laid_over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
