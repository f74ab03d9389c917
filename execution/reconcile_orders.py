"""The orders of an account, against those that are tracked.

What the list of open orders shows is merged. What it lacks is asked for by its own id, for no absence from a list concludes
anything; and when the venue has no such order, that counts only after a grace period, after its trades were looked through, and
after it was said again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from execution.account import AccountError, NotFound, OrderReport
from execution.comparison import Owner, owner_of
from execution.questions import Questions
from execution.reconcile_memory import Memory, OrderKey
from execution.reconciliation import ReconcileRules
from execution.tracked import Standing, Tracked, TrackedOrders

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class OrderFindings:
    """What one pass found of orders. `missing` are live for us and not found by the venue, so far."""

    open: list[OrderReport] = field(default_factory=list)
    sister: list[OrderReport] = field(default_factory=list)
    foreign: list[OrderReport] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    missing: list[Tracked] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Owners:
    """Whose an order is that was told by the venue's id alone: asked once, then remembered."""

    tracked: TrackedOrders
    questions: Questions
    memory: Memory
    rules: ReconcileRules

    def named(self, symbol: str, venue_id: str, client_id: str | None) -> bool:
        """Whether the client id of this order is known, if it has one."""
        key = (symbol, venue_id)
        return client_id is not None or self.tracked.of_venue(symbol, venue_id) is not None or key in self.memory.owners

    def client_id(self, symbol: str, venue_id: str, client_id: str | None) -> str | None:
        """The client id as far as it is known."""
        if client_id is not None:
            return client_id
        ours = self.tracked.of_venue(symbol, venue_id)
        return ours.id if ours is not None else self.memory.owners.get((symbol, venue_id))

    async def learn(self, keys: Sequence[OrderKey]) -> set[OrderKey]:
        """Ask for the first `lookups` of these orders by the venue's id; those that the venue says it does not have."""

        async def ask(key: OrderKey) -> tuple[OrderKey, OrderReport | None]:
            return key, await self.questions.order(key[0], None, key[1])

        denied = set()
        for key, report in await self.questions.each(list(dict.fromkeys(keys))[: self.rules.lookups], ask):
            if report is None:
                denied.add(key)
                continue
            self.memory.owners[key] = report.client_id
            if report.client_id is not None and self.tracked.of(report.client_id) is not None:
                self.tracked.report(report)
        return denied

    def of(self, client_id: str | None) -> Owner:
        """Whose it is. What is tracked is ours whatever its id looks like."""
        if client_id is not None and self.tracked.of(client_id) is not None:
            return Owner.OURS
        return owner_of(client_id, self.rules.prefix, self.rules.sisters)


@dataclass(slots=True)
class OrderSweep:
    """One pass over the orders.

    `ended` tells of an id of ours that is tracked no more whether the books know its end. `missed` holds, from pass to pass, when
    an order that the venue does not find was first missed (ms).
    """

    questions: Questions
    tracked: TrackedOrders
    owners: Owners
    rules: ReconcileRules
    ended: Callable[[str], bool]
    missed: dict[str, int]
    found: OrderFindings = field(default_factory=OrderFindings)

    async def read(self, symbols: Sequence[str]) -> None:
        """Merge every open order, and ask for those of ours that the list lacks."""
        live = {one.id: one for one in self.tracked.live()}
        account = self.questions.account
        reports = await self.questions.ask("the open orders", lambda: account.open_orders(symbols))
        await self.owners.learn(
            [(one.symbol, one.venue_id) for one in reports if not self.owners.named(one.symbol, one.venue_id, one.client_id)]
        )
        present = set()
        ghosts = []
        for report in reports:
            client_id = self.owners.client_id(report.symbol, report.venue_id, report.client_id)
            owner = self.owners.of(client_id)
            if owner is not Owner.OURS or client_id is None:
                (self.found.sister if owner is Owner.SISTER else self.found.foreign).append(report)
                continue
            present.add(client_id)
            if client_id in live:
                self.found.open.append(report)
                self._merge(live[client_id], report)
            elif self._is_over(client_id, report):
                ghosts.append((client_id, report))
        await self._chase([one for one in live.values() if one.id not in present])
        await self.questions.each(ghosts, self._lay)

    async def conclude(self, at: int, doubtful: Callable[[Tracked], bool]) -> None:
        """After the trades were looked through: give up what the venue denies again. `doubtful` trades may be of the order."""

        async def ask(one: Tracked) -> None:
            report = await self.questions.order(one.request.symbol, one.id, one.venue_id)
            if report is not None:
                self._merge(one, report)
            elif one.standing is not Standing.ENDED:
                self.tracked.lost(one.id, "the venue has no such order, and no trade of it")
                self.found.resolved.append(one.id)
                log.warning("order_lost", order=one.id, symbol=one.request.symbol)

        before = dict(self.missed)
        self.missed.clear()
        self.missed.update((one.id, before.get(one.id, at)) for one in self.found.missing)
        # A request that is still under way may reach the venue after it said no; a trade found meanwhile is news of the order.
        due = [one for one in self.found.missing if one.standing in {Standing.UNKNOWN, Standing.LIVE} and not doubtful(one)]
        await self.questions.each([one for one in due if at - self._silent_since(one) >= self.rules.grace_ms], ask)

    def _silent_since(self, one: Tracked) -> int:
        """From when on the grace counts: the last news of an order in doubt; for one that lived, when it was first missed."""
        heard = max(one.since, one.updated)
        return max(heard, self.missed[one.id]) if one.standing is Standing.LIVE else heard

    @property
    def waiting(self) -> bool:
        """Whether an order is still missing whose fate this pass could not conclude."""
        return any(one.standing is not Standing.ENDED for one in self.found.missing)

    async def _chase(self, absent: Sequence[Tracked]) -> None:
        async def ask(one: Tracked) -> None:
            report = await self.questions.order(one.request.symbol, one.id, one.venue_id)
            if report is not None:
                self._merge(one, report)
            elif one.standing is not Standing.ENDED:
                self.found.missing.append(one)

        # What ended while the list was read has been told by another road.
        await self.questions.each([one for one in absent if one.standing is not Standing.ENDED], ask)

    def _merge(self, one: Tracked, report: OrderReport) -> None:
        before = one.standing
        self.tracked.report(report)
        if one.standing is not before:
            self.found.resolved.append(one.id)

    def _is_over(self, client_id: str, report: OrderReport) -> bool:
        """Whether an open order of ours that was not live when the list was asked for had ended by then, for us."""
        known = self.tracked.of(client_id)
        if known is not None and known.standing is not Standing.ENDED:
            self.found.open.append(report)  # it was sent while the list was read
            self._merge(known, report)
            return False
        if known is None and not self.ended(client_id):
            self.found.open.append(report)
            words = f"{report.symbol}: open order {client_id} carries our prefix, and nobody here knows it"
            self.found.unexplained.append(words)
            return False
        return True

    async def _lay(self, ghost: tuple[str, OrderReport]) -> None:
        """Cancel an order that had ended for us, and still rests at the venue."""
        client_id, report = ghost
        self.tracked.report(report)
        try:
            answer = await self.questions.account.cancel(report.symbol, client_id, report.venue_id)
        except NotFound:
            return  # the list was older than its end
        except AccountError as problem:
            words = f"{report.symbol}: order {client_id} is over for us, rests at the venue and was not cancelled"
            self.found.unexplained.append(f"{words}: {problem.reason}")
            return
        if answer is not None:
            self.tracked.report(answer)
        self.found.ghosts.append(client_id)
        log.warning("ghost_cancelled", order=client_id, symbol=report.symbol)
