"""Where the bot's metrics are read: what each room counts for itself, under the names of `bot.outlets.metric_catalogue`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bot.app.control_room import ControlRoomProcess
from bot.app.live import LiveSide
from bot.app.world import World
from bot.core.inputs import TradingState
from bot.core.market import Health
from bot.outlets.metrics import Metrics
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.shell import Shell
from bot.runtime.supervision import Supervisor
from bot.services.learning.live import LiveCalibration
from bot.services.llm.access import HELD as MINDS
from bot.services.memory.live import LiveMemory
from bot.services.use_case import Ground

if TYPE_CHECKING:
    from sources.llm.ledger import Standing
    from sources.llm.minds import Minds
    from sources.llm.tally import ModelTally

_STANDING_S = 10.0


def bind_readings(
    shell: Shell,
    world: World,
    host: SourceHost,
    live: LiveSide | None,
    ground: Ground,
    supervisor: Supervisor,
    ready: Callable[[], Sequence[str]],
) -> None:
    """Bind everything that the rooms of a run count, once the journal has begun. `ready` says why the bot is not ready."""
    metrics, bind, now = shell.outlets.metrics, shell.outlets.metrics.bind, shell.clock.now
    began = now()
    bind("bot_uptime_seconds", lambda: (now() - began) / 1_000)
    bind("bot_ready", lambda: not ready())
    bind("bot_tasks_failing", lambda: len(supervisor.failing))
    bind("bot_task_restarts", supervisor.restarts.copy)
    _bind_desk(shell)
    _bind_stages(shell)
    _bind_feed(shell, world)
    _bind_journal(shell)
    _bind_sources(metrics, shell, host)
    _bind_quantconnect(metrics, ground, host)
    _bind_minds(metrics, ground, host)
    if live is not None:
        _bind_account(metrics, live, shell)


def _bind_desk(shell: Shell) -> None:
    metrics, desk = shell.outlets.metrics, shell.desk
    bind, state, books = metrics.bind, desk.state, desk.portfolio

    async def sample() -> None:
        """A scrape shows the books as they are, not as they were sampled last."""
        for fact in desk.samples():
            metrics.observe(fact)

    def worth() -> Mapping[str, float]:
        held = books.positions.items()
        return {symbol: float(position.amount) * state.prices.get(symbol, 0.0) for symbol, position in held}

    metrics.before_scrape(sample)
    bind("bot_trading_state", lambda: {each.value: each is state.risk.state for each in TradingState})
    bind("bot_kill_switch", lambda: state.risk.state is TradingState.HALTED)
    bind("bot_position_quote", worth)
    bind("bot_positions_open", lambda: sum(1 for position in books.positions.values() if position.amount))
    bind("bot_queue_depth", lambda: len(state.queue))
    bind("bot_orders_working", lambda: len(state.working))
    bind("bot_orders_unknown", lambda: len(state.risk.frozen))
    bind("bot_inputs", lambda: shell.cycle.turns)
    bind("bot_inputs_ignored", state.ignored.copy)


def _bind_stages(shell: Shell) -> None:
    bind, tally = shell.outlets.metrics.bind, shell.tally
    stages = tally.stages
    bind("bot_event_handled_seconds", lambda: tally.handled)
    bind("bot_decision_latency_seconds", lambda: tally.to_fill)
    bind("bot_decision_intent_seconds", lambda: stages.intended)
    bind("bot_intent_stored_seconds", lambda: stages.stored)
    bind("bot_intent_sent_seconds", lambda: stages.sent)
    bind("bot_order_accepted_seconds", lambda: stages.accepted)
    bind("bot_order_filled_seconds", lambda: stages.filled)


def _bind_feed(shell: Shell, world: World) -> None:
    bind, inbox, feed, risk = shell.outlets.metrics.bind, shell.inbox, world.feed.statistics, shell.desk.state.risk
    symbols = tuple(world.feed.instruments)
    now = shell.clock.now

    def fresh() -> Mapping[str, float]:
        return {name: name in risk.seen and risk.health.get(name, Health.FRESH) is Health.FRESH for name in symbols}

    def seen() -> Mapping[str, int]:
        concerned = world.concerned(shell.desk)
        return {symbol: at for symbol, at in risk.seen.items() if symbol in concerned}

    bind("bot_feed_events", lambda: {"quotes": feed.quotes, "trades": feed.trades, "candles": feed.candles})
    bind("bot_feed_drops", lambda: {"refused": feed.refused.total(), "poison": feed.poison, "trades": inbox.trades_dropped})
    bind("bot_feed_reconnects", lambda: {"all": feed.reconnects})
    bind("bot_feed_stalls", lambda: feed.stalls)
    bind("bot_feed_duplicates", lambda: feed.duplicates)
    bind("bot_feed_backfilled", lambda: feed.backfilled)
    bind("bot_feed_backfill_failures", lambda: feed.backfill_failures)
    bind("bot_feed_fresh", fresh)
    bind("bot_feed_age_seconds", lambda: {symbol: max(0, now() - at) / 1_000 for symbol, at in seen().items()})
    bind("bot_feed_last_event_timestamp_seconds", lambda: {symbol: at / 1_000 for symbol, at in seen().items()})
    bind("bot_clock_offset_seconds", lambda: 0.0 if feed.clock is None else feed.clock.offset / 1_000)
    bind("bot_inbox_depth", inbox.depths)
    bind("bot_inbox_deepest", lambda: inbox.deepest)
    bind("bot_conflated", lambda: inbox.conflated)


def _bind_journal(shell: Shell) -> None:
    bind, journal = shell.outlets.metrics.bind, shell.journal
    counts = journal.counts

    def lag() -> float:
        """The writer looks again at once while anything waits: whatever waits came after it last saw nothing."""
        return time.monotonic() - counts.looked if journal.pending or journal.trouble is not None else 0.0

    bind("bot_journal_rows", lambda: {"all": counts.rows})
    bind("bot_journal_batches", lambda: counts.batches)
    bind("bot_journal_intents", lambda: {"stored": counts.intents, "failed": counts.intents_failed})
    bind("bot_journal_failures", lambda: counts.faults)
    bind("bot_journal_backlog", lambda: journal.pending)
    bind("bot_journal_drops", lambda: counts.dropped + counts.lost + counts.refused + journal.inputs_dropped)
    bind("bot_journal_inputs", lambda: journal.inputs)
    bind("bot_journal_lag_seconds", lag)
    bind("bot_journal_commit_seconds", lambda: counts.committing)
    bind("bot_journal_up", lambda: journal.trouble is None)


def _bind_sources(metrics: Metrics, shell: Shell, host: SourceHost) -> None:
    benches = shell.desk.state.benches

    def standing() -> Mapping[str, float]:
        stands = Counter(bench.standing.source for bench in benches.values() if bench.standing is not None)
        return {name: stands[name] for name in host.specs}

    def troubles() -> Mapping[str, float]:
        found = host.troubles
        return {name: len(found.get(name, ())) for name in host.specs}

    metrics.bind("bot_decisions_standing", standing)
    metrics.bind("bot_source_troubles", troubles)
    metrics.bind("bot_source_paused", lambda: {name: spec.paused for name, spec in host.specs.items()})
    metrics.bind("bot_source_threshold_ratio", lambda: {name: spec.threshold for name, spec in host.specs.items()})


def _bind_account(metrics: Metrics, live: LiveSide, shell: Shell) -> None:
    bind, budget, risk = metrics.bind, live.account.budget, shell.desk.state.risk
    bind("bot_account_calls", lambda: asdict(live.broker.counted))
    bind("bot_account_limit_used", lambda: budget.stats.used / budget.stats.capacity)
    bind("bot_account_up", lambda: not live.ailments())
    bind("bot_account_unexplained", lambda: len(risk.unexplained))


def _bind_quantconnect(metrics: Metrics, ground: Ground, host: SourceHost) -> None:
    def signals() -> Mapping[tuple[str, str], float]:
        from sources.quantconnect.source import QuantConnectSource  # noqa: PLC0415 - only where there is one

        lives = {name: host.life(name) for name in host.specs}
        found = {name: life.counts for name, life in lives.items() if isinstance(life, QuantConnectSource)}
        return {(name, what): count for name, counts in found.items() for what, count in counts.items()}

    metrics.bind("bot_quantconnect_signals", signals)
    budget = ground.budget
    if budget is None:
        return
    tally = budget.tally
    metrics.bind("bot_quantconnect_calls", lambda: {"answered": 0, **tally.outcomes})
    metrics.bind("bot_quantconnect_requests", lambda: tally.requests)
    metrics.bind("bot_quantconnect_retries", lambda: tally.retries)
    metrics.bind("bot_quantconnect_call_seconds", lambda: tally.took)
    metrics.bind("bot_quantconnect_waiting", lambda: budget.waiting)
    metrics.bind("bot_quantconnect_wait_seconds", lambda: budget.waited_s)


@dataclass(slots=True)
class _Minds:
    """The language models of a run, which are opened when they are first needed: until then there is nothing to read."""

    ground: Ground
    host: SourceHost
    standing: Mapping[tuple[str, str], Standing]

    @property
    def minds(self) -> Minds | None:
        """Those that are open."""
        found: Minds | None = self.ground.held.get(MINDS)
        return found

    @property
    def models(self) -> Mapping[tuple[str, str], ModelTally]:
        """What came of asking each model."""
        return {} if self.minds is None else self.minds.router.tally.models

    async def look(self) -> None:
        """How far the budget is used, of all sources and of each that asks."""
        minds = self.minds
        if minds is None:
            return
        from sources.llm.source import LlmSource  # noqa: PLC0415 - only where there is one

        asking = ["", *(name for name in self.host.specs if isinstance(self.host.life(name), LlmSource))]
        found = [(name, standing) for name in asking for standing in await minds.ledger.standing(name)]
        self.standing = {
            (standing.limit_name.value, name if standing.limit_name.value.startswith("source") else ""): standing
            for name, standing in found
        }

    def questions(self) -> Mapping[tuple[str, str], float]:
        """What became of questions, by source."""
        from sources.llm.source import LlmSource  # noqa: PLC0415 - only where there is one

        lives = {name: self.host.life(name) for name in self.host.specs}
        found = {name: life.counts for name, life in lives.items() if isinstance(life, LlmSource)}
        return {(name, what): count for name, counts in found.items() for what, count in counts.items()}

    def up(self) -> Mapping[tuple[str, str], float]:
        """Which models may be asked. One without a key is no fault: it is left out until it has one."""
        minds = self.minds
        if minds is None:
            return {}
        seats = [seat for seats in minds.router.view().roles.values() for seat in seats]
        asked = [seat for seat in seats if not (seat.disabled and seat.provider in minds.disabled)]
        return {(seat.provider, seat.model): not seat.disabled and seat.until is None for seat in asked}

    def resting(self) -> Mapping[str, float]:
        """Which roles rest."""
        if self.minds is None:
            return {}
        view = self.minds.router.view()
        return {role.value: role in view.resting for role in view.roles}


def _bind_minds(metrics: Metrics, ground: Ground, host: SourceHost) -> None:
    bind, seen = metrics.bind, _Minds(ground, host, {})
    metrics.before_scrape(seen.look, every=_STANDING_S)

    def used(standing: Standing) -> float:
        return float((standing.spent + standing.held) / standing.limit) if standing.limit else 1.0

    bind("bot_llm_calls", lambda: {(*at, what): n for at, model in seen.models.items() for what, n in model.outcomes.items()})
    bind("bot_llm_tokens", lambda: {(*at, what): n for at, model in seen.models.items() for what, n in model.tokens.items()})
    bind("bot_llm_cost_usd", lambda: {at: float(model.cost) for at, model in seen.models.items()})
    bind("bot_llm_call_seconds", lambda: {at: model.took for at, model in seen.models.items()})
    bind("bot_llm_calls_under_way", lambda: 0 if seen.minds is None else seen.minds.router.tally.under_way)
    bind("bot_llm_budget_used_ratio", lambda: {at: used(standing) for at, standing in seen.standing.items()})
    bind("bot_llm_budget_limit_usd", lambda: {at: float(standing.limit) for at, standing in seen.standing.items()})
    bind("bot_llm_budget_refused", lambda: 0 if seen.minds is None else seen.minds.ledger.counters.refused)
    bind("bot_llm_model_up", seen.up)
    bind("bot_llm_resting", seen.resting)
    bind("bot_llm_questions", seen.questions)


def bind_memory(metrics: Metrics, memory: LiveMemory, port: Port) -> None:
    """Bind what the memory counts."""
    metrics.bind("bot_memory_backlog", lambda: memory.waiting)
    metrics.bind(
        "bot_memory_faults",
        lambda: {
            "dropped": memory.dropped,
            "refused": memory.refused,
            "failed": memory.failures,
            "unfollowed": memory.unfollowed,
            "unadjusted": port.unadjusted,
        },
    )


def bind_learning(metrics: Metrics, calibration: LiveCalibration) -> None:
    """Bind what calibration counts."""
    metrics.bind(
        "bot_calibration_faults",
        lambda: {
            "dropped": calibration.dropped,
            "failed": calibration.failures,
            "unfollowed": calibration.unfollowed,
        },
    )


def bind_control_room(metrics: Metrics, room: ControlRoomProcess) -> None:
    """Bind whether the control room is there, and how often it was started again."""
    metrics.bind("bot_web_up", lambda: 1.0 if room.up else 0.0)
    metrics.bind("bot_web_restarts", lambda: max(0, room.starts - 1))
