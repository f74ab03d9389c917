"""The gate that every HTTP request passes: it counts, and lets requests and answers go wrong as the faults want it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from simulators.exchange.answer_faults import Answers, Coded, Dropped, Garbled, Hung, Strike, When, garbage
from simulators.exchange.faults import Status, Switchboard
from simulators.exchange.random_faults import Chance, Delay, Drawn

_FREE = ("/admin", "/stream", "/ws")
_STATUS_PATHS = ("/sapi/v1/system/status", "/api/v5/system/status")
_NOWHERE = "{tail"


def error_body(path: str, code: int, message: str) -> dict[str, object]:
    """An error in the words of the dialect that a path belongs to."""
    if path.startswith("/api/v5"):
        return {"code": str(abs(code)), "msg": message, "data": []}
    return {"code": code, "msg": message}


class Gate:
    """Counts requests in `hits`, by path (with the method before it unless that is GET), and applies the faults of answers."""

    def __init__(self, faults: Switchboard, answers: Answers, chance: Chance | None = None) -> None:
        self._faults = faults
        self._answers = answers
        self._chance = chance or Chance()
        self.hits: Counter[str] = Counter()
        self.observers: list[Callable[[str, str], None]] = []

    def middleware(self) -> Middleware:
        """For the application."""

        @web.middleware
        async def pass_through(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(_FREE):
                return await handler(request)
            self._count(request)
            return await self._pass(request, handler)

        return pass_through

    def _count(self, request: web.Request) -> None:
        resource = request.match_info.route.resource
        known = resource is not None and _NOWHERE not in resource.canonical
        name = request.path if request.method == "GET" else f"{request.method} {request.path}"
        self.hits[name if known else "unknown"] += 1
        for observe in self.observers:
            observe(request.method, request.path)

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.read()  # what is half sent must not be acted on
        if delay := self._faults.delay(request.path, request.method):
            await asyncio.sleep(delay)
        drawn = self._chance.request(request.method, request.path)
        if isinstance(drawn, Delay):
            await asyncio.sleep(drawn.seconds)
        refused = _status(request.path, drawn) if isinstance(drawn, Status) else self._refusal(request)
        if refused is not None:
            return refused
        strike = self._strike(When.BEFORE, request, drawn)
        if strike is not None:
            return await self._instead(request, strike, b"")
        answer = await handler(request)
        strike = self._strike(When.AFTER, request, drawn)
        if strike is not None:
            body = answer.body if isinstance(answer, web.Response) else b""
            return await self._instead(request, strike, body if isinstance(body, bytes) else b"")
        return answer

    def _strike(self, when: When, request: web.Request, drawn: Drawn | None) -> Strike | None:
        """What strikes on this side of acting: as it was asked for, else as chance would have it."""
        strike = self._answers.strike(when, request.method, request.path)
        if strike is None and not isinstance(drawn, Delay | Status | None) and drawn.when is when:
            return drawn
        return strike

    async def _instead(self, request: web.Request, strike: Strike, answer: bytes) -> web.Response:
        match strike:
            case Hung():
                await self._answers.hang(strike.seconds)
                return _broken(request)
            case Dropped():
                return _broken(request)
            case Garbled():
                return web.Response(body=garbage(strike.body, answer), content_type="text/html")
            case Coded():
                return _json(error_body(request.path, strike.code, strike.message), strike.status)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Maintenance, or a status that a fault wants."""
        maintenance = self._answers.maintenance()
        if maintenance is not None and request.path not in _STATUS_PATHS:
            headers = {"Retry-After": str(maintenance.retry_after)}
            if request.path.startswith("/api/v5"):
                return _json(error_body(request.path, 50001, "Service temporarily unavailable. Try again later"), 503, headers)
            return _gateway(503, headers)
        fault = self._faults.refusal(request.path, request.method)
        return None if fault is None else _status(request.path, fault)


def _status(path: str, fault: Status) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.code >= 500:  # a gateway's word, not the venue's
        return _gateway(fault.code, headers)
    throttled = 50011 if path.startswith("/api/v5") else -1003
    code = throttled if fault.code in (418, 429) else -1000
    return _json(error_body(path, code, f"simulated status {fault.code}"), fault.code, headers)


def _gateway(status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(text=f"<html><body>{status}</body></html>", status=status, headers=headers, content_type="text/html")


def _broken(request: web.Request) -> web.Response:
    """End the connection; the response goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _json(body: object, status: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")
