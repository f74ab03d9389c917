"""What the facts say happened, counted: plain numbers by labels, which a scrape reads.

No lock and no look-up of children: facts are observed by the desk's task, and a scrape runs on the same loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bot.core.decision import Fate
from bot.core.facts import (
    AbstentionMade,
    AccountReconciled,
    ClaimMade,
    CommandDone,
    DecisionFate,
    DecisionSeen,
    EquitySampled,
    Fact,
    FillBooked,
    HealthChanged,
    LotClosed,
    OrderChanged,
    OverrideClosed,
    PositionChanged,
    RiskChanged,
    ShadowSampled,
    Verdict,
)
from bot.core.inputs import TradingState
from bot.core.market import Health, Side
from bot.core.orders import OrderState
from bot.outlets.envelope import JobChanged, JobState

MOST_SERIES = 500
OTHER = "other"
_WINNERS_KEPT = 1_000

Labels = tuple[str, ...]


class Numbers(dict[Labels, float]):
    """Numbers by label values, of which there are at most `MOST_SERIES`: those that come later share one, called `other`.

    A source's reason code or a task's name comes from outside: whatever it is, memory and scrapes stay bounded.
    """

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count."""
        key = self._known(labels)
        self[key] = self.get(key, 0.0) + by

    def put(self, *labels: str, to: float) -> None:
        """Set."""
        self[self._known(labels)] = to

    def _known(self, labels: Labels) -> Labels:
        return labels if labels in self or len(self) < MOST_SERIES else (OTHER,) * len(labels)


