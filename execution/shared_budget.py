"""A budget that several bots on one address share through Redis, with a fair share for each and one penalty for all.

`take` uses leases that are here already; one task gets more of them, in chunks, and hears of the others five times a second.
While Redis is away the bot keeps to the fair share it last knew, says so, and tells what it used when Redis is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from bot.core.values import value
from execution.budget import BudgetRules, BudgetStats, Lane, Queue, loop_ms
from execution.shared_room import SharedRoom, Want
from execution.shared_window import Answer, Ask, SharedWindow, Sharing

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log = structlog.get_logger(__name__)

_LANES = tuple(Lane)


class SharedState(StrEnum):
    """Shared with the others through Redis, or alone with the fair share last known."""

    SHARED = "shared"
    LOCAL = "local"


@value
class SharedReading:
    """How the sharing goes: plain values for status, metrics and notifications."""

    name: str
    state: SharedState
    members: int  # that share the window, as last heard
    fair_share: float  # weight in a window
    fallbacks: int  # how often Redis was lost
    exchanges: int  # calls that Redis answered
    failures: int  # calls that it did not


class SharedBudget:
    """One bot's part in a window that `prefix` names on the Redis at `url`. Own it with `async with`.

    `member` must be this bot's alone. `on_change` hears when Redis is lost and when it is back, and must not raise. `ValueError`
    if the URL is none.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        member: str,
        rules: BudgetRules,
        *,
        sharing: Sharing | None = None,
        on_change: Callable[[SharedReading], None] | None = None,
    ) -> None:
        self._sharing = sharing or Sharing()
        self._rules = rules
        self._name = f"{prefix}/{member}"
        self._client = _client(url, self._sharing.timeout)
        self._window = SharedWindow(self._client, prefix, member, rules.window_ms, rules.capacity, self._sharing)
        self._room = SharedRoom(rules, self._sharing)
        self._queue = Queue(rules, self._room)
        self._on_change = on_change
        self._state: SharedState | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._decided = asyncio.Event()
        self._closing = False
        self._denied: Lane | None = None
        self._barred_until = 0
        self._observed = 0.0
        self._fallbacks = self._exchanges = self._failures = self._corrections = 0

    async def __aenter__(self) -> Self:
        """Begin, and wait for the first answer of Redis or its absence."""
        self._task = asyncio.create_task(self._run(), name="shared-budget")
        try:
            await self._decided.wait()  # bounded by the timeout of the first exchange
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the others what is left."""
        await self.close()

    async def take(self, weight: float, lane: Lane) -> None:
        """Wait for a turn and take `weight`. Raises `BudgetSpent` where it would come too late."""
        if not self._room.local and (self._queue.turns.waiting(lane) or self._room.leased(loop_ms(), lane) < weight):
            self._call_for(lane)
        await self._queue.take(weight, lane)

    def penalise(self, retry_after_ms: int) -> None:
        """The venue said 429 or 418: nobody has a turn until that has passed, here at once, elsewhere with their next beat."""
        length = self._queue.penalise(retry_after_ms)
        self._barred_until = loop_ms() + length
        self._denied = None
        self._wake.set()
        _log.warning("budget_penalty", budget=self._name, wait_ms=length)

    def observe(self, used: float) -> None:
        """Count what the venue counted and we all did not; the venue counts the whole address."""
        self._observed = max(self._observed, used)
        if self._room.local and self._room.correct(loop_ms(), used):
            self._corrections += 1

    @property
    def stats(self) -> BudgetStats:
        """The budget now; `capacity` and `used` are of the whole window."""
        return self._queue.stats(self._rules.capacity, self._room.used(loop_ms()), self._corrections)

    @property
    def reading(self) -> SharedReading:
        """How the sharing goes."""
        room = self._room
        counts = self._fallbacks, self._exchanges, self._failures
        return SharedReading(self._name, self._state or SharedState.LOCAL, room.members, room.fair_share, *counts)

    async def close(self) -> None:
        """Hand back the leases and give up the share, if Redis is there, then let go of it."""
        self._closing = True  # the client library may swallow a cancellation that meets an answer
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            if self._state is SharedState.SHARED:
                await self._leave()
        await self._client.aclose()

    async def _leave(self) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415

        ask = Ask(leaving=True, handed_back=self._room.hand_back_all())
        try:
            async with asyncio.timeout(self._sharing.timeout):
                await self._window.exchange(ask)
        except (RedisError, OSError, TimeoutError) as error:
            _log.info("shared_budget_not_left", budget=self._name, error=type(error).__name__)  # both lapse by themselves

    def _call_for(self, lane: Lane) -> None:
        """Have the task ask at once, unless as good a lane was just denied."""
        if self._denied is None or _LANES.index(lane) < _LANES.index(self._denied):
            self._wake.set()

    async def _run(self) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415

        while not self._closing:
            try:
                await self._share()
            except (RedisError, OSError, TimeoutError) as error:
                self._lose(error)
            except Exception as error:  # noqa: BLE001 - the boundary to the client library: whatever it does, trading goes on alone
                _log.exception("shared_budget_failed", budget=self._name)
                self._lose(error)
            await self._client.connection_pool.disconnect()
            await asyncio.sleep(self._sharing.beat_ms / 1_000)

    async def _share(self) -> None:
        """One connection, from the first answer to the first failure."""
        back = True
        while not self._closing:
            if await self._exchange(back=back):
                await self._pause()
            back = False

    async def _exchange(self, *, back: bool) -> bool:
        """Ask for what is lacking, once; whether that is all there is to do now."""
        now, room, self._denied = loop_ms(), self._room, None
        self._wake.clear()
        want = room.want(now, self._queue.turns)
        ask = self._ask(now, want, back=back)
        async with asyncio.timeout(self._sharing.timeout):
            answer = await self._window.exchange(ask)
        if self._observed <= ask.observed:
            self._observed = 0.0
        room.learn(now, loop_ms(), answer, want, ask.alone)
        self._hear(answer)
        if want is not None and not answer.granted:
            self._denied = want.lane
        return self._denied is not None or room.want(loop_ms(), self._queue.turns) is None

    def _ask(self, now: int, want: Want | None, *, back: bool) -> Ask:
        alone, own = self._room.untold(now)
        share = self._rules.shares[want.lane] if want else 1.0
        cap = self._room.cap(now)
        return Ask(
            share=share,
            least=want.least if want else 0.0,
            wanted=want.wanted if want else 0.0,
            handed_back=self._room.hand_back(now),
            barred=max(0, self._barred_until - now),
            observed=self._observed,
            alone=alone,
            reported=own if back else 0.0,
            cap=None if cap is None else cap * share,
        )

    def _hear(self, answer: Answer) -> None:
        self._exchanges += 1
        self._corrections += answer.corrected
        if answer.barred > self._queue.turns.penalty(loop_ms()) + self._sharing.beat_ms:
            _log.warning("budget_penalty_shared", budget=self._name, wait_ms=answer.barred)
        if answer.barred:
            self._queue.bar(answer.barred)
        self._queue.serve()
        self._enter(SharedState.SHARED)

    async def _pause(self) -> None:
        """Until the next beat, or until somebody waits."""
        length = self._sharing.beat_ms if self._denied is None else self._sharing.denied_ms
        try:
            async with asyncio.timeout(length / 1_000):
                await self._wake.wait()
        except TimeoutError:
            return

    def _lose(self, error: Exception) -> None:
        self._failures += 1
        if self._state is SharedState.LOCAL:
            return
        self._fallbacks += 1
        self._room.go_local()
        self._queue.serve()
        self._enter(SharedState.LOCAL, error=type(error).__name__)

    def _enter(self, state: SharedState, error: str | None = None) -> None:
        """Change the state, once and visibly."""
        if state is self._state:
            return
        self._state = state
        self._decided.set()
        reading = self.reading
        if state is SharedState.LOCAL:
            _log.warning("shared_budget_lost", budget=self._name, error=error, fair_share=reading.fair_share)
        else:
            _log.info("shared_budget_joined", budget=self._name, members=reading.members, fair_share=reading.fair_share)
        if self._on_change is not None:
            self._on_change(reading)


def _client(url: str, timeout: float) -> Redis:
    # Imported here because redis costs the command line's start 0.1 s.
    from redis.asyncio import Redis  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    try:
        return Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout, socket_connect_timeout=timeout)
    except (ValueError, TypeError):
        # The library's message may quote the URL, and the URL may hold a password.
        message = "redis.url is not a Redis URL; it looks like redis://host:6379/0, rediss://... or unix:///path"
        raise ValueError(message) from None
