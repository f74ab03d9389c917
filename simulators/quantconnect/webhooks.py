"""What the service POSTs: webhooks of `notify.web` and of deployment notifications, in order, to loopback and nowhere else.

Uploaded text decides about address and body; a simulator that sent them anywhere would be a weapon.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import structlog
from yarl import URL

from simulators.quantconnect.faults import Webhook
from simulators.quantconnect.world import World

log = structlog.get_logger(__name__)

_MAX_WAITING = 1_000
_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A POST to be made."""

    address: str
    body: str
    headers: Mapping[str, str]


class Webhooks:
    """Sends letters one after the other; `run` is the task that does. Counted in the world as `webhooks_*`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: asyncio.Queue[Letter] = asyncio.Queue(_MAX_WAITING)
        self._sent: deque[float] = deque()

    def post(self, letter: Letter) -> bool:
        """Queue one; False when it may not go there, when the hour's quota is used up, or when too many wait."""
        reason = self._objection(letter)
        if reason:
            self._world.counts[f"webhooks_{reason}"] += 1
            log.warning("webhook_refused", reason=reason, host=_host(letter.address))
            return False
        self._waiting.put_nowait(letter)
        return True

    def _objection(self, letter: Letter) -> str:
        if not _is_loopback(letter.address):
            return "not_loopback"
        now = self._world.clock()
        while self._sent and self._sent[0] <= now - 3_600:
            self._sent.popleft()
        if len(self._sent) >= self._world.terms.notifications_per_hour:
            return "over_quota"
        if self._waiting.full():
            return "dropped"
        self._sent.append(now)
        return ""

    async def run(self) -> None:
        """Send until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                letter = await self._waiting.get()
                fault = self._world.faults.of_job(Webhook)
                for each in await self._as_faults_want(letter, fault):
                    await self._send(session, each)

    async def _as_faults_want(self, letter: Letter, fault: Webhook | None) -> list[Letter]:
        match fault:
            case Webhook(how="lost"):
                return []
            case Webhook(how="twice"):
                return [letter, letter]
            case Webhook(how="tampered"):
                return [Letter(letter.address, letter.body.replace("0", "1", 1) + " ", letter.headers)]
            case Webhook(how="late", seconds=seconds):
                await asyncio.sleep(seconds)
        return [letter]

    async def _send(self, session: aiohttp.ClientSession, letter: Letter) -> None:
        headers = {"Content-Type": "application/json", **letter.headers}
        try:
            async with session.post(letter.address, data=letter.body.encode(), headers=headers) as answer:
                self._world.counts["webhooks_sent" if answer.status < 300 else f"webhooks_answered_{answer.status}"] += 1
        except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
            self._world.counts["webhooks_failed"] += 1
            log.warning("webhook_failed", host=_host(letter.address), problem=repr(problem))


def _host(address: str) -> str:
    try:
        return URL(address).host or ""
    except ValueError:
        return ""


def _is_loopback(address: str) -> bool:
    host = _host(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
