"""OKX over websockets: `/ws/v5/public`, `/private` and `/business`, one subscription protocol for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from aiohttp import WSMsgType, web

from bot.core.market import Quote, Trade
from bot.market.simulated import Bar, Book
from simulators.exchange import okx_dialect as wire
from simulators.exchange.accounts import Account, Accounts
from simulators.exchange.answer_faults import Answers, Coded, Dropped, Garbled, Hung, When, garbage
from simulators.exchange.dialect import Wire
from simulators.exchange.events import BalancesMoved, Event, Executed
from simulators.exchange.faults import Switchboard
from simulators.exchange.hub import Hub, Socket, frame
from simulators.exchange.okx_orders import OkxOrders
from simulators.exchange.okx_rest import interval, login
from simulators.exchange.query import Rejected
from simulators.exchange.user_streams import Ear, UserStreams
from simulators.exchange.venue import BOOK_LEVELS, Venue, merged

_HEARTBEAT = 20.0
_MAX_MESSAGE = 64 * 1024
_MAX_BACKLOG = 16 * 1024 * 1024
_MAX_CHANNELS = 480
_PATIENCE_S = 30
_BOOKS = ("books", "books5", "bbo-tbt", "books-l2-tbt", "books50-l2-tbt")
_MARKET = ("trades", "trades-all", "tickers", *_BOOKS)

Arg = dict[str, str]
_Key = tuple[str, str]


@dataclass(eq=False, slots=True)
class _Client:
    """One connection: who it is, once logged in, and what it has."""

    socket: Socket
    account: Account | None = None
    market: dict[_Key, Arg] = field(default_factory=dict)
    ears: dict[str, Ear] = field(default_factory=dict)


class OkxSockets:
    """Serves `/ws/v5/*`; follows the pump for market data and the account streams for the rest."""

    def __init__(
        self, orders: OkxOrders, accounts: Accounts, venue: Venue, hub: Hub, streams: UserStreams, faults: Switchboard,
        answers: Answers, now: Callable[[], int],
    ) -> None:  # fmt: skip
        self._orders = orders
        self._accounts = accounts
        self._venue = venue
        self._hub = hub
        self._streams = streams
        self._faults = faults
        self._answers = answers
        self._now = now
        self._listeners: dict[_Key, dict[_Client, None]] = {}
        self._books: dict[_Key, Book] = {}

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Talk to one client until it leaves."""
        if self._streams.full or self._hub.full:
            raise web.HTTPServiceUnavailable(text="too many connections")
        response = web.WebSocketResponse(compress=False, heartbeat=_HEARTBEAT, max_msg_size=_MAX_MESSAGE)
        await response.prepare(request)
        if request.transport is None:
            return response
        client = _Client(Socket(request.transport, wrapped=False))
        private = request.path.endswith("/private")
        (self._streams.enter if private else self._hub.adopt)(client.socket)
        try:
            async for message in response:
                if message.type is WSMsgType.TEXT:
                    await self._hear(client, message.data)
        finally:
            self._streams.leave(client.socket)
            self._hub.abandon(client.socket)
            for key in list(client.market):
                self._unsubscribe(client, key)
        return response

    def on_quote(self, quote: Quote, index: int, slot: int) -> None:
        """The market shows a new quote."""
        name = wire.okx_id(quote.symbol)
        if self._wanted("tickers", name):
            self._publish("tickers", name, wire.ticker(self._venue.ticker(quote.symbol), self._now()))
        for channel in _BOOKS:
            if self._wanted(channel, name):
                self._tell_book(channel, name, self._venue.market.book(quote.symbol, index, slot, _levels(channel)))

    def on_trade(self, trade: Trade) -> None:
        """The market prints a trade."""
        name = wire.okx_id(trade.symbol)
        for channel in ("trades", "trades-all"):
            if self._wanted(channel, name):
                self._publish(channel, name, wire.trade(trade))

    def on_end(self, index: int) -> None:
        """A step is over: candles."""
        end = self._venue.market.time_of(index + 1)
        for channel, name in list(self._listeners):
            if channel.startswith("candle"):
                length = interval(channel[6:])
                self._publish(channel, name, wire.candle(self._bar(self._orders.symbols[name], length, end), end % length == 0))

    def _bar(self, symbol: str, length: int, end: int) -> Bar:
        """The candle that the step before `end` belongs to, so far."""
        market = self._venue.market
        first = max(0, market.index_at((end - 1) // length * length))
        bars = market.bars(symbol, length, first, market.index_at(end))
        bar = bars[0]
        for later in bars[1:]:
            bar = merged(bar, later)
        return bar

    async def _hear(self, client: _Client, text: str) -> None:
        if text == "ping":
            self._send(client, "pong")
            return
        try:
            request = orjson.loads(text)
            operation, arguments = request["op"], request["args"]
            if not (isinstance(arguments, list) and all(isinstance(one, dict) for one in arguments)):
                raise TypeError
        except (orjson.JSONDecodeError, TypeError, KeyError):
            self._send(client, {"event": "error", "code": "60012", "msg": f"Illegal request: {text[:200]}", "connId": "1"})
            return
        if operation in ("order", "batch-orders", "cancel-order", "batch-cancel-orders"):
            await self._order(client, request.get("id"), operation, arguments)
            return
        for argument in arguments:
            try:
                self._obey(client, operation, argument)
            except Rejected as problem:
                self._send(client, {"event": "error", "code": str(problem.code), "msg": str(problem), "connId": "1"})

    def _obey(self, client: _Client, operation: str, argument: Wire) -> None:
        if operation == "login":
            client.account = self._login({str(name): str(value) for name, value in argument.items()})
            self._send(client, {"event": "login", "code": "0", "msg": "", "connId": "1"})
        elif operation in ("subscribe", "unsubscribe"):
            arg = {str(name): str(value) for name, value in argument.items()}
            key = (arg.get("channel", ""), arg.get("instId", ""))
            if operation == "subscribe":
                self._subscribe(client, key, arg)
            else:
                self._unsubscribe(client, key)
                self._send(client, {"event": "unsubscribe", "arg": arg, "connId": "1"})
        else:
            raise Rejected(60012, f"Illegal request: {operation!r}")

    def _login(self, given: Arg) -> Account:
        stamp = given.get("timestamp", "")
        if not stamp.isdigit() or abs(self._now() // 1_000 - int(stamp)) > _PATIENCE_S:
            raise Rejected(60006, "Timestamp request expired")
        try:
            payload = f"{stamp}GET/users/self/verify"
            return login(self._accounts, given.get("apiKey", ""), given.get("passphrase", ""), payload, given.get("sign", ""))
        except Rejected as problem:
            codes = {50111: 60005, 50105: 60024, 50113: 60007}
            raise Rejected(codes[problem.code], str(problem)) from problem

    def _subscribe(self, client: _Client, key: _Key, arg: Arg) -> None:
        channel, name = key
        if channel in ("orders", "orders-algo", "account"):
            self._subscribe_account(client, channel, arg)
            return
        if channel not in _MARKET and not channel.startswith("candle"):
            raise Rejected(60018, f"channel:{channel} doesn't exist")
        if name not in self._orders.symbols:
            raise Rejected(60018, f"channel:{channel},instId:{name} doesn't exist")
        if channel.startswith("candle"):
            interval(channel[6:])
        if len(client.market) >= _MAX_CHANNELS:
            raise Rejected(60030, "too many channels")
        self._send(client, {"event": "subscribe", "arg": arg, "connId": "1"})
        client.market[key] = arg
        self._listeners.setdefault(key, {})[client] = None
        if channel in _BOOKS:
            self._snapshot(client, key, arg)

    def _snapshot(self, client: _Client, key: _Key, arg: Arg) -> None:
        """The book as everybody has been told it so far, for the one who comes late."""
        symbol = self._orders.symbols[key[1]]
        shown = self._books.setdefault(key, self._venue.book(symbol, _levels(key[0])))
        self._send(client, {"arg": arg, "action": "snapshot", "data": [wire.book(shown, self._now())]})

    def _subscribe_account(self, client: _Client, channel: str, arg: Arg) -> None:
        if client.account is None:
            raise Rejected(60011, "Please log in")
        if len(client.ears) >= _MAX_CHANNELS:
            raise Rejected(60030, "too many channels")
        account = client.account

        def render(event: Event) -> object | None:
            return self._told(channel, arg, event)

        name = f"{channel}/{arg.get('instId', '')}/{arg.get('instType', '')}"
        if name in client.ears:
            self._streams.remove(client.ears[name])
        ear = client.ears[name] = Ear(account.terms.key, client.socket, render)
        self._send(client, {"event": "subscribe", "arg": arg, "connId": "1"})
        self._streams.add(ear)
        if channel == "account":
            row = wire.account_row(account)
            self._streams.send(
                client.socket, {"arg": arg, "eventType": "snapshot", "curPage": 1, "lastPage": True, "data": [row]}
            )

    def _told(self, channel: str, arg: Arg, event: Event) -> object | None:
        match event:
            case BalancesMoved() if channel == "account":
                return {"arg": arg, "eventType": "event_update", "data": [wire.account_push(event)]}
            case Executed():
                order = event.order
                if arg.get("instId", wire.okx_id(order.symbol)) != wire.okx_id(order.symbol):
                    return None
                algo = order.ticket.kind.waits and not (order.working and order.status.open) and event.fill is None
                if channel == "orders-algo" and algo:
                    return {"arg": arg, "data": [wire.algo_row(order)]}
                if channel == "orders" and not algo:
                    return {"arg": arg, "data": [wire.order_push(event)]}
        return None

    def _unsubscribe(self, client: _Client, key: _Key) -> None:
        for name in [name for name in client.ears if name.startswith(f"{key[0]}/")]:
            self._streams.remove(client.ears.pop(name))
        if client.market.pop(key, None) is not None:
            listeners = self._listeners[key]
            listeners.pop(client, None)
            if not listeners:
                del self._listeners[key]
                self._books.pop(key, None)

    async def _order(self, client: _Client, ident: object, operation: str, arguments: list[Wire]) -> None:
        """Orders over the socket, late, lost or garbled as the faults want it (method `WS`, path `/ws/v5/<operation>`)."""
        path = f"/ws/v5/{operation}"
        if delay := self._faults.delay(path, "WS"):
            await asyncio.sleep(delay)
        strike = self._answers.strike(When.BEFORE, "WS", path)
        if strike is None:
            reply = self._placed(client, ident, operation, arguments)
            strike = self._answers.strike(When.AFTER, "WS", path)
            if strike is None:
                self._streams.send(client.socket, reply)
                return
        match strike:
            case Hung():
                return
            case Dropped():
                client.socket.transport.abort()
            case Garbled():
                self._streams.send_text(client.socket, garbage(strike.body, b'{"id":').decode())
            case Coded():
                error = {"id": ident, "op": operation, "code": str(abs(strike.code)), "msg": strike.message, "data": []}
                self._streams.send(client.socket, error)

    def _placed(self, client: _Client, ident: object, operation: str, arguments: list[Wire]) -> Wire:
        if client.account is None:
            return {"id": ident, "op": operation, "code": "60011", "msg": "Please log in", "data": []}
        act = self._orders.place if operation in ("order", "batch-orders") else self._orders.cancel
        rows = [act(client.account, given) for given in arguments]
        failed = sum(row["sCode"] != "0" for row in rows)
        code = "0" if not failed else "1" if failed == len(rows) else "2"
        return {"id": ident, "op": operation, "code": code, "msg": "", "data": rows}

    def _tell_book(self, channel: str, name: str, shown: Book) -> None:
        before = self._books.get((channel, name))
        if before is not None and shown.sequence <= before.sequence:
            return
        self._books[(channel, name)] = shown
        if channel in ("books5", "bbo-tbt") or before is None:
            self._publish(channel, name, wire.book(shown, self._now()))
        else:
            self._publish(channel, name, wire.book(shown, self._now(), before), action="update")

    def _wanted(self, channel: str, name: str) -> bool:
        return (channel, name) in self._listeners

    def _publish(self, channel: str, name: str, row: object, **more: str) -> None:
        stream = f"{channel}:{name}"
        payload = orjson.dumps({"arg": {"channel": channel, "instId": name}, **more, "data": [row]})
        if not self._faults.quiet:
            passed = self._faults.passes(stream, payload, counts=True)
            if passed is None:
                return
            payload = passed
        for client in list(self._listeners[(channel, name)]):
            self._write(client.socket, payload)

    def _send(self, client: _Client, message: object) -> None:
        """Answers are silenced with everything else while sockets are stalled."""
        if self._faults.stalled:
            self._faults.counts["stalled"] += 1
            return
        self._write(client.socket, message.encode() if isinstance(message, str) else orjson.dumps(message))

    def _write(self, socket: Socket, payload: bytes) -> None:
        if socket.transport.is_closing():
            return
        if socket.transport.get_write_buffer_size() > _MAX_BACKLOG:
            self._hub.counts["cut_off"] += 1
            socket.transport.abort()
            return
        socket.transport.write(frame(payload))


def _levels(channel: str) -> int:
    return {"books5": 5, "bbo-tbt": 1}.get(channel, BOOK_LEVELS)
