"""The account, its organization and nodes, and the versions of LEAN."""

from __future__ import annotations

from simulators.quantconnect.backtesting import Backtesting
from simulators.quantconnect.live import Live
from simulators.quantconnect.transport import Arguments, Refused
from simulators.quantconnect.world import LEAN_VERSION, Endpoint, Project, Row, World, node


class Account:
    """What belongs to no project."""

    def __init__(self, world: World, backtesting: Backtesting, live: Live) -> None:
        self._world, self._backtesting, self._live = world, backtesting, live

    def routes(self) -> dict[str, Endpoint]:
        """By path."""
        return {
            "/authenticate": lambda _: {},
            "/account/read": self._read,
            "/nodes/read": self._nodes,
            "/projects/nodes/read": self._project_nodes,
            "/projects/nodes/update": self._choose_nodes,
            "/organizations/list": lambda _: {"organizations": [self._organization()]},
            "/organizations/read": self._one,
            "/lean/versions/read": lambda _: {"versions": [_VERSION]},
            "/lean/environments/read": lambda _: {"environments": [_ENVIRONMENT]},
        }

    def _check(self, given: Arguments) -> None:
        if given.get("organizationId") not in (None, "", self._world.terms.organization):
            raise Refused

    def _read(self, given: Arguments) -> Row:
        self._check(given)
        return {"organizationId": self._world.terms.organization, "creditBalance": 12.5, "card": None}

    def _organization(self) -> Row:
        return {
            "id": self._world.terms.organization, "name": "Simulated", "type": "Quant Researcher", "ownerName": "Me",
            "members": 1, "preferred": True,
        }  # fmt: skip

    def _one(self, given: Arguments) -> Row:
        self._check(given)
        return {"organization": self._organization()}

    def _cluster(self) -> Row:
        busy = self._backtesting.busy()
        rows = []
        for number in range(1, self._world.terms.backtest_nodes + 1):
            one = busy.get(number)
            rows.append(node("backtest", number, None if one is None else _used(one.project)))
        return {"backtest": rows, "research": [], "live": self._live.nodes()}

    def _nodes(self, given: Arguments) -> Row:
        self._check(given)
        return self._cluster()

    def _project_nodes(self, given: Arguments) -> Row:
        project = self._world.project(given)
        return {"nodes": self._cluster(), "autoSelectNode": not project.nodes}

    def _choose_nodes(self, given: Arguments) -> Row:
        project, chosen = self._world.project(given), [str(one) for one in given.rows("nodes")]
        known = {row["id"] for rows in self._cluster().values() for row in rows}
        if not set(chosen) <= known:
            raise Refused
        project.nodes = chosen
        return {"nodes": self._cluster(), "autoSelectNode": not chosen}


def _used(project: Project) -> Row:
    return {"user": "Me", "name": project.name, "id": project.id}


_VERSION: Row = {
    "id": LEAN_VERSION, "created": "2026-03-01 09:00:00", "description": "master", "leanHash": "abc", "leanCloudHash": "def",
    "name": "master", "ref": "refs/heads/master", "public": True,
}  # fmt: skip
_ENVIRONMENT: Row = {
    "id": 1, "name": "Foundation-Py-Default", "path": "", "description": "The stand-in of the simulator", "public": True,
}  # fmt: skip
