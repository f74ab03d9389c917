"""Notifications: telling the person, without telling the same thing all night.

A notice is queued and sent by a task of its own. The same notice within a window is told once, with the number of times it was
suppressed when it is told again. But the last that is told of a thing is how it is: after an all-clear a critical fault is news
again, another one is told when the window is over if it was not cleared by then, and so is each next all-clear.

A minute has room for so many notices, but a critical one always has a place. Notifiers are simple and near (the log, the screen);
a channel leads to a service elsewhere and has its own queue, bounds and task. Nothing here ever raises into trading.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from bot.core.effects import Notify, Severity
from bot.outlets.notifying.channel import Channel
from bot.outlets.topics import Topic, topic_of

_log = structlog.get_logger(__name__)

_TELLING = 0.7  # of the time to close; the rest is for the archive
_FLAPPING = frozenset({Topic.FEEDS, Topic.SOURCES})
_CLEARED = frozenset({Topic.FEEDS, Topic.SOURCES, Topic.ACCOUNT, Topic.ERRORS})
"""Of these the quiet notices (info) are all-clears."""


class Notifier(Protocol):
    """A way to reach the person."""

    @property
    def name(self) -> str:
        """What it is called in logs and counters."""
        ...

    async def send(self, notice: Notify) -> None:
        """Deliver; raise if it could not."""
        ...


class LogNotifier:
    """Tells the log."""

    name = "log"

    async def send(self, notice: Notify) -> None:
        """Write one line at the notice's severity."""
        level = {Severity.INFO: _log.info, Severity.WARNING: _log.warning, Severity.CRITICAL: _log.critical}[notice.severity]
        level("notice", title=notice.title, text=notice.text)


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Bounds. `window` is how long the same notice stays told, `per_minute` how many a minute has room for; times are seconds."""

    queue: int = 200
    window: float = 300.0
    per_minute: int = 20
    timeout: float = 10.0
    remembered: int = 1_000


class Archive(Protocol):
    """Keeps what became of messages; its task begins and ends with the channels."""

    @property
    def dropped(self) -> int:
        """How many found no room."""
        ...

    async def start(self) -> None:
        """Begin to keep."""
        ...

    async def close(self, seconds: float) -> None:
        """Keep what is left, for at most so long."""
        ...


def _every_topic(topic: Topic) -> bool:
    del topic
    return True


@dataclass(slots=True)
class _Told:
    """When it was told, how often it was suppressed since, and whether something told later says otherwise."""

    at: float
    suppressed: int = 0
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class _Held:
    """A fault that is told when its window is over (monotonic seconds)."""

    due: float
    topic: Topic


class Notifications:
    """The queue in front of the notifiers, and the way to the channels. `clock` gives monotonic seconds.

    `admits` says which topics anybody is told of; `archive` keeps what became of the channels' messages.
    """

    def __init__(
        self,
        notifiers: Sequence[Notifier] = (),
        settings: NotifySettings | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        channels: Sequence[Channel] = (),
        admits: Callable[[Topic], bool] = _every_topic,
        archive: Archive | None = None,
    ) -> None:
        self.channels = tuple(channels)
        self._admits = admits
        self._archive = archive
        self._notifiers = tuple(notifiers)
        self._settings = settings or NotifySettings()
        self._clock = clock
        self._queue: deque[Notify] = deque()
        self._told: dict[Notify, _Told] = {}
        self._held: dict[Notify, _Held] = {}
        self._recent: deque[float] = deque()
        self._outcomes = dict.fromkeys(("sent", "failed", "repeated", "limited", "overflowed"), 0)
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many were sent, failed, repeated an earlier one, exceeded the rate, or overflowed the queue.

        What became of a channel's messages stands under `NAME:OUTCOME`; `unlogged` are those that the archive had no room for.
        """
        told = {f"{channel.name}:{outcome.value}": n for channel in self.channels for outcome, n in channel.counts.items()}
        unlogged = {} if self._archive is None else {"unlogged": self._archive.dropped}
        return self._outcomes | told | unlogged

    def put(self, notice: Notify) -> None:
        """Take a notice to be told to everybody. Returns at once."""
        topic = topic_of(notice)
        # Whoever stops trading, goes on and stops again in a minute is told three times.
        fresh = notice if topic is Topic.TRADING else self._fresh(topic, notice)
        if fresh is not None:
            self._tell_all(topic, notice, fresh)

    def alert(self, topic: Topic, notice: Notify) -> None:
        """Take a notice that only channels are told of: log and screen show in their own way what it says. Returns at once."""
        fresh = self._fresh(topic, notice, hold=False) if topic in _FLAPPING else notice
        if fresh is not None:
            self._offer(topic, fresh)

    def _tell_all(self, topic: Topic, notice: Notify, fresh: Notify) -> None:
        self._offer(topic, fresh)
        if self._has_room(notice):
            self._enqueue(fresh)

    def _offer(self, topic: Topic, notice: Notify) -> None:
        if not self._admits(topic):
            return
        for channel in self.channels:
            channel.offer(topic, notice)

    def _enqueue(self, admitted: Notify) -> None:
        if len(self._queue) >= self._settings.queue:
            self._make_room()
        self._queue.append(admitted)
        self._empty.clear()
        self._wake.set()

    async def start(self) -> None:
        """Begin to tell."""
        if self._archive is not None:
            await self._archive.start()
        self._tasks = [asyncio.create_task(self._run(), name="notifications")]
        self._tasks += [asyncio.create_task(channel.run(), name=f"channel {channel.name}") for channel in self.channels]

    async def close(self, timeout: float = 2.0) -> None:
        """Tell what is left, then keep what became of it, for at most `timeout` seconds in all; then stop."""
        if not self._tasks:
            return
        ends = self._clock() + timeout
        telling = timeout if self._archive is None else _TELLING * timeout
        await asyncio.gather(self._settle(telling), *(channel.settle(telling) for channel in self.channels))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for channel in self.channels:
            channel.give_up()
        if self._archive is not None:
            await self._archive.close(max(0.0, ends - self._clock()))

    async def _settle(self, timeout: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()

    def _fresh(self, topic: Topic, notice: Notify, *, hold: bool = True) -> Notify | None:
        """The notice, perhaps saying how often it was suppressed; None if it was told a moment ago, or is told later.

        Nothing is held back for whoever asks not to: what the alerts find has waited already.
        """
        now = self._clock()
        if topic in _CLEARED and notice.severity is Severity.INFO:
            self._held = {fault: held for fault, held in self._held.items() if _subject(fault) != _subject(notice)}
        told = self._told.pop(notice, None)
        if told is not None and now - told.at < self._settings.window:
            if hold and told.outdated and notice.severity is Severity.WARNING:
                self._held.setdefault(notice, _Held(told.at + self._settings.window, topic))
                self._wake.set()
            if not told.outdated or notice in self._held:
                told.suppressed += 1
                self._outcomes["repeated"] += 1
                self._told[notice] = told
                return None
        if topic in _CLEARED:
            self._outdate(notice)
        self._told[notice] = _Told(now)
        if len(self._told) > self._settings.remembered:
            del self._told[next(iter(self._told))]
        if told is not None and told.suppressed:
            return replace(notice, text=f"{notice.text} (and {told.suppressed} times since it was last told)")
        return notice

    def _outdate(self, notice: Notify) -> None:
        """Mark what a notice makes untrue: an all-clear the faults of its subject that were told, a fault its all-clears."""
        clear, subject = notice.severity is Severity.INFO, _subject(notice)
        for other, told in self._told.items():
            if (other.severity is Severity.INFO) is not clear and _subject(other) == subject:
                told.outdated = True

    def _release(self) -> None:
        """Tell the faults whose window is over and that were not cleared meanwhile."""
        now = self._clock()
        for notice, held in [each for each in self._held.items() if each[1].due <= now]:
            del self._held[notice]
            self._told.pop(notice, None)
            fresh = self._fresh(held.topic, notice)
            if fresh is not None:
                self._tell_all(held.topic, notice, fresh)

    def _has_room(self, notice: Notify) -> bool:
        """Whether the minute has room for it at the notifiers; one for which there is none may come again."""
        now = self._clock()
        while self._recent and now - self._recent[0] >= 60.0:
            self._recent.popleft()
        if len(self._recent) >= self._settings.per_minute and notice.severity is not Severity.CRITICAL:
            self._outcomes["limited"] += 1
            if not self.channels:
                self._told.pop(notice, None)
            return False
        self._recent.append(now)
        return True

    def _make_room(self) -> None:
        """Drop the oldest that is not critical; if all are, the oldest."""
        place = next((i for i, waiting in enumerate(self._queue) if waiting.severity is not Severity.CRITICAL), 0)
        del self._queue[place]
        self._outcomes["overflowed"] += 1

    async def _run(self) -> None:
        while True:
            due = min((held.due for held in self._held.values()), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._wake.wait()
            self._wake.clear()
            self._release()
            while self._queue:
                notice = self._queue.popleft()
                await asyncio.gather(*(self._tell(notifier, notice) for notifier in self._notifiers))
            self._empty.set()

    async def _tell(self, notifier: Notifier, notice: Notify) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout):
                await notifier.send(notice)
        except Exception as error:  # noqa: BLE001 - an outlet's boundary: a notification that fails must not reach trading
            self._outcomes["failed"] += 1
            # Only the kind of error: a service's message may quote the address, and the address is a secret.
            _log.warning("notification_failed", notifier=notifier.name, title=notice.title, error=type(error).__name__)
        else:
            self._outcomes["sent"] += 1


def _subject(notice: Notify) -> str:
    """What a title is about: its first two words, such as `The venue`, `The account`, `Market data`."""
    return " ".join(notice.title.split(maxsplit=2)[:2])
