"""The board of the machine: whether the bot is well, and each of its parts."""

from __future__ import annotations

from deploy.grafana.panels import Board, Kind, Panel, Query, Row, Unit, quantiles, stat

_NO_WEB = "this bot has no control room"

_NOW = Row(
    "Now",
    (
        stat("Ready", "What /readyz says.", Unit.YES_NO, "bot_ready"),
        stat("Up for", "Since the run began.", Unit.SECONDS, "bot_uptime_seconds"),
        stat("Memory", "Resident memory of the bot.", Unit.BYTES, "process_resident_memory_bytes", alarm=2e9),
        stat("CPU", "Of one core.", Unit.RATIO, "rate(process_cpu_seconds_total[$__rate_interval])", alarm=0.8),
        stat("Loop lag", "Worst delay of the event loop in the last seconds.", Unit.SECONDS, "bot_loop_lag_seconds", alarm=0.25),
        stat("Journal", "Whether it can be written.", Unit.YES_NO, "bot_journal_up"),
        stat("Control room", "Whether it answers.", Unit.YES_NO, "bot_web_up", quiet=_NO_WEB),
        stat("Tasks failing", "Supervised tasks that are down.", Unit.NUMBER, "bot_tasks_failing", alarm=1),
    ),
)

_PROCESS = Row(
    "The process",
    (
        Panel(
            "CPU",
            "Share of one core that the bot uses.",
            Unit.RATIO,
            (Query("rate(process_cpu_seconds_total[$__rate_interval])", "{{instance}}"),),
        ),
        Panel("Memory", "Resident memory.", Unit.BYTES, (Query("process_resident_memory_bytes", "{{instance}}"),)),
        Panel(
            "Loop lag",
            "Worst delay of the event loop in the last seconds.",
            Unit.SECONDS,
            (Query("bot_loop_lag_seconds", "lag"),),
        ),
        Panel(
            "Open files",
            "Open file descriptors, and how many there may be.",
            Unit.NUMBER,
            (Query("process_open_fds", "open"), Query("process_max_fds", "most")),
        ),
        Panel(
            "Restarts of tasks",
            "Starts of supervised tasks after a failure, in this run.",
            Unit.NUMBER,
            (Query("sum by (task) (bot_task_restarts_total)", "{{task}}"),),
            Kind.BARS,
            quiet="no task has failed",
        ),
        Panel("What runs", "Version, mode and world.", Unit.NUMBER, (Query("bot_build_info"),), Kind.TABLE),
    ),
)

_MARKET = Row(
    "Market data and the inbox",
    (
        Panel(
            "Events",
            "Market events received a second.",
            Unit.PER_SECOND,
            (Query("sum by (stream) (rate(bot_feed_events_total[$__rate_interval]))", "{{stream}}"),),
        ),
        Panel(
            "Age",
            "Age of each symbol's newest market event.",
            Unit.SECONDS,
            (Query("bot_feed_age_seconds", "{{symbol}}"),),
            alarm=60,
        ),
        Panel("Fresh", "1 while a symbol's data is fresh.", Unit.NUMBER, (Query("bot_feed_fresh", "{{symbol}}"),)),
        Panel(
            "Gaps and stale data",
            "Times in this run that a symbol's data had a gap or went stale.",
            Unit.NUMBER,
            (
                Query("sum by (symbol) (bot_feed_gaps_total)", "{{symbol}} gap"),
                Query("sum by (symbol) (bot_feed_stale_total)", "{{symbol}} stale"),
            ),
            Kind.BARS,
            quiet="the data had neither",
        ),
        Panel(
            "Connections",
            "Reconnections of market streams, and streams that fell silent, in this run.",
            Unit.NUMBER,
            (Query("sum(bot_feed_reconnects_total)", "reconnected"), Query("sum(bot_feed_stalls_total)", "silent")),
        ),
        Panel(
            "Lost",
            "Market events lost or refused in this run, and quotes that a newer one replaced.",
            Unit.NUMBER,
            (Query("sum by (stream) (bot_feed_drops_total)", "{{stream}}"), Query("sum(bot_conflated_total)", "conflated")),
        ),
        Panel("Inbox", "Inputs waiting for the desk.", Unit.NUMBER, (Query("bot_inbox_depth", "{{lane}}"),), stacked=True),
        Panel(
            "Inputs",
            "Inputs that the desk handled a second.",
            Unit.PER_SECOND,
            (Query("sum(rate(bot_inputs_total[$__rate_interval]))", "handled"),),
        ),
        Panel("Clock", "The venue's clock minus ours.", Unit.SECONDS, (Query("bot_clock_offset_seconds", "offset"),)),
    ),
)

