"""The websocket hub: who listens to what, and one encoded frame for all of them.

A server's frames are the same for every client, so an event is encoded and framed once and its bytes fan out. Frames of one
moment leave in one write. A client that does not read fast enough is cut off, as the venue does, and counted.
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson
import structlog
from aiohttp import WSMsgType, web

from simulators.exchange.faults import Ending, Switchboard
from simulators.exchange.topics import Topic, UnknownTopic, parse_topic

log = structlog.get_logger(__name__)

_MAX_STREAMS = 1_024
_MAX_SOCKETS = 1_000
_MAX_BACKLOG = 16 * 1024 * 1024
_HEARTBEAT = 20.0
_GOING_AWAY = 1001


def frame(payload: bytes, opcode: int = 0x1) -> bytes:
    """One whole unmasked websocket frame."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


@dataclass(eq=False, slots=True)
class Socket:
    """One client's connection. `wrapped`: events come as `{"stream", "data"}`."""

    transport: asyncio.Transport
    wrapped: bool
    streams: dict[str, Topic] = field(default_factory=dict)
    pending: list[bytes] = field(default_factory=list)

    def end(self, how: Ending) -> None:
        """Close with a close frame, or abort."""
        if how is Ending.CLOSE and not self.transport.is_closing():
            self.transport.write(frame(struct.pack("!H", _GOING_AWAY), 0x8))
            self.transport.close()
        else:
            self.transport.abort()


