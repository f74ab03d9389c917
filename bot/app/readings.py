"""Where the bot's metrics are read: what each room counts for itself, under the names of `bot.outlets.metrics.READINGS`."""

from __future__ import annotations

from dataclasses import asdict

from bot.app.live import LiveSide
from bot.app.world import World
from bot.outlets.metrics import Metrics
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.shell import Shell
from bot.services.learning.live import LiveCalibration
from bot.services.memory.live import LiveMemory


def bind_readings(shell: Shell, world: World, host: SourceHost, live: LiveSide | None = None) -> None:
    """Bind everything that the desk, the inbox, the feed and the journal count; call it once the journal has begun."""
    metrics, journal, inbox, feed = shell.outlets.metrics, shell.journal, shell.inbox, world.feed.statistics
    seen = shell.desk.state.risk.seen
    bind = metrics.bind
    shell.tally.measured = metrics.observe_latency
    bind("bot_queue_depth", lambda: len(shell.desk.state.queue))
    bind("bot_inbox_depth", inbox.depths)
    bind("bot_conflated", lambda: inbox.conflated)
    bind("bot_feed_events", lambda: {"quotes": feed.quotes, "trades": feed.trades, "candles": feed.candles})
    bind("bot_feed_drops", lambda: {"refused": feed.refused.total(), "poison": feed.poison, "trades": inbox.trades_dropped})
    bind("bot_feed_reconnects", lambda: {"all": feed.reconnects})
    bind("bot_feed_last_event_timestamp_seconds", lambda: {symbol: at / 1_000 for symbol, at in seen.items()})
    bind("bot_clock_offset_seconds", lambda: 0.0 if feed.clock is None else feed.clock.offset / 1_000)
    bind("bot_journal_rows", lambda: {"all": journal.counts.rows})
    bind("bot_journal_failures", lambda: journal.counts.faults)
    bind("bot_journal_backlog", lambda: journal.pending)
    bind("bot_journal_drops", lambda: journal.counts.dropped + journal.counts.lost + journal.inputs_dropped)
    bind("bot_source_troubles", lambda: {name: float(len(host.troubles.get(name, ()))) for name in host.specs})
    if live is not None:
        budget, risk = live.account.budget, shell.desk.state.risk
        bind("bot_account_calls", lambda: asdict(live.broker.counted))
        bind("bot_account_limit_used", lambda: budget.stats.used / budget.stats.capacity)
        bind("bot_account_up", lambda: 0.0 if live.ailments() else 1.0)
        bind("bot_account_unexplained", lambda: len(risk.unexplained))
        bind("bot_orders_unknown", lambda: len(risk.frozen))


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
