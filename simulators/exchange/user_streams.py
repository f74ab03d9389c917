"""Who hears what about which account: every private event passes here, once, on its way to the sockets.

The faults of telling strike before the sockets, so all of an account's clients are told the same wrong thing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import structlog

from simulators.exchange.account_faults import Telling
from simulators.exchange.events import Event
from simulators.exchange.faults import Ending, Switchboard
from simulators.exchange.hub import Socket, frame

log = structlog.get_logger(__name__)

_MAX_BACKLOG = 4 * 1024 * 1024
_MAX_SOCKETS = 1_000


@dataclass(eq=False, slots=True)
class Ear:
    """One subscription: an account's API key, the socket, and how an event reads there (None: it is not told)."""

    key: str
    socket: Socket
    render: Callable[[Event], object | None]
    farewell: Callable[[], object | None] = lambda: None
    """What is said when the venue ends the subscription."""
    listen_key: str = ""


class UserStreams:
    """Private subscriptions of all dialects. `counts` tells subscriptions, events and cut-offs."""

    def __init__(self, telling: Telling, faults: Switchboard) -> None:
        self._telling = telling
        self._faults = faults
        self._ears: dict[Ear, None] = {}
        self._sockets: dict[Socket, None] = {}
        self._release: asyncio.TimerHandle | None = None
        self.counts: Counter[str] = Counter()

    def add(self, ear: Ear) -> None:
        """Begin a subscription."""
        self._ears[ear] = None
        self.counts["subscriptions"] += 1

    def remove(self, ear: Ear) -> None:
        """End a subscription."""
        self._ears.pop(ear, None)

    def enter(self, socket: Socket) -> None:
        """A private connection is there."""
        self._sockets[socket] = None
        self.counts["connections"] += 1

    @property
    def full(self) -> bool:
        """Whether no further connection is taken."""
        return len(self._sockets) >= _MAX_SOCKETS

    def leave(self, socket: Socket) -> None:
        """A private connection is gone, and its subscriptions with it."""
        self._sockets.pop(socket, None)
        for ear in [ear for ear in self._ears if ear.socket is socket]:
            self.remove(ear)

    def tell(self, event: Event) -> None:
        """An event of the engine."""
        for told in self._telling.told(event):
            self._deliver(told)
        if self._telling.holding and self._release is None:
            self._release = asyncio.get_running_loop().call_later(self._telling.patience, self.release)

    def release(self) -> None:
        """Tell what was held back."""
        if self._release is not None:
            self._release.cancel()
            self._release = None
        for event in self._telling.release():
            self._deliver(event)

    def send(self, socket: Socket, message: object) -> None:
        """One message to one socket, unless all of them are silent."""
        self.send_text(socket, message if isinstance(message, str) else orjson.dumps(message).decode())

    def send_text(self, socket: Socket, message: str) -> None:
        """A text as it is."""
        if self._faults.stalled or self._telling.stalled:
            self.counts["stalled"] += 1
            return
        if socket.transport.is_closing():
            return
        if socket.transport.get_write_buffer_size() > _MAX_BACKLOG:
            self.counts["cut_off"] += 1
            log.warning("slow_private_client_cut_off")
            socket.transport.abort()
            return
        socket.transport.write(frame(message.encode()))

    def disconnect(self, how: Ending) -> None:
        """End every private connection."""
        for socket in list(self._sockets):
            socket.end(how)
        self.counts["disconnected"] += len(self._sockets)

    def terminate(self) -> None:
        """End every subscription, saying so; the connections stay."""
        for ear in list(self._ears):
            self._end(ear)

    def end_listen_key(self, name: str) -> None:
        """End the subscriptions by this listen key."""
        for ear in [ear for ear in self._ears if ear.listen_key == name]:
            self._end(ear)

    def close(self) -> None:
        """Nothing is told any more."""
        self._telling.clear()
        self._telling.release()
        if self._release is not None:
            self._release.cancel()
            self._release = None
        self.disconnect(Ending.CLOSE)

    def _end(self, ear: Ear) -> None:
        self.remove(ear)
        last = ear.farewell()
        if last is not None:
            self.send(ear.socket, last)

    def _deliver(self, event: Event) -> None:
        for ear in list(self._ears):
            if ear.key == event.key:
                message = ear.render(event)
                if message is not None:
                    self.counts["events"] += 1
                    self.send(ear.socket, message)
