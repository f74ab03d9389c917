"""Everything under `/live`: deploying, stopping, commanding and reading live algorithms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from simulators.quantconnect.backtesting import cut, parameters_in
from simulators.quantconnect.compiling import built
from simulators.quantconnect.deployment import Deployment
from simulators.quantconnect.faults import NO_DEPLOYMENT
from simulators.quantconnect.jobs import Crew
from simulators.quantconnect.transport import Arguments, Refused
from simulators.quantconnect.webhooks import Letter
from simulators.quantconnect.world import LEAN_VERSION, Answer, Endpoint, Project, Row, World, blank, node

_LISTED = ("Running", "Stopped", "RuntimeError", "Liquidated")
_MAX_DEPLOYMENTS = 500


class Live:
    """The routes of live algorithms."""

    def __init__(self, world: World, crew: Crew, post: Callable[[Letter], bool]) -> None:
        self._world, self._crew, self._post = world, crew, post

    def routes(self) -> dict[str, Endpoint]:
        """By path."""
        return {
            "/live/create": self._create,
            "/live/read": self._read,
            "/live/list": self._list,
            "/live/update/stop": lambda given: self._end(given, "Stopped"),
            "/live/update/liquidate": lambda given: self._end(given, "Liquidated"),
            "/live/commands/create": self._command,
            "/live/commands/broadcast": self._broadcast,
            "/live/orders/read": self._orders,
            "/live/trades/read": self._trades,
            "/live/insights/read": self._insights,
            "/live/portfolio/read": self._portfolio,
            "/live/logs/read": self._logs,
            "/live/chart/read": self._chart,
        }

    def nodes(self) -> list[Row]:
        """The nodes for live algorithms."""
        busy = {one.node: one for one in self.deployments() if one.is_active}
        rows = []
        for number in range(1, self._world.terms.live_nodes + 1):
            one = busy.get(f"LN-{number:02d}")
            used = {"user": "Me", "name": one.project.name, "id": one.project.id} if one is not None else None
            rows.append(node("live", number, used))
        return rows

    def deployments(self) -> list[Deployment]:
        """All there ever were."""
        return [one for project in self._world.projects.values() for one in project.deployments]

    def _create(self, given: Arguments) -> Row:
        world = self._world
        project, node_id, brokerage = world.project(given), given.text("nodeId"), given.mapping("brokerage")
        compiled = built(world, project, given)
        free = {row["id"] for row in self.nodes() if not row["busy"]}
        if not brokerage.get("id") or not given.mapping("dataProviders") or len(project.deployments) >= _MAX_DEPLOYMENTS:
            raise Refused
        if node_id not in free:
            raise Refused("The node is not available")
        if project.live is not None and project.live.is_active:
            raise Refused("The project is already running live")
        if given.text("signature", compiled.signature) != compiled.signature or not compiled.python:
            raise Refused
        made = self.deploy(
            project, Arguments({**given, "compileId": compiled.id}), str(brokerage["id"]), _cash(brokerage), node_id
        )
        live = {
            "deployId": made.id,
            "status": made.status,
            "brokerage": made.shown_brokerage,
            "launched": blank(made.launched),
            "stopped": None,
        }
        return {
            "responseCode": "200", "source": "api-v2", "deployId": made.id, "versionId": LEAN_VERSION, "projectId": project.id,
            "live": live,
        }  # fmt: skip

    def deploy(self, project: Project, given: Arguments, brokerage: str, cash: dict[str, float], node_id: str) -> Deployment:
        """Begin a deployment of one of the project's compiles."""
        world = self._world
        made = Deployment(
            f"L-{world.hex()}", world, project, project.compiles[given["compileId"]], node_id, brokerage, cash,
            project.parameters | parameters_in(given.mapping("parameters")), given.mapping("notification"), world.now(),
            world.next_project(), self._post,
        )  # fmt: skip
        project.deployments.append(made)
        made.task = self._crew.start(made.run(), f"quantconnect-live-{made.id}")
        return made

    def _find(self, given: Arguments) -> Deployment:
        found = self._world.project(given).live
        if found is None:
            raise Refused(NO_DEPLOYMENT)
        return found

    def _read(self, given: Arguments) -> Row:
        one = self._find(given)
        wanted = given.text("deployId", "")
        if wanted and (wanted != one.id or not one.is_active):
            raise Refused
        return {
            "message": one.error or "",
            "status": one.status,
            "deployId": one.id,
            "cloneId": one.clone,
            "launched": blank(one.launched),
            "stopped": None if one.stopped is None else blank(one.stopped),
            "brokerage": one.shown_brokerage,
            "securityTypes": one.now.security_types,
            "projectName": one.project.name,
            "datacenter": "NY7",
            "public": False,
            "isPublicStreaming": False,
            "files": [],
            "charts": {name: {"name": name} for name in one.snapshot.charts} or None,
            "runtimeStatistics": one.snapshot.runtime,
        }

    def _list(self, given: Arguments) -> Row:
        wanted = given.text("status", "")
        if wanted and wanted not in _LISTED:
            raise Refused
        project = given.integer("projectId", 0)
        found = [one for one in self.deployments() if not wanted or one.status == wanted]
        return {"live": [_summary(one) for one in found if not project or one.project.id == project]}

    def _end(self, given: Arguments, status: str) -> Row:
        one = self._find(given)
        if not one.is_active:
            raise Refused
        one.end(status)
        return {}

    def _command(self, given: Arguments) -> Row:
        body = given.mapping("command")
        if not body:
            raise Refused
        self._find(given).tell({"do": "command", "body": body})
        self._world.counts["commands"] += 1
        return {}

    def _broadcast(self, given: Arguments) -> Row:
        body, left_out = given.mapping("command"), given.integer("excludeProjectId", 0)
        if not body or given.text("organizationId") != self._world.terms.organization:
            raise Refused
        for one in self.deployments():
            if one.is_active and one.project.id != left_out:
                one.tell({"do": "command", "body": body})
        self._world.counts["commands"] += 1
        return {}

    def _loading(self, one: Deployment, what: str) -> Row | None:
        if one.seen(what, self._world.terms.loading_reads):
            return None
        return {"progress": 0.0, "status": "loading"}

    def _orders(self, given: Arguments) -> Row:
        one, page = self._find(given), given.page(1_000)
        loading = self._loading(one, "orders")
        rows = list(one.snapshot.orders.values())
        return {"orders": rows[page], "length": len(rows)} if loading is None else loading

    def _trades(self, given: Arguments) -> Row:
        if "deployId" in given and given["deployId"] is None:
            raise Refused
        one, page = self._find(given), given.page(1_000)
        rows = one.snapshot.trades
        return {"trades": rows[page], "length": len(rows)}

    def _insights(self, given: Arguments) -> Row:
        self._find(given)
        first, last = given.integer("start", 0), given.integer("end")
        if first < 0 or last <= first or last - first > 100:
            raise Refused
        every = [row for one in self._world.project(given).deployments for row in one.snapshot.insights.values()]
        every.sort(key=_generated)
        return {"insights": every[first:last], "length": len(every)}

    def _portfolio(self, given: Arguments) -> Row:
        return {"portfolio": self._find(given).snapshot.portfolio}

    def _logs(self, given: Arguments) -> Row:
        one, page = self._find(given), given.page(250, "startLine", "endLine")
        if given.text("format") != "json" or not given.text("algorithmId"):
            raise Refused
        older = [line for before in one.project.deployments[:-1] for line in before.snapshot.logs]
        lines = older + one.snapshot.logs
        return {"logs": lines[page], "length": len(lines), "deploymentOffset": len(older)}

    def _chart(self, given: Arguments) -> Row:
        one, name = self._find(given), given.text("name")
        first, last, count = given.integer("start"), given.integer("end"), given.integer("count")
        if last <= first or count < 1:
            raise Refused
        charts = one.snapshot.charts
        if charts and name not in charts:
            raise Refused
        loading = self._loading(one, f"chart {name}")
        if loading is not None or not charts:
            return loading or {"progress": 0.0, "status": "loading"}
        return {"chart": cut(charts[name], count, first, last)}

    async def export(self, given: Arguments) -> Answer:
        """`/live/export/insights`: a file of all deployments of the project, in snake_case."""
        wanted = given.text("deployId")
        found = next((one for one in self.deployments() if one.id == wanted), None)
        if found is None:
            raise Refused
        rows = [
            _exported(number, one, row)
            for number, one in enumerate(found.project.deployments, 1)
            for row in one.now.insights.values()
        ]
        headers = {"Content-Disposition": 'attachment; filename="insights.json"'}
        return web.Response(body=orjson.dumps(rows), headers=headers, content_type="application/json")


