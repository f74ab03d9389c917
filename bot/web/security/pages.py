"""The doors: the one-time link, the password, and the way out. Plain pages that need neither script nor style of others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bot.secrets import SecretError
from bot.web.problems import Problem
from bot.web.security.binding import PASSWORD, SHORTEST_PASSWORD, is_loopback
from bot.web.security.forms import form_of
from bot.web.security.gate import Reader, address_of, known, session_cookie, session_key
from bot.web.security.keys import same
from bot.web.security.origin import same_origin
from bot.web.security.principal import Principal
from bot.web.security.standing import Standing, room_of
from bot.web.security.store import SESSION_MS, NewSession

if TYPE_CHECKING:
    from jinja2 import Environment

log = structlog.get_logger(__name__)

router = APIRouter(include_in_schema=False)
_LONGEST_NEXT = 2_000


@router.get("/enter")
async def enter(request: Request, key: str = "") -> Response:
    """Use up a one-time link: a session, and on to the first page."""
    room = room_of(request)
    session = await room.access.use_link(key)
    if session is not None:
        log.info("session_began", by="link", session=session.principal.id)
        await _noted(request, session.principal, "access.session-begin", {"by": "link"})
        return _begun(request, session, "/")
    if await known(request) is not None:
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)
    room.access.attempts.wrong_key(address_of(request))
    return _page("expired.html", HTTPStatus.GONE, password=await _password(room) is not None)


@router.get("/login")
async def login_form(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name of the parameter in the address
    """Ask for the password; without one, say how to get in."""
    if await known(request) is not None:
        return RedirectResponse(local(next), HTTPStatus.SEE_OTHER)
    if _from_elsewhere(request):
        return _page("onward.html", target=f"/login?next={quote(local(next), safe='')}")
    return _page("login.html", password=await _password(room_of(request)) is not None, next=local(next), fault="")


@router.post("/login")
async def login(request: Request) -> Response:
    """Compare the password: one comparison in constant time, after the limits. `Problem` 403 or 404."""
    room = room_of(request)
    if not same_origin(request):
        raise Problem(403, "Not from here", "log in by the control room's own page")
    address, fields = address_of(request), await form_of(request)
    wanted = await _password(room)
    if wanted is None:
        raise Problem(404, "There is no password", "log in by the link that `python -m bot web-link` prints")
    onward = local(fields.get("next", "/"))
    try:
        room.access.attempts.may_try(address)
    except Problem as locked:
        response = _page("login.html", HTTPStatus.TOO_MANY_REQUESTS, password=True, next=onward, fault=f"{locked.detail}.")
        response.headers.update(locked.headers)
        return response
    right = same(wanted, fields.get("password", ""))
    room.access.attempts.password(address, right)
    if not right:
        log.warning("login_refused", address=address)
        return _page("login.html", HTTPStatus.FORBIDDEN, password=True, next=onward, fault="That is not the password.")
    session = await room.access.new_session()
    if not same(await _password(room) or "", wanted):  # changed since, and what ended all sessions may not have seen this one
        await room.access.end_session(session.key)
        return _page("login.html", HTTPStatus.FORBIDDEN, password=True, next=onward, fault="The password has just changed.")
    log.info("session_began", by="password", session=session.principal.id, address=address)
    await _noted(request, session.principal, "access.session-begin", {"by": "password"})
    return _begun(request, session, onward)


@router.post("/logout")
async def logout(request: Request, principal: Reader) -> Response:
    """End this session, or with the field `everywhere` all of them."""
    access = room_of(request).access
    everywhere = principal.kind == "session" and bool((await form_of(request)).get("everywhere"))
    if everywhere:
        await access.end_all_sessions()
    elif principal.kind == "session":
        await access.end_session(session_key(request))
    log.info("session_ended", session=principal.id, everywhere=everywhere)
    await _noted(request, principal, "access.session-end", {"everywhere": everywhere})
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    cookie = session_cookie(request.headers)
    response.delete_cookie(cookie, path="/", secure=_is_https(request), httponly=True, samesite="strict")
    return response


async def _noted(request: Request, principal: Principal, command: str, after: Mapping[str, object]) -> None:
    """Whoever reads the audit sees from where somebody came in, which is how a stolen link or password shows."""
    await room_of(request).note(principal, command, principal.id, None, {**after, "address": address_of(request)})


def local(target: str) -> str:
    """An address of our own to go on to; `/` for one that leads elsewhere."""
    parts = urlsplit(target) if target.isprintable() and len(target) <= _LONGEST_NEXT and "\\" not in target else None
    ours = parts is not None and not parts.scheme and not parts.netloc and target.startswith("/") and not target.startswith("//")
    return target if ours else "/"


def _from_elsewhere(request: Request) -> bool:
    """Whether a link of another site led here. A browser then keeps strict cookies back, on every redirect that follows too.

    A page of ours in between that leads on by itself makes the next request our own, and the cookie goes with it.
    """
    return request.headers.get("sec-fetch-site", "none") in {"cross-site", "same-site"}


def _begun(request: Request, session: NewSession, onward: str) -> Response:
    elsewhere = _from_elsewhere(request)
    response = _page("onward.html", target=onward) if elsewhere else RedirectResponse(onward, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        session_cookie(request.headers),
        session.key,
        max_age=SESSION_MS // 1_000,
        path="/",
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )
    return response


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https"


async def _password(room: Standing) -> str | None:
    """The password as it is now. In a thread: the encrypted file may have to be opened, and its key to be stretched."""
    try:
        secret = await asyncio.to_thread(room.secrets.latest, PASSWORD)
    except SecretError as error:
        raise Problem(503, "The secrets cannot be read", str(error)) from error
    if secret is None or (len(secret.value) < SHORTEST_PASSWORD and not is_loopback(room.loaded.settings.web.host)):
        return None  # as at the start: what others can reach is not guarded by that
    return secret.value


def _page(template: str, status: HTTPStatus = HTTPStatus.OK, **context: object) -> HTMLResponse:
    return HTMLResponse(_environment().get_template(f"security/{template}").render(context), status)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - not before a page is wanted

    return Environment(
        loader=PackageLoader("bot.web", "templates"), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )
