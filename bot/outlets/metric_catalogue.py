"""Every metric of the bot: its name, its kind, its labels, and what it means. What is not here is not served.

Names are those of the field: `bot_<thing>_<unit>`, base units, seconds and USD; a counter's samples end in `_total`. Labels are
few and bounded (sources, symbols, states, models), never ids. Money without a unit is in the book's accounting currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Kind(StrEnum):
    """How a metric moves: a gauge anywhere, a counter only up, a histogram counts by size."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Group(StrEnum):
    """Which part of the bot a metric is about."""

    BOOK = "The book"
    MINDS = "Decisions and who wins"
    ORDERS = "Orders, fills and risk"
    STAGES = "Latency of each stage"
    FEED = "Market data and the inbox"
    JOURNAL = "The journal"
    LLM = "Language models"
    QUANTCONNECT = "QuantConnect"
    LEARNING = "Memory and calibration"
    OUTLETS = "Outlets, control room and notifications"
    MACHINE = "The process"


class Metric(NamedTuple):
    """One metric. `bounds` are the upper bounds of a histogram's buckets, in its unit."""

    group: Group
    about: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE
    bounds: tuple[float, ...] = ()


_FAST = (0.00005, 0.0001, 0.00015, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)


def _gauge(group: Group, about: str, *labels: str) -> Metric:
    return Metric(group, about, labels)


def _counter(group: Group, about: str, *labels: str) -> Metric:
    return Metric(group, about, labels, Kind.COUNTER)


def _histogram(group: Group, about: str, bounds: tuple[float, ...], *labels: str) -> Metric:
    return Metric(group, about, labels, Kind.HISTOGRAM, bounds)


_BOOK: Mapping[str, Metric] = {
    "bot_equity": _gauge(Group.BOOK, "Equity of the book."),
    "bot_equity_peak": _gauge(Group.BOOK, "Highest equity that the drawdown is measured from."),
    "bot_cash": _gauge(Group.BOOK, "Cash of the book."),
    "bot_drawdown_ratio": _gauge(Group.BOOK, "Fall from the peak of equity, as a fraction of it."),
    "bot_exposure": _gauge(Group.BOOK, "Gross worth of all positions."),
    "bot_exposure_ratio": _gauge(Group.BOOK, "Gross worth of all positions, as a fraction of equity."),
    "bot_realised_pnl": _gauge(Group.BOOK, "Realised P&L since the books began, fees included."),
    "bot_unrealised_pnl": _gauge(Group.BOOK, "Unrealised P&L of the open positions."),
    "bot_fees": _gauge(Group.BOOK, "Fees paid since the books began; rebates lower it."),
    "bot_position_quote": _gauge(Group.BOOK, "Position times price, in quote currency; short is negative.", "symbol"),
    "bot_positions_open": _gauge(Group.BOOK, "Symbols with a position."),
    "bot_shadow_equity": _gauge(Group.BOOK, "Equity of a source's shadow ledger.", "source"),
    "bot_shadow_trades": _counter(Group.BOOK, "Trades that a source's shadow ledger has ended.", "source"),
    "bot_shadow_wins": _counter(Group.BOOK, "Trades of a source's shadow ledger that won.", "source"),
    "bot_trades_closed": _counter(Group.BOOK, "Lots closed, by the source that opened them.", "source", "outcome"),
    "bot_trades_pnl": _gauge(Group.BOOK, "Net P&L of the lots closed in this run, by the source that opened them.", "source"),
}

_MINDS: Mapping[str, Metric] = {
    "bot_proposals": _counter(Group.MINDS, "Decisions that reached the desk.", "source", "action"),
    "bot_decisions": _counter(Group.MINDS, "Decisions by what became of them.", "source", "fate"),
    "bot_arbitration_wins": _counter(Group.MINDS, "Verdicts that a source won.", "source", "policy"),
    "bot_arbitration_outranked": _counter(Group.MINDS, "Decisions outranked: whose, and by whom.", "source", "winner"),
    "bot_override_cost": _gauge(Group.MINDS, "What overruling a source cost in this run; negative is what it saved.", "source"),
    "bot_overrides": _counter(Group.MINDS, "Overruled decisions whose shadow trade has ended.", "source"),
    "bot_claims": _counter(Group.MINDS, "Symbols that a source claimed while it thought.", "source"),
    "bot_abstentions": _counter(Group.MINDS, "Abstentions by reason.", "source", "reason"),
    "bot_denials": _counter(Group.MINDS, "Decisions denied, by reason.", "denial"),
    "bot_queue_depth": _gauge(Group.MINDS, "Decisions waiting in the desk's queue."),
    "bot_decisions_standing": _gauge(Group.MINDS, "Symbols on which a decision of the source stands.", "source"),
    "bot_source_paused": _gauge(Group.MINDS, "1 while a source is paused.", "source"),
    "bot_source_threshold_ratio": _gauge(Group.MINDS, "The least confidence that a source is heard with (0 to 1).", "source"),
    "bot_source_troubles": _gauge(Group.MINDS, "Ailments of a source that goes on nevertheless.", "source"),
}

_ORDERS: Mapping[str, Metric] = {
    "bot_orders": _counter(Group.ORDERS, "Orders that reached a state.", "state"),
    "bot_orders_working": _gauge(Group.ORDERS, "Orders on their way or resting."),
    "bot_orders_unknown": _gauge(Group.ORDERS, "Symbols frozen because nobody can say whether the venue has an order."),
    "bot_fills": _counter(Group.ORDERS, "Fills booked.", "side"),
    "bot_turnover_quote": _counter(Group.ORDERS, "Worth of the fills, in quote currency.", "side"),
    "bot_slippage_cost": _gauge(Group.ORDERS, "What worse prices than the references cost in this run, in quote currency."),
    "bot_trading_state": _gauge(Group.ORDERS, "1 for the state the desk is in.", "state"),
    "bot_kill_switch": _gauge(Group.ORDERS, "1 while trading is halted."),
    "bot_reconciliations": _counter(Group.ORDERS, "Comparisons of the account with the books.", "outcome"),
    "bot_account_calls": _counter(Group.ORDERS, "Calls to the venue's account, by what became of them.", "outcome"),
    "bot_account_limit_used": _gauge(Group.ORDERS, "Share of the venue's rate limit that is used (0 to 1)."),
    "bot_account_up": _gauge(Group.ORDERS, "1 while the account answers and its stream is up."),
    "bot_account_unexplained": _gauge(Group.ORDERS, "Differences between the account and the books that nothing explains."),
    "bot_commands": _counter(Group.ORDERS, "Operators' commands carried out by the desk.", "command"),
}

_STAGES: Mapping[str, Metric] = {
    "bot_event_handled_seconds": _histogram(
        Group.STAGES, "From an input's arrival (quotes, candles, updates) until the desk has handled it.", _FAST
    ),
    "bot_decision_intent_seconds": _histogram(
        Group.STAGES, "From the arrival of a decision's cause to its order's intent, the settle window included.", _FAST
    ),
    "bot_intent_stored_seconds": _histogram(Group.STAGES, "From an order's intent until it is durable in the journal.", _FAST),
    "bot_intent_sent_seconds": _histogram(Group.STAGES, "From an order's intent until it is given to the broker.", _FAST),
    "bot_order_accepted_seconds": _histogram(Group.STAGES, "From an order's send until the venue has it.", _FAST),
    "bot_order_filled_seconds": _histogram(Group.STAGES, "From an order's send to its first fill; resting orders wait.", _SLOW),
    "bot_decision_latency_seconds": _histogram(
        Group.STAGES, "From the arrival of a decision's cause to its first fill, the settle window included.", _FAST
    ),
}