def _generated(row: Row) -> float:
    return float(row["generatedTime"])


def _cash(brokerage: Row) -> dict[str, float]:
    rows = brokerage.get("cash") or []
    try:
        return {str(row["currency"]): float(row["amount"]) for row in rows}
    except (KeyError, TypeError, ValueError):
        raise Refused from None


def _summary(one: Deployment) -> Row:
    return {
        "projectId": one.project.id,
        "deployId": one.id,
        "status": one.status,
        "launched": blank(one.launched),
        "stopped": None if one.stopped is None else blank(one.stopped),
        "brokerage": one.shown_brokerage,
        "subscription": "Strategy Equity",
        "equity": one.snapshot.equity,
        "environment": "paper" if one.brokerage == "QuantConnectBrokerage" else "live",
        "description": "",
        "error": one.error,
        "leagues": [],
    }


def _exported(number: int, one: Deployment, row: Row) -> dict[str, Any]:
    snake = {"sourceModel": "source_model", "generatedTime": "generated_time", "closeTime": "close_time"}
    kept = {snake.get(key, key): value for key, value in row.items() if key not in ("id", "symbol")}
    market = "binance" if row["symbol"].endswith(("18N", "18R")) else "other"
    return {
        "project_id": one.project.id, "deploy_id": number, "insight_id": row["id"], "source": "live trading",
        "symbol_id": row["symbol"], "symbol_market": market, **kept,
    }  # fmt: skip
