"""A channel: what one person's phone, chat or mailbox is told, in which order, how often and how long it is tried.

A critical notice overtakes all others. What fails is tried again after ever longer pauses and then given up, a critical notice
last of all; what comes late says when it happened. What is too much for a minute, or is to be digested, is told together in one
message. Offering never waits and never raises.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import structlog

from bot.core.effects import Notify, Severity
from bot.outlets.notifying.service import NotDelivered, Service
from bot.outlets.topics import Topic

_log = structlog.get_logger(__name__)

LONGEST_TITLE = 200
LONGEST_TEXT = 3_000
_MINUTE = 60.0
_LATE_MS = 60_000
_MORE = len("... and 1000000 more")
_LOUDNESS = tuple(Severity)


class Outcome(StrEnum):
    """What became of a message."""

    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message and what became of it. `at` is when it was offered (ms UTC), `detail` why it was not delivered."""

    at: int
    channel: str
    severity: Severity
    topic: Topic
    title: str
    text: str
    outcome: Outcome
    attempts: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ChannelRules:
    """What a channel is told and its bounds; no `topics` means all. Times are seconds; the pause doubles from `pause` on.

    A critical notice is tried `critical_attempts` times at least: half an hour with these pauses.
    """

    least: Severity = Severity.WARNING
    topics: frozenset[Topic] = frozenset()
    digest: float | None = None
    queue: int = 200
    per_minute: int = 20
    attempts: int = 10
    critical_attempts: int = 20
    timeout: float = 10.0
    pause: float = 2.0
    longest_pause: float = 120.0


@dataclass(slots=True, eq=False)
class _Waiting:
    at: int
    severity: Severity
    topic: Topic
    title: str
    text: str
    attempts: int = 0
    due: float = 0.0
    dated: bool = False

    def date(self) -> None:
        """Let the text say when it happened."""
        if not self.dated:
            when = f"\n(at {_hour(self.at)} UTC)"
            self.text, self.dated = f"{self.text[: LONGEST_TEXT - len(when)]}{when}", True


@dataclass(slots=True)
class _Collected:
    """What waits to be told in one message."""

    due: float = 0.0
    more: int = 0
    notices: deque[_Waiting] = field(default_factory=deque)


def _unrecorded(delivery: Delivery) -> None:
    """Nobody keeps a log."""
    del delivery


