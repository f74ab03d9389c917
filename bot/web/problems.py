"""Problems: every answer that is not a success says in one document what is wrong and what to do (RFC 9457)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from bot.store.errors import StoreUnavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_MOST_FAULTS = 20


class ProblemDocument(BaseModel, extra="allow"):
    """What is wrong: `title` in a few words, `detail` with the remedy; further members as the kind of problem needs them."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""


class Problem(Exception):  # noqa: N818 - it is what the document is called
    """Ends a request with this document. `extra` are further members of it, plain JSON values.

    `unknown` says that something was begun and nobody knows how it ended; without it nothing was done.
    """

    def __init__(
        self,
        status: int,
        title: str = "",
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        unknown: bool = False,
        **extra: object,
    ) -> None:
        super().__init__(detail or title)
        self.unknown = unknown
        self.status = status
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = {**extra, "unknown": True} if unknown else dict(extra)

    def response(self) -> Response:
        """The document as an answer."""
        document = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail, **self.extra}
        return Response(orjson.dumps(document, default=str), self.status, self.headers, MEDIA_TYPE)


def not_found(what: str) -> Problem:
    """404: `what` is a clause such as `no decision has the id x`."""
    return Problem(HTTPStatus.NOT_FOUND, "Not found", what)


def of_http(error: HTTPException) -> Problem:
    """The problem that a refusal of the framework's own comes to."""
    phrase = HTTPStatus(error.status_code).phrase
    detail = "" if error.detail == phrase else str(error.detail)
    return Problem(error.status_code, phrase, detail, headers=error.headers)


def of_validation(errors: Sequence[Any]) -> Problem:
    """422 with one entry for each fault: where, and why. What was given is not repeated: it may be a secret."""
    faults = [
        {"where": ".".join(map(str, error["loc"])), "why": str(error["msg"]).removeprefix("Value error, ")}
        for error in errors[:_MOST_FAULTS]
    ]
    first = faults[0] if faults else {"where": "request", "why": "cannot be understood"}
    return Problem(422, "Not acceptable as it is", f"{first['where']}: {first['why']}", errors=faults)


def of_defect(request: Request, error: Exception) -> Problem:
    """500: what happened is in the log under the reference that the answer gives, and only there."""
    reference = secrets.token_hex(4)
    log.error("request_failed", path=request.url.path, method=request.method, reference=reference, exc_info=error)
    return Problem(500, "A defect of the control room", f"The log has more under the reference {reference}.", reference=reference)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problems with these statuses, as the API's document describes them."""
    return {
        status: {"description": HTTPStatus(status).phrase, "model": ProblemDocument, "content": {MEDIA_TYPE: {}}}
        for status in statuses
    }


RESPONSES = described(400, 401, 403, 404, 409, 413, 422, 428, 429, 503)
"""What any address of the API may answer beside success, for its description."""


Shown = Callable[[Request, Problem], Awaitable[Response | None]]


async def _never(request: Request, problem: Problem) -> None:
    del request, problem


def install(app: FastAPI, shown: Shown = _never) -> None:
    """Every failure of this application becomes a problem document, or what `shown` makes of it."""

    async def answer(request: Request, problem: Problem) -> Response:
        made = await shown(request, problem)
        return problem.response() if made is None else made

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return await answer(request, error)

    @app.exception_handler(HTTPException)
    async def _refusal(request: Request, error: HTTPException) -> Response:
        if error.status_code < HTTPStatus.BAD_REQUEST:
            return Response(status_code=error.status_code, headers=error.headers)
        return await answer(request, of_http(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return await answer(request, of_validation(error.errors()))

    @app.exception_handler(StoreUnavailable)
    async def _storeless(request: Request, error: StoreUnavailable) -> Response:
        return await answer(request, Problem(503, "It cannot be kept", str(error)))

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> Response:
        return await answer(request, of_defect(request, error))
