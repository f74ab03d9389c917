"""Every address that the control room serves, as its application itself tells: a route that is added later is in it by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from bot.web.app import create_app
from bot.web.room import ControlRoom

SAFE = frozenset({"GET", "HEAD"})
OPEN = frozenset({"/enter", "/login", "/healthz", "/readyz"})
"""What strangers may have: the doors, and whether the bot lives."""
ENDLESS = frozenset({"/api/v1/stream", "/ui/events", "/api/v1/ai/chat/sessions/{session}/messages/stream"})
"""What answers for as long as one listens."""

_PART = re.compile(r"\{([a-z_]+)(:path)?\}")


@dataclass(frozen=True, slots=True)
class Address:
    """A method and a path with its variable parts in braces."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its variable parts."""
        return tuple(found[1] for found in _PART.finditer(self.path))

    @property
    def changes(self) -> bool:
        """Whether it is for changes."""
        return self.method not in SAFE

    def filled(self, value: str) -> str:
        """The path with this in every variable part, as it is."""
        return _PART.sub(lambda _: value, self.path)


@cache
def application() -> FastAPI:
    """The application without a room: it can tell about itself, and serves nothing."""
    return create_app(cast("ControlRoom", SimpleNamespace(version="test")))


def addresses() -> list[Address]:
    """Every method of every route over HTTP."""
    found = set()
    for route in iter_route_contexts(application().routes):
        methods: set[str] = getattr(route, "methods", None) or set()
        found |= {Address(method, str(route.path)) for method in methods - {"HEAD"}}
    return sorted(found, key=str)


def document() -> dict[str, Any]:
    """The API's description."""
    made: dict[str, Any] = application().openapi()
    return made
