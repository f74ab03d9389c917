"""A briefing: the books and the limits as they are now, for a source that wants to know before it speaks."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from bot.core.inputs import TradingState
from bot.core.values import value

if TYPE_CHECKING:
    from bot.core.risk import RiskLimits
    from bot.core.state import DeskState


@value
class Held:
    """One open position.

    `amount` is signed, `average` the mean entry, `price` the newest one; `share` is its worth as a fraction of equity (negative
    for a short), `unrealised` in the accounting currency after entry fees. Opener and levels are those of the oldest open lot.
    """

    symbol: str
    amount: Decimal
    average: Decimal
    price: float
    share: float
    unrealised: float
    opened: int
    source: str
    decision_id: str | None
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None


@value
class LimitUse:
    """How full a limit is: `used` and `limit` in the same unit, a fraction of equity or a count."""

    name: str
    used: float
    limit: float


@value
class Briefing:
    """The account at `at` (ms UTC). Money is in `currency`; `exposure`, `drawdown` and `day_change` are fractions of equity."""

    at: int
    currency: str
    equity: float
    cash: float
    exposure: float
    drawdown: float
    day_change: float
    state: TradingState
    held: tuple[Held, ...] = ()
    limits: tuple[LimitUse, ...] = ()

    def share(self, symbol: str) -> float:
        """What is held of a symbol, as a fraction of equity."""
        return next((held.share for held in self.held if held.symbol == symbol), 0.0)


def brief(state: DeskState, limits: RiskLimits) -> Briefing:
    """The desk's books, read and not touched."""
    books, risk, now = state.portfolio, state.risk, state.now
    equity = books.equity
    exposure = books.exposure / equity if equity > 0 else 0.0
    drawdown = 1.0 - equity / risk.peak if risk.peak > 0 else 0.0
    change = equity / risk.day_start - 1.0 if risk.day_start > 0 else 0.0
    held = tuple(_held(state, symbol, equity) for symbol, position in books.positions.items() if position.lots)
    largest = max((abs(each.share) for each in held), default=0.0)
    sent = sum(at > now - 60_000 for at in risk.order_times)
    uses = (
        ("max_position", largest, limits.max_position),
        ("max_exposure", exposure, limits.max_exposure),
        ("max_daily_loss", max(0.0, -change), limits.max_daily_loss),
        ("max_drawdown", max(0.0, drawdown), limits.max_drawdown),
        ("max_orders_per_minute", float(sent), limits.max_orders_per_minute),
        ("max_open_orders", float(len(state.working)), limits.max_open_orders),
        ("loss_streak", float(risk.loss_streak), limits.loss_streak),
    )
    return Briefing(
        now,
        books.currency,
        equity,
        float(books.cash),
        exposure,
        drawdown,
        change,
        risk.state,
        held,
        tuple(LimitUse(name, used, float(limit)) for name, used, limit in uses if limit is not None),
    )


def _held(state: DeskState, symbol: str, equity: float) -> Held:
    position = state.portfolio.positions[symbol]
    first, guard = position.lots[0], state.protections.get(symbol)
    price = state.prices.get(symbol, position.mark)
    worth = position.amount_float * price
    assert position.average is not None  # it has lots
    return Held(
        symbol,
        position.amount,
        position.average,
        price,
        worth / equity if equity > 0 else 0.0,
        position.unrealised,
        first.opened,
        first.source,
        first.decision_id,
        None if guard is None else guard.stop_loss,
        None if guard is None else guard.take_profit,
        None if guard is None else guard.trailing_stop,
    )
