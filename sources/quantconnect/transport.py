"""Carries calls to the service and answers back: a budget, a deadline, and another try where it is safe.

What only reads is tried again. What changes something is sent again only when the service itself has said that it did nothing (a
compile it does not know yet, no free node, slow down), or when no connection came about. What spends money or moves a position is
sent once, unless it was our clock that was refused.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import Any, Self, TypeVar

import orjson
import structlog

from sources.quantconnect.auth import Signer
from sources.quantconnect.budget import Budget, BudgetFull
from sources.quantconnect.envelope import Reply, opened
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.limits import Limits
from sources.quantconnect.wire import Form, Wire

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class Manner(StrEnum):
    """What may be done again."""

    READ = "read"
    WRITE = "write"
    ONCE = "once"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to be made. `form` makes the body where it is not JSON; `deadline_s` goes before the limits' own.

    An urgent one overtakes those that wait for the budget. For up to `wait_for_node_s` more it waits while no node is free.
    With `pending`, an answer in which that is true is one, whatever its success.
    """

    endpoint: str
    body: Mapping[str, Any] = field(default_factory=dict)
    manner: Manner = Manner.READ
    urgent: bool = False
    deadline_s: float | None = None
    wait_for_node_s: float = 0.0
    form: Form | None = None
    pending: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """The client waits before it tries a call again, and why."""

    endpoint: str
    kind: Kind
    seconds: float
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClientStats:
    """What a client has done so far; `waited_s` is what the request budget cost."""

    calls: int
    requests: int
    retries: int
    failures: Mapping[Kind, int]
    waiting: int
    waited_s: float
    turned_away: int
    penalties: int
    bad_rows: int
    clock_offset_s: float


@dataclass(slots=True)
class _Progress:
    """How far a call has come; `unsettled` while a request is out whose end nobody has told us."""

    deadline: float
    attempt: int = 0
    unsettled: bool = False
    unknown_compiles: int = 0
    busy: int = 0
    corrected: bool = False
    last: QcError | None = None


