"""What every request passes: counting, faults of answers, authentication, the rate limit, and the envelope on the way out."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from email.utils import format_datetime
from inspect import isawaitable
from typing import Any

import structlog
from aiohttp import web

from simulators.quantconnect.auth import Mismatch, Unauthorized, check
from simulators.quantconnect.faults import BadHash, Drop, OfAnswers, Page, Refuse, Slow, Status
from simulators.quantconnect.transport import Arguments, Refused, arguments_of, json_response
from simulators.quantconnect.world import Row, World

log = structlog.get_logger(__name__)

Handler = Callable[[Arguments, Mapping[str, bytes]], Row | Awaitable[Row | web.Response]]
_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
_REASONS = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}


class Gate:
    """Serves `/api/v2/...`; `handlers` are the endpoints by what follows that. `hits` counts requests by path."""

    def __init__(self, world: World, handlers: Mapping[str, Handler]) -> None:
        self._world, self._handlers = world, handlers
        self.hits: Counter[str] = Counter()
        self._recent: deque[float] = deque(maxlen=100_000)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """A request of any endpoint. Every answer bears the service's own time, which may be skewed."""
        answer = await self._served(request)
        answer.headers["Date"] = format_datetime(self._world.now(), usegmt=True)
        return answer

    async def _served(self, request: web.Request) -> web.Response:
        path = "/" + request.match_info["path"].strip("/")
        self.hits[path if path in self._handlers else "unknown"] += 1
        struck = self._world.faults.of_answer(path)
        for slow in struck:
            if isinstance(slow, Slow):
                await asyncio.sleep(slow.seconds)
        fault = next((one for one in struck if not isinstance(one, Slow)), None)
        instead = _instead(request, fault)
        if instead is not None:
            return instead
        answer = await self._answer(request, path)
        if isinstance(fault, Drop):
            return _cut_off(request)
        if isinstance(fault, Page) and isinstance(answer.body, bytes):
            return web.Response(body=answer.body[: len(answer.body) // 2], content_type="application/json")
        return answer

    async def _answer(self, request: web.Request, path: str) -> web.Response:
        wait = self._over_limit()
        if wait:
            return json_response({"success": False, "errors": ["Too many requests"]}, 429, {"Retry-After": str(wait)})
        if (request.content_length or 0) > self._world.terms.max_body:
            return web.Response(text=_PAGE.format("413 Request Entity Too Large"), status=413, content_type="text/html")
        handler = self._handlers.get(path)
        if handler is None:
            return web.Response(text=_PAGE.format("404 Not Found"), status=404, content_type="text/html")
        try:
            check(request.headers, request.query, self._world.terms, self._world.now().timestamp())
            given, files = await arguments_of(request)
            found = handler(given, files)
            answer = await found if isawaitable(found) else found
        except Unauthorized:
            return web.Response(status=401, headers={"www_authenticate": "Basic"})
        except Mismatch as problem:
            return self._envelope({"success": False, "errors": [str(problem)]})
        except Refused as problem:
            self._world.counts["refused"] += 1
            return self._envelope(problem.body())
        except web.HTTPRequestEntityTooLarge:
            return web.Response(text=_PAGE.format("413 Request Entity Too Large"), status=413, content_type="text/html")
        except Exception:
            self._world.counts["internal_errors"] += 1
            log.exception("internal_error", path=path)
            return web.Response(status=500)
        return answer if isinstance(answer, web.Response) else self._envelope({**answer, "success": True})

    def _envelope(self, body: dict[str, Any]) -> web.Response:
        return json_response(self._world.quirks.apply(body))

    def _over_limit(self) -> int:
        """Seconds to wait, or 0."""
        world, now = self._world, self._world.clock()
        most = world.terms.requests_per_minute if world.faults.per_minute is None else world.faults.per_minute
        if not most:
            return 0
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if len(self._recent) >= most:
            world.counts["rate_limited"] += 1
            return max(1, math.ceil(self._recent[0] + 60 - now))
        self._recent.append(now)
        return 0


def _instead(request: web.Request, fault: OfAnswers | None) -> web.Response | None:
    """The answer of a fault that strikes before the request is acted on."""
    match fault:
        case Status(code=code, body=body, retry_after=wait):
            headers = {} if wait is None else {"Retry-After": str(wait)}
            if code == 401:
                headers["www_authenticate"] = "Basic"
            if body == "html":
                text = _PAGE.format(_REASONS.get(code, str(code)))
                return web.Response(text=text, status=code, headers=headers, content_type="text/html")
            if body == "json":
                return json_response({"success": False, "errors": [f"simulated status {code}"]}, code, headers)
            return web.Response(status=code, headers=headers)
        case Page(cut=False):
            return web.Response(text=_PAGE.format("We will be right back"), content_type="text/html")
        case Refuse(text=text, under=under):
            return json_response(Refused(text, under).body())
        case BadHash():
            stamp = request.headers.get("Timestamp", "")
            return json_response(Refused(f"Hash doesn't match. UID: ? Hash: ? Timestamp: {stamp}").body())
        case Drop(after=False):
            return _cut_off(request)
        case _:
            return None


def _cut_off(request: web.Request) -> web.Response:
    """End the connection; the response goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
