"""The account stream of a drill: the venue's private messages on their way to whoever is connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot.drill.virtual.chance import Chance
from bot.drill.virtual.loop import VirtualLoop
from bot.drill.virtual.mischief import Mischief
from bot.drill.virtual.schedule import Telling

Message = tuple[Callable[[], None], ...]
"""What one event of the venue tells a sink, call by call."""

PATIENCE = 4.0
"""Seconds of a silent socket after which the account takes it for lost."""


class Connection:
    """One socket. `ended` gives the reason for which it was lost."""

    def __init__(self, loop: VirtualLoop, chance: Chance, mischief: Mischief) -> None:
        self._loop = loop
        self._chance = chance
        self._mischief = mischief
        self._arrives = 0.0
        self._muted = False
        self.ended: asyncio.Future[str] = loop.create_future()

    def push(self, message: Message) -> None:
        """The venue sends a message."""
        if self.ended.done() or self._muted:
            return
        match self._mischief.telling():
            case Telling.LOST:
                return
            case Telling.STALL:
                self._muted = True
                self._loop.call_later(PATIENCE, self.end, "the stream was silent")
            case Telling.TWICE:
                self._deliver(message, self._soon())
                self._deliver(message, self._soon() + self._chance.between("repeat", 0.0, 2.0))
            case Telling.DELAYED:
                self._deliver(message, self._soon() + self._chance.between("delay", 0.5, 3.0))
            case Telling.REORDERED:
                self._loop.call_at(self._soon() + self._chance.between("reorder", 0.0, 1.0), self._arrive, message)
            case _:
                self._deliver(message, self._soon())

    def end(self, reason: str) -> None:
        """The socket is gone, and with it what was on its way."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def _soon(self) -> float:
        return self._loop.time() + self._chance.between("stream", 0.001, 0.08)

    def _deliver(self, message: Message, at: float) -> None:
        """In order: not before what was sent earlier."""
        self._arrives = max(self._arrives, at)
        self._loop.call_at(self._arrives, self._arrive, message)

    def _arrive(self, message: Message) -> None:
        if not self.ended.done():
            for call in message:
                call()
