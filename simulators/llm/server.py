"""The LLM simulator put together: one listening socket that speaks every dialect, and a control plane beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from simulators.llm.admin import AdminRoutes
from simulators.llm.catalogue import Catalogue
from simulators.llm.faults import Fault, Mode
from simulators.llm.gate import Terms
from simulators.llm.records import Record
from simulators.llm.service import Service

_MAX_BODY = 8 << 20


class LlmSimulator:
    """Language models on loopback; `async with` starts and stops it.

    `url` is the base for the openai SDK, `root` the one for anthropic's. `models` are names that exist beside the known ones.
    `port` 0 takes a free one. The same seed and the same prompt give the same answer. `OSError` when the port is taken.
    """

    def __init__(
        self,
        terms: Terms = Terms(),  # noqa: B008 - frozen
        seed: int = 0,
        models: Iterable[str] = (),
        port: int = 0,
        host: str = "127.0.0.1",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._terms = terms
        self._service = Service(terms, seed, Catalogue(models), clock)
        self._admin = AdminRoutes(self._service, self.counts)
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    @property
    def root(self) -> str:
        """Where the server is, once started: anthropic's base URL; the admin routes are under it."""
        return f"http://{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL of OpenAI and Grok."""
        return f"{self.root}/v1"

    @property
    def gemini_url(self) -> str:
        """The base URL of Gemini's OpenAI-compatible endpoint."""
        return f"{self.root}/v1beta/openai/"

    @property
    def key(self) -> str:
        """The first of the accepted keys."""
        return self._terms.keys[0]

    def inject(self, *faults: Fault | Mode) -> None:
        """Switch faults on, in this order; a mode alone strikes once. `ValueError` when there are too many."""
        for fault in faults:
            self._service.faults.apply(Fault(fault, count=1) if isinstance(fault, Mode) else fault)

    def clear(self) -> None:
        """Switch all faults off."""
        self._service.faults.clear()

    def delay(self, seconds: float, pause: float = 0.0) -> None:
        """Every answer takes so many seconds from now on, and streams pause so long between events."""
        self._service.latency, self._service.pause = seconds, pause

    def requests(self, last: int | None = None) -> list[Record]:
        """The last requests, oldest first; those that have not ended have no word in `ended`."""
        return self._service.records.last(last)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Requests by dialect, model, status and how they ended; tokens billed; faults that struck; errors of the simulator."""
        return {**self._service.records.counts, "faults": self._service.faults.counts, "events": self._service.counts}

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BODY)
        app.add_routes([*self._admin.routes(), *self._service.routes()])
        self._service.closing.clear()
        # A handler that waits shall learn that its client has left, else a hanging request would outlive it.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False, handler_cancellation=True)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._runner is not None
        self._service.closing.set()
        await self._runner.cleanup()
