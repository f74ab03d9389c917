"""`Idempotency-Key`: a change that is sent twice is made once, and answered twice.

    router = APIRouter(route_class=IdempotentRoute)

is all that routes have to say. A request under a known key gets the response of the first, with `Idempotency-Replayed: true`; the
same key on another request is 422, one that is still being answered is 409. What was refused before anything was done (4xx, 503)
is not kept: the key is free to try again. Pass `nonce_of(request)` on to the bot, and it too will do it only once.

Where nobody knows whether it was done (`Problem.unknown`), the key stays taken: the same request is sent on under the same nonce
while the same run of the bot surely knows that, and answered 409 from then on.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar
from weakref import WeakSet

import structlog
from fastapi import Depends, Header
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bot.store.errors import StoreUnavailable
from bot.web.problems import Problem
from bot.web.security.gate import SAFE, known
from bot.web.security.keys import bound
from bot.web.security.once import Begun, Done, OnceStore
from bot.web.security.standing import room_of

log = structlog.get_logger(__name__)

IDEMPOTENCY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
_LONGEST = 128
_UNRECORDED_SECONDS = 1.0
_KEPT_HEADERS = ("content-type", "content-encoding", "vary", "location", "etag")
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_REFUSALS = {
    Begun.OTHER_REQUEST: partial(
        Problem, 422, "Another request", "this Idempotency-Key was used for another request; choose a new one"
    ),
    Begun.RUNNING: partial(
        Problem,
        409,
        "Still being done",
        "the first request under this Idempotency-Key is not answered yet; wait, then repeat it",
    ),
    Begun.UNKNOWN: partial(
        Problem,
        409,
        "Nobody knows",
        "this was begun and its outcome never came back; look whether it was done, and choose a new Idempotency-Key to repeat it",
        unknown=True,
    ),
}
_SAFER: WeakSet[Callable[..., Any]] = WeakSet()
_only_run: ContextVar[str] = ContextVar("only_run", default="")


def makes_safer(endpoint: _Endpoint) -> _Endpoint:
    """Marks a handler that must go through even where its key cannot be written down: the bot does it once all the same."""
    _SAFER.add(endpoint)
    return endpoint


async def _documented(
    key: Annotated[
        str | None,
        Header(
            alias=IDEMPOTENCY_HEADER,
            description="1 to 128 printable characters: the same change under the same key is made once.",
        ),
    ] = None,
) -> None:
    """Has the header described in the API's document; it is checked before, by the route."""
    del key


