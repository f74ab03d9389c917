"""Binance's websocket API: signed requests and the user data stream on one socket, and the older listen-key sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import orjson
from aiohttp import WSMsgType, web

from simulators.exchange import dialect_private as wire
from simulators.exchange import signed
from simulators.exchange.accounts import Account, Accounts
from simulators.exchange.answer_faults import Answers, Coded, Dropped, Garbled, Hung, Strike, When, garbage
from simulators.exchange.dialect import Wire
from simulators.exchange.events import BalancesMoved, Event, Executed, ListMoved, Transferred
from simulators.exchange.faults import Switchboard
from simulators.exchange.hub import Socket
from simulators.exchange.limits import WeightLimit
from simulators.exchange.listen_keys import ListenKeys
from simulators.exchange.private import PrivateApi
from simulators.exchange.query import Query, Rejected
from simulators.exchange.rest import weigh_in
from simulators.exchange.user_streams import Ear, UserStreams
from simulators.exchange.venue import Venue

PATH = "/ws-api/v3"
_HEARTBEAT = 20.0
_MAX_MESSAGE = 64 * 1024
_MAX_SUBSCRIPTIONS = 1_000
_ALIASES = {"v2/account.status": "account.status"}


class WsApi:
    """Serves `/ws-api/v3` and the sockets of listen keys. `now` is the venue's clock, wrong as the faults make it."""

    def __init__(
        self, api: PrivateApi, accounts: Accounts, venue: Venue, weights: WeightLimit, streams: UserStreams, keys: ListenKeys,
        faults: Switchboard, answers: Answers, now: Callable[[], int],
    ) -> None:  # fmt: skip
        self._api = api
        self._accounts = accounts
        self._venue = venue
        self._weights = weights
        self._streams = streams
        self._keys = keys
        self._faults = faults
        self._answers = answers
        self._now = now
        keys.ended = streams.end_listen_key

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Answer one client's requests until it leaves."""
        response, socket = await self._open(request)
        if socket is None:
            return response
        subscriptions: dict[int, Ear] = {}
        try:
            async for message in response:
                if message.type is WSMsgType.TEXT:
                    await self._hear(socket, subscriptions, message.data)
        finally:
            self._streams.leave(socket)
        return response

    async def serve_listen_key(self, request: web.Request, name: str, wrapped: bool) -> web.WebSocketResponse:
        """Tell one client what its listen key stands for, until it leaves."""
        owner = self._keys.owner(name)
        response, socket = await self._open(request)
        if socket is None or owner is None:
            return response

        def dressed(event: Wire | None) -> object | None:
            return {"stream": name, "data": event} if wrapped and event is not None else event

        def farewell() -> object | None:
            return dressed({"e": "listenKeyExpired", "E": self._now(), "listenKey": name})

        self._streams.add(Ear(owner, socket, lambda event: dressed(self._event(event)), farewell, name))
        try:
            async for message in response:
                if message.type is WSMsgType.TEXT:  # older clients subscribe to nothing; an answer keeps them content
                    self._streams.send(socket, {"result": None, "id": _ident(message.data)})
        finally:
            self._streams.leave(socket)
        return response

    async def _open(self, request: web.Request) -> tuple[web.WebSocketResponse, Socket | None]:
        if self._streams.full:
            raise web.HTTPServiceUnavailable(text="too many connections")
        response = web.WebSocketResponse(compress=False, heartbeat=_HEARTBEAT, max_msg_size=_MAX_MESSAGE)
        await response.prepare(request)
        if request.transport is None:
            return response, None
        socket = Socket(request.transport, wrapped=False)
        self._streams.enter(socket)
        return response, socket

    async def _hear(self, socket: Socket, subscriptions: dict[int, Ear], text: str) -> None:
        """One request: late, lost or garbled as the faults want it."""
        request = _request(text)
        ident, method = request.get("id"), str(request.get("method", ""))
        path = f"{PATH}/{method}"
        if delay := self._faults.delay(path, "WS"):
            await asyncio.sleep(delay)
        strike = self._answers.strike(When.BEFORE, "WS", path)
        if strike is None:
            reply = self._reply(socket, subscriptions, method, request)
            strike = self._answers.strike(When.AFTER, "WS", path)
            if strike is None:
                self._streams.send(socket, {"id": ident, **reply})
                return
        await self._instead(socket, ident, strike)

    async def _instead(self, socket: Socket, ident: object, strike: Strike) -> None:
        match strike:
            case Hung():
                return
            case Dropped():
                socket.transport.abort()
            case Garbled():
                self._streams.send_text(socket, garbage(strike.body, b'{"id":').decode())
            case Coded():
                self._streams.send(socket, {"id": ident, **_failure(Rejected(strike.code, strike.message, strike.status))})

    def _reply(self, socket: Socket, subscriptions: dict[int, Ear], method: str, request: Wire) -> Wire:
        headers: dict[str, str] = {}
        try:
            given = _parameters(request.get("params", {}))
            result = self._obey(socket, subscriptions, method, given, headers)
        except Rejected as problem:
            return _failure(problem)
        return {"status": 200, "result": result, "rateLimits": []}

    def _obey(
        self, socket: Socket, subscriptions: dict[int, Ear], method: str, given: Mapping[str, str], headers: dict[str, str]
    ) -> object:
        if method in ("ping", "time"):
            weigh_in(self._weights, 1, headers)
            return {"serverTime": self._now()} if method == "time" else {}
        if method == "userDataStream.unsubscribe":
            return self._unsubscribe(subscriptions, given)
        action = self._api.actions.get(_ALIASES.get(method, method))
        if action is None and method != "userDataStream.subscribe.signature":
            raise Rejected(-1000, f"Unknown method {method!r}.")
        account = self._who(given)
        if action is None:
            weigh_in(self._weights, 2, headers)
            return self._subscribe(account, socket, subscriptions)
        weigh_in(self._weights, action.weight, headers)
        return self._api.perform(action, account, Query(given, self._venue))

    def _who(self, given: Mapping[str, str]) -> Account:
        account = signed.owner(self._accounts, given.get("apiKey"))
        payload = "&".join(f"{name}={value}" for name, value in sorted(given.items()) if name != "signature")
        signed.check(account, payload, given, self._now())
        return account

    def _subscribe(self, account: Account, socket: Socket, subscriptions: dict[int, Ear]) -> Wire:
        number = len(subscriptions)
        if number >= _MAX_SUBSCRIPTIONS:
            raise Rejected(-1003, f"Too many subscriptions; the limit is {_MAX_SUBSCRIPTIONS} for a connection.", 429)

        def dressed(event: Wire | None) -> object | None:
            return None if event is None else {"subscriptionId": number, "event": event}

        def farewell() -> object | None:
            return dressed({"e": "eventStreamTerminated", "E": self._now()})

        ear = Ear(account.terms.key, socket, lambda event: dressed(self._event(event)), farewell)
        subscriptions[number] = ear
        self._streams.add(ear)
        return {"subscriptionId": number}

    def _unsubscribe(self, subscriptions: dict[int, Ear], given: Mapping[str, str]) -> Wire:
        chosen = given.get("subscriptionId")
        for number, ear in subscriptions.items():
            if chosen is None or chosen == str(number):
                self._streams.remove(ear)
        return {}

    def _event(self, event: Event) -> Wire | None:
        now = self._now()
        match event:
            case Executed():
                return wire.execution_report(event, now)
            case BalancesMoved():
                return wire.account_position(event, now)
            case Transferred():
                return wire.balance_update(event, now)
            case ListMoved():
                return wire.list_status(event, now)


def _request(text: str) -> Wire:
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return request if isinstance(request, dict) else {}


def _ident(text: str) -> object:
    return _request(text).get("id")


def _parameters(params: object) -> dict[str, str]:
    """The parameters as text, as they are signed."""
    if not isinstance(params, dict):
        raise Rejected(-1100, "Illegal characters found in parameter 'params'.")
    return {str(name): _text(value) for name, value in params.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _failure(problem: Rejected) -> Wire:
    body = getattr(problem, "body", None)
    error = body if isinstance(body, dict) else {"code": problem.code, "msg": str(problem)}
    return {"status": problem.status, "error": error}
