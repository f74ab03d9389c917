"""The client of QuantConnect's REST API v2: typed calls by subject, on one session.

    async with Client(user_id, token) as client:
        await client.authenticate()
        projects = await client.projects.list()

Every failure is a `QcError`, whose `kind` says what to do about it. The token is held by the signer alone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from sources.quantconnect.auth import Signer
from sources.quantconnect.budget import Budget
from sources.quantconnect.calls import Calls, given, pick
from sources.quantconnect.client_backtests import Backtests
from sources.quantconnect.client_live import Live
from sources.quantconnect.client_objects import Objects
from sources.quantconnect.client_optimizations import Optimizations
from sources.quantconnect.client_projects import Compiles, Files, Projects
from sources.quantconnect.limits import Limits
from sources.quantconnect.models_account import Account, LeanEnvironment, LeanVersion, Organization
from sources.quantconnect.transport import Call, ClientStats, Transport, Wait
from sources.quantconnect.wire import BASE_URL


class Client:
    """Open between `async with` and its end; used by one event loop.

    `budget` is that of all clients of one account, if there are several. `now` is in Unix seconds. `on_wait` hears of every wait
    before a call is tried again, and must not raise. `sleep` and `draw` (numbers in 0..1, for the jitter) are for those who need
    time and chance to be theirs. `ValueError` for a user id, token, base URL or limits that cannot be.
    """

    def __init__(
        self,
        user_id: str,
        token: str,
        *,
        base_url: str = BASE_URL,
        limits: Limits | None = None,
        budget: Budget | None = None,
        now: Callable[[], float] = time.time,
        on_wait: Callable[[Wait], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        limits = limits or Limits()
        signer = Signer(user_id, token, now, limits.digest_life_s)
        self._transport = Transport(base_url, signer, now, limits, budget, sleep=sleep, draw=draw, on_wait=on_wait)
        self._calls = Calls(self._transport)
        self.projects = Projects(self._calls)
        self.files = Files(self._calls)
        self.compiles = Compiles(self._calls)
        self.backtests = Backtests(self._calls)
        self.optimizations = Optimizations(self._calls)
        self.live = Live(self._calls)
        self.objects = Objects(self._calls)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.__aexit__()

    @property
    def stats(self) -> ClientStats:
        """What it has done so far."""
        return self._transport.stats

    async def authenticate(self) -> None:
        """Nothing, if the credentials are good; `AUTHENTICATION` if they are not."""
        await self._transport.call(Call("authenticate"))

    async def account(self, organization_id: str | None = None) -> Account:
        """The organization's credit, by default of the preferred one."""
        answer = await self._calls.ask("account/read", given(organizationId=organization_id))
        return self._calls.shaped("account/read", Account, answer)

    async def organizations(self) -> Sequence[Organization]:
        """The organizations that the user belongs to."""
        return await self._calls.rows("organizations/list", {}, "organizations", Organization)

    async def organization(self, organization_id: str) -> Organization:
        """One organization."""
        answer = await self._calls.ask("organizations/read", {"organizationId": organization_id})
        found = pick(answer, "organization")
        known = {"organizationId": organization_id, **found} if isinstance(found, dict) else found
        return self._calls.shaped("organizations/read", Organization, known)

    async def versions(self) -> Sequence[LeanVersion]:
        """The versions of the engine."""
        return await self._calls.rows("lean/versions/read", {}, "versions", LeanVersion)

    async def environments(self) -> Sequence[LeanEnvironment]:
        """The sets of libraries that an algorithm may run in."""
        return await self._calls.rows("lean/environments/read", {}, "environments", LeanEnvironment)
