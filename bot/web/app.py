"""The control room as an application: who is asked what, behind the same doors for all."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import Mount

from bot.web import problems
from bot.web.api import ROUTERS as API
from bot.web.api.offers import API_ROOT
from bot.web.pages import ROUTERS as PAGES
from bot.web.pages.frame import shown
from bot.web.pages.static import Assets
from bot.web.room import ControlRoom
from bot.web.security.middleware import BodyLimit, HostCheck, SameRun, SecurityHeaders, Throttle
from bot.web.security.pages import router as doors
from bot.web.stream.routes import router as stream

ABOUT = """Everything that the control room shows and does, for programs.

Times are milliseconds UTC, money is a string of digits, lists are newest first and continue with `after` set to the `next` of the
page before. A failure is a problem document. Send `Authorization: Bearer TOKEN` (`python -m bot token new`); whatever changes
something needs the scope `trade` or `admin` and takes an `Idempotency-Key`."""


def create_app(room: ControlRoom) -> FastAPI:
    """The application over this room. Who opens the room closes it."""
    app = FastAPI(
        title="Arbiter",
        version=room.version,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API_ROOT}/openapi.json",
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(HostCheck, room=room),
            Middleware(BodyLimit),
            Middleware(Throttle, room=room),
            Middleware(SameRun, room=room),
        ],
        responses=problems.RESPONSES,
    )
    app.state.room = room
    problems.install(app, shown)
    app.include_router(doors, include_in_schema=False)
    app.include_router(stream)
    for router in API:
        app.include_router(router, prefix=API_ROOT)
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    app.router.routes.append(Mount("/static", Assets(), name="static"))
    return app
