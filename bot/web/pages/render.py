"""Templates to pages: everything a person reads is escaped, numbers look the same everywhere, and a missing name is an error."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from bot.web.pages.markdown import markdown
from bot.web.pages.static import static_url
from bot.web.pages.words import FILTERS, TESTS
from bot.web.room import room_of
from bot.web.security.gate import csrf_token

if TYPE_CHECKING:
    from jinja2 import Environment

NAVIGATION: tuple[tuple[str, str, str], ...] = (
    ("/", "Overview", "overview"),
    ("/markets", "Markets", "markets"),
    ("/decisions", "Decisions", "decisions"),
    ("/sources", "Sources", "sources"),
    ("/quantconnect", "QuantConnect", "quantconnect"),
    ("/ai", "AI trading", "ai"),
    ("/chat", "Chat", "chat"),
    ("/analysis", "Analysis", "analysis"),
    ("/risk", "Risk", "risk"),
    ("/journal", "Journal", "journal"),
    ("/monitoring", "Monitoring", "monitoring"),
    ("/settings", "Settings", "settings"),
)
"""Every page: its address, what it is called, and the name of its tab."""

_WORTH_PACKING = 1_400


@cache
def environment() -> Environment:
    """The templates of the control room."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - not before a page is wanted

    made = Environment(
        loader=PackageLoader("bot.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS, markdown=markdown)
    made.tests.update(TESTS)
    made.globals.update(navigation=NAVIGATION, static_url=static_url, Decimal=Decimal)
    return made


async def page(request: Request, template: str, tab: str, context: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
    """A whole page: `tab` is the name of its place in the navigation."""
    room = room_of(request)
    frame = {
        "tab": tab,
        "world": await room.world(),
        "now": room.now(),
        "csrf": csrf_token(request),
        "theme": request.cookies.get("theme", "auto"),
        "path": request.url.path,
    }
    return _packed(request, environment().get_template(template).render({**frame, **context}), status)


def fragment(request: Request, template: str, context: Mapping[str, Any]) -> HTMLResponse:
    """A part of a page, to be swapped in: the template sees `now` and `csrf` beside its own names."""
    frame = {"now": room_of(request).now(), "csrf": csrf_token(request)}
    return _packed(request, environment().get_template(template).render({**frame, **context}), 200)


def _packed(request: Request, text: str, status: int) -> HTMLResponse:
    """The answer, compressed where that pays and the browser takes it."""
    content = text.encode()
    headers = {"vary": "accept-encoding, cookie"}
    if len(content) > _WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        return HTMLResponse(gzip.compress(content, 5), status, {**headers, "content-encoding": "gzip"})
    return HTMLResponse(content, status, headers)