class IdempotentRoute(APIRoute):
    """A route that honours `Idempotency-Key` on POST, PUT, PATCH and DELETE."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        dependencies = list(options.pop("dependencies", None) or ())
        changes = set(options.get("methods") or {"GET"}) - SAFE
        if changes and not any(each.dependency is _documented for each in dependencies):
            dependencies.append(Depends(_documented))
        super().__init__(path, endpoint, dependencies=dependencies, **options)

    def get_route_handler(self) -> _Handler:
        """The handler, behind its records."""
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            name = _key_of(request)
            principal = await known(request) if name is not None else None
            if name is None or principal is None:
                return await handler(request)
            return await _once(request, principal.key, name, handler, unrecorded=self.endpoint in _SAFER)

        return once


def nonce_of(request: Request, step: str = "") -> str | None:
    """The nonce under which the bot is asked, the same for the same key; None without one. `step` tells several apart."""
    nonce: str | None = getattr(request.state, "nonce", None)
    return None if nonce is None else bound(nonce.encode(), step)


def _key_of(request: Request) -> str | None:
    given = request.headers.getlist(IDEMPOTENCY_HEADER)
    if not given or request.method in SAFE:
        return None
    if len(given) > 1 or not 1 <= len(given[0]) <= _LONGEST or not (given[0].isascii() and given[0].isprintable()):
        raise Problem(400, "No usable Idempotency-Key", f"it is one header of 1 to {_LONGEST} printable ASCII characters")
    return given[0]


async def _once(request: Request, principal: str, name: str, handler: _Handler, *, unrecorded: bool) -> Response:
    """Carry it out under its key; where that cannot be written down, only what may go `unrecorded`."""
    records, run = room_of(request).access.once, room_of(request).running
    fingerprint = await _fingerprint(request)
    nonce = hashlib.sha256(f"{principal} {name} {fingerprint}".encode()).hexdigest()
    try:
        async with asyncio.timeout(_UNRECORDED_SECONDS if unrecorded else None):
            begun = await records.begin(principal, name, fingerprint, run)
    except (StoreUnavailable, TimeoutError) as error:
        if not unrecorded:
            raise Problem(503, "Nothing was done", f"the Idempotency-Key cannot be written down: {error}") from error
        log.warning("done_unrecorded", path=request.url.path, reason=str(error) or "the file is locked")
        request.state.nonce = nonce
        return await handler(request)
    if isinstance(begun, Done):
        return _replayed(begun)
    if begun not in {Begun.NEW, Begun.AGAIN}:
        raise _REFUSALS[begun]()
    request.state.nonce = nonce
    record = _Record(records, principal, name, run, again=begun is Begun.AGAIN)
    pinned = _only_run.set(run if record.again else "")
    try:
        response = await handler(request)
    except Exception as error:
        await record.failed(request, error)
        raise
    else:
        await record.answered(response)
        return response
    finally:
        _only_run.reset(pinned)
        records.let_go(principal, name)


def require_same_run(run: str) -> None:
    """Return if what is being done may be sent to this run; `Problem` 409 if another one has it, of which this knows nothing."""
    wanted = _only_run.get()
    if wanted and run != wanted:
        raise _REFUSALS[Begun.UNKNOWN]()


@dataclass(frozen=True, slots=True)
class _Record:
    """The record of one request that is being carried out; `again` if it was before, and nobody knows with what outcome."""

    records: OnceStore
    principal: str
    name: str
    run: str
    again: bool

    async def answered(self, response: Response) -> None:
        if _nothing_done(response.status_code):
            await self._refused()
        else:
            await self._finish(response)

    async def failed(self, request: Request, error: Exception) -> None:
        """A refusal frees the key; a defect keeps it, for something may have been done before it showed."""
        status = 422 if isinstance(error, RequestValidationError) else 500
        if isinstance(error, Problem):
            status = error.status
        elif isinstance(error, HTTPException):
            status = error.status_code
        if isinstance(error, Problem) and error.unknown:
            log.warning("outcome_unknown", path=request.url.path, status=status)
            await self._doubt()
        elif _nothing_done(status):
            await self._refused()
        else:
            log.warning("outcome_kept", path=request.url.path, status=status)
            title, detail = (
                "Nobody knows",
                "it failed in the middle the first time; look whether it was done before you repeat it",
            )
            await self._finish(Problem(status, title, detail).response())

    async def _refused(self) -> None:
        """This time nothing was done; what became of it the time before is not told by that."""
        if self.again:
            await self._doubt()
        else:
            await self._kept(self.records.release(self.principal, self.name))

    async def _doubt(self) -> None:
        await self._kept(self.records.doubt(self.principal, self.name, self.run))

    async def _finish(self, response: Response) -> None:
        await self._kept(self.records.finish(self.principal, self.name, _done(response)))

    async def _kept(self, writing: Coroutine[Any, Any, None]) -> None:
        """What was done is answered, also where that cannot be written down; then nobody is told again, nor is it done again."""
        try:
            await writing
        except StoreUnavailable as error:
            log.warning("outcome_not_kept", reason=str(error))


async def _fingerprint(request: Request) -> str:
    """What makes it the same request: method, address and body; not the headers, of which a confirmation is one."""
    summary = hashlib.sha256()
    for part in (request.method.encode(), request.url.path.encode(), request.url.query.encode(), await request.body()):
        summary.update(len(part).to_bytes(8))
        summary.update(part)
    return summary.hexdigest()


def _nothing_done(status: int) -> bool:
    return 400 <= status < 500 or status == 503


def _done(response: Response) -> Done:
    """As it will be replayed; a stream has no body to keep."""
    body = getattr(response, "body", None)
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return Done(response.status_code, headers, bytes(body) if isinstance(body, (bytes, memoryview)) else None)


def _replayed(done: Done) -> Response:
    if done.body is None:
        detail = f"it was done before, with status {done.status}; the response was too long to keep"
        raise Problem(409, "Done before", detail, headers={REPLAYED_HEADER: "true"}, done=done.status)
    return Response(done.body, done.status, {**done.headers, REPLAYED_HEADER: "true"})
