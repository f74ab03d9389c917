"""The control plane, which needs no credentials: `/admin/faults`, `/admin/state`, `/admin/insights`, `/admin/counts`.

A fault is written as its class in `faults`, for example `{"fault": "refuse", "path": "/backtests/create", "text": "..."}`; POST
switches it on, GET lists what is on, DELETE clears. `POST /admin/insights` makes a live algorithm emit an insight now:
`{"symbol": "BTC/USDT", "direction": "up", "confidence": 0.7, "period": 3600}`, with `project_id` where several run, and
`magnitude`, `weight`, `tag`, `source_model`, `id`, `generated_ms` and `reference` where they matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulators.quantconnect.deployment import Deployment
from simulators.quantconnect.faults import Clear, fault_reader
from simulators.quantconnect.live import Live
from simulators.quantconnect.mischief import Mischief
from simulators.quantconnect.world import Project, Row, World


class WantedInsight(BaseModel):
    """An insight that a live algorithm shall emit. `period` is in seconds, `generated_ms` in ms UTC (now when absent)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    symbol: str
    direction: Literal["up", "flat", "down"] = "up"
    period: Annotated[float, Field(gt=0)] = 3_600
    confidence: float | None = None
    magnitude: float | None = None
    weight: float | None = None
    tag: str = ""
    source_model: str | None = None
    id: str = ""
    generated_ms: int | None = None
    reference: float | None = None
    project_id: int | None = None


class AdminRoutes:
    """What a test or a demonstration steers the simulator with."""

    def __init__(
        self, world: World, mischief: Mischief, live: Live, counts: Callable[[], Mapping[str, Mapping[str, int]]]
    ) -> None:
        self._world, self._mischief, self._live, self._counts = world, mischief, live, counts
        self._reader = fault_reader()

    def routes(self) -> list[web.RouteDef]:
        """Everything under `/admin`."""
        return [
            web.post("/admin/faults", self._post_fault),
            web.get("/admin/faults", self._get_faults),
            web.delete("/admin/faults", self._clear),
            web.get("/admin/state", self._state),
            web.post("/admin/insights", self._post_insight),
            web.get("/admin/counts", self._get_counts),
        ]

    def running(self, project_id: int | None = None) -> Deployment:
        """The live algorithm of a project, or the newest; `LookupError` when there is none."""
        found = [one for one in self._live.deployments() if one.is_active and project_id in (None, one.project.id)]
        if not found:
            message = "no live algorithm is running" + ("" if project_id is None else f" in project {project_id}")
            raise LookupError(message)
        return found[-1]

    async def emit(self, wanted: WantedInsight) -> Row:
        """Make the algorithm emit it, and give it as it became; `LookupError`, `ValueError` or `TimeoutError` when it cannot."""
        one = self.running(wanted.project_id)
        before = set(one.now.insights)
        answer = await one.ask({"do": "insight", **wanted.model_dump(exclude={"project_id"})})
        if answer.get("problem"):
            raise ValueError(answer["problem"])
        fresh = [row for id_, row in one.now.insights.items() if id_ not in before]
        return fresh[-1] if fresh else {}

    async def _post_fault(self, request: web.Request) -> web.Response:
        try:
            self._mischief.inject(self._reader.validate_json(await request.read()))
        except ValidationError as problem:
            return _json({"error": problem.errors(include_url=False, include_context=False, include_input=False)}, 400)
        except (ValueError, LookupError) as problem:
            return _json({"error": str(problem)}, 400)
        return _json({"active": self._world.faults.active()})

    async def _get_faults(self, _: web.Request) -> web.Response:
        board = self._world.faults
        return _json({"active": board.active(), "counts": board.counts, "quirks": self._world.quirks.probability})

    async def _clear(self, _: web.Request) -> web.Response:
        self._mischief.inject(Clear())
        return _json({"active": []})

    async def _post_insight(self, request: web.Request) -> web.Response:
        try:
            wanted = WantedInsight.model_validate_json(await request.read())
            return _json({"insight": await self.emit(wanted)})
        except ValidationError as problem:
            return _json({"error": problem.errors(include_url=False, include_context=False, include_input=False)}, 400)
        except (ValueError, LookupError) as problem:
            return _json({"error": str(problem)}, 400)
        except TimeoutError:
            return _json({"error": "the algorithm does not answer"}, 504)

    async def _state(self, _: web.Request) -> web.Response:
        projects = [_project(one) for one in self._world.projects.values()]
        objects = {key: len(content) for key, (content, _, _) in self._world.objects.items()}
        terms = {key: value for key, value in asdict(self._world.terms).items() if key not in ("token", "user")}
        return _json({"projects": projects, "objects": objects, "terms": terms, "market": self._world.spec.as_json()})

    async def _get_counts(self, _: web.Request) -> web.Response:
        return _json({name: dict(counts) for name, counts in self._counts().items()})


def _project(one: Project) -> Row:
    backtests = [{"backtestId": each.id, "stage": each.stage, "progress": each.progress} for each in one.backtests.values()]
    live = [
        {
            "deployId": each.id, "status": each.status, "insights": len(each.now.insights), "orders": len(each.now.orders),
            "lost_commands": each.lost, "error": each.error,
        }
        for each in one.deployments
    ]  # fmt: skip
    compiles = [{"compileId": each.id, "state": each.state} for each in one.compiles.values()]
    return {
        "projectId": one.id, "name": one.name, "files": sorted(one.files), "compiles": compiles, "backtests": backtests,
        "live": live,
    }  # fmt: skip


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
