"""The WebSocket: the same envelopes as text, each with its `id`, and a client that may change its mind about what it follows.

A client may send `{"follow": ["orders", "quotes"]}`, `{"after": "run:number"}`, or both in one; each is answered by `following`
or `refused`. A client that cannot keep up is closed with 1013 and may come back with the last id that it saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.outlets.envelope import Channel
from bot.web.stream.ending import until_any, until_unknown
from bot.web.stream.link import ALWAYS, LINK, BotLink
from bot.web.stream.ring import RESYNC, Subscription
from bot.web.stream.sse import SEND_SECONDS

log = structlog.get_logger(__name__)

MESSAGE_LIMIT = 8_192
TOO_BIG, TOO_SLOW, STOPPING, NOT_TEXT = 1009, 1013, 1001, 1003
_WAIT_SECONDS = 60.0
_CLOSE_SECONDS = 0.2


def channels_of(names: Collection[str]) -> frozenset[Channel]:
    """The channels of these names, all but quotes for none; `ValueError` with the choices for any other."""
    unknown = sorted(name[:40] for name in names if name not in frozenset(Channel))
    if unknown:
        message = f"there is no channel {unknown[0]!r}; choose of {', '.join(Channel)}"
        raise ValueError(message)
    return frozenset(map(Channel, names)) or ALWAYS


class Conversation:
    """One open WebSocket."""

    def __init__(self, websocket: WebSocket, subscription: Subscription, link: BotLink) -> None:
        self._websocket = websocket
        self._subscription = subscription
        self._link = link
        self._wants = ExitStack()

    async def hold(self, stopping: asyncio.Event) -> None:
        """Speak and listen until either side has had enough, or the control room stops."""
        with self._wants:
            self._follow(ALWAYS)
            try:
                ends = (self._listen(), stopping.wait(), until_unknown(self._websocket))
                await until_any(self._speak(), *ends, close=self._subscription.close)
                code, reason = (STOPPING, "the control room stops") if stopping.is_set() else (1000, "")
                await self._close(code, reason)
            except (OSError, TimeoutError, WebSocketDisconnect) as error:
                log.info("stream_reader_lost", path="/api/v1/ws", reason=type(error).__name__)
                await self._close(TOO_SLOW, "too slow")
            finally:
                self._subscription.close()

    async def _speak(self) -> None:
        while not self._subscription.closed:
            for entry in self._subscription.take():
                if entry.type == RESYNC and self._subscription.dropped:
                    await self._close(TOO_SLOW, "too slow: come back with the last id, and read afresh")
                    return
                await self._send(entry.text)
            await self._subscription.wait(_WAIT_SECONDS)

    async def _listen(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                await self._close(NOT_TEXT, "text, please")
                return
            if len(text) > MESSAGE_LIMIT:
                await self._close(TOO_BIG, f"at most {MESSAGE_LIMIT} characters")
                return
            await self._send(orjson.dumps(self._answer(text)).decode())

    def _answer(self, text: str) -> Mapping[str, Any]:
        try:
            wish = orjson.loads(text)
            if not isinstance(wish, dict) or not wish.keys() & {"follow", "after"} or wish.keys() - {"follow", "after"}:
                message = 'a request looks like {"follow": ["orders"], "after": "run:number"}, or has one of the two'
                raise ValueError(message)
            follow, after = wish.get("follow"), wish.get("after")
            if not (follow is None or (isinstance(follow, list) and all(isinstance(name, str) for name in follow))):
                message = "follow must be a list of channels"
                raise ValueError(message)
            if not (after is None or isinstance(after, str)):
                message = "after must be an id such as run:number"
                raise ValueError(message)
            if follow is not None:
                self._follow(channels_of(follow))
            if after is not None:
                self._subscription.move(after)
        except ValueError as error:
            return {"type": "refused", "error": str(error)}
        followed = sorted(self._subscription.channels or ())
        return {"type": "following", "id": self._subscription.position, "channels": followed}

    def _follow(self, channels: frozenset[Channel]) -> None:
        self._subscription.channels = channels | {LINK}
        wants = ExitStack()
        wants.enter_context(self._link.wants(channels - ALWAYS))
        self._wants.close()
        self._wants.push(wants)

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._websocket.send_text(text)

    async def _close(self, code: int, reason: str) -> None:
        """Say why, if the client still takes it."""
        with suppress(TimeoutError, OSError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._websocket.close(code, reason)