_FEED: Mapping[str, Metric] = {
    "bot_feed_events": _counter(Group.FEED, "Market events received.", "stream"),
    "bot_feed_drops": _counter(Group.FEED, "Market events lost or refused.", "stream"),
    "bot_feed_reconnects": _counter(Group.FEED, "Reconnections of market streams.", "stream"),
    "bot_feed_stalls": _counter(Group.FEED, "Streams that fell silent and were opened anew."),
    "bot_feed_duplicates": _counter(Group.FEED, "Market events that came twice."),
    "bot_feed_backfilled": _counter(Group.FEED, "Candles fetched to close gaps."),
    "bot_feed_backfill_failures": _counter(Group.FEED, "Fetches of missing candles that failed."),
    "bot_feed_gaps": _counter(Group.FEED, "Times that a symbol's data had a gap.", "symbol"),
    "bot_feed_stale": _counter(Group.FEED, "Times that a symbol's data went stale.", "symbol"),
    "bot_feed_fresh": _gauge(Group.FEED, "1 while a symbol's data is fresh.", "symbol"),
    "bot_feed_age_seconds": _gauge(Group.FEED, "Age of a symbol's newest market event.", "symbol"),
    "bot_feed_last_event_timestamp_seconds": _gauge(Group.FEED, "When a symbol's newest market event arrived.", "symbol"),
    "bot_clock_offset_seconds": _gauge(Group.FEED, "The venue's clock minus ours."),
    "bot_inbox_depth": _gauge(Group.FEED, "Inputs waiting for the desk.", "lane"),
    "bot_inbox_deepest": _gauge(Group.FEED, "Most inputs that waited at once in this run."),
    "bot_conflated": _counter(Group.FEED, "Quotes that a newer one replaced before the desk saw them."),
    "bot_inputs": _counter(Group.FEED, "Inputs that the desk handled."),
    "bot_inputs_ignored": _counter(Group.FEED, "Inputs that the desk knew nothing to do with, since the books began.", "reason"),
}

_JOURNAL: Mapping[str, Metric] = {
    "bot_journal_rows": _counter(Group.JOURNAL, "Rows committed.", "table"),
    "bot_journal_batches": _counter(Group.JOURNAL, "Batches committed."),
    "bot_journal_intents": _counter(Group.JOURNAL, "Intents of orders, by whether they could be stored.", "outcome"),
    "bot_journal_failures": _counter(Group.JOURNAL, "Commits that failed."),
    "bot_journal_backlog": _gauge(Group.JOURNAL, "Rows waiting to be committed."),
    "bot_journal_drops": _counter(Group.JOURNAL, "Rows and inputs dropped."),
    "bot_journal_inputs": _counter(Group.JOURNAL, "Inputs recorded for replay."),
    "bot_journal_lag_seconds": _gauge(Group.JOURNAL, "How long the oldest waiting row has waited at most; 0 when none waits."),
    "bot_journal_commit_seconds": _histogram(Group.JOURNAL, "Time of a commit, successful or not.", _FAST),
    "bot_journal_up": _gauge(Group.JOURNAL, "1 while the journal can be written."),
}

_LLM: Mapping[str, Metric] = {
    "bot_llm_calls": _counter(
        Group.LLM, "Calls to language models, by what came of them (answered, or the trouble).", "provider", "model", "outcome"
    ),
    "bot_llm_cost_usd": _counter(
        Group.LLM, "Spent on calls, in USD; a call whose end nobody knows counts as it was reserved.", "provider", "model"
    ),
    "bot_llm_tokens": _counter(
        Group.LLM, "Tokens billed; `cached` is a part of `input`, `reasoning` one of `output`.", "provider", "model", "direction"
    ),
    "bot_llm_call_seconds": _histogram(Group.LLM, "Time of a call until its answer is whole.", _SLOW, "provider", "model"),
    "bot_llm_calls_under_way": _gauge(Group.LLM, "Calls that wait for their answer."),
    "bot_llm_budget_used_ratio": _gauge(
        Group.LLM, "Spent and reserved, as a share of the limit; no source: all of them together.", "limit", "source"
    ),
    "bot_llm_budget_limit_usd": _gauge(Group.LLM, "The limit itself, in USD.", "limit", "source"),
    "bot_llm_budget_refused": _counter(Group.LLM, "Calls that were not made because a limit forbade them."),
    "bot_llm_model_up": _gauge(
        Group.LLM, "1 while a model with a key may be asked: not disabled, its breaker closed.", "provider", "model"
    ),
    "bot_llm_resting": _gauge(Group.LLM, "1 while a role rests after failures.", "role"),
    "bot_llm_questions": _counter(Group.LLM, "What became of a source's questions.", "source", "outcome"),
}

