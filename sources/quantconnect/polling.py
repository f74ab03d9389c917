"""Asking again and again: jittered pauses that grow after failures, and what state each route is in.

A route that fails is degraded until it succeeds; the others go on. Nothing here ends but by cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from bot.core.market import timeframe_ms
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.intake import Intake
from sources.quantconnect.routes import Route, RouteTrouble
from sources.quantconnect.settings import QuantConnectParams

if TYPE_CHECKING:
    from sources.quantconnect.client import Client

log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[object]]
Tell = Callable[["RouteState"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RouteState:
    """How a route is: `healthy` is None until it was first tried; times are ms UTC, `failures` those in a row."""

    name: str
    healthy: bool | None = None
    since: int = 0
    last_success: int | None = None
    failures: int = 0
    trouble: str = ""

    def age_ms(self, now: int) -> int | None:
        """How long ago it last succeeded."""
        return None if self.last_success is None else now - self.last_success


class States:
    """The state of every route; `tell` hears of every change from or to health."""

    def __init__(self, now: Callable[[], int], tell: Tell) -> None:
        self._now = now
        self._tell = tell
        self._states: dict[str, RouteState] = {}

    @property
    def all(self) -> tuple[RouteState, ...]:
        """One for each route, by name."""
        return tuple(self._states[name] for name in sorted(self._states))

    def of(self, name: str) -> RouteState:
        """A route's state."""
        return self._states.setdefault(name, RouteState(name, since=self._now()))

    async def well(self, name: str) -> None:
        """It did what it is for."""
        now, before = self._now(), self.of(name)
        since = before.since if before.healthy else now
        self._states[name] = replace(before, healthy=True, since=since, last_success=now, failures=0, trouble="")
        if before.healthy is False:
            log.info("quantconnect_route_recovered", route=name, after_ms=now - before.since)
            await self._tell(self._states[name])

    async def ill(self, name: str, trouble: str) -> None:
        """It did not."""
        now, before = self._now(), self.of(name)
        since = before.since if before.healthy is False else now
        self._states[name] = replace(before, healthy=False, since=since, failures=before.failures + 1, trouble=trouble)
        if before.healthy is not False or before.trouble != trouble:
            log.warning("quantconnect_route_degraded", route=name, reason=trouble, last_success_ms=before.last_success)
        if before.healthy is not False:
            await self._tell(self._states[name])


CALM_S = 60.0
"""How long what comes unasked must have been without fault until its trouble is over."""


class Unasked:
    """Trouble with what comes unasked: nothing can be tried again, so it is over when it has not come again for a while.

    `run` is the task that says so.
    """

    def __init__(self, states: States, now: Callable[[], int]) -> None:
        self._states = states
        self._now = now
        self._last: dict[str, int] = {}  # by name, of which there are two
        self._came = asyncio.Event()

    async def ill(self, name: str, trouble: str) -> None:
        """It came, once more."""
        self._last[name] = self._now()
        self._came.set()
        await self._states.ill(name, trouble)

    async def run(self, sleep: Sleep = asyncio.sleep) -> None:
        """Wait for trouble, and for its end, until cancelled."""
        while True:
            await self._came.wait()
            await sleep(CALM_S)
            over = [name for name, at in self._last.items() if self._now() - at >= CALM_S * 1_000]
            for name in over:
                del self._last[name]
                await self._states.well(name)
            if not self._last:
                self._came.clear()


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to pause, in seconds: `every`, doubled for each failure in a row up to `longest`, off by up to `jitter` of it."""

    every: float
    longest: float
    jitter: float

    @classmethod
    def of(cls, every: str, params: QuantConnectParams) -> Pace:
        """The pace of a route that asks so often."""
        pause = timeframe_ms(every) / 1_000
        return cls(pause, max(pause, timeframe_ms(params.backoff) / 1_000), params.jitter)

    def pause(self, failures: int, draw: float, least: float = 0.0) -> float:
        """The next pause; `draw` in 0..1 places it within the jitter."""
        wanted = max(least, min(self.longest, self.every * 2.0 ** min(failures, 30)))
        return wanted * (1.0 + self.jitter * (2.0 * draw - 1.0))


class Poller:
    """Reads one route for ever; whoever wants it read in between waits for the reading that is under way."""

    def __init__(self, route: Route, pace: Pace, intake: Intake, states: States, now: Callable[[], int]) -> None:
        self._route = route
        self._pace = pace
        self._intake = intake
        self._states = states
        self._now = now
        self._before: int | None = None
        self._turn = asyncio.Lock()

    @property
    def route(self) -> Route:
        """What it reads."""
        return self._route

    async def run(self, client: Client, draw: Callable[[], float], sleep: Sleep = asyncio.sleep) -> None:
        """Poll until cancelled."""
        while True:
            least = await self.poll(client)
            await sleep(self._pace.pause(self._states.of(self._route.name).failures, draw(), least))

    async def poll(self, client: Client) -> float:
        """Once; gives how many seconds to wait at least."""
        async with self._turn:
            return await self._poll(client)

    async def _poll(self, client: Client) -> float:
        name = self._route.name
        try:
            signals = await self._route.read(client, self._now())
        except QcError as error:
            await self._states.ill(name, str(error))
            longest = self._pace.longest
            return longest if error.kind is Kind.AUTHENTICATION else min(error.retry_after_s or 0.0, longest)
        except RouteTrouble as error:
            await self._states.ill(name, str(error))
            return 0.0
        except Exception as error:  # the boundary to what a service may answer; the other routes go on
            log.exception("quantconnect_route_failed", route=name)
            await self._states.ill(name, f"{type(error).__name__}: {error}"[:300])
            return 0.0
        polled = self._now()
        await self._intake.take(signals, polled, self._before)
        self._before = polled
        await self._states.well(name)
        return 0.0