class Transport:
    """Open between `async with` and its end; used by one event loop. `draw` gives numbers in 0..1 for the jitter."""

    def __init__(
        self,
        base_url: str,
        signer: Signer,
        now: Callable[[], float],
        limits: Limits,
        budget: Budget | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
        on_wait: Callable[[Wait], None] | None = None,
    ) -> None:
        self.limits = limits
        self.sleep = sleep
        self.bad_rows = 0
        self._wire = Wire(base_url, limits)
        self._signer = signer
        self._now = now
        self._draw = draw
        self._on_wait = on_wait
        self._budget = budget or Budget(limits)
        self._lanes = asyncio.Semaphore(limits.concurrent)
        self._counts: Counter[str] = Counter()
        self._failures: Counter[Kind] = Counter()

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.__aexit__()

    @property
    def stats(self) -> ClientStats:
        """What has been done so far."""
        counts, budget = self._counts, self._budget
        return ClientStats(
            calls=counts["calls"],
            requests=counts["requests"],
            retries=counts["retries"],
            failures=dict(self._failures),
            waiting=budget.waiting,
            waited_s=budget.waited_s,
            turned_away=counts["turned_away"],
            penalties=counts["penalties"],
            bad_rows=self.bad_rows,
            clock_offset_s=self._signer.offset_s,
        )

    async def call(self, call: Call) -> dict[str, Any]:
        """The payload of a call's answer; `QcError` where there is none, within the call's deadline."""
        return await self._bounded(call, lambda: self._answer(call))

    async def file(self, call: Call) -> bytes:
        """What an endpoint gives to download; a refusal is a `QcError` all the same."""
        return await self._bounded(call, lambda: self._file(call))

    async def fetch(self, url: str) -> bytes:
        """What lies at a URL that the service gave."""
        return await self._bounded(Call("download"), lambda: self._download(url))

    async def _bounded(self, call: Call, ask: Callable[[], Awaitable[T]]) -> T:
        self._counts["calls"] += 1
        tally, began = self._budget.tally, perf_counter()
        bound = (self.limits.call_s if call.deadline_s is None else call.deadline_s) + call.wait_for_node_s
        progress = _Progress(asyncio.get_running_loop().time() + bound)
        try:
            try:
                async with asyncio.timeout(bound):
                    result = await self._insist(call, ask, progress)
            except TimeoutError as error:
                raise _late(call, bound, progress) from error
        except QcError as error:
            self._failures[error.kind] += 1
            tally.outcomes[error.kind.value] += 1
            raise
        tally.outcomes["answered"] += 1
        tally.took.add(perf_counter() - began)
        return result

    async def _insist(self, call: Call, ask: Callable[[], Awaitable[T]], progress: _Progress) -> T:
        """Ask until there is an answer, or a failure that asking again would not mend or not in time."""
        while True:
            progress.attempt += 1
            try:
                return await self._once(call, ask, progress)
            except QcError as error:
                progress.last = failure = error
                pause = self._pause(call, error, progress)
                if pause is None:
                    raise
                if asyncio.get_running_loop().time() + pause >= progress.deadline:
                    error.retry_after_s = max(pause, error.retry_after_s or 0.0)
                    raise
            await self._wait(call, failure, pause, progress.attempt)

    async def _wait(self, call: Call, failure: QcError, pause: float, attempt: int) -> None:
        self._counts["retries"] += 1
        self._budget.tally.retries += 1
        wait = Wait(call.endpoint, failure.kind, pause, attempt, failure.reason)
        _log.info("quantconnect_wait", endpoint=wait.endpoint, kind=wait.kind, seconds=round(pause, 1), reason=wait.reason)
        if self._on_wait is not None:
            self._on_wait(wait)
        await self.sleep(pause)

    async def _once(self, call: Call, ask: Callable[[], Awaitable[T]], progress: _Progress) -> T:
        """One attempt, in its turn."""
        await self._turn(call, progress)
        if call.urgent:
            return await self._sent(call, ask, progress)
        async with self._lanes:
            return await self._sent(call, ask, progress)

    async def _turn(self, call: Call, progress: _Progress) -> None:
        peace = 0.0 if call.urgent else self._budget.peace_s
        if asyncio.get_running_loop().time() + peace >= progress.deadline:
            reason = "the service asked to be left alone"
            raise QcError(Kind.RATE_LIMIT, call.endpoint, reason, retry_after_s=peace)
        try:
            await self._budget.take(urgent=call.urgent)
        except BudgetFull as error:
            self._counts["turned_away"] += 1
            reason = f"{self.limits.waiting} calls wait for the request budget already; nothing was sent"
            raise QcError(Kind.RATE_LIMIT, call.endpoint, reason) from error

    async def _sent(self, call: Call, ask: Callable[[], Awaitable[T]], progress: _Progress) -> T:
        self._counts["requests"] += 1
        self._budget.tally.requests += 1
        progress.unsettled = True
        try:
            async with asyncio.timeout(self.limits.attempt_s):
                result = await ask()
        except TimeoutError as error:
            reason = f"no answer within {self.limits.attempt_s:g} s"
            raise QcError(Kind.TRANSPORT, call.endpoint, reason, may_have_happened=True) from error
        except QcError as error:
            progress.unsettled = error.may_have_happened
            raise
        progress.unsettled = False
        return result

    def _pause(self, call: Call, error: QcError, progress: _Progress) -> float | None:
        """Seconds until it is worth another try; None where it is not, or where it would not be safe."""
        if error.kind is Kind.AUTHENTICATION:
            if progress.corrected or not self._signer.correct():
                return None
            progress.corrected = True
            return 0.0
        if call.manner is Manner.ONCE or not (error.transient or error.compile_unknown):
            return None
        if error.compile_unknown:
            progress.unknown_compiles += 1
            return self.limits.compile_pause_s if progress.unknown_compiles < self.limits.compile_tries else None
        if error.kind in {Kind.CAPACITY, Kind.RATE_LIMIT}:
            return self._patience(call, error, progress)
        safe = call.manner is Manner.READ or (error.kind is Kind.TRANSPORT and not error.may_have_happened)
        return self._backoff(self.limits.pause_s, progress.attempt) if safe and progress.attempt < self.limits.tries else None

    def _patience(self, call: Call, error: QcError, progress: _Progress) -> float | None:
        """How long to wait for a node or for the service's patience; a refusal of our own budget (no status) is final."""
        tries = 1 if error.kind is Kind.CAPACITY else self.limits.tries
        if error.status is None or (progress.attempt >= tries and not call.wait_for_node_s):
            return None
        progress.busy += 1
        if error.status == 429:
            return max(error.retry_after_s or 0.0, self._backoff(self.limits.pause_s, progress.busy))
        return self._backoff(self.limits.busy_pause_s, progress.busy)

    def _backoff(self, first: float, attempt: int) -> float:
        limits = self.limits
        longest = min(first * 2.0 ** min(attempt - 1, 30), max(first, limits.longest_pause_s))
        return float(longest * (1.0 - limits.jitter * self._draw()))

    async def _answer(self, call: Call) -> dict[str, Any]:
        return self._opened(call, await self._reply(call))

    async def _file(self, call: Call) -> bytes:
        reply = await self._reply(call)
        refused = _is_refusal(reply)
        if reply.status != 200 or refused:
            self._opened(call, reply)
        return reply.body

    async def _download(self, url: str) -> bytes:
        reply = await self._wire.get(url)
        if reply.status == 200:
            return reply.body
        kind = Kind.SERVER if reply.status >= 500 else Kind.NOT_FOUND
        raise QcError(kind, "download", f"HTTP {reply.status}", status=reply.status)

    async def _reply(self, call: Call) -> Reply:
        reply = await self._wire.post(call.endpoint, self._signer.headers(), call.body, call.form)
        self._signer.observe(reply.headers.get("Date"))
        return reply

    def _opened(self, call: Call, reply: Reply) -> dict[str, Any]:
        try:
            return opened(call.endpoint, reply, self._now, self._signer.secrets, call.pending)
        except QcError as error:
            if error.status == 429 and error.retry_after_s:
                self._counts["penalties"] += 1
                self._budget.penalise(min(error.retry_after_s, self.limits.longest_penalty_s))
            if error.kind is Kind.AUTHENTICATION and (skew := self._signer.skew()) is not None:
                raise QcError(error.kind, call.endpoint, f"{error.reason} ({skew})", status=error.status) from None
            raise


def _is_refusal(reply: Reply) -> bool:
    """Whether what should be a file is the service's no."""
    start = reply.body.lstrip()[:1]
    if start != b"{":  # an empty page or a web page, unless it is said to be a file
        return start in {b"", b"<"} and "attachment" not in reply.headers.get("Content-Disposition", "").lower()
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("success") is False


def _late(call: Call, bound: float, progress: _Progress) -> QcError:
    if progress.last is not None and not progress.unsettled:
        last = progress.last
        return QcError(last.kind, call.endpoint, f"{last.reason} (for {bound:g} s)", status=last.status)
    if progress.unsettled:
        return QcError(Kind.TRANSPORT, call.endpoint, f"no answer within {bound:g} s", may_have_happened=True)
    return QcError(Kind.RATE_LIMIT, call.endpoint, f"the request budget gave no turn within {bound:g} s; nothing was sent")