class Channel:
    """One channel. `now` is ms UTC, `clock` monotonic seconds; `record` is told of every message and must return at once.

    `mark` begins every title: which bot speaks, and in which world. `clean` takes secrets out of a text.
    """

    def __init__(
        self,
        name: str,
        service: Service,
        rules: ChannelRules,
        now: Callable[[], int],
        *,
        record: Callable[[Delivery], None] = _unrecorded,
        mark: str = "",
        clean: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.service = service
        self.rules = rules
        self.last: Delivery | None = None
        self._now, self._record, self._mark, self._clean, self._clock = now, record, mark, clean, clock
        self._queue: deque[_Waiting] = deque()
        self._collected = _Collected()
        self._recent: deque[float] = deque()
        self._counts = dict.fromkeys(Outcome, 0)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """Messages by what became of them."""
        return dict(self._counts)

    @property
    def waiting(self) -> int:
        """How many notices are not told yet."""
        return len(self._queue) + len(self._collected.notices)

    def wants(self, topic: Topic, severity: Severity) -> bool:
        """Whether it is told of this."""
        loud = _LOUDNESS.index(severity) >= _LOUDNESS.index(self.rules.least)
        return loud and (not self.rules.topics or topic in self.rules.topics)

    def offer(self, topic: Topic, notice: Notify) -> None:
        """Take a notice, if it is for this channel."""
        if self._closing or not self.wants(topic, notice.severity):
            return
        title = self._clean(f"{self._mark}{notice.title}")[:LONGEST_TITLE]
        waiting = _Waiting(self._now(), notice.severity, topic, title, self._clean(notice.text)[:LONGEST_TEXT])
        if notice.severity is not Severity.CRITICAL and (self.rules.digest is not None or not self._room()):
            self._collect(waiting)
        else:
            self._recent.append(self._clock())
            self._put(waiting)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Deliver, until cancelled; what was under way then counts as failed."""
        while True:
            self._digest()
            waiting = self._next()
            if waiting is None:
                await self._rest()
            else:
                await self._deliver(waiting)

    async def settle(self, seconds: float) -> None:
        """Take nothing more and tell what is left once, digests too, for at most so long; `run` must still be running."""
        self._closing = True
        self._collected.due = 0.0
        for waiting in self._queue:
            waiting.due = 0.0
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    def give_up(self) -> None:
        """Record what can be told no more: the bot ends."""
        for waiting in (*self._queue, *self._collected.notices):
            self._finish(waiting, Outcome.DROPPED, "the bot ended before it could be told")
        self._queue.clear()
        self._collected = _Collected()

    def _room(self) -> bool:
        """Whether the minute has room for one more."""
        now = self._clock()
        while self._recent and now - self._recent[0] >= _MINUTE:
            self._recent.popleft()
        return len(self._recent) < self.rules.per_minute

    def _put(self, waiting: _Waiting) -> None:
        if len(self._queue) >= self.rules.queue:
            place = next((i for i, each in enumerate(self._queue) if each.severity is not Severity.CRITICAL), 0)
            dropped = self._queue[place]
            del self._queue[place]
            self._finish(dropped, Outcome.DROPPED, "too many waited")
        self._queue.append(waiting)

    def _collect(self, waiting: _Waiting) -> None:
        collected = self._collected
        if not collected.notices:
            collected.due = self._clock() + (_MINUTE if self.rules.digest is None else self.rules.digest)
        if len(collected.notices) >= self.rules.queue:
            collected.more += 1
            self._finish(collected.notices.popleft(), Outcome.DROPPED, "too many for one digest")
        collected.notices.append(waiting)

    def _digest(self) -> None:
        """Put what was collected in the queue, once it is time."""
        collected = self._collected
        if not collected.notices or collected.due > self._clock():
            return
        self._collected = _Collected()
        self._recent.append(self._clock())
        self._put(_together(collected, self._mark))

    def _next(self) -> _Waiting | None:
        """What is due, the critical first."""
        now = self._clock()
        due = [waiting for waiting in self._queue if waiting.due <= now]
        return next((waiting for waiting in due if waiting.severity is Severity.CRITICAL), due[0] if due else None)

    async def _rest(self) -> None:
        """Until something is due or comes."""
        dues = [waiting.due for waiting in self._queue]
        if self._collected.notices:
            dues.append(self._collected.due)
        if not dues:
            self._idle.set()
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(dues) - self._clock()) if dues else None):
                await self._wake.wait()

    async def _deliver(self, waiting: _Waiting) -> None:
        self._queue.remove(waiting)
        waiting.attempts += 1
        rules = self.rules
        if waiting.attempts > 1 or self._now() - waiting.at >= _LATE_MS:
            waiting.date()
        try:
            async with asyncio.timeout(rules.timeout + 1.0):  # apprise's own limit comes first, and says more
                await self.service.send(waiting.severity, waiting.title, waiting.text, rules.timeout)
        except asyncio.CancelledError:
            self._finish(waiting, Outcome.FAILED, "the bot ended while it was told")
            raise
        except Exception as error:  # noqa: BLE001 - an outlet's boundary: a notification that fails must not reach trading
            self._failed(waiting, _why(error))
        else:
            self._finish(waiting, Outcome.DELIVERED)

    def _failed(self, waiting: _Waiting, detail: str) -> None:
        """Try again later, or give up."""
        rules = self.rules
        critical = waiting.severity is Severity.CRITICAL
        if self._closing or waiting.attempts >= max(rules.attempts, rules.critical_attempts if critical else 0):
            _log.warning("notification_failed", channel=self.name, title=waiting.title, attempts=waiting.attempts, error=detail)
            self._finish(waiting, Outcome.FAILED, detail)
            return
        pause = min(rules.pause * 2 ** (waiting.attempts - 1), rules.longest_pause)
        waiting.due = self._clock() + pause
        self._put(waiting)

    def _finish(self, waiting: _Waiting, outcome: Outcome, detail: str = "") -> None:
        self._counts[outcome] += 1
        self.last = Delivery(
            waiting.at,
            self.name,
            waiting.severity,
            waiting.topic,
            waiting.title,
            waiting.text,
            outcome,
            waiting.attempts,
            detail,
        )
        self._record(self.last)


def _why(error: Exception) -> str:
    """Why it was not delivered. Of an error that is not ours only the kind: its text may quote the address."""
    if isinstance(error, NotDelivered):
        return str(error)
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__


def _together(collected: _Collected, mark: str) -> _Waiting:
    """One message of all that was collected; as loud as the loudest of them."""
    notices = collected.notices
    if len(notices) == 1 and not collected.more:
        return notices[0]
    loudest = max((each.severity for each in notices), key=_LOUDNESS.index)
    topics = {each.topic for each in notices}
    lines = [f"{_hour(each.at)} {each.title.removeprefix(mark)}: {each.text}" for each in notices]
    kept = _fitting(lines, [_LOUDNESS.index(each.severity) for each in notices])
    count = len(notices) + collected.more
    left = count - len(kept)
    text = "\n".join([*kept, f"... and {left} more"] if left else kept)
    topic = topics.pop() if len(topics) == 1 else Topic.OTHER
    return _Waiting(notices[-1].at, loudest, topic, f"{mark}{count} notices", text, dated=True)


def _fitting(lines: Sequence[str], loudness: Sequence[int]) -> list[str]:
    """Of lines in their order those for which a message has room: the loudest go before others, then the newest.

    A line that would fill a message by itself is cut.
    """
    room = LONGEST_TEXT - _MORE
    kept: dict[int, str] = {}
    for place in sorted(range(len(lines)), key=lambda place: (loudness[place], place), reverse=True):
        line = lines[place][: LONGEST_TEXT - _MORE - 1] if not kept else lines[place]
        if len(line) + 1 <= room:
            kept[place] = line
            room -= len(line) + 1
    return [kept[place] for place in sorted(kept)]


def _hour(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1_000, UTC):%H:%M:%S}"
