"""The ledger: what calls to LLMs cost, reserved before they are made and settled after.

A reservation is on the disk, and counted against every limit, before the call is sent; so whatever happens to the process, no
call goes unaccounted. What nobody settles counts as spent. Where the ledger cannot be written, no call is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self, TypeVar

import structlog
from sqlalchemy import Connection

from bot.store.database import Database
from bot.store.errors import StoreUnavailable
from sources.llm.asking import Role, Usage
from sources.llm.budget import NO_LIMITS_OF_ITS_OWN, Advice, Alert, Budget, BudgetRefused, Limit, SourceBudget
from sources.llm.ledger_limits import Limits
from sources.llm.ledger_rows import (
    SIMULATED,
    Held,
    NewCall,
    Settlement,
    State,
    attribute,
    give_up,
    held,
    hold,
    settle,
    to_pico,
    to_usd,
)
from sources.llm.models import Candidate
from sources.llm.owners import is_gone, this_process
from sources.llm.purse import Ticket

log = structlog.get_logger(__name__)

_LOCK = "llm-ledger"
_PATIENCE_S = 1.0  # how long a settlement is waited for
_AT_ONCE = 1000  # reservations that one sweep gives up, and settlements that may wait for the database

T = TypeVar("T")
Told = Callable[[Alert], None]


@dataclass(frozen=True, slots=True)
class Payer:
    """On whose account calls are made, and for what: source, role, hash of the prompt, run; with the source's own limits."""

    source: str
    role: Role
    prompt_hash: str = ""
    run: str = ""
    limits: SourceBudget = NO_LIMITS_OF_ITS_OWN

    def __post_init__(self) -> None:
        if not self.source:
            message = "a call needs a source to be charged to: name it"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a limit is used, in USD; `held` is reserved for calls under way."""

    limit_name: Limit
    source: str
    period: str
    limit: Decimal
    spent: Decimal
    held: Decimal


@dataclass(slots=True)
class LedgerCounters:
    """What the ledger refused or could not do at once, since it was opened."""

    refused: int = 0
    deferred: int = 0  # settlements that waited for the database
    dropped: int = 0  # settlements that could not be kept: their reservations count as spent
    alerts_failed: int = 0


class Ledger:
    """Limits, reservations and what became of them; other processes may have theirs on the same database.

    `now` gives ms UTC. `told` is called with each alert, on the running loop, and must return at once. What a `simulated` world
    spends is kept apart under `simulated/` and the source's name, with totals of its own.
    """

    def __init__(
        self, database: Database, budget: Budget, *, now: Callable[[], int], told: Told, seconds: float, simulated: bool = False
    ) -> None:
        self._database = database
        self._budget = budget
        self._apart = SIMULATED if simulated else ""
        self._now = now
        self._told = told
        self._seconds = seconds
        self._session = secrets.token_hex(6)
        self._owner = f"{this_process()}|{self._session}"
        self._made = 0
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self._deferred: deque[Settlement] = deque()
        self._of_source: dict[str, SourceBudget] = {}  # as many as there are sources
        self._limits = Limits(budget, self._of_source)
        self.counters = LedgerCounters()

    @classmethod
    async def open(
        cls,
        database: Database,
        budget: Budget,
        *,
        now: Callable[[], int],
        told: Told,
        seconds: float = 10.0,
        simulated: bool = False,
    ) -> Self:
        """Book what dead processes left, and begin. The database stays its opener's to close.

        `seconds` is how long a call may wait for its turn. Raises `StoreUnavailable`.
        """
        ledger = cls(database, budget, now=now, told=told, seconds=seconds, simulated=simulated)
        await ledger.sweep()
        return ledger

    @property
    def budget(self) -> Budget:
        """The common limits."""
        return self._budget

    def booked_as(self, source: str) -> str:
        """Under which name the calls of a source are in the book."""
        return self._apart + source

    def purse(self, payer: Payer) -> LedgerPurse:
        """What the router pays one question from, however many candidates it tries."""
        self._of_source[self._apart + payer.source] = payer.limits
        return LedgerPurse(self, payer)

    async def reserve(self, payer: Payer, candidate: Candidate, amount: Decimal | None, fallback: int = 0) -> Ticket:
        """Set USD aside, durably; None is an unknown price. `BudgetRefused` if a limit or the database forbids it."""
        named = replace(payer, source=self._apart + payer.source)
        doing = asyncio.create_task(self._reserve(named, candidate, amount, fallback))
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            # Nobody is left to make the call; and whoever gave up need not wait until a slow database has understood.
            self._own(self._undo(doing))
            raise

    async def _undo(self, doing: asyncio.Task[Ticket]) -> None:
        with contextlib.suppress(BudgetRefused):
            ticket = await doing
            await self._settled(self._released(ticket))

    async def _reserve(self, payer: Payer, candidate: Candidate, amount: Decimal | None, fallback: int) -> Ticket:
        pico = None if amount is None else to_pico(amount)
        if amount is None or pico is None:
            reason = f"what a call of {candidate} may cost is not known ({amount}): give the model a price"
            raise self._counted(BudgetRefused(Limit.UNPRICED, reason))
        call = self._new_call(payer, candidate, fallback)

        def work(connection: Connection) -> tuple[BudgetRefused | None, list[Alert]]:
            _, alerts = self._give_up(connection, self._is_overdue, "overdue")
            refusal = self._limits.refusal(connection, call, pico)
            if refusal is None:
                hold(connection, call, pico)
            else:
                alerts += self._limits.used_up(connection, call, refusal.limit)
            return refusal, alerts

        try:
            refusal, alerts = await self._alone(work)
        except StoreUnavailable as error:
            reason = f"the ledger cannot be written, so {candidate} is not called: {error}"
            raise self._counted(BudgetRefused(Limit.UNAVAILABLE, reason)) from error
        self._tell(alerts)
        if refusal is not None:
            raise self._counted(refusal)
        return Ticket(call.id, candidate, amount)

    def _new_call(self, payer: Payer, candidate: Candidate, fallback: int) -> NewCall:
        self._made += 1
        return NewCall(
            id=f"{self._session}-{self._made}",
            ts=self._now(),
            source=payer.source,
            role=payer.role.value,
            provider=candidate.model.provider,
            model=candidate.model.name,
            prompt_hash=payer.prompt_hash,
            run=payer.run,
            owner=self._owner,
            fallback=fallback,
        )

    def _counted(self, refusal: BudgetRefused) -> BudgetRefused:
        self.counters.refused += 1
        log.info("llm_call_refused", limit=refusal.limit.value, reason=str(refusal))
        return refusal

    async def settle(self, ticket: Ticket, cost: Decimal, usage: Usage) -> None:
        """The answer arrived and cost so much; what is no amount of money counts as the reservation.

        Never raises for the database: a settlement that cannot be written waits.
        """
        await self._end(self._answered(ticket, cost, usage))

    def settle_aside(self, ticket: Ticket, cost: Decimal, usage: Usage) -> asyncio.Task[None]:
        """The same, for who has an answer to act upon: until it is written the reservation counts, which is more."""
        return self._own(self._settled(self._answered(ticket, cost, usage)))

    def _answered(self, ticket: Ticket, cost: Decimal, usage: Usage) -> Settlement:
        pico = to_pico(cost)
        if pico is None:
            log.warning("llm_cost_is_no_amount", call=ticket.id, cost=str(cost))
        return Settlement(ticket.id, State.SETTLED, pico, self._now(), "answered", usage)

    async def lost(self, ticket: Ticket) -> None:
        """Nobody knows whether it was billed: the reservation counts as spent. Never raises, as `settle`."""
        await self._end(Settlement(ticket.id, State.LOST, None, self._now(), "lost", Usage()))

    async def release(self, ticket: Ticket) -> None:
        """Nothing was sent: the reservation is free again. Never raises, as `settle`."""
        await self._end(self._released(ticket))

    def _released(self, ticket: Ticket) -> Settlement:
        return Settlement(ticket.id, State.RELEASED, 0, self._now(), "not-sent", Usage())

    async def _end(self, how: Settlement) -> None:
        """Wait for a settlement, but not for long: it goes on without whoever has the answer already, or has given up."""
        doing = self._own(self._settled(how))
        done, _ = await asyncio.wait([doing], timeout=_PATIENCE_S)
        if not done:
            log.warning("llm_settlement_is_slow", call=how.id)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work that ends with the ledger at the latest."""
        doing = asyncio.create_task(work)
        self._under_way.add(doing)
        doing.add_done_callback(self._ended)
        return doing

    def _ended(self, doing: asyncio.Task[None]) -> None:
        self._under_way.discard(doing)
        if not doing.cancelled() and doing.exception() is not None:
            self.counters.dropped += 1
            log.error("llm_settlement_failed", exc_info=doing.exception())

    async def _settled(self, how: Settlement) -> None:
        try:
            alerts = await self._alone(lambda connection: self._book(connection, how))
        except StoreUnavailable as error:
            # It stays reserved, and so counted, until the database is there again.
            self._defer(how, error)
        else:
            self._tell(alerts)

    def _book(self, connection: Connection, how: Settlement) -> list[Alert]:
        booked = settle(connection, how)
        if booked is None:
            return []
        return self._limits.reached(connection, [(str(booked["source"]), str(booked["day"]))], how.at)

    def _defer(self, how: Settlement, error: StoreUnavailable) -> None:
        kept = len(self._deferred) < _AT_ONCE
        if kept:
            self._deferred.append(how)
            self.counters.deferred += 1
        else:
            self.counters.dropped += 1
        log.warning("llm_settlement_waits" if kept else "llm_settlement_dropped", call=how.id, error=str(error))

    async def decided(self, calls: Iterable[str], decision: str, outcome: str | None = None) -> None:
        """Say which decision calls led to (empty: none), and in a word how the answers were taken; `StoreUnavailable`."""
        ids = tuple(calls)
        await self._alone(lambda connection: attribute(connection, ids, decision, outcome))

    async def advice(self, source: str = "") -> Advice:
        """What a source should do now; OFF if the ledger cannot be read."""
        at, source = self._now(), self._apart + source
        try:
            return await self._database.run(lambda connection: self._limits.advice(connection, source, at))
        except StoreUnavailable as error:
            log.warning("llm_ledger_unreadable", error=str(error))
            return Advice.OFF

    async def standing(self, source: str = "") -> list[Standing]:
        """How far the limits are used now. Raises `StoreUnavailable`."""
        at, source = self._now(), self._apart + source
        found = await self._database.run(lambda connection: self._limits.standing(connection, source, at))
        return [
            Standing(cap.kind, cap.scope, cap.period, to_usd(cap.limit), to_usd(seen.spent), to_usd(seen.held))
            for cap, seen in found
        ]

    async def sweep(self) -> int:
        """Book once, as spent, what ended processes left unsettled, and what is overdue; how many. Raises `StoreUnavailable`."""
        ended: dict[str, bool] = {}

        def is_ended(each: Held) -> bool:
            if each.owner not in ended:
                ended[each.owner] = is_gone(each.owner)
            return ended[each.owner]

        def work(connection: Connection) -> tuple[int, list[Alert]]:
            gone, alerts = self._give_up(connection, is_ended, "process-ended")
            late, more = self._give_up(connection, self._is_overdue, "overdue")
            return gone + late, alerts + more

        booked, alerts = await self._alone(work)
        self._tell(alerts)
        if booked:
            log.warning("llm_reservations_given_up", calls=booked)
        return booked

    def _is_overdue(self, each: Held) -> bool:
        return each.ts < self._now() - self._budget.overdue_ms

    def _give_up(self, connection: Connection, which: Callable[[Held], bool], outcome: str) -> tuple[int, list[Alert]]:
        """Book some of the reservations as spent; how many, and what that is worth an alert."""
        calls = [each.id for each in held(connection, _AT_ONCE) if which(each)]
        booked = give_up(connection, calls, self._now(), outcome)
        return len(booked), self._limits.reached(
            connection, [(str(row["source"]), str(row["day"])) for row in booked], self._now()
        )

    async def close(self) -> None:
        """End what is under way and book what is still open as spent; where that cannot be written, the next ledger does it."""
        while self._under_way:
            await asyncio.wait(self._under_way)  # each waits for its turn and for the database, and for neither for ever
        with contextlib.suppress(StoreUnavailable):
            _, alerts = await self._alone(
                lambda connection: self._give_up(connection, lambda each: each.owner == self._owner, "closed")
            )
            self._tell(alerts)

    async def _alone(self, work: Callable[[Connection], T]) -> T:
        """Do work in turn, after the settlements that wait. Raises `StoreUnavailable`."""

        def after_the_deferred(connection: Connection) -> tuple[T, list[Alert]]:
            alerts = [alert for how in waiting for alert in self._book(connection, how)]
            return work(connection), alerts

        try:
            await asyncio.wait_for(self._turn.acquire(), self._seconds)
        except TimeoutError as error:
            message = f"the ledger had no turn within {self._seconds:g} s"
            raise StoreUnavailable(message) from error
        try:
            waiting = tuple(self._deferred)
            done, alerts = await self._database.alone(_LOCK, after_the_deferred)
            for _ in waiting:
                self._deferred.popleft()
        finally:
            self._turn.release()
        self._tell(alerts)
        return done

    def _tell(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            log.warning(
                "llm_budget_alert", limit=alert.kind.value, source=alert.source, period=alert.period, percent=alert.percent
            )
            try:
                self._told(alert)
            except Exception as error:  # noqa: BLE001 - whoever is told must not cost us the account of a call
                self.counters.alerts_failed += 1
                log.error("llm_budget_alert_failed", error=type(error).__name__)


class LedgerPurse:
    """A `Purse` for one question: the decision it leads to is charged with every try."""

    def __init__(self, ledger: Ledger, payer: Payer) -> None:
        self._ledger = ledger
        self._payer = payer
        self.calls: list[str] = []  # as many as the chain has tries
        self._settling: list[asyncio.Task[None]] = []

    async def reserve(self, candidate: Candidate, amount: Decimal) -> Ticket:
        """Set `amount` USD aside, or `BudgetRefused`."""
        ticket = await self._ledger.reserve(self._payer, candidate, amount, fallback=len(self.calls))
        self.calls.append(ticket.id)
        return ticket

    async def settle(self, ticket: Ticket, cost: Decimal, usage: Usage) -> None:
        """The answer arrived and cost this; nobody who has it waits for the disk."""
        self._settling.append(self._ledger.settle_aside(ticket, cost, usage))

    async def lost(self, ticket: Ticket) -> None:
        """Nobody knows whether it was billed."""
        await self._ledger.lost(ticket)

    async def release(self, ticket: Ticket) -> None:
        """Nothing was sent."""
        await self._ledger.release(ticket)

    async def decided(self, decision: str, outcome: str | None = None) -> None:
        """Say which decision the question led to (empty: none), and in a word how the answer was taken."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=_PATIENCE_S)
        await self._ledger.decided(self.calls, decision, outcome)
