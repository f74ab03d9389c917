"""The control plane, which needs no key: `/admin/faults`, `/admin/counts`, `/admin/requests`, `/admin/latency`.

A fault is written as in `faults`: `{"mode": "429", "retry_after": 3600, "count": 2, "dialect": "messages"}`. POST switches one
on, or a list of them in order; GET lists what is on; DELETE clears. `GET /admin/requests?last=5` gives the last requests, headers
redacted and bodies kept. `POST /admin/latency {"seconds": 0.2, "pause": 0.01}` is how long answers take, and streams between
their events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from simulators.llm.faults import Fault, Seconds
from simulators.llm.service import Service


class Latency(BaseModel):
    """Seconds that every answer takes, and between the events of a stream."""

    model_config = ConfigDict(extra="forbid")

    seconds: Seconds = 0.0
    pause: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.0


class AdminRoutes:
    """What a test or a demonstration steers the simulator with."""

    def __init__(self, service: Service, counts: Callable[[], Mapping[str, Mapping[str, int]]]) -> None:
        self._service, self._counts = service, counts
        self._reader: TypeAdapter[Fault | list[Fault]] = TypeAdapter(Fault | list[Fault])

    def routes(self) -> list[web.RouteDef]:
        """Everything under `/admin`."""
        return [
            web.post("/admin/faults", self._post_faults),
            web.get("/admin/faults", self._get_faults),
            web.delete("/admin/faults", self._clear),
            web.post("/admin/latency", self._latency),
            web.get("/admin/counts", self._get_counts),
            web.get("/admin/requests", self._requests),
        ]

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            given = self._reader.validate_json(await request.read())
            for fault in given if isinstance(given, list) else [given]:
                self._service.faults.apply(fault)
        except ValidationError as problem:
            return _refused(problem)
        except ValueError as problem:
            return _json({"error": str(problem)}, 400)
        return await self._get_faults(request)

    async def _get_faults(self, _: web.Request) -> web.Response:
        return _json({"active": self._service.faults.active(), "counts": self._service.faults.counts})

    async def _clear(self, request: web.Request) -> web.Response:
        self._service.faults.clear()
        return await self._get_faults(request)

    async def _latency(self, request: web.Request) -> web.Response:
        try:
            wanted = Latency.model_validate_json(await request.read())
        except ValidationError as problem:
            return _refused(problem)
        self._service.latency, self._service.pause = wanted.seconds, wanted.pause
        return _json(wanted.model_dump())

    async def _get_counts(self, _: web.Request) -> web.Response:
        return _json({name: dict(counts) for name, counts in self._counts().items()})

    async def _requests(self, request: web.Request) -> web.Response:
        last = request.query.get("last", "")
        if last and not last.isdecimal():
            return _json({"error": f"last={last} is no number of requests"}, 400)
        kept = self._service.records.last(int(last) if last else None)
        return _json({"requests": [one.as_row() for one in kept], "dropped": self._service.records.dropped})


def _refused(problem: ValidationError) -> web.Response:
    return _json({"error": problem.errors(include_url=False, include_context=False, include_input=False)}, 400)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
