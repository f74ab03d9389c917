"""ETags: an answer that has not changed is not sent again, and a change based on what is no longer so is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response

from bot.web.problems import Problem
from bot.web.security.idempotency import IdempotentRoute


class TaggedRoute(IdempotentRoute):
    """A route whose answers to GET carry an ETag, and which answers 304 to who has that already."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its answers tagged."""
        handler = super().get_route_handler()

        async def tagged(request: Request) -> Response:
            response = await handler(request)
            body = getattr(response, "body", None)
            if request.method != "GET" or response.status_code != 200 or not isinstance(body, bytes):
                return response
            tag = response.headers.setdefault("etag", f'"{hashlib.sha256(body).hexdigest()[:20]}"')
            if _named(request.headers.get("if-none-match", ""), tag):
                return Response(status_code=304, headers={"etag": tag})
            return response

        return tagged


def etag_of(value: object) -> str:
    """The tag of a value of plain JSON."""
    return f'"{hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()[:20]}"'


def require_match(request: Request, current: str) -> None:
    """Return if the request is based on what is there now, or does not say; `Problem` 412 if it is out of date."""
    given = request.headers.get("if-match")
    if given is not None and not _named(given, current):
        raise outdated()


def outdated() -> Problem:
    """What a change builds on is no longer so."""
    return Problem(412, "Changed meanwhile", "this has been changed since you read it; read it again, then repeat the change")


def _named(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in {each.strip().removeprefix("W/") for each in header.split(",")}
