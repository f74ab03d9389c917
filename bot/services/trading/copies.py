"""What risk looks at, copied: checks prune what they count, so none is ever shown the desk's own."""

from __future__ import annotations

import copy

from bot.core.desk import TradingDesk
from bot.core.market import MarketView
from bot.core.risk import DAY_MS, RiskContext


def copied(desk: TradingDesk, now: int) -> RiskContext:
    """The books, the risk state, the quotes and the working orders at `now`; a UTC day that began since has begun."""
    seen = desk.market
    market = MarketView(seen.depth, now, dict(seen.quotes), dict(seen.prices), {}, dict(seen.instruments))
    portfolio, risk = copy.deepcopy(desk.portfolio), copy.deepcopy(desk.state.risk)
    if 0 < risk.day_end <= now:
        risk.day_start, risk.day_end = portfolio.equity, (now // DAY_MS + 1) * DAY_MS
    return RiskContext(portfolio, market, risk, copy.deepcopy(desk.state.working))