class Hub:
    """Every socket and its streams. `symbols` gives the symbol of a venue id; `counts` tells connections, frames and cut-offs."""

    def __init__(self, symbols: Mapping[str, str], faults: Switchboard) -> None:
        self._symbols = symbols
        self._faults = faults
        self._sockets: dict[Socket, None] = {}
        self._listeners: dict[str, dict[Socket, None]] = {}
        self._by_symbol: dict[str | None, dict[str, Topic]] = {}
        self._dirty: dict[Socket, None] = {}
        self.counts: Counter[str] = Counter()

    def topics(self, symbol: str | None) -> Mapping[str, Topic]:
        """The streams of a symbol (None: those of all symbols) that somebody listens to."""
        return self._by_symbol.get(symbol, {})

    def listens(self, name: str) -> bool:
        """Whether anybody has the stream."""
        return name in self._listeners

    def publish(self, topic: Topic, event: object, counts: bool = True) -> None:
        """Give an event to everybody who has the stream; it leaves with the next `flush`."""
        listeners = self._listeners.get(topic.name)
        if not listeners:
            return
        payload: bytes | None = orjson.dumps(event)
        if not self._faults.quiet and payload is not None:
            payload = self._faults.passes(topic.name, payload, counts)
        if payload is None:
            return
        plain = frame(payload)
        wrapped: bytes | None = None
        for socket in listeners:
            if socket.wrapped and wrapped is None:
                wrapped = frame(b'{"stream":' + orjson.dumps(topic.name) + b',"data":' + payload + b"}")
            self._queue(socket, wrapped if socket.wrapped and wrapped is not None else plain)
        self.counts["events"] += len(listeners)

    def flush(self) -> None:
        """Write what has been published."""
        for socket in self._dirty:
            if socket.transport.is_closing():
                socket.pending.clear()
            elif socket.transport.get_write_buffer_size() > _MAX_BACKLOG:
                self.counts["cut_off"] += 1
                log.warning("slow_client_cut_off", streams=len(socket.streams))
                socket.pending.clear()
                socket.transport.abort()
            else:
                socket.transport.write(b"".join(socket.pending))
                socket.pending.clear()
        self._dirty.clear()

    def poison(self, frames: tuple[str, ...], wanted: Callable[[str], bool]) -> None:
        """Send raw texts to every socket that has a wanted stream."""
        for socket in self._sockets:
            if any(wanted(name) for name in socket.streams):
                for text in frames:
                    self._queue(socket, frame(text.encode()))
        self.flush()

    def disconnect(self, how: Ending) -> None:
        """End every connection."""
        for socket in list(self._sockets):
            socket.end(how)
        self.counts["disconnected"] += len(self._sockets)

    @property
    def full(self) -> bool:
        """Whether no further connection is taken."""
        return len(self._sockets) >= _MAX_SOCKETS

    def adopt(self, socket: Socket) -> None:
        """A socket of another dialect, that ends when all do."""
        self._sockets[socket] = None
        self.counts["connections"] += 1

    def abandon(self, socket: Socket) -> None:
        """That socket is gone."""
        self._sockets.pop(socket, None)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Talk to one client until it leaves: `/stream/...`, `/ws/...` (events as they are), `/stream?streams=a/b` (wrapped)."""
        if self.full:
            raise web.HTTPServiceUnavailable(text="too many connections")
        response = web.WebSocketResponse(compress=False, heartbeat=_HEARTBEAT)
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        names = request.query.get("streams", "")
        socket = Socket(transport, wrapped=bool(names))
        self._sockets[socket] = None
        self.counts["connections"] += 1
        try:
            self._add(socket, [name for name in names.split("/") if name])
            async for message in response:
                if message.type is WSMsgType.TEXT:
                    self._answer(socket, message.data)
        except UnknownTopic as problem:
            log.info("stream_refused", reason=str(problem))
        finally:
            self._forget(socket)
        return response

    def _queue(self, socket: Socket, data: bytes) -> None:
        socket.pending.append(data)
        self._dirty[socket] = None

    def _answer(self, socket: Socket, text: str) -> None:
        """Obey one client message."""
        reply = self._obey(socket, text)
        if self._faults.stalled:
            self._faults.counts["stalled"] += 1
            return
        self._queue(socket, frame(orjson.dumps(reply)))
        self.flush()

    def _obey(self, socket: Socket, text: str) -> dict[str, object]:
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            return _refusal(None, 3, "Invalid JSON: expected value")
        if not isinstance(request, dict):
            return _refusal(None, 2, "Invalid request: request must be an object")
        ident, method, params = request.get("id"), request.get("method"), request.get("params", [])
        if not (isinstance(params, list) and all(isinstance(name, str) for name in params)):
            return _refusal(ident, 2, "Invalid request: params must be an array of strings")
        self.counts[method.lower() if method in ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS") else "unknown_method"] += 1
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(socket.streams), "id": ident}
        try:
            if method == "SUBSCRIBE":
                self._add(socket, params)
            elif method == "UNSUBSCRIBE":
                self._remove(socket, params)
            else:
                return _refusal(ident, 2, f"Invalid request: unknown variant {method}")
        except UnknownTopic as problem:
            return _refusal(ident, 2, f"Invalid request: {problem}")
        return {"result": None, "id": ident}

    def _add(self, socket: Socket, names: list[str]) -> None:
        topics = [parse_topic(name, self._symbols) for name in names]
        if len(socket.streams.keys() | set(names)) > _MAX_STREAMS:
            message = f"more than {_MAX_STREAMS} streams on one connection"
            raise UnknownTopic(message)
        for topic in topics:
            socket.streams[topic.name] = topic
            self._listeners.setdefault(topic.name, {})[socket] = None
            self._by_symbol.setdefault(topic.symbol, {})[topic.name] = topic

    def _remove(self, socket: Socket, names: list[str]) -> None:
        for name in names:
            topic = socket.streams.pop(name, None)
            if topic is None:
                continue
            listeners = self._listeners[name]
            del listeners[socket]
            if not listeners:
                del self._listeners[name]
                del self._by_symbol[topic.symbol][name]

    def _forget(self, socket: Socket) -> None:
        self._remove(socket, list(socket.streams))
        self._sockets.pop(socket, None)
        self._dirty.pop(socket, None)


def _refusal(ident: object, code: int, message: str) -> dict[str, object]:
    return {"error": {"code": code, "msg": message}, "id": ident}
