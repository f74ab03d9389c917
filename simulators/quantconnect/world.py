"""What the service knows: projects with their files, compiles and jobs, and who made which number."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulators.quantconnect.faults import Switchboard
from simulators.quantconnect.market import MarketSpec
from simulators.quantconnect.quirks import Quirks
from simulators.quantconnect.terms import Terms
from simulators.quantconnect.transport import Arguments, Refused

if TYPE_CHECKING:
    from simulators.quantconnect.backtests import Backtest
    from simulators.quantconnect.deployment import Deployment

Row = dict[str, Any]
Endpoint = Callable[[Arguments], Row]
Answer = Row | web.Response
LEAN_VERSION = 17_900
MAX_PROJECTS = 1_000


@dataclass(slots=True)
class SourceFile:
    """A file of a project."""

    id: int
    name: str
    content: str
    modified: datetime


@dataclass(slots=True)
class Compile:
    """A compile job and the files it was given: the id stays good when they change. `signature` is the second half of the id."""

    id: str
    files: dict[str, str]
    state: str
    logs: list[str]
    parameters: list[Row]
    reads_left: int
    stuck: bool = False
    unknown_left: int = 0
    python: bool = True

    @property
    def signature(self) -> str:
        """The part after the dash."""
        return self.id.partition("-")[2]

    def shown(self) -> str:
        """The state that a read sees; reading brings it nearer to the end."""
        if self.stuck or self.reads_left > 0:
            self.reads_left -= 1
            return "InQueue"
        return self.state


@dataclass(slots=True)
class Project:
    """A project; `live` is its newest deployment."""

    id: int
    name: str
    language: str
    created: datetime
    modified: datetime
    description: str = ""
    files: dict[str, SourceFile] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    libraries: list[int] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    lean_version: int = -1
    environment: int = 1
    compiles: dict[str, Compile] = field(default_factory=dict)
    backtests: dict[str, Backtest] = field(default_factory=dict)
    deleted_backtests: set[str] = field(default_factory=set)
    deployments: list[Deployment] = field(default_factory=list)

    @property
    def live(self) -> Deployment | None:
        """The newest deployment."""
        return self.deployments[-1] if self.deployments else None


class World:
    """All state that the rooms share."""

    def __init__(
        self, terms: Terms, spec: MarketSpec, quirks: Quirks, seed: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self.terms, self.spec, self.quirks, self.clock = terms, spec, quirks, clock
        self.faults = Switchboard()
        self.projects: dict[int, Project] = {}
        self.objects: dict[str, tuple[bytes, datetime, datetime]] = {}
        self.counts: Counter[str] = Counter()
        self._dice = random.Random(seed)  # noqa: S311 - ids, not secrets
        self._last_project = 20_010_000
        self._last_file = 90

    def now(self) -> datetime:
        """The service's clock."""
        return datetime.fromtimestamp(self.clock() + self.faults.skew, UTC)

    def now_ms(self) -> int:
        """The same in milliseconds."""
        return round(self.now().timestamp() * 1000)

    def hex(self) -> str:
        """An id: 32 digits."""
        return f"{self._dice.getrandbits(128):032x}"

    def next_project(self) -> int:
        """The id of a new project, or of anything that is numbered with them."""
        self._last_project += 1
        return self._last_project

    def next_file(self) -> int:
        """The id of a new file."""
        self._last_file += 1
        return self._last_file

    def project(self, given: Arguments) -> Project:
        """The project that a request is about."""
        found = self.projects.get(given.integer("projectId"))
        if found is None:
            raise Refused
        return found

    def texts_of(self, project: Project) -> dict[str, str]:
        """Contents by file name, those of its libraries included."""
        texts: dict[str, str] = {}
        for library in project.libraries:
            if library in self.projects:
                texts |= {name: one.content for name, one in self.projects[library].files.items()}
        return texts | {name: one.content for name, one in project.files.items()}


def blank(moment: datetime) -> str:
    """`2026-03-02 10:15:00`."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def zulu(moment: datetime) -> str:
    """`2026-03-02T10:15:00Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def node(kind: str, number: int, used_by: Mapping[str, object] | None = None) -> Row:
    """A node of the cluster; `used_by` names the project that keeps it busy."""
    sku = {"backtest": "B-MICRO", "research": "R1-4", "live": "L-MICRO"}[kind]
    used = used_by or {}
    return {
        "id": f"{kind[0].upper()}N-{number:02d}",
        "name": f"{sku} node {number}",
        "sku": sku,
        "description": "",
        "speed": 3,
        "cpu": 2,
        "ram": 8,
        "hasGpu": 0,
        "assets": 0,
        "busy": bool(used),
        "active": True,
        "usedBy": used.get("user", ""),
        "userProfile": "",
        "projectName": used.get("name", ""),
        "projectId": used.get("id"),
        "host": None,
        "price": {"monthly": 0, "yearly": 0},
    }
