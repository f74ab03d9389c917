"""Fates, denials and states: the enums, with a sentence for each member; one without a sentence is an error."""

from __future__ import annotations

from collections.abc import Mapping

from bot.core.decision import Denial, Fate, Tier
from bot.core.inputs import TradingState
from bot.core.market import Health
from bot.core.orders import OrderState
from bot.docs import markdown as md

FATES: Mapping[Fate, str] = {
    Fate.EXECUTED: "its order had a first fill; how much of it was filled in the end is recorded apart (`decision_fills`)",
    Fate.AGREED: "another decision won and wants the same thing",
    Fate.ALREADY_AT_TARGET: "it won, and the position is within `desk.band` of the target, or above it",
    Fate.NOTHING_TO_SELL: "it won with a SELL, and nothing is held",
    Fate.HELD: "it said HOLD: nothing is to be done",
    Fate.OUTRANKED: "a contrary decision won, or stands; for good, it does not come back",
    Fate.SUPERSEDED: "its own source said something newer on the symbol before it had met a fate",
    Fate.EXPIRED: "its time was over before anything came of it",
    Fate.BELOW_THRESHOLD: "its confidence is below the `threshold` of its source",
    Fate.STALE: "it arrived after its expiry, or older than `desk.max_age`",
    Fate.DUPLICATE: "its source already proposed something with this external id",
    Fate.QUEUE_OVERFLOW: "the queue was full (`desk.queue_size`) and it had the lowest priority",
    Fate.DENIED: "admission or risk refused it; the denial says why",
    Fate.UNFILLED: "its order ended without a fill",
    Fate.CANCELLED: "its order was cancelled before a fill, by a command or because its source was removed",
    Fate.REJECTED_BY_VENUE: "the venue refused its order",
}
DENIALS: Mapping[Denial, str] = {
    Denial.UNKNOWN_SOURCE: "no source of that name has joined",
    Denial.SOURCE_PAUSED: "its source is paused",
    Denial.MALFORMED: "a figure of it cannot be, such as a confidence outside 0..1 or a price that is no positive number",
    Denial.SYMBOL_NOT_ALLOWED: "not in the source's `symbols`, or not in `risk.allowed_symbols`",
    Denial.UNKNOWN_INSTRUMENT: "the venue does not list the symbol, or in another currency than the book's",
    Denial.BELOW_MIN_COST: "worth less than the venue's least order",
    Denial.BELOW_MIN_AMOUNT: "less than the venue's least amount, or than one step of it",
    Denial.NO_CAPITAL: "its source has used up the capital allocated to it",
    Denial.INSUFFICIENT_CASH: "not enough free cash, fee and `risk.cash_buffer` counted",
    Denial.MAX_POSITION: "`risk.max_position` leaves no room for an order that the venue would take",
    Denial.MAX_EXPOSURE: "`risk.max_exposure` leaves no such room",
    Denial.MAX_ORDER_NOTIONAL: "`risk.max_order_notional` is below the venue's least order",
    Denial.MAX_OPEN_ORDERS: "`risk.max_open_orders` work already",
    Denial.ORDER_RATE: "`risk.max_orders_per_minute` were sent within 60 seconds",
    Denial.DAILY_LOSS: "`risk.max_daily_loss` is lost since 00:00 UTC",
    Denial.DRAWDOWN: "equity is `risk.max_drawdown` below its peak",
    Denial.LOSS_STREAK: "`risk.loss_streak.losses` losing trades in a row, less than `cool_down` ago",
    Denial.COOL_DOWN: "the symbol was left less than `risk.symbol_cool_down` ago",
    Denial.PRICE_COLLAR: "the live price is further than `risk.price_collar` from the one the decision saw",
    Denial.STALE_DATA: "the symbol's data is stale, has a gap, or is older than `risk.stale_after`",
    Denial.NO_PRICE: "the symbol has no price yet",
    Denial.REDUCING: "trading is REDUCING",
    Denial.HALTED: "trading is HALTED",
    Denial.SYMBOL_FROZEN: "an order on the symbol is unknown at the venue",
    Denial.BACKLOG: "broker updates pile up",
    Denial.UNRECONCILED: "the account at the venue was not read yet, or differs from the books by something unexplained",
    Denial.INTENT_NOT_STORED: "the journal could not store the order, so it was not sent",
    Denial.NOT_SENT: "the order stayed here: the venue's limit was used up, or the venue was not to be reached",
}
ORDER_STATES: Mapping[OrderState, str] = {
    OrderState.INTENT: "wanted; being stored, not sent",
    OrderState.SENT: "stored durably and sent",
    OrderState.OPEN: "the venue has it",
    OrderState.UNKNOWN: "nobody can say whether the venue has it; its symbol is frozen until that is known",
    OrderState.FILLED: "filled whole",
    OrderState.CANCELLED: "cancelled; it may have been filled in part",
    OrderState.EXPIRED: "ended by the venue, for instance an IOC remainder",
    OrderState.REJECTED: "refused by the venue: it never lived",
}
TRADING_STATES: Mapping[TradingState, str] = {
    TradingState.ACTIVE: "entries and exits",
    TradingState.REDUCING: "only orders that lower |position|; working entries are cancelled",
    TradingState.HALTED: "no order at all",
}
HEALTHS: Mapping[Health, str] = {
    Health.FRESH: "data flows",
    Health.STALE: "nothing came for too long; no entry on the symbol",
    Health.GAP: "a candle is missing and is being fetched; no entry on the symbol",
}


def page() -> str:
    """The words for what becomes of decisions and orders."""
    intro = (
        "Each decision meets exactly one fate. These words are the same on the screen, in the journal, in the feed and in the "
        "labels of metrics."
    )
    denials = [[md.code(denial.value), "permanent" if denial.permanent else "transient", DENIALS[denial]] for denial in Denial]
    about = (
        "A *permanent* denial ends the decision, and the best waiting lower one gets its turn. A *transient* one is tried again "
        "every `desk.retry_every` until the decision expires; meanwhile it blocks only contrary entries."
    )
    return md.page(
        "Fates, denials and states",
        intro,
        "## Tiers",
        md.table(["number", "name"], [[str(tier.value), md.code(tier.label)] for tier in Tier]),
        "## Fates",
        md.table(["fate", "meaning"], [[md.code(fate.value), FATES[fate]] for fate in Fate]),
        "## Denials",
        about,
        md.table(["denial", "kind", "why"], denials),
        "## States of an order",
        md.table(["state", "meaning"], [[md.code(state.value), ORDER_STATES[state]] for state in OrderState]),
        "## States of trading",
        md.table(["state", "admits"], [[md.code(state.value), TRADING_STATES[state]] for state in TradingState]),
        "## Health of a symbol's data",
        md.table(["state", "meaning"], [[md.code(health.value), HEALTHS[health]] for health in Health]),
    )