_JOURNAL = Row(
    "The journal",
    (
        quantiles("Commits", "Time of a commit.", "bot_journal_commit_seconds"),
        Panel(
            "Rows",
            "Rows committed and inputs recorded a second.",
            Unit.PER_SECOND,
            (
                Query("sum(rate(bot_journal_rows_total[$__rate_interval]))", "rows"),
                Query("sum(rate(bot_journal_inputs_total[$__rate_interval]))", "inputs"),
            ),
        ),
        Panel(
            "Lag",
            "How long the oldest waiting row has waited at most.",
            Unit.SECONDS,
            (Query("bot_journal_lag_seconds", "lag"),),
            alarm=5,
        ),
        Panel("Backlog", "Rows waiting to be committed.", Unit.NUMBER, (Query("bot_journal_backlog", "rows"),)),
        Panel(
            "Faults",
            "Commits that failed, and rows and inputs dropped, in this run.",
            Unit.NUMBER,
            (Query("sum(bot_journal_failures_total)", "failed"), Query("sum(bot_journal_drops_total)", "dropped")),
        ),
        Panel(
            "Intents",
            "Intents of orders a minute, by whether they could be stored.",
            Unit.NUMBER,
            (Query("sum by (outcome) (rate(bot_journal_intents_total[$__rate_interval])) * 60", "{{outcome}}"),),
        ),
    ),
)

_OUTLETS = Row(
    "Outlets, control room, jobs",
    (
        Panel(
            "Messages",
            "Messages handed to each outlet's readers a second.",
            Unit.PER_SECOND,
            (Query("sum by (outlet) (rate(bot_outlet_messages_total[$__rate_interval]))", "{{outlet}}"),),
        ),
        Panel(
            "Dropped",
            "Messages that each outlet lost, and events that nobody could encode, in this run.",
            Unit.NUMBER,
            (
                Query("sum by (outlet) (bot_outlet_drops_total)", "{{outlet}}"),
                Query("sum(bot_outlet_failures_total)", "not encoded"),
            ),
        ),
        Panel(
            "Redis and local clients",
            "1 while Redis answers, its reconnections in this run, and the clients of the local feed.",
            Unit.NUMBER,
            (
                Query("bot_redis_up", "Redis up"),
                Query("bot_redis_reconnects_total", "Redis reconnections"),
                Query("bot_local_clients", "local clients"),
            ),
        ),
        Panel(
            "Notifications",
            "Notifications in this run, by what became of them.",
            Unit.NUMBER,
            (Query("sum by (outcome) (bot_notifications_total)", "{{outcome}}"),),
            Kind.BARS,
        ),
        Panel(
            "Control room",
            "1 while it answers, and how often it was started again in this run.",
            Unit.NUMBER,
            (Query("bot_web_up", "up"), Query("bot_web_restarts_total", "restarts")),
            quiet=_NO_WEB,
        ),
        Panel("Jobs", "Jobs that run now.", Unit.NUMBER, (Query("bot_jobs_running", "running"),)),
        Panel(
            "Jobs ended",
            "Jobs that ended in this run, by what they came to.",
            Unit.NUMBER,
            (Query("sum by (kind, state) (bot_jobs_ended_total)", "{{kind}} {{state}}"),),
            Kind.BARS,
            quiet="no job has ended yet",
        ),
        Panel(
            "Scrapes",
            "Time that a scrape holds the event loop, and readings that failed in this run.",
            Unit.NUMBER,
            (Query("bot_scrape_seconds", "seconds"), Query("bot_scrape_failures_total", "failures")),
        ),
    ),
)

BOARD = Board(
    "arbiter-machine",
    "Arbiter: machine",
    "Whether the bot is well, and each of its parts.",
    (_NOW, _PROCESS, _MARKET, _JOURNAL, _OUTLETS),
)
