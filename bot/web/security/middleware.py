"""What holds for every request, whoever serves it: headers, host, size and pace. Plain ASGI, so that streams pass untouched."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.web.problems import Problem, of_defect
from bot.web.security.attempts import too_many
from bot.web.security.binding import is_loopback
from bot.web.security.gate import session_cookie
from bot.web.security.keys import digest
from bot.web.security.limits import Buckets, network
from bot.web.security.standing import Standing

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# `same-origin`, not `no-referrer`: under the latter a browser sends `Origin: null` with our own forms (Fetch standard, "append a
# request Origin header"), which cannot be told from a stranger's. Other sites learn nothing either way.
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
BODY_LIMIT = 256 * 1024
BODY_SECONDS = 30.0
RUN_HEADER = "X-Run"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_LENGTH = re.compile(r"[0-9]{1,15}")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


class SecurityHeaders:
    """The headers that tell a browser what it must not do with our pages. Only /static may be kept by a cache.

    A defect is answered here too, as the framework would, for its answer would come from outside and carry none of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and add the headers to the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        static, started = str(scope["path"]).startswith("/static/"), False

        async def add(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not static:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            await self._app(scope, receive, add)
        except Exception as error:
            if started:
                raise
            await of_defect(Request(scope), error).response()(scope, receive, add)


class HostCheck:
    """Only requests for our own names are answered: another name that leads here was put up by somebody else (DNS rebinding).

    Behind a wildcard address every literal IP address is ours too, since no one can make an address lead elsewhere.
    """

    def __init__(self, app: ASGIApp, room: Standing) -> None:
        self._app = app
        self._names = _own_names(room.loaded.settings.web.host)
        self._any_address = _is_wildcard(room.loaded.settings.web.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, if it was our name that was asked for."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist("host")
        if len(given) != 1 or not _HOST.fullmatch(given[0]):
            await _refuse(
                Problem(400, "No usable Host", "exactly one Host header with a name and a port is needed"), scope, receive, send
            )
        elif not self._is_ours(given[0]):
            problem = Problem(421, "Not the host asked for", "the control room answers to its own addresses only (web.host)")
            await _refuse(problem, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
        except ValueError:
            return False
        if is_loopback(name) or name in self._names:
            return True
        return self._any_address and _is_address(name)


def _own_names(host: str) -> frozenset[str]:
    names: Iterable[str] = (host.strip("[]"),)
    if not is_loopback(host):
        machine = socket.gethostname()
        names = (*names, machine, f"{machine}.local")
    return frozenset(name.lower() for name in names if name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_wildcard(host: str) -> bool:
    return not host or (_is_address(host.strip("[]")) and ipaddress.ip_address(host.strip("[]")).is_unspecified)


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """The problem as an answer; to a WebSocket, no more than no (403)."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": problem.title})
        return
    await problem.response()(scope, receive, send)


class BodyLimit:
    """Bodies of at most `limit` bytes, however they are sent, that arrive within `seconds`. What is beyond is never kept."""

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, with the body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = self._announced(Headers(scope=scope))
        if problem is not None:
            await problem.response()(scope, receive, send)
            return
        await _Body(self._app, self._limit, self._seconds, scope, receive, send).serve()

    def _announced(self, headers: Headers) -> Problem | None:
        lengths = headers.getlist("content-length")
        if not lengths:
            return None
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]) or "transfer-encoding" in headers:
            return _closing(400, "No usable Content-Length", "one number is needed, and none with a chunked body")
        return self._too_long() if int(lengths[0]) > self._limit else None

    def _too_long(self) -> Problem:
        return too_long(self._limit)


def too_long(limit: int) -> Problem:
    """413."""
    return _closing(413, "Too large", f"at most {limit} bytes are taken", limit=limit)


def _closing(status: int, title: str, detail: str, **numbers: int) -> Problem:
    """A refusal after which the connection ends, so that the rest of the body is not even read."""
    problem = Problem(status, title, detail, headers={"Connection": "close"})
    problem.extra.update(numbers)
    return problem


class _Refused(Exception):  # noqa: N818 - nobody else sees it
    """Unwinds the application from under a body that is refused."""


class _Body:
    """One request, its body counted while the application reads it."""

    def __init__(self, app: ASGIApp, limit: int, seconds: float, scope: Scope, receive: Receive, send: Send) -> None:
        self._app, self._scope, self._receive, self._send = app, scope, receive, send
        self._limit, self._seconds = limit, seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._read = 0
        self._whole = False
        self._started = False
        self._problem: Problem | None = None

    async def serve(self) -> None:
        try:
            await self._app(self._scope, self._counted, self._watched)
        except _Refused:
            pass
        except Exception:
            if self._problem is None:
                raise
        if self._problem is not None and not self._started:
            await self._problem.response()(self._scope, self._receive, self._send)

    async def _counted(self) -> Message:
        if self._whole:
            return await self._receive()
        if self._problem is not None:
            raise _Refused
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._problem = _closing(408, "Too slow", f"the body did not arrive within {self._seconds:g} s")
            raise _Refused from None
        self._read += len(message.get("body", b""))
        if self._read > self._limit:
            self._problem = too_long(self._limit)
            raise _Refused
        self._whole = not message.get("more_body", False)
        return message

    async def _watched(self, message: Message) -> None:
        # What the application makes of the interruption is not the answer.
        if self._problem is not None and not self._started:
            return
        self._started = True
        await self._send(message)


class SameRun:
    """A change from a page of another run is refused: what was decided before simulated money must not meet real money.

    Pages say by `X-Run` of which run they are; programs may.
    """

    def __init__(self, app: ASGIApp, room: Standing) -> None:
        self._app = app
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, unless the bot was started again since."""
        given = Headers(scope=scope).get(RUN_HEADER) if scope["type"] == "http" and scope["method"] not in _SAFE else None
        running = self._room.running if given else ""
        if running and given != running:
            detail = f"this page is of another run; the bot was started again as {running}: reload the page, then decide"
            await Problem(409, "Another run", detail, run=running).response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Throttle:
    """How fast changes may come: 50 a second, with 300 at once, from one address with one key; the gate then counts principals.

    Requests with no key have a share of their own: any page that the owner's browser shows can send those here, from the owner's
    address, and must not use up what the owner needs to stop trading.
    """

    def __init__(self, app: ASGIApp, room: Standing) -> None:
        self._app = app
        self._now = room.now
        self._addresses = Buckets(rate=50, burst=300)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, unless the address is too fast."""
        wait = 0 if scope["type"] != "http" or scope["method"] in _SAFE else self._wait(scope)
        if wait:
            await too_many(wait, "too many changes at once").response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _wait(self, scope: Scope) -> int:
        client = scope.get("client")
        address = network(client[0]) if client else "unknown"
        return self._addresses.take(f"{address} {_key_of(Headers(scope=scope))}", self._now())


def _key_of(headers: Headers) -> str:
    """What tells the keys that may come from one address apart, whether they open anything or not; none for others' pages."""
    if headers.get("sec-fetch-site", "none").lower() in {"cross-site", "same-site"}:
        return "-"
    given = headers.get("authorization") or cookie_parser(headers.get("cookie", "")).get(session_cookie(headers))
    return digest(given) if given else "-"
