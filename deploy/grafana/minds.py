"""The board of the minds: who proposes and who wins, what language models and QuantConnect cost and how they do."""

from __future__ import annotations

from deploy.grafana.panels import Board, Kind, Panel, Query, Row, Unit, quantiles, stat

_ARBITRATION = Row(
    "Who proposes and who wins",
    (
        Panel(
            "Proposals",
            "Decisions that reached the desk, a minute.",
            Unit.NUMBER,
            (Query("sum by (source) (rate(bot_proposals_total[$__rate_interval])) * 60", "{{source}}"),),
        ),
        Panel(
            "Fates",
            "What became of decisions in this run.",
            Unit.NUMBER,
            (Query("sort_desc(sum by (fate) (bot_decisions_total))", "{{fate}}"),),
            Kind.BARS,
        ),
        Panel(
            "Fates by source",
            "What became of each source's decisions in this run.",
            Unit.NUMBER,
            (Query("sum by (source, fate) (bot_decisions_total)"),),
            Kind.TABLE,
        ),
        Panel(
            "Wins",
            "Verdicts won in this run.",
            Unit.NUMBER,
            (Query("sum by (source) (bot_arbitration_wins_total)", "{{source}}"),),
            Kind.BARS,
        ),
        Panel(
            "Outranked",
            "Whose decisions were outranked in this run, and by whom.",
            Unit.NUMBER,
            (Query("sum by (source, winner) (bot_arbitration_outranked_total)", "{{source}} by {{winner}}"),),
            Kind.BARS,
            quiet="nobody was outranked yet",
        ),
        Panel(
            "Cost of overrides",
            "What overruling each source cost in this run; negative is what it saved.",
            Unit.MONEY,
            (Query("sum by (source) (bot_override_cost)", "{{source}}"),),
            Kind.BARS,
            quiet="no overruled trade has ended yet",
        ),
        Panel(
            "Shadow equity",
            "What the book were worth had each source traded alone.",
            Unit.MONEY,
            (Query("bot_shadow_equity", "{{source}}"),),
        ),
        Panel(
            "Shadow wins",
            "Share of each source's ended shadow trades that won.",
            Unit.RATIO,
            (Query("sum by (source) (bot_shadow_wins_total) / (sum by (source) (bot_shadow_trades_total) > 0)", "{{source}}"),),
            Kind.BARS,
            quiet="no shadow trade has ended yet",
        ),
        Panel(
            "Abstentions",
            "Abstentions in this run, by source and reason.",
            Unit.NUMBER,
            (Query("sum by (source, reason) (bot_abstentions_total)", "{{source}}: {{reason}}"),),
            Kind.BARS,
            quiet="nobody abstained",
        ),
        Panel(
            "Queue and standing",
            "Decisions waiting, and symbols on which each source's decision stands.",
            Unit.NUMBER,
            (Query("bot_queue_depth", "waiting"), Query("bot_decisions_standing", "{{source}}")),
        ),
        Panel(
            "Thresholds",
            "The least confidence that each source is heard with.",
            Unit.RATIO,
            (Query("bot_source_threshold_ratio", "{{source}}"),),
            Kind.BARS,
        ),
        Panel(
            "Paused and degraded",
            "1 while a source is paused; how many ailments it has.",
            Unit.NUMBER,
            (Query("bot_source_paused", "{{source}} paused"), Query("bot_source_troubles", "{{source}} ailments")),
        ),
    ),
)

