"""The link: one connection to the bot, kept up, whatever becomes of the bot.

Everything that the bot says goes into the ring, and beside it what became of the link itself: `link.up`, `link.down` and
`link.resync` (something was lost on the way: read afresh what you show).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import structlog

from bot.outlets.command import CommandResult
from bot.outlets.envelope import SCHEMA, Channel
from bot.outlets.errors import Disconnected, NotRunning, Refused
from bot.outlets.local_client import FeedMessage, Hello, LocalClient
from bot.web.stream.bells import bells_of, point_of
from bot.web.stream.ring import RESYNC, Ring

log = structlog.get_logger(__name__)

LINK = "link"
ALWAYS = frozenset(Channel) - {Channel.QUOTES}
"""Followed at all times; quotes are too many to be carried for nobody."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_QUEUE = 10_000


class BotAway(Exception):  # noqa: N818 - it is a state, not a fault
    """No bot is there to be told anything; nothing was sent."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """Whether the bot is there, since when (ms UTC), and if not, why."""

    up: bool
    since: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """What the link has done: `lost` messages never reached the ring, as far as anybody could count them."""

    messages: int
    connections: int
    resyncs: int
    lost: int
    defects: int


@dataclass(frozen=True, slots=True)
class _LinkMessage:
    type: str
    data: Mapping[str, Any]


class BotLink:
    """Keeps a client of the bot of this data directory connected while it is open; `now` is in ms UTC."""

    def __init__(self, data_dir: Path, now: Callable[[], int], ring: Ring, actor: str = "control-room") -> None:
        self.state = LinkState(up=False, since=now(), reason="the bot has not been found yet")
        self._last: Hello | None = None
        self._data_dir = data_dir
        self._now = now
        self._ring = ring
        self._actor = actor
        self._client: LocalClient | None = None
        self._beat: int | None = None
        self._counts: Counter[str] = Counter()
        self._wanted: Counter[Channel] = Counter()
        self._wished = asyncio.Event()
        self._changed = asyncio.Event()
        self._seq = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep(), name="bot-link")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def hello(self) -> Hello | None:
        """Who is at the other end; None while nobody is."""
        return None if self._client is None else self._client.hello

    @property
    def heartbeat_age(self) -> int | None:
        """Milliseconds since the bot's last heartbeat (or its greeting); None while there is no bot."""
        return None if self._beat is None else max(0, self._now() - self._beat)

    @property
    def counters(self) -> LinkCounters:
        """What it has done so far."""
        return LinkCounters(*(self._counts[name] for name in ("messages", "connections", "resyncs", "lost", "defects")))

    async def command(
        self,
        name: str,
        args: Mapping[str, object] | None = None,
        *,
        actor: str | None = None,
        nonce: str | None = None,
        timeout: float = 35.0,
    ) -> CommandResult:
        """Have the bot do something, in the name of `actor`.

        `BotAway` if there is no bot: nothing was sent. `Disconnected` or `TimeoutError` if its answer does not come: it may have
        been carried out.
        """
        client = self._client
        if client is None:
            message = f"{name} was not sent: {self.state.reason}"
            raise BotAway(message)
        return await client.command(name, args, timeout=timeout, nonce=nonce, actor=actor or self._actor)

    @contextmanager
    def wants(self, channels: Iterable[Channel]) -> Iterator[None]:
        """Have these channels followed too while this is open; however many want one, it is carried once."""
        mine = frozenset(channels)
        self._wanted.update(mine)
        self._wished.set()
        try:
            yield
        finally:
            self._wanted.subtract(mine)
            self._wished.set()

    async def until(self, *, up: bool, timeout: float) -> None:
        """Wait until the link is up, or down; `TimeoutError` if that takes longer than `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while self.state.up is not up:
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        """Hang up, and look for the bot no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _keep(self) -> None:
        """Find the bot, follow it until it goes, and again. A boundary: no fault of one connection ends the link."""
        pause = _FIRST_PAUSE
        while True:
            try:
                client = await LocalClient.connect(self._data_dir, actor=self._actor, queue=_QUEUE)
                pause = _FIRST_PAUSE
                try:
                    await self._serve(client)
                finally:
                    await _hang_up(client)
            except (NotRunning, Refused) as error:
                self._set(up=False, reason=str(error))
            except Exception:  # whatever it is, the next connection starts afresh
                self._counts["defects"] += 1
                log.exception("bot_link_failed")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _serve(self, client: LocalClient) -> None:
        """One connection, from greeting to goodbye."""
        before, self._last = self._last, client.hello
        wish = self._wish()
        await client.refollow(sorted(wish))  # before anybody hears of the bot: what it says from then on is not lost
        messages, lost = client.follow(sorted(wish)), 0
        wishing = asyncio.create_task(self._follow_wishes(client, wish), name="bot-link-wishes")
        self._client, self._beat = client, self._now()
        self._counts["connections"] += 1
        try:
            self._set(up=True, reason="")
            if before is not None:
                self._lost(None, "reconnected" if before.run == client.hello.run else "restarted")
            async for message in messages:
                if client.dropped > lost:
                    self._lost(client.dropped - lost, "slow")
                    lost = client.dropped
                self._pass_on(message, client.hello.run)
        except (Disconnected, TimeoutError, OSError) as error:
            log.info("bot_link_lost", reason=str(error))
        finally:
            self._client = self._beat = None
            wishing.cancel()
            await asyncio.gather(wishing, return_exceptions=True)
            self._set(up=False, reason=f"the bot in {self._data_dir} has gone away; start it again")

    def _pass_on(self, message: FeedMessage, run: str) -> None:
        if message.type == RESYNC:
            self._lost(int(message.data["dropped"]), "slow")
            return
        self._counts["messages"] += 1
        if message.type == "health.heartbeat":
            self._beat = self._now()
        self._ring.append(run, message.channel, message.type, message.payload, bells_of(message), point_of(message))

    async def _follow_wishes(self, client: LocalClient, followed: frozenset[Channel]) -> None:
        """Widen and narrow what is followed as it is wanted. An answer that does not come is the reader's to notice."""
        while True:
            await self._wished.wait()
            self._wished.clear()
            wish = self._wish()
            if wish == followed:
                continue
            try:
                await client.refollow(sorted(wish))
                followed = wish
            except (Disconnected, TimeoutError, OSError) as error:
                log.warning("bot_link_refollow_failed", reason=str(error))
                self._wished.set()
                await asyncio.sleep(_LONGEST_PAUSE)

    def _wish(self) -> frozenset[Channel]:
        return ALWAYS | {channel for channel, count in self._wanted.items() if count > 0}

    def _lost(self, dropped: int | None, reason: str) -> None:
        self._counts["resyncs"] += 1
        self._counts["lost"] += dropped or 0
        self._tell("resync", {"reason": reason, "dropped": dropped})

    def _set(self, *, up: bool, reason: str) -> None:
        """Note how the link is, and tell the ring if that is new."""
        was = self.state
        if was.up is up:
            self.state = LinkState(up, was.since, reason)
            return
        self.state = LinkState(up, self._now(), reason)
        self._changed.set()
        log.info("bot_link_up" if up else "bot_link_down", reason=reason or None)
        self._tell("up" if up else "down", {"reason": reason or None})

    def _tell(self, name: str, data: Mapping[str, Any]) -> None:
        """An envelope of the link's own, of the same shape as the bot's."""
        self._seq += 1
        at, who = self._now(), self._last
        message = _LinkMessage(f"{LINK}.{name}", {"at": at, **data})
        stamp = datetime.fromtimestamp(at / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        envelope = {
            "schema": SCHEMA,
            "bot": None if who is None else who.bot,
            "run": None if who is None else who.run,
            "mode": None if who is None else who.mode,
            "simulated": None if who is None else who.simulated,
            "seq": self._seq,
            "ts": stamp,
            "type": message.type,
            "corr": None,
            "data": message.data,
        }
        run = "-" if who is None else who.run
        self._ring.append(run, LINK, message.type, orjson.dumps(envelope), bells_of(message))


async def _hang_up(client: LocalClient) -> None:
    """Close the client wholly, also when whoever waits for that is cancelled meanwhile."""
    closing = asyncio.create_task(client.close(), name="bot-link-close")
    try:
        await asyncio.shield(closing)
    finally:
        await closing
