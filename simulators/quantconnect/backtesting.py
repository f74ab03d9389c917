"""Everything under `/backtests`: the nodes they compete for, and what is read of them."""

from __future__ import annotations

import html
from collections import deque
from collections.abc import Mapping

from aiohttp import web

from simulators.quantconnect.backtests import Backtest, Stage, marked, pace_of, start
from simulators.quantconnect.compiling import built
from simulators.quantconnect.faults import NO_SPARE_NODES, SLOW_DOWN, NodesBusy
from simulators.quantconnect.jobs import Crew
from simulators.quantconnect.transport import Arguments, Refused
from simulators.quantconnect.world import Answer, Endpoint, Row, World

_MAX_BACKTESTS = 2_000


class Backtesting:
    """The routes of backtests."""

    def __init__(self, world: World, crew: Crew) -> None:
        self._world, self._crew = world, crew
        self._created: deque[float] = deque(maxlen=1_000)

    def routes(self) -> dict[str, Endpoint]:
        """By path; insights have two spellings."""
        return {
            "/backtests/create": self._create,
            "/backtests/read": self._read,
            "/backtests/list": self._list,
            "/backtests/update": self._update,
            "/backtests/tags/update": self._tag,
            "/backtests/delete": self._delete,
            "/backtests/orders/read": lambda given: self._rows(given, "orders"),
            "/backtests/trades/read": lambda given: self._rows(given, "trades"),
            "/backtests/read/insights": lambda given: self._rows(given, "insights"),
            "/backtests/insights/read": lambda given: self._rows(given, "insights"),
            "/backtests/chart/read": self._chart,
            "/backtests/read/report": self._report,
            "/backtests/read/log": self._log,
        }

    def busy(self) -> dict[int, Backtest]:
        """The nodes that are busy, and with what."""
        return {one.node: one for project in self._world.projects.values() for one in project.backtests.values() if one.is_busy}

    def _create(self, given: Arguments) -> Row:
        world = self._world
        project, name = world.project(given), given.text("backtestName")
        parameters = parameters_in(given.mapping("parameters"))
        self._slow_down()
        compiled = built(world, project, given)
        busy = self.busy()
        free = [number for number in range(1, world.terms.backtest_nodes + 1) if number not in busy]
        if not free or world.faults.of_job(NodesBusy) is not None:
            raise Refused(NO_SPARE_NODES)
        if len(project.backtests) >= _MAX_BACKTESTS:
            raise Refused
        one = Backtest(
            world.hex(), project, name, world.now(), compiled, project.parameters | parameters, world.next_project(), free[0],
            pace_of(world),
        )  # fmt: skip
        project.backtests[one.id] = marked(world, one)
        start(world, self._crew, one)
        one.pace.queued += 1
        return {"backtest": one.row(world), "debugging": False}

    def _slow_down(self) -> None:
        now = self._world.clock()
        while self._created and self._created[0] <= now - self._world.terms.creates_window:
            self._created.popleft()
        self._created.append(now)
        if len(self._created) > self._world.terms.creates_at_once:
            raise Refused(SLOW_DOWN)

    def _find(self, given: Arguments) -> Backtest:
        found = self._world.project(given).backtests.get(given.text("backtestId"))
        if found is None:
            raise Refused
        return found

    def _read(self, given: Arguments) -> Row:
        project, id_ = self._world.project(given), given.text("backtestId")
        if id_ not in project.backtests and (id_ in project.deleted_backtests):
            return {"backtest": None, "debugging": False}
        return {"backtest": self._find(given).row(self._world), "debugging": False}

    def _list(self, given: Arguments) -> Row:
        project = self._world.project(given)
        full = given.flag("includeStatistics", True)
        rows = [one.summary(full) for one in reversed(project.backtests.values())]
        return {"backtests": rows, "count": len(rows)}

    def _update(self, given: Arguments) -> Row:
        one = self._find(given)
        one.name = given.text("name", one.name) or one.name
        if "note" in given:
            one.note = given.text("note", "")
        return {}

    def _tag(self, given: Arguments) -> Row:
        self._find(given).tags = [str(tag) for tag in given.rows("tags")]
        return {}

    def _delete(self, given: Arguments) -> Row:
        one = self._find(given)
        self.remove(one, gone=bool(self._world.quirks.probability.get("nulls")))
        return {}

    def remove(self, one: Backtest, gone: bool) -> None:
        """Stop and forget a backtest; `gone` ones are answered with null from then on."""
        one.cancel()
        del one.project.backtests[one.id]
        if gone:
            one.project.deleted_backtests.add(one.id)

    def _rows(self, given: Arguments, what: str) -> Row:
        one, page = self._find(given), given.page(100)
        rows = one.rows(what)
        return {what: rows[page], "length": len(rows)}

    def _chart(self, given: Arguments) -> Row:
        one, name = self._find(given), given.text("name")
        first, last = given.integer("start"), given.integer("end")
        if last <= first or given.integer("count") < 1:
            raise Refused
        charts: Mapping[str, Row] = one.result.get("charts", {})
        if not one.is_busy and name not in charts:
            raise Refused
        if one.is_busy or not one.seen(f"chart {name}", self._world.terms.loading_reads):
            return {"progress": round(one.progress, 3), "status": "loading"}
        return {"chart": cut(charts[name], given.integer("count"), first, last)}

    def _report(self, given: Arguments) -> Row:
        one = self._find(given)
        if one.stage is not Stage.FINISHED:
            raise Refused("Backtest is not completed")
        if not one.seen("report", self._world.terms.report_reads):
            return {"generating": True}
        rows = "".join(f"<tr><td>{key}</td><td>{value}</td></tr>" for key, value in one.result["statistics"].items())
        return {"report": f"<!DOCTYPE html><html><body><h1>{html.escape(one.name)}</h1><table>{rows}</table></body></html>"}

    def _log(self, given: Arguments) -> Row:
        one, page = self._find(given), given.page(200)
        if "query" not in given:
            raise Refused
        wanted = (given.get("query") or "").lower()
        lines = [line for line in one.logs if wanted in line.lower()]
        return {"logs": lines[page], "length": len(lines)}

    async def export(self, given: Arguments) -> Answer:
        """`/backtests/export/logs`: a text file."""
        one = self._find(given)
        headers = {"Content-Disposition": f'attachment; filename="{one.id}.txt"'}
        return web.Response(text="\n".join(one.logs), headers=headers)


def parameters_in(given: Mapping[str, object]) -> dict[str, str]:
    """Parameters of a job as texts; nested values are refused."""
    if any(isinstance(value, dict | list) or value is None for value in given.values()):
        raise Refused
    return {str(key): str(value) for key, value in given.items()}


def cut(chart: Row, count: int, first: int, last: int) -> Row:
    """A chart with the points of a time, thinned to a number of them."""
    lines = {}
    for name, line in chart["series"].items():
        rows = [row for row in line["values"] if first <= row[0] <= last]
        step = max(1, -(-len(rows) // count))
        lines[name] = line | {"values": rows[::step]}
    return chart | {"series": lines}
