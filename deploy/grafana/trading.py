"""The board of the book: what it is worth, what it holds, what became of its orders, and how fast."""

from __future__ import annotations

from deploy.grafana.panels import Board, Kind, Panel, Query, Row, Unit, quantiles, stat

_NOW = Row(
    "Now",
    (
        stat("Equity", "Worth of the book in its accounting currency.", Unit.MONEY, "bot_equity"),
        stat("Drawdown", "Fall from the peak of equity.", Unit.RATIO, "bot_drawdown_ratio", alarm=0.1),
        stat("Exposure", "Gross worth of all positions, of equity.", Unit.RATIO, "bot_exposure_ratio"),
        stat("Realised", "Realised P&L since the books began, fees included.", Unit.MONEY, "bot_realised_pnl"),
        stat("Unrealised", "Unrealised P&L of the open positions.", Unit.MONEY, "bot_unrealised_pnl"),
        stat("Positions", "Symbols with a position.", Unit.NUMBER, "bot_positions_open"),
        stat("Working orders", "Orders on their way or resting.", Unit.NUMBER, "bot_orders_working"),
        stat("Kill switch", "On while trading is halted.", Unit.ON_OFF, "bot_kill_switch", alarm=1),
    ),
)

_WORTH = Row(
    "Worth",
    (
        Panel(
            "Equity",
            "Equity with its peak, and cash.",
            Unit.MONEY,
            (Query("bot_equity", "equity"), Query("bot_equity_peak", "peak"), Query("bot_cash", "cash")),
            width=12,
            height=9,
        ),
        Panel(
            "Drawdown", "Fall from the peak of equity.", Unit.RATIO, (Query("bot_drawdown_ratio", "drawdown"),), width=6, height=9
        ),
        Panel(
            "Exposure",
            "Gross worth of all positions, as a share of equity.",
            Unit.RATIO,
            (Query("bot_exposure_ratio", "exposure"),),
            width=6,
            height=9,
        ),
        Panel(
            "Positions",
            "Position times price, in quote currency; short is negative.",
            Unit.MONEY,
            (Query("bot_position_quote", "{{symbol}}"),),
            stacked=True,
        ),
        Panel(
            "P&L",
            "Realised and unrealised P&L, and fees, since the books began.",
            Unit.MONEY,
            (Query("bot_realised_pnl", "realised"), Query("bot_unrealised_pnl", "unrealised"), Query("bot_fees", "fees")),
        ),
        Panel(
            "Shadow ledgers",
            "What the book is worth, and what it were worth had each source traded alone.",
            Unit.MONEY,
            (Query("bot_shadow_equity", "{{source}}"), Query("bot_equity", "the book")),
        ),
    ),
)

_ORDERS = Row(
    "Orders and risk",
    (
        Panel(
            "Orders",
            "Orders that reached a state, a minute.",
            Unit.NUMBER,
            (Query("sum by (state) (rate(bot_orders_total[$__rate_interval])) * 60", "{{state}}"),),
        ),
        Panel(
            "Fills",
            "Fills booked, a minute.",
            Unit.NUMBER,
            (Query("sum by (side) (rate(bot_fills_total[$__rate_interval])) * 60", "{{side}}"),),
        ),
        Panel(
            "Turnover",
            "Worth of the fills in the range of a rate, in quote currency.",
            Unit.MONEY,
            (Query("sum by (side) (increase(bot_turnover_quote_total[$__rate_interval]))", "{{side}}"),),
        ),
        Panel(
            "Denials",
            "Decisions that risk or admission denied in this run, by reason.",
            Unit.NUMBER,
            (Query("sum by (denial) (bot_denials_total)", "{{denial}}"),),
            Kind.BARS,
            quiet="nothing was denied",
        ),
        Panel(
            "Slippage",
            "What worse prices than the references cost in this run, in quote currency; negative is better prices.",
            Unit.MONEY,
            (Query("bot_slippage_cost", "slippage"),),
        ),
        Panel(
            "Lots closed",
            "Lots closed in this run, by the source that opened them and whether they won.",
            Unit.NUMBER,
            (Query("sum by (source, outcome) (bot_trades_closed_total)", "{{source}} {{outcome}}"),),
            Kind.BARS,
            quiet="no lot was closed yet",
        ),
        Panel(
            "Trading state",
            "1 for the state that the desk is in.",
            Unit.NUMBER,
            (Query("bot_trading_state", "{{state}}"),),
            width=6,
        ),
        Panel(
            "Frozen symbols",
            "Symbols frozen because nobody can say whether the venue has an order.",
            Unit.NUMBER,
            (Query("bot_orders_unknown", "frozen"),),
            width=6,
        ),
        Panel(
            "The account",
            "Live only: calls to the venue's account a minute, by what became of them.",
            Unit.NUMBER,
            (Query("sum by (outcome) (rate(bot_account_calls_total[$__rate_interval])) * 60", "{{outcome}}"),),
            width=6,
            quiet="paper has no account at a venue",
        ),
        Panel(
            "Rate limit",
            "Live only: share of the venue's rate limit that is used.",
            Unit.RATIO,
            (Query("bot_account_limit_used", "used"),),
            width=6,
            quiet="paper has no account at a venue",
        ),
    ),
)

_LATENCY = Row(
    "Latency",
    (
        quantiles("Event to handled", "From an input's arrival until the desk has handled it.", "bot_event_handled_seconds"),
        quantiles("Decision to intent", "To the order's intent, the settle window included.", "bot_decision_intent_seconds"),
        quantiles("Intent to disk", "Until the intent is durable in the journal.", "bot_intent_stored_seconds"),
        quantiles("Intent to broker", "Until the order is given to the broker.", "bot_intent_sent_seconds"),
        quantiles("Send to accepted", "From the send until the venue has the order.", "bot_order_accepted_seconds"),
        quantiles("Send to fill", "From the send to the first fill; resting orders wait.", "bot_order_filled_seconds"),
        quantiles(
            "Event to fill",
            "From a decision's cause to its first fill, the settle window included.",
            "bot_decision_latency_seconds",
        ),
    ),
)

BOARD = Board("arbiter-trading", "Arbiter: trading", "The book, its orders and its latencies.", (_NOW, _WORTH, _ORDERS, _LATENCY))
