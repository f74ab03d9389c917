"""The gate: who asks, whether they may, and whether a change really comes from one of our own pages.

A session is a cookie, which a browser also sends along when another site asks it to; so a change by session needs the right
origin and a token that only our pages hold. A bearer token is sent by none but who holds it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from bot.store.errors import StoreUnavailable
from bot.web.problems import Problem
from bot.web.security.forms import form_of
from bot.web.security.keys import same
from bot.web.security.origin import same_origin
from bot.web.security.principal import Principal, Scope
from bot.web.security.standing import room_of

COOKIE = "arbiter_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_BEARER = {"WWW-Authenticate": "Bearer"}
_POLICY_VIOLATION = 1008


def csrf_of(key: str) -> str:
    """The CSRF token of a session: an HMAC under its own key, which no script and no other site can read."""
    return hmac.new(key.encode(), b"arbiter csrf", hashlib.sha256).hexdigest()


def session_cookie(headers: Headers) -> str:
    """The name of the cookie that holds the session, by the port that was asked for.

    A browser keeps the cookies of a host together whatever the port, so that two control rooms of one machine need two names.
    """
    _, colon, port = headers.get("host", "").rpartition(":")
    return f"{COOKIE}_{port}" if colon and port.isascii() and port.isdigit() else COOKIE


def session_key(connection: HTTPConnection) -> str:
    """The key of the session that a browser sent; empty without one."""
    return connection.cookies.get(session_cookie(connection.headers), "")


def csrf_token(request: HTTPConnection) -> str:
    """For forms and for the script: what a change by this session has to carry; empty without a session."""
    key = session_key(request)
    return csrf_of(key) if key else ""


def address_of(connection: HTTPConnection) -> str:
    """From where it comes. A proxy's word about it is not taken: anyone can send that header."""
    return connection.client.host if connection.client else "unknown"


async def known(connection: HTTPConnection) -> Principal | None:
    """Who asks, None if nobody who is known; remembered for the rest of the request."""
    state = connection.state
    if not hasattr(state, "principal"):
        try:
            state.principal = await _recognised(connection)
        except StoreUnavailable as error:
            raise Problem(503, "Nobody can be recognised", str(error)) from error
    found: Principal | None = state.principal
    return found


async def _recognised(connection: HTTPConnection) -> Principal | None:
    """A bearer token, if one is sent, counts alone: it must not matter which cookie comes along."""
    room = room_of(connection)
    authorization = connection.headers.get("authorization")
    if authorization is not None:
        kind, _, value = authorization.partition(" ")
        return await room.access.token(value.strip()) if kind.lower() == "bearer" else None
    key = session_key(connection)
    return await room.access.session(key) if key and not _asked_elsewhere(connection) else None


def _asked_elsewhere(connection: HTTPConnection) -> bool:
    """Whether a page of others asks. Another port of this machine is the same site, so its questions bring the cookie along.

    They change nothing, but may cost calls of a service. A person who follows a link is led on by `/login`, from a page of ours.
    """
    if connection.scope.get("method") not in SAFE:
        return False
    return connection.headers.get("sec-fetch-site", "none").lower() in {"same-site", "cross-site"}


async def admitted(request: Request, needed: Scope) -> Principal:
    """The principal, if they may; `Problem` 401, 403 or 429, or the way to the login for a page in a browser."""
    principal = await known(request)
    if principal is None:
        raise _stranger(request)
    if principal.scope < needed:
        raise Problem(
            403,
            "Not permitted",
            f"{principal.name} has the scope {principal.scope.label}; this needs {needed.label}",
            scope=principal.scope.label,
            needed=needed.label,
        )
    if request.method not in SAFE:
        if principal.kind == "session":
            await check_csrf(request)
        room_of(request).access.attempts.command(principal.key)
    return principal


def _stranger(request: Request) -> Exception:
    if _is_page(request):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return HTTPException(HTTPStatus.SEE_OTHER, headers={"Location": f"/login?next={quote(here, safe='')}"})
    if "authorization" in request.headers:
        room_of(request).access.attempts.wrong_key(address_of(request))
        return Problem(
            401, "Not known", "this token is unknown, revoked or expired; make one: python -m bot token new", headers=_BEARER
        )
    return Problem(
        401,
        "Who are you?",
        "log in by the link that `python -m bot web-link` prints, or send Authorization: Bearer TOKEN",
        headers=_BEARER,
        login="/login",
    )


def _is_page(request: Request) -> bool:
    """Whether a person's browser wants to show it: not a program, not a piece of a page."""
    return (
        request.method in {"GET", "HEAD"}
        and not request.url.path.startswith(("/api/", "/ui/"))
        and "authorization" not in request.headers
        and "text/html" in request.headers.get("accept", "")
    )


async def check_csrf(request: Request) -> None:
    """`Problem` 403 for a change that does not come from one of our pages."""
    if not same_origin(request):
        raise Problem(403, "Not from here", "changes are accepted from the control room's own pages only; reload the page")
    given = request.headers.get(CSRF_HEADER) or (await form_of(request)).get(CSRF_FIELD, "")
    if not same(csrf_token(request), given):
        raise Problem(403, "This page is out of date", "the request carries no valid CSRF token; reload the page and try again")


def _at_least(needed: Scope) -> Callable[[Request], Awaitable[Principal]]:
    async def gate(request: Request) -> Principal:
        return await admitted(request, needed)

    return gate


Reader = Annotated[Principal, Depends(_at_least(Scope.READ))]
Trader = Annotated[Principal, Depends(_at_least(Scope.TRADE))]
Admin = Annotated[Principal, Depends(_at_least(Scope.ADMIN))]


async def principal_of_websocket(websocket: WebSocket) -> Principal:
    """Who opens a WebSocket; refused before it is accepted (the client sees 403) for strangers and for pages of others."""
    principal = await known(websocket)
    if principal is None:
        raise WebSocketException(_POLICY_VIOLATION, "not known here")
    from_browser = "origin" in websocket.headers or "sec-fetch-site" in websocket.headers
    if (principal.kind == "session" or from_browser) and not same_origin(websocket):
        raise WebSocketException(_POLICY_VIOLATION, "not from one of our pages")
    return principal
