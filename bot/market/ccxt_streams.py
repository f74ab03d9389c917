"""Subscriptions that stay alive: one task per stream, ended by a loss or by the watchdog, begun again after a jittered pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any


class StreamKind(StrEnum):
    """What a stream carries."""

    QUOTES = "quotes"
    TRADES = "trades"
    CANDLES = "candles"


@dataclass(slots=True)
class Backoff:
    """Pauses that double from `first` to `cap` seconds, each shortened by chance to at least half."""

    first: float
    cap: float
    random: Random
    attempt: int = 0

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        pause = min(self.cap, self.first * 2.0 ** min(self.attempt, 30))
        self.attempt += 1
        return pause * self.random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """The last attempt worked."""
        self.attempt = 0


@dataclass(slots=True)
class Stream:
    """One subscription and what is known of its life; times are the loop's, in seconds.

    `watch` subscribes and returns with the next event. `silence` is how long it may say nothing; it grows while reconnecting
    does not help, because a market can be quiet.
    """

    name: str
    kind: StreamKind
    feeds: tuple[tuple[str, str], ...]
    watch: Callable[[], Awaitable[object]]
    silence: float
    silence_cap: float
    backoff: Backoff
    clients: dict[str, Any] = field(default_factory=dict)
    last_event: float = 0.0
    patience: float = 0.0
    interrupted: bool = False
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""
    _scope: asyncio.Timeout | None = None

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols it carries, without repetition."""
        return tuple(dict.fromkeys(symbol for symbol, _ in self.feeds))

    def heard(self, now: float) -> None:
        """An event came."""
        self.last_event = now
        self.patience = self.silence

    def stalled(self, now: float) -> bool:
        """Whether it is subscribed and has said nothing for too long."""
        return self._scope is not None and now - self.last_event > self.patience

    def end(self, reason: str) -> None:
        """Its connection is gone, or is to be taken for gone: the holding task wakes up wherever it waits."""
        self.reason = self.reason or reason
        self.lost.set()
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def live(self, on_ready: Callable[[], None], each: Callable[[], bool]) -> str:
        """Subscribe and stay until the connection ends; return why it did.

        `on_ready` is called with the first event. `each` after every one; while it says true, events are awaited one by one,
        else only the end is awaited.
        """
        self.reason = ""
        self.lost.clear()
        self.last_event = asyncio.get_running_loop().time()
        self.patience = self.patience or self.silence
        try:
            async with asyncio.timeout(None) as self._scope:
                await self.watch()
                self.backoff.reset()
                on_ready()
                while each():
                    await self.watch()
                await self.lost.wait()
        except TimeoutError:
            self.reason = self.reason or "timed out"
        except asyncio.CancelledError:
            # ccxt cancels its futures when it closes a connection; only our own cancellation is one.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self.reason = self.reason or "the connection was closed"
        except Exception as error:  # noqa: BLE001 - the boundary of a supervised stream: the reason is logged and counted by its owner
            self.reason = self.reason or f"{type(error).__name__}: {str(error)[:160]}"
        finally:
            self._scope = None
        return self.reason
