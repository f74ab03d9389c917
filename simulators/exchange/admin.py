"""The control plane: `POST /admin/faults` with a fault as JSON, `GET /admin/faults`, `GET /admin/hits`.

A fault is written as its class in `faults`: `{"fault": "burst", "symbol": "BTC/USDT", "trades": 5000}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import orjson
from aiohttp import web
from pydantic import Field, TypeAdapter, ValidationError

from simulators.exchange.faults import Fault, Switchboard

Counts = Callable[[], Mapping[str, Mapping[str, int]]]


class AdminRoutes:
    """Switches faults over HTTP; `inject` performs one and raises `ValueError` or `LookupError` if it cannot."""

    def __init__(self, faults: Switchboard, inject: Callable[[Fault], None], counts: Counts) -> None:
        self._faults = faults
        self._inject = inject
        self._counts = counts
        self._reader: TypeAdapter[Fault] = TypeAdapter(Annotated[Fault, Field(discriminator="fault")])

    def routes(self) -> list[web.RouteDef]:
        """Everything under `/admin`."""
        return [
            web.post("/admin/faults", self._post_fault),
            web.get("/admin/faults", self._get_faults),
            web.get("/admin/hits", self._get_hits),
        ]

    async def _post_fault(self, request: web.Request) -> web.Response:
        try:
            fault = self._reader.validate_json(await request.read())
            self._inject(fault)
        except ValidationError as problem:
            return _json({"error": problem.errors(include_url=False, include_context=False, include_input=False)}, 400)
        except (ValueError, LookupError) as problem:
            return _json({"error": str(problem)}, 400)
        return _json({"active": self._faults.active()}, 200)

    async def _get_faults(self, _: web.Request) -> web.Response:
        return _json({"active": self._faults.active(), "counts": dict(self._faults.counts)}, 200)

    async def _get_hits(self, _: web.Request) -> web.Response:
        return _json({name: dict(counts) for name, counts in self._counts().items()}, 200)


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