_QUANTCONNECT: Mapping[str, Metric] = {
    "bot_quantconnect_calls": _counter(Group.QUANTCONNECT, "Calls to QuantConnect, by what came of them.", "outcome"),
    "bot_quantconnect_requests": _counter(Group.QUANTCONNECT, "Requests sent, repetitions included."),
    "bot_quantconnect_retries": _counter(Group.QUANTCONNECT, "Requests repeated after a pause."),
    "bot_quantconnect_call_seconds": _histogram(Group.QUANTCONNECT, "Time of a call, waiting and repeating included.", _SLOW),
    "bot_quantconnect_waiting": _gauge(Group.QUANTCONNECT, "Calls that wait for the request budget."),
    "bot_quantconnect_wait_seconds": _counter(Group.QUANTCONNECT, "Time that calls waited for the request budget."),
    "bot_quantconnect_signals": _counter(Group.QUANTCONNECT, "Signals by what became of them.", "source", "outcome"),
}

_LEARNING: Mapping[str, Metric] = {
    "bot_memory_faults": _counter(Group.LEARNING, "Trades and decisions that the memory could not serve.", "fault"),
    "bot_memory_backlog": _gauge(Group.LEARNING, "Closed trades that wait to be remembered."),
    "bot_calibration_faults": _counter(Group.LEARNING, "Outcomes and decisions that calibration could not serve.", "fault"),
}

_OUTLETS: Mapping[str, Metric] = {
    "bot_outlet_messages": _counter(Group.OUTLETS, "Messages handed to an outlet's readers.", "outlet"),
    "bot_outlet_drops": _counter(Group.OUTLETS, "Messages an outlet lost.", "outlet"),
    "bot_outlet_failures": _counter(Group.OUTLETS, "Events that could not be published."),
    "bot_redis_up": _gauge(Group.OUTLETS, "1 while Redis answers."),
    "bot_redis_reconnects": _counter(Group.OUTLETS, "Reconnections to Redis."),
    "bot_local_clients": _gauge(Group.OUTLETS, "Clients of the local feed."),
    "bot_notifications": _counter(Group.OUTLETS, "Notifications by what became of them.", "outcome"),
    "bot_web_up": _gauge(Group.OUTLETS, "1 while the control room answers."),
    "bot_web_restarts": _counter(Group.OUTLETS, "Times that the control room was started again."),
    "bot_jobs_running": _gauge(Group.OUTLETS, "Jobs that run now."),
    "bot_jobs_ended": _counter(Group.OUTLETS, "Jobs that ended, by what they came to.", "kind", "state"),
}

_MACHINE: Mapping[str, Metric] = {
    "bot_build_info": _gauge(Group.MACHINE, "What is running; always 1.", "version", "python", "bot", "mode", "simulated"),
    "bot_ready": _gauge(Group.MACHINE, "1 while `/readyz` says so."),
    "bot_uptime_seconds": _gauge(Group.MACHINE, "Since the run began."),
    "bot_loop_lag_seconds": _gauge(Group.MACHINE, "Worst delay of the event loop in the last few seconds."),
    "bot_tasks_failing": _gauge(Group.MACHINE, "Supervised tasks that are down and wait for their next start."),
    "bot_task_restarts": _counter(Group.MACHINE, "Starts of supervised tasks after a failure.", "task"),
    "bot_scrape_failures": _counter(Group.MACHINE, "Readings of metrics that failed."),
    "bot_scrape_seconds": _gauge(Group.MACHINE, "Time that the last scrape held the event loop, its pauses left out."),
}

CATALOGUE: Mapping[str, Metric] = MappingProxyType(
    {
        **_BOOK,
        **_MINDS,
        **_ORDERS,
        **_STAGES,
        **_FEED,
        **_JOURNAL,
        **_LLM,
        **_QUANTCONNECT,
        **_LEARNING,
        **_OUTLETS,
        **_MACHINE,
    }
)
"""By the names that `Metrics.bind` takes; those of counters are without `_total`."""

PROCESS = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
)
"""Served beside, under the names that every Prometheus client gives them (on Linux)."""


def sample_names(name: str) -> tuple[str, ...]:
    """The names under which a metric's samples are scraped, the one to write in documents first."""
    kind = CATALOGUE[name].kind
    if kind is Kind.HISTOGRAM:
        return name, f"{name}_bucket", f"{name}_sum", f"{name}_count"
    return (f"{name}_total",) if kind is Kind.COUNTER else (name,)


def metric_names() -> frozenset[str]:
    """Every sample name that a rule or a dashboard may use."""
    return frozenset(sample for name in CATALOGUE for sample in sample_names(name)) | frozenset(PROCESS)
