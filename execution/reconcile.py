"""Reconciliation: what the venue holds, against what we know; one path for a first start, a restart, a crash and the clock.

One pass reads the open orders, asks for those of ours that the list lacks, lists the trades since the last explained pass, and
compares the balances with all that explains them. It brings to the books what it finds of ours, cancels orders that had ended for
us, and touches nothing of anyone else. A question without an answer fails the pass: a partial picture is none. What a single
reading lacks concludes nothing: another one must agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import structlog

from execution.account import VenueAccount
from execution.comparison import Ledger, Looks, Window, differences, sentence
from execution.questions import Questions
from execution.reconcile_memory import Json, Memory, memory_from_json, memory_to_json
from execution.reconcile_orders import OrderSweep, Owners
from execution.reconcile_trades import TradeSweep
from execution.reconciliation import ReconcileFailed, ReconcileRules, Reconciliation
from execution.tracked import TrackedOrders

__all__ = ["ReconcileFailed", "ReconcileRules", "ReconcileSink", "Reconciler", "Reconciliation"]

log = structlog.get_logger(__name__)

_RESTLESS_PASSES = 3
"""In how many passes in a row a currency may differ, at every look by something else, before it counts."""


class ReconcileSink(Protocol):
    """Who is told how the passes of the timer went. Calls return at once and never raise."""

    def on_reconciled(self, found: Reconciliation) -> None:
        """A pass was whole."""
        ...

    def on_reconcile_failed(self, problem: ReconcileFailed) -> None:
        """A pass could not read everything; the next one follows sooner."""
        ...


@dataclass(slots=True)
class _Pass:
    """The parts of one pass, and what it learned of the balances."""

    at: int
    symbols: tuple[str, ...]
    orders: OrderSweep
    trades: TradeSweep
    transfers_listed: bool = True
    began: bool = False


class Reconciler:
    """Reconciles one account for one bot; passes never overlap.

    `now` is our clock (ms). `ended` tells whether an order id of ours that is tracked no more is known to the books as over.
    `jitter` draws from 0 to 1 and spreads the timer by a tenth around its period. `failures` and `passes` count.
    """

    def __init__(
        self,
        account: VenueAccount,
        tracked: TrackedOrders,
        now: Callable[[], int],
        rules: ReconcileRules,
        *,
        ended: Callable[[str], bool] = lambda _: False,
        jitter: Callable[[], float] = lambda: 0.5,
        memory: object = None,
    ) -> None:
        self.passes = 0
        self.failures = 0
        self._account = account
        self._tracked = tracked
        self._now = now
        self._rules = rules
        self._ended = ended
        self._jitter = jitter
        self._memory = Memory() if memory is None else memory_from_json(memory)
        self._missed: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._asked = asyncio.Event()
        self._waiting = False
        self._anew = False

    def snapshot(self) -> Json:
        """What it remembers, as plain JSON values."""
        return memory_to_json(self._memory)

    def restore(self, state: object) -> None:
        """Go on from a snapshot; `ReconcileStateError` if it is none."""
        self._memory = memory_from_json(state)

    def soon(self) -> None:
        """Ask the timer for a pass as soon as may be, such as after the account stream was lost."""
        self._asked.set()

    def rebase(self) -> None:
        """An operator accepts the account as it is: the next pass takes its totals anew and forgets unknown trades of ours."""
        self._anew = True
        self.soon()

    async def once(self) -> Reconciliation:
        """One pass. `ReconcileFailed` names what could not be read; what was merged until then stays, and is true."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._rules.pass_ms / 1000):
                    found = await self._pass()
            except TimeoutError:
                self.failures += 1
                what = "the account"
                raise ReconcileFailed(what, f"the pass took longer than {self._rules.pass_ms} ms") from None
            except ReconcileFailed:
                self.failures += 1
                raise
            self.passes += 1
            return found

    async def run(self, sink: ReconcileSink) -> None:
        """A pass every `every_ms`, and whenever one is asked for; sooner after a failure. Runs until cancelled."""
        failures = 0
        while True:
            await self._pause(failures)
            try:
                found = await self.once()
            except ReconcileFailed as problem:
                failures += 1
                log.warning("reconcile_failed", what=problem.what, reason=problem.reason, failures=failures)
                sink.on_reconcile_failed(problem)
                continue
            failures = 0
            sink.on_reconciled(found)

    async def _pause(self, failures: int) -> None:
        """Wait for the next pass: the period, or less where something is open; asking shortens it, to `pause_ms` at least."""
        rules = self._rules
        wait = rules.every_ms * (0.95 + 0.1 * self._jitter())
        if failures:
            wait = min(wait, rules.retry_ms * 2 ** min(failures - 1, 16))
        elif self._waiting:
            wait = min(wait, max(rules.grace_ms, rules.pause_ms))
        await asyncio.sleep(min(wait, rules.pause_ms) / 1000)
        try:
            async with asyncio.timeout(max(0.0, wait - rules.pause_ms) / 1000):
                await self._asked.wait()
        except TimeoutError:
            pass
        self._asked.clear()

    async def _pass(self) -> Reconciliation:
        if self._anew:
            before = self._memory
            self._memory = Memory(owners=before.owners, transfers=before.transfers, dropped=before.dropped)
            self._anew = False
        rules, memory = self._rules, self._memory
        at = self._now()
        questions = Questions(self._account, rules.concurrency)
        owners = Owners(self._tracked, questions, memory, rules)
        more = [one.request.symbol for one in (*self._tracked.live(), *self._tracked.lacking())]
        this = _Pass(
            at,
            tuple(dict.fromkeys((*rules.symbols, *more))),
            OrderSweep(questions, self._tracked, owners, rules, self._ended, self._missed),
            TradeSweep(questions, self._tracked, owners, memory, rules),
        )
        await this.orders.read(this.symbols)
        looks = await self._begin(this) if memory.ledger is None else await self._compare(this, memory.ledger)
        await this.orders.conclude(at, this.trades.doubtful)
        self._waiting = this.orders.waiting or bool(memory.pending)
        unexplained = self._unexplained(this, looks)
        self._settle(at, unexplained, looks)
        return self._tell(this, unexplained)

    async def _begin(self, this: _Pass) -> Looks:
        """Take the account's first totals: those that a second look agrees with, trades in between included."""
        rules = self._rules
        ledger = Ledger(this.at, {}, this.at - rules.quiet_ms, transfers=Window(this.at - rules.transfers_ms))
        for turn in range(rules.looks + 2):
            held = await self._look(this, ledger, turn, history=turn == 0)
            looks = Looks()
            looks.look(differences(held, ledger.totals, rules.tolerance))
            if turn and looks.settled:
                self._memory.ledger = ledger
                this.began = True
                return looks
            ledger.restate(held, this.at)
        what = "the first balances"
        raise ReconcileFailed(what, "they were others at every look")

    async def _compare(self, this: _Pass, ledger: Ledger) -> Looks:
        """Compare until two looks in a row agree on what differs."""
        looks = Looks()
        for turn in range(self._rules.looks):
            held = await self._look(this, ledger, turn, history=False)
            looks.look(differences(held, ledger.totals, self._rules.tolerance))
            if looks.settled:
                break
        return looks

    async def _look(self, this: _Pass, ledger: Ledger, turn: int, *, history: bool) -> Mapping[str, Decimal]:
        """The balances, then all that may explain them; what is held in total, by currency.

        Trades are the dearest question, by symbol: of many symbols only those are asked for on which something has moved, and all
        at a second look if that leaves anything open.
        """
        questions = this.orders.questions
        if turn:
            await asyncio.sleep(self._rules.pause_ms / 1000)
        balances = await questions.ask("the balances", self._account.balances)
        held = {currency: balance.total for currency, balance in balances.items()}
        await self._read_transfers(this, ledger, history=history)
        missing = this.orders.found.missing
        few = len(this.symbols) <= self._rules.listed
        moved = this.symbols if history or few else self._moved(this, ledger, held)
        await this.trades.read(moved, ledger, missing, history=history)
        if turn and differences(held, ledger.totals, self._rules.tolerance):
            await this.trades.read([one for one in this.symbols if one not in moved], ledger, missing, history=history)
        return held

    async def _read_transfers(self, this: _Pass, ledger: Ledger, *, history: bool) -> None:
        since = ledger.transfers.since
        transfers = await this.orders.questions.ask("the transfers", lambda: self._account.transfers(since))
        this.transfers_listed = transfers is not None
        fresh = ledger.count_transfers(transfers or ())
        if not history:
            # Counted once and for all: should this pass fail, a later one tells of them.
            self._memory.transfers.extend(fresh)

    def _moved(self, this: _Pass, ledger: Ledger, held: Mapping[str, Decimal]) -> Sequence[str]:
        """Symbols whose base is not held as counted, and those of orders and trades of which there is more to know."""
        odd = differences(held, ledger.totals, {})
        doubtful = [one for one in self._tracked.live() if one.venue_id is None]
        open_ends = {one.request.symbol for one in (*doubtful, *self._tracked.lacking(), *this.orders.found.missing)}
        open_ends |= {symbol for symbol, _ in self._memory.pending}
        for symbol in this.symbols:
            ledger.window(symbol)  # counted from its first pass on, whenever it is asked for
        return [one for one in this.symbols if one in open_ends or one.partition("/")[0] in odd]

    def _unexplained(self, this: _Pass, looks: Looks) -> tuple[str, ...]:
        """Everything without an explanation, in words."""
        memory = self._memory
        memory.restless = {currency: memory.restless.get(currency, 0) + 1 for currency in looks.restless}
        odd = {**looks.confirmed, **{name: looks.restless[name] for name, n in memory.restless.items() if n >= _RESTLESS_PASSES}}
        for client_id in list(memory.strays):
            if self._tracked.of(client_id) is not None or self._ended(client_id):
                del memory.strays[client_id]
        return (
            *this.orders.found.unexplained,
            *memory.strays.values(),
            *(sentence(currency, amount, this.transfers_listed) for currency, amount in odd.items()),
        )

    def _settle(self, at: int, unexplained: tuple[str, ...], looks: Looks) -> None:
        """Count less far back from now on, if this pass was explained or too much is remembered."""
        rules, ledger = self._rules, self._memory.ledger
        assert ledger is not None
        crowded = any(len(window.ids) > rules.keep for window in (*ledger.trades.values(), ledger.transfers))
        if crowded or not (unexplained or looks.restless):
            ledger.settle(at, rules.overlap_ms, rules.quiet_ms, rules.transfers_ms)
        self._memory.bound(rules.keep)
        if unexplained:
            log.warning("account_unexplained", differences=list(unexplained))

    def _tell(self, this: _Pass, unexplained: tuple[str, ...]) -> Reconciliation:
        orders, trades = this.orders.found, this.trades.found
        transfers, self._memory.transfers = tuple(self._memory.transfers), []
        return Reconciliation(
            at=this.at,
            open_orders=tuple(orders.open),
            fills=tuple(trades.fills),
            resolved=tuple(dict.fromkeys(orders.resolved)),
            ghosts=tuple(orders.ghosts),
            foreign_orders=tuple(orders.foreign),
            sister_orders=tuple(orders.sister),
            foreign_trades=tuple(trades.foreign),
            sister_trades=tuple(trades.sister),
            transfers=transfers,
            unexplained=unexplained,
            began=this.began,
        )
