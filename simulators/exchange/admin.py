"""The control plane: `POST /admin/faults` with a fault as JSON, `GET /admin/faults`, `GET /admin/hits`.

A fault is written as its class in `faults`, `answer_faults`, `account_faults` or `random_faults`, for example
`{"fault": "burst", "symbol": "BTC/USDT", "trades": 5000}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web
from pydantic import ValidationError

from simulators.exchange.mischief import Mischief, fault_reader

Counts = Callable[[], Mapping[str, Mapping[str, int]]]


class AdminRoutes:
    """Switches faults over HTTP."""

    def __init__(self, mischief: Mischief, counts: Counts) -> None:
        self._mischief = mischief
        self._counts = counts
        self._reader = fault_reader()

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
            self._mischief.inject(fault)
        except ValidationError as problem:
            return _json({"error": problem.errors(include_url=False, include_context=False, include_input=False)}, 400)
        except (ValueError, LookupError) as problem:
            return _json({"error": str(problem)}, 400)
        return _json({"active": self._mischief.active()}, 200)

    async def _get_faults(self, _: web.Request) -> web.Response:
        return _json({"active": self._mischief.active(), "counts": dict(self._mischief.counts())}, 200)

    async def _get_hits(self, _: web.Request) -> web.Response:
        return _json({name: dict(counts) for name, counts in self._counts().items()}, 200)


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
