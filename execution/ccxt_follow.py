"""The account's stream, for ever: subscribe, tell, notice when it is gone or silent, and begin again.

What a frame holds reaches the sink while the frame is handled; the tasks that await ccxt's `watch_*` only hold the subscriptions.
A connection that says nothing is asked a question of the venue's own, because the pong of a websocket comes from a layer that may
live on while the stream behind it is dead.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import structlog

from execution.account import AccountSink, OrderReport
from execution.ccxt_orders import BINANCE, OKX
from execution.ccxt_outcome import reason_of
from execution.ccxt_reports import order_report, trade_report, triggered

_log = structlog.get_logger(__name__)

_CLOSE_S = 2.0
# ccxt keeps a thousand orders and as many trades with their whole messages; nothing here reads them but ccxt's own merging of
# an order's newest news.
_CACHED = {"ordersLimit": 100, "tradesLimit": 100}
_ENDINGS = frozenset({"eventStreamTerminated", "listenKeyExpired"})
_CLOCK_WORDS = ("-1021", "60006", "InvalidNonce", "Timestamp")
_PROBE = "probe"
_OKX_CHANNELS = frozenset({"orders", "orders-algo"})


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """Times in seconds.

    `connect` bounds a connection and its subscription. After `silence` without a frame the venue is asked something, and has
    `probe` to answer. Pauses between attempts double from `first_pause` to `longest_pause`, shortened by chance to at least half.
    `settle` is how long a venue that confirms no subscription is given to refuse it.
    """

    connect: float = 10.0
    silence: float = 10.0
    probe: float = 5.0
    first_pause: float = 0.1
    longest_pause: float = 10.0
    settle: float = 1.0


class AccountStream:
    """A ccxt `Tap` that keeps an account's stream up and tells a sink. `counts` says what it saw."""

    def __init__(
        self,
        exchange: Any,
        config: StreamConfig,
        now: Callable[[], int],
        adjust_clock: Callable[[], Awaitable[bool]],
        random: Random,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._exchange = exchange
        self._config = config
        self._now = now
        self._adjust_clock = adjust_clock
        self._random = random
        self._secrets = secrets
        self._sink: AccountSink | None = None
        self._heard: dict[Any, float] = {}
        self._news = asyncio.Event()
        self._confirmed: set[str] = set()
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._reason = self._complaint = ""
        self._last: OrderReport | None = None
        self.counts: Counter[str] = Counter()

    async def run(self, sink: AccountSink) -> None:
        """Follow until cancelled."""
        if self._sink is not None:
            message = "the account's stream is followed already"
            raise RuntimeError(message)
        self._sink, self._exchange.tap = sink, self
        self._exchange.options.update(_CACHED)
        failures, told = 0, False
        try:
            while True:
                up = await self._live(sink)
                failures = 1 if up else failures + 1
                if up or not told:
                    sink.on_lost(self._reason)
                told = True
                self.counts["lost" if up else "refused"] += 1
                _log.warning("account_stream_lost", venue=self._exchange.id, reason=self._reason, attempt=failures)
                await self._let_go()
                await self._set_clock_if_needed()
                await asyncio.sleep(self._pause(failures))
        finally:
            self._exchange.tap = self._sink = None
            await self._let_go()

    async def _live(self, sink: AccountSink) -> bool:
        """One connection from its beginning to its end; whether it ever was up."""
        self._reason = self._complaint = ""
        self._confirmed.clear()
        self._ready.clear()
        self._lost.clear()
        holders = [asyncio.create_task(self._hold(watch)) for watch in self._watches()]
        try:
            if not await self._subscribed():
                return False
            self.counts["connected"] += 1
            sink.on_connected()
            await self._stay()
            return True
        finally:
            for task in holders:
                task.cancel()
            await asyncio.gather(*holders, return_exceptions=True)

    def _watches(self) -> list[Callable[[], Awaitable[object]]]:
        exchange = self._exchange
        watches: list[Callable[[], Awaitable[object]]] = [exchange.watch_orders]
        if exchange.id in OKX:
            watches.append(lambda: exchange.watch_orders(None, None, None, {"trigger": True}))
        elif exchange.id not in BINANCE and exchange.has.get("watchMyTrades"):
            watches.append(exchange.watch_my_trades)
        return watches

    async def _hold(self, watch: Callable[[], Awaitable[object]]) -> None:
        """Hold a subscription; how it ends is for `_end`."""
        try:
            if self._exchange.id in BINANCE:
                await self._exchange.authenticate({"type": "spot"})
                self._ready.set()
            while True:
                await watch()
        except asyncio.CancelledError:
            # ccxt cancels its futures when it closes a connection; only our own cancellation is one.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._end("the connection was closed")
        except Exception as error:  # noqa: BLE001 - the boundary of a supervised stream: its owner logs and counts the reason
            self._end(reason_of(error, self._secrets))

    async def _subscribed(self) -> bool:
        """Wait until the venue has confirmed; False, with the reason, if it does not in time."""
        lost, ready = asyncio.create_task(self._lost.wait()), asyncio.create_task(self._confirmation())
        try:
            await asyncio.wait({lost, ready}, timeout=self._config.connect, return_when=asyncio.FIRST_COMPLETED)
            if not self._lost.is_set() and not ready.done():
                self._end(f"not subscribed within {self._config.connect:g} s")
        finally:
            for task in (lost, ready):
                task.cancel()
            await asyncio.gather(lost, ready, return_exceptions=True)
        return not self._lost.is_set()

    async def _confirmation(self) -> None:
        if self._exchange.id in BINANCE | OKX:
            await self._ready.wait()
            return
        # These venues' confirmations are their own affair: connected, and not refused for a while, is all that can be told.
        # ccxt has no event for it; the caller bounds it.
        while not any(getattr(client, "isConnected", False) for client in self._current()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await asyncio.sleep(self._config.settle)

    async def _stay(self) -> None:
        """Stay until the connection ends, or does not answer after a silence."""
        loop = asyncio.get_running_loop()
        while not self._lost.is_set():
            silent = [client for client in self._current() if loop.time() - self._heard[client] >= self._config.silence]
            for client in silent:
                if not await self._answers(client):
                    self.counts["stalled"] += 1
                    self._end(f"silent for {self._config.silence:g} s, and no answer within {self._config.probe:g} s")
            first = min((self._heard[client] for client in self._current()), default=loop.time())
            try:
                async with asyncio.timeout_at(first + self._config.silence):
                    await self._lost.wait()
            except TimeoutError:
                continue

    async def _answers(self, client: Any) -> bool:
        """Ask the venue something over this connection, and wait for any word from it."""
        self.counts["probes"] += 1
        before = self._heard[client]
        try:
            async with asyncio.timeout(self._config.probe):
                await self._ask(client)
                while self._heard.get(client, before) <= before and not self._lost.is_set():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        except Exception as error:  # noqa: BLE001 - a socket that cannot be written to is one that does not answer
            _log.debug("account_stream_probe_failed", error=reason_of(error, self._secrets))
            return False
        return True

    async def _ask(self, client: Any) -> None:
        exchange = self._exchange
        if exchange.id in BINANCE:
            client.subscriptions[_PROBE] = {"method": _ignore}  # else ccxt takes the answer for that of a subscription
            await client.send({"id": _PROBE, "method": "ping"})
        elif callable(getattr(exchange, "ping", None)):
            await client.send(exchange.ping(client))
        else:
            await client.connection.ping()

    def _current(self) -> list[Any]:
        """The connections that are in use, as ccxt has them."""
        kept = list((self._exchange.clients or {}).values())
        return [client for client in self._heard if client in kept]

    async def _let_go(self) -> None:
        """Close the connections for good, also if their peer is silent."""
        clients: list[Any] = list(self._heard)
        self._heard = {}
        for client in clients:
            kept = self._exchange.clients or {}
            if client in kept.values():
                del kept[client.url]
            client.error = ConnectionError("let go")
            for future in client.futures.values():
                future.cancel()
        # How long to wait before the next attempt is said here, not by ccxt as well.
        self._exchange.ws_dial_backoff = {}
        await asyncio.gather(*(self._close(client) for client in clients))

    async def _close(self, client: Any) -> None:
        try:
            async with asyncio.timeout(_CLOSE_S):
                await client.aiohttp_close()
        except Exception as error:  # noqa: BLE001 - a socket that will not close politely must not stop the stream
            _log.debug("account_stream_closed_hard", error=reason_of(error, self._secrets))

    async def _set_clock_if_needed(self) -> None:
        if any(word in self._reason for word in _CLOCK_WORDS):
            await self._adjust_clock()

    def _pause(self, failures: int) -> float:
        pause = min(self._config.longest_pause, self._config.first_pause * 2.0 ** min(failures - 1, 30))
        return pause * self._random.uniform(0.5, 1.0)

    def _end(self, reason: str) -> None:
        # What ccxt makes of a refused subscription may be its own KeyError; the venue's word is worth more.
        self._reason = self._reason or self._complaint or reason
        self._lost.set()
        self._news.set()

    # What follows is the tap: called by ccxt while it handles a frame.

    def on_order(self, order: Mapping[str, Any]) -> None:
        """Tell the sink, unless it is an algo order that has become another."""
        if self._sink is not None and not triggered(order):
            report = order_report(order, self._now())
            if report != self._last:  # ccxt parses an order of OKX twice
                self._last = report
                self.counts["orders"] += 1
                self._sink.on_order(report)

    def on_trade(self, trade: Mapping[str, Any]) -> None:
        """Tell the sink."""
        if self._sink is not None:
            self.counts["trades"] += 1
            self._sink.on_trade(trade_report(trade, self._now()))

    def on_frame(self, client: Any, message: object) -> None:
        """Note that the connection lives, that a channel is confirmed, or that the venue ends the subscription."""
        self.counts["frames"] += 1
        self._last = None
        self._hear(client)
        if not isinstance(message, dict):
            return
        event, error = message.get("event"), message.get("error")
        if isinstance(error, dict) or event == "error":
            said = error if isinstance(error, dict) else message
            self._complaint = f"the venue says {said.get('code')} {said.get('msg')}"[:160]
        inner = event if isinstance(event, dict) else message
        if inner.get("e") in _ENDINGS:
            self.counts["terminated"] += 1
            self._end(f"the venue says {inner['e']}")
        elif event == "subscribe" and self._exchange.id in OKX:
            self._confirmed.add(str((message.get("arg") or {}).get("channel")))
            if self._confirmed >= _OKX_CHANNELS:
                self._ready.set()

    def on_pong(self, client: Any) -> None:
        """A control frame proves a stream alive only where nothing better can be asked."""
        if self._exchange.id not in BINANCE | OKX:
            self._hear(client)

    def on_client(self, client: Any) -> None:
        """A connection that may have to be watched."""
        self._heard.setdefault(client, asyncio.get_running_loop().time())

    def on_poison(self, client: Any, error: Exception) -> None:
        """Count it and go on."""
        self.counts["poison"] += 1
        _log.warning("account_stream_poison", venue=self._exchange.id, error=reason_of(error, self._secrets))

    def on_gone(self, client: Any, error: object) -> None:
        """One that was let go has nothing to say about its successor."""
        if client in self._heard:
            reason = reason_of(error, self._secrets) if isinstance(error, BaseException) else str(error)[:160]
            self._end(f"disconnected: {reason}")

    def _hear(self, client: Any) -> None:
        if client in self._heard:
            self._heard[client] = asyncio.get_running_loop().time()
            self._news.set()


def _ignore(client: Any, message: object) -> None:
    """The answer to a probe: that it came is enough."""
