"""Makes faults happen: those that wait go to the switchboard, the others are done at once."""

from __future__ import annotations

from simulators.quantconnect.backtesting import Backtesting
from simulators.quantconnect.faults import (
    Clear,
    ClockSkew,
    Deleted,
    Fault,
    Quirk,
    RateLimit,
    RuntimeFailure,
)
from simulators.quantconnect.live import Live
from simulators.quantconnect.projects import Projects
from simulators.quantconnect.world import Project, World


class Mischief:
    """Takes faults as values."""

    def __init__(self, world: World, projects: Projects, backtesting: Backtesting, live: Live) -> None:
        self._world, self._projects, self._backtesting, self._live = world, projects, backtesting, live
        self._habits = dict(world.quirks.probability)

    def inject(self, fault: Fault) -> None:
        """Make it happen or switch it on; `LookupError` or `ValueError` when it cannot be."""
        board = self._world.faults
        match fault:
            case ClockSkew(seconds=seconds):
                board.skew = seconds
            case RateLimit(per_minute=most):
                board.per_minute = most
            case Quirk(name=name, probability=probability):
                self._world.quirks.probability[name] = probability
            case Clear():
                board.clear()
                self._world.quirks.probability = dict(self._habits)
            case Deleted():
                self._delete(fault)
            case RuntimeFailure(where="live"):
                self._crash(fault)
            case _:
                board.add(fault)

    def _delete(self, fault: Deleted) -> None:
        project = self._project(fault.project_id)
        if fault.what == "project":
            self._projects.remove(project)
            return
        wanted = fault.backtest_id or next(reversed(project.backtests), "")
        if wanted not in project.backtests:
            message = f"project {project.id} has no backtest {wanted!r}"
            raise LookupError(message)
        self._backtesting.remove(project.backtests[wanted], gone=True)

    def _crash(self, fault: RuntimeFailure) -> None:
        running = [one for one in self._live.deployments() if one.is_active]
        if not running:
            message = "no live algorithm is running"
            raise LookupError(message)
        running[-1].crash(fault.error)

    def _project(self, id_: int | None) -> Project:
        found = self._world.projects.get(next(reversed(self._world.projects), 0) if id_ is None else id_)
        if found is None:
            message = f"there is no project {id_}"
            raise LookupError(message)
        return found