_LLM = Row(
    "Language models",
    (
        stat("Spent in this run", "On calls to language models, in USD.", Unit.USD, "sum(bot_llm_cost_usd_total) or vector(0)"),
        stat(
            "Budget of the day",
            "Spent and reserved today, of the limit of all sources together.",
            Unit.RATIO,
            'max(bot_llm_budget_used_ratio{limit="day"})',
            alarm=0.8,
        ),
        stat(
            "Budget of the month",
            "Spent and reserved this month, of the limit of all sources together.",
            Unit.RATIO,
            'max(bot_llm_budget_used_ratio{limit="month"})',
            alarm=0.8,
        ),
        stat("Under way", "Calls that wait for their answer.", Unit.NUMBER, "sum(bot_llm_calls_under_way)"),
        stat(
            "Refused",
            "Calls not made in this run because a limit forbade them.",
            Unit.NUMBER,
            "sum(bot_llm_budget_refused_total)",
            alarm=1,
        ),
        stat("Models up", "Models that may be asked.", Unit.NUMBER, "sum(bot_llm_model_up)"),
        stat("Roles resting", "Roles that rest after failures.", Unit.NUMBER, "sum(bot_llm_resting)", alarm=1),
        stat(
            "Questions",
            "Questions that led to a decision in this run.",
            Unit.NUMBER,
            'sum(bot_llm_questions_total{outcome="decisions"})',
        ),
        Panel(
            "Cost",
            "Spent an hour, by model, at the present rate.",
            Unit.USD,
            (
                Query(
                    "sum by (provider, model) (rate(bot_llm_cost_usd_total[$__rate_interval])) * 3600", "{{provider}}/{{model}}"
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Tokens",
            "Tokens billed a second; cached is a part of input, reasoning one of output.",
            Unit.NUMBER,
            (Query("sum by (direction) (rate(bot_llm_tokens_total[$__rate_interval]))", "{{direction}}"),),
        ),
        Panel(
            "Budgets",
            "Spent and reserved, as a share of each limit.",
            Unit.RATIO,
            (Query("bot_llm_budget_used_ratio", "{{limit}} {{source}}"),),
            Kind.BARS,
            alarm=0.8,
        ),
        Panel(
            "Calls",
            "Calls a minute, by what came of them.",
            Unit.NUMBER,
            (Query("sum by (provider, outcome) (rate(bot_llm_calls_total[$__rate_interval])) * 60", "{{provider}} {{outcome}}"),),
        ),
        quantiles("Latency", "Time of a call until its answer is whole, by model.", "bot_llm_call_seconds", "model"),
        Panel(
            "Questions",
            "What became of each source's questions in this run.",
            Unit.NUMBER,
            (Query("sum by (source, outcome) (bot_llm_questions_total)", "{{source}} {{outcome}}"),),
            Kind.BARS,
        ),
    ),
)

_QUANTCONNECT = Row(
    "QuantConnect",
    (
        Panel(
            "Calls",
            "Calls a minute, by what came of them.",
            Unit.NUMBER,
            (Query("sum by (outcome) (rate(bot_quantconnect_calls_total[$__rate_interval])) * 60", "{{outcome}}"),),
        ),
        Panel(
            "Requests",
            "Requests a minute, and how many of them repeat one.",
            Unit.NUMBER,
            (
                Query("sum(rate(bot_quantconnect_requests_total[$__rate_interval])) * 60", "requests"),
                Query("sum(rate(bot_quantconnect_retries_total[$__rate_interval])) * 60", "repeated"),
            ),
        ),
        quantiles("Latency", "Time of a call, waiting and repeating included.", "bot_quantconnect_call_seconds"),
        Panel(
            "Signals",
            "What became of signals in this run.",
            Unit.NUMBER,
            (Query("sum by (source, outcome) (bot_quantconnect_signals_total)", "{{source}} {{outcome}}"),),
            Kind.BARS,
        ),
        Panel(
            "The request budget",
            "Calls that wait for it.",
            Unit.NUMBER,
            (Query("sum(bot_quantconnect_waiting)", "waiting"),),
        ),
        Panel(
            "Waiting",
            "Seconds that calls waited for the request budget, a second.",
            Unit.SECONDS,
            (Query("sum(rate(bot_quantconnect_wait_seconds_total[$__rate_interval]))", "waited"),),
        ),
    ),
)

_LEARNING = Row(
    "Memory and calibration",
    (
        Panel("To remember", "Closed trades that wait to be remembered.", Unit.NUMBER, (Query("bot_memory_backlog", "waiting"),)),
        Panel(
            "Memory faults",
            "Trades and decisions that the memory could not serve in this run.",
            Unit.NUMBER,
            (Query("sum by (fault) (bot_memory_faults_total)", "{{fault}}"),),
            Kind.BARS,
        ),
        Panel(
            "Calibration faults",
            "Outcomes and decisions that calibration could not serve in this run.",
            Unit.NUMBER,
            (Query("sum by (fault) (bot_calibration_faults_total)", "{{fault}}"),),
            Kind.BARS,
        ),
    ),
)

BOARD = Board(
    "arbiter-minds",
    "Arbiter: minds",
    "Who proposes and who wins; what language models and QuantConnect cost and how they do.",
    (_ARBITRATION, _LLM, _QUANTCONNECT, _LEARNING),
)
