"""The QuantConnect simulator put together: a stateful service behind one listening socket, with real runs behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from aiohttp import web

from simulators.quantconnect.account import Account
from simulators.quantconnect.admin import AdminRoutes, WantedInsight
from simulators.quantconnect.backtesting import Backtesting
from simulators.quantconnect.compiling import Compiling
from simulators.quantconnect.demo import ALGORITHM, NAME
from simulators.quantconnect.deployment import Deployment
from simulators.quantconnect.faults import Fault
from simulators.quantconnect.gate import Gate, Handler
from simulators.quantconnect.jobs import Crew
from simulators.quantconnect.live import Live
from simulators.quantconnect.market import MarketSpec
from simulators.quantconnect.mischief import Mischief
from simulators.quantconnect.objects import Objects
from simulators.quantconnect.optimizing import Optimizing
from simulators.quantconnect.projects import Projects
from simulators.quantconnect.quirks import Quirks
from simulators.quantconnect.terms import Terms
from simulators.quantconnect.transport import Arguments
from simulators.quantconnect.webhooks import Webhooks
from simulators.quantconnect.world import Endpoint, Project, Row, World

_BASE = "/api/v2"
_LIVE_HISTORY_MS = 600_000
_MAX_BODY = 32 << 20


class QuantConnectSimulator:
    """QuantConnect on loopback; `async with` starts and stops it, and everything that runs in it.

    `url` is what a client uses as its base. The market is that of `spec`; without a `live_genesis` there, its live part began ten
    minutes before the start. `port` 0 takes a free one. `quirks` are PHP's habits by probability (see `quirks.Quirks`).
    `OSError` when the port is taken.
    """

    def __init__(
        self,
        terms: Terms = Terms(),  # noqa: B008 - frozen
        spec: MarketSpec = MarketSpec(),  # noqa: B008 - frozen
        quirks: Mapping[str, float] | None = None,
        seed: int = 0,
        port: int = 0,
        host: str = "127.0.0.1",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if spec.live_genesis is None:
            spec = replace(spec, live_genesis=(round(clock() * 1000) - _LIVE_HISTORY_MS) // 1_000 * 1_000)
        habits = Quirks(seed) if quirks is None else Quirks(seed, dict(quirks))
        self.world = World(terms, spec, habits, seed, clock)
        self._crew = Crew()
        self._webhooks = Webhooks(self.world)
        self._projects, self._compiling = Projects(self.world), Compiling(self.world)
        self._backtesting = Backtesting(self.world, self._crew)
        self._optimizing = Optimizing(self.world, self._crew)
        self._live = Live(self.world, self._crew, self._webhooks.post)
        self._objects = Objects(self.world)
        self._account = Account(self.world, self._backtesting, self._live)
        self._mischief = Mischief(self.world, self._projects, self._backtesting, self._live)
        self._gate = Gate(self.world, self._handlers())
        self._admin = AdminRoutes(self.world, self._mischief, self._live, self.counts)
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    @property
    def root(self) -> str:
        """Where the server is, once started; the admin routes are under it."""
        return f"http://{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """The base of the REST API."""
        return f"{self.root}{_BASE}"

    @property
    def user(self) -> str:
        """The one user's id."""
        return self.world.terms.user

    @property
    def token(self) -> str:
        """The user's API token."""
        return self.world.terms.token

    @property
    def organization(self) -> str:
        """The user's organization."""
        return self.world.terms.organization

    def inject(self, fault: Fault) -> None:
        """Make a fault happen, or switch it on; `ValueError` or `LookupError` when it cannot be."""
        self._mischief.inject(fault)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Requests by path, faults that struck, quirks done, and what happened: insights, commands, webhooks, refusals."""
        return {
            "requests": self._gate.hits,
            "faults": self.world.faults.counts,
            "quirks": self.world.quirks.counts,
            "events": self.world.counts,
        }

    async def emit(self, symbol: str, direction: str = "up", **more: object) -> Row:
        """Make the running live algorithm emit an insight (see `admin.WantedInsight`), and give it as REST has it."""
        return await self._admin.emit(WantedInsight.model_validate({"symbol": symbol, "direction": direction, **more}))

    def upload(self, name: str, files: Mapping[str, str]) -> Project:
        """A project with these files, as if a client had made it."""
        id_ = self._projects.create(Arguments({"name": name, "language": "Py"}))["projects"][0]["projectId"]
        for file, content in files.items():
            self._projects.put(self.world.projects[id_], file, content)
        return self.world.projects[id_]

    async def deploy(
        self,
        files: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        cash: Mapping[str, float] | None = None,
        notification: Mapping[str, object] | None = None,
        timeout: float = 60.0,
    ) -> Deployment:
        """A live algorithm that is running when this returns: these files, or the demonstration's.

        `ValueError` when the files cannot be built or the algorithm ends before it runs.
        """
        project = self.upload(NAME, {"main.py": ALGORITHM} if files is None else files)
        compiled = self._compiling.compile(project)
        if compiled.state != "BuildSuccess":
            raise ValueError("; ".join(compiled.logs))
        free = next((row["id"] for row in self._live.nodes() if not row["busy"]), "")
        if not free:
            message = "every live node is busy; give the simulator more in its terms"
            raise ValueError(message)
        given = {"compileId": compiled.id, "parameters": dict(parameters or {}), "notification": dict(notification or {})}
        made = self._live.deploy(project, Arguments(given), "QuantConnectBrokerage", dict(cash or {"USDT": 10_000.0}), free)
        async with asyncio.timeout(timeout):
            await made.settled.wait()
        if made.status != "Running":
            message = f"the algorithm is {made.status}: {made.error}"
            raise ValueError(message)
        return made

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self._objects.url = self.root
        self._crew.start(self._webhooks.run(), "quantconnect-webhooks")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._runner is not None
        await self._crew.close()
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY)
        app.add_routes(self._admin.routes())
        app.add_routes([web.get(f"{Objects.path}/{{job}}.zip", self._objects.download)])
        app.add_routes([web.route(method, f"{_BASE}/{{path:.*}}", self._gate.serve) for method in ("GET", "POST")])
        return app

    def _handlers(self) -> dict[str, Handler]:
        rooms = (self._account, self._projects, self._compiling, self._backtesting, self._optimizing, self._live, self._objects)
        found: dict[str, Handler] = {}
        for room in rooms:
            found |= {path: _plain(endpoint) for path, endpoint in room.routes().items()}
        found["/backtests/export/logs"] = lambda given, _: self._backtesting.export(given)
        found["/live/export/insights"] = lambda given, _: self._live.export(given)
        found["/object/set"] = self._set_object
        return found

    def _set_object(self, given: Arguments, files: Mapping[str, bytes]) -> Row:
        content = files.get("objectData")
        if content is None and isinstance(given.get("objectData"), str):
            content = given["objectData"].encode()
        return self._objects.set(given, content)


def _plain(endpoint: Endpoint) -> Handler:
    return lambda given, _: endpoint(given)