class Counted:
    """Counts by metric name. `observe` takes every fact and every job's change; those without a metric cost a look-up."""

    def __init__(self) -> None:
        self._states: dict[str, OrderState] = {}
        self._jobs: set[str] = set()
        self._health: dict[str, Health] = {}
        self._winners: dict[str, str] = {}
        self.numbers: Mapping[str, Numbers] = MappingProxyType({name: Numbers() for name in _NAMES})
        self._actions: Mapping[type, Callable[[Any], None]] = MappingProxyType(
            {
                DecisionSeen: self._decision_seen,
                DecisionFate: self._decision_fate,
                Verdict: self._verdict,
                OverrideClosed: self._override_closed,
                ClaimMade: self._claim_made,
                AbstentionMade: self._abstention_made,
                OrderChanged: self._order_changed,
                FillBooked: self._fill_booked,
                PositionChanged: self._position_changed,
                LotClosed: self._lot_closed,
                EquitySampled: self._equity_sampled,
                ShadowSampled: self._shadow_sampled,
                RiskChanged: self._risk_changed,
                AccountReconciled: self._account_reconciled,
                HealthChanged: self._health_changed,
                CommandDone: self._command_done,
                JobChanged: self._job_changed,
            }
        )
        self._begin()

    def observe(self, told: Fact | JobChanged) -> None:
        """Count it."""
        action = self._actions.get(type(told))
        if action is not None:
            action(told)

    def _begin(self) -> None:
        """Zeros where the labels are known: a rate needs a first value to grow from."""
        numbers = self.numbers
        for state in OrderState:
            if state is OrderState.INTENT:  # no fact says so: an intent is counted by the journal that stored it
                continue
            numbers["bot_orders"].put(state.value, to=0.0)
        for side in Side:
            numbers["bot_fills"].put(side.value, to=0.0)
            numbers["bot_turnover_quote"].put(side.value, to=0.0)
        for outcome in ("complete", "incomplete", "unexplained"):
            numbers["bot_reconciliations"].put(outcome, to=0.0)
        for name in _PLAIN:
            numbers[name].put(to=0.0)
        self._show_state(TradingState.ACTIVE)

    def _decision_seen(self, fact: DecisionSeen) -> None:
        self.numbers["bot_proposals"].add(fact.decision.source, fact.decision.action.value)

    def _decision_fate(self, fact: DecisionFate) -> None:
        self.numbers["bot_decisions"].add(fact.source, fact.fate.value)
        if fact.denial is not None:
            self.numbers["bot_denials"].add(fact.denial.value)
        if fact.fate is Fate.OUTRANKED:
            self.numbers["bot_arbitration_outranked"].add(fact.source, self._winners.get(fact.winner or "", OTHER))

    def _verdict(self, fact: Verdict) -> None:
        self.numbers["bot_arbitration_wins"].add(fact.source, fact.policy)
        self._winners[fact.winner] = fact.source
        if len(self._winners) > _WINNERS_KEPT:
            del self._winners[next(iter(self._winners))]

    def _override_closed(self, fact: OverrideClosed) -> None:
        self.numbers["bot_overrides"].add(fact.loser)
        self.numbers["bot_override_cost"].add(fact.loser, by=fact.cost)

    def _claim_made(self, fact: ClaimMade) -> None:
        self.numbers["bot_claims"].add(fact.claim.source)

    def _abstention_made(self, fact: AbstentionMade) -> None:
        self.numbers["bot_abstentions"].add(fact.abstention.source, fact.abstention.reason)

    def _order_changed(self, fact: OrderChanged) -> None:
        """Count the state only when it is new: a partial fill reports OPEN again. Orders at their end are forgotten."""
        order = fact.request.id
        if self._states.get(order) is not fact.state:
            self.numbers["bot_orders"].add(fact.state.value)
        if fact.state.terminal:
            self._states.pop(order, None)
        else:
            self._states[order] = fact.state

    def _fill_booked(self, fact: FillBooked) -> None:
        side, worth = fact.fill.side.value, float(fact.fill.amount * fact.fill.price)
        self.numbers["bot_fills"].add(side)
        self.numbers["bot_turnover_quote"].add(side, by=worth)
        self.numbers["bot_slippage_cost"].add(by=fact.slippage * worth)

    def _position_changed(self, fact: PositionChanged) -> None:
        self.numbers["bot_position_quote"].put(fact.symbol, to=float(fact.amount) * fact.price)

    def _lot_closed(self, fact: LotClosed) -> None:
        self.numbers["bot_trades_closed"].add(fact.opener, "win" if fact.pnl > 0 else "loss")
        self.numbers["bot_trades_pnl"].add(fact.opener, by=float(fact.pnl))

    def _equity_sampled(self, fact: EquitySampled) -> None:
        shown = {
            "bot_equity": fact.equity,
            "bot_equity_peak": fact.peak,
            "bot_cash": float(fact.cash),
            "bot_drawdown_ratio": fact.drawdown,
            "bot_exposure": fact.exposure,
            "bot_exposure_ratio": fact.exposure / fact.equity if fact.equity > 0 else 0.0,
            "bot_realised_pnl": float(fact.realised),
            "bot_unrealised_pnl": fact.unrealised,
            "bot_fees": float(fact.fees),
        }
        for name, value in shown.items():
            self.numbers[name].put(to=value)

    def _shadow_sampled(self, fact: ShadowSampled) -> None:
        self.numbers["bot_shadow_equity"].put(fact.source, to=fact.equity)
        self.numbers["bot_shadow_trades"].put(fact.source, to=fact.trades)
        self.numbers["bot_shadow_wins"].put(fact.source, to=fact.wins)

    def _risk_changed(self, fact: RiskChanged) -> None:
        self._show_state(fact.state)

    def _account_reconciled(self, fact: AccountReconciled) -> None:
        outcome = "incomplete" if not fact.complete else "unexplained" if fact.unexplained else "complete"
        self.numbers["bot_reconciliations"].add(outcome)

    def _health_changed(self, fact: HealthChanged) -> None:
        """Count a change only: an order that freezes or thaws a symbol tells its health as it was."""
        before = self._health.get(fact.symbol, Health.FRESH)
        self._health[fact.symbol] = fact.health
        self.numbers["bot_feed_fresh"].put(fact.symbol, to=fact.health is Health.FRESH)
        if fact.health is not Health.FRESH and fact.health is not before:
            self.numbers["bot_feed_gaps" if fact.health is Health.GAP else "bot_feed_stale"].add(fact.symbol)

    def _command_done(self, fact: CommandDone) -> None:
        self.numbers["bot_commands"].add(fact.command)

    def _job_changed(self, told: JobChanged) -> None:
        if told.state is JobState.RUNNING:
            self._jobs.add(told.id)
        else:
            self._jobs.discard(told.id)
            self.numbers["bot_jobs_ended"].add(told.kind, told.state.value)
        self.numbers["bot_jobs_running"].put(to=len(self._jobs))

    def _show_state(self, now: TradingState) -> None:
        for state in TradingState:
            self.numbers["bot_trading_state"].put(state.value, to=state is now)
        self.numbers["bot_kill_switch"].put(to=now is TradingState.HALTED)


_PLAIN = ("bot_slippage_cost", "bot_jobs_running")
_NAMES = (
    *_PLAIN,
    "bot_equity",
    "bot_equity_peak",
    "bot_cash",
    "bot_drawdown_ratio",
    "bot_exposure",
    "bot_exposure_ratio",
    "bot_realised_pnl",
    "bot_unrealised_pnl",
    "bot_fees",
    "bot_position_quote",
    "bot_shadow_equity",
    "bot_shadow_trades",
    "bot_shadow_wins",
    "bot_trades_closed",
    "bot_trades_pnl",
    "bot_proposals",
    "bot_decisions",
    "bot_denials",
    "bot_arbitration_wins",
    "bot_arbitration_outranked",
    "bot_override_cost",
    "bot_overrides",
    "bot_claims",
    "bot_abstentions",
    "bot_orders",
    "bot_fills",
    "bot_turnover_quote",
    "bot_trading_state",
    "bot_kill_switch",
    "bot_reconciliations",
    "bot_feed_gaps",
    "bot_feed_stale",
    "bot_feed_fresh",
    "bot_commands",
    "bot_jobs_ended",
)
