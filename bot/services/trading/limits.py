"""How full each limit is: what is used of it now, what it allows, and whether it would refuse an entry as things are.

Nothing here touches the desk. A limit on one symbol or source has a row for each that uses any of it; one that is switched off
has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from bot.core.decision import Action
from bot.core.desk import TradingDesk
from bot.core.market import Health, Instrument
from bot.core.risk import MINUTE_MS, RiskContext, whole_steps
from bot.services.trading.at_desk import fraction


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: `used` and `limit` in `unit`; `hit` says that it refuses entries now.

    `subject` is the symbol or source whose limit it is; `until` when a limit that is hit ends by itself (ms UTC).
    """

    name: str
    about: str
    unit: str
    used: float
    limit: float
    hit: bool
    setting: str
    subject: str | None = None
    detail: str | None = None
    until: int | None = None

    @property
    def share(self) -> float:
        """How full it is, from 0 to 1; a limit of nothing is always full."""
        return min(1.0, max(0.0, self.used / self.limit)) if self.limit > 0 else 1.0

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "name": self.name,
            "about": self.about,
            "unit": self.unit,
            "used": self.used,
            "limit": self.limit,
            "share": self.share,
            "hit": self.hit,
            "setting": self.setting,
            "subject": self.subject,
            "detail": self.detail,
            "until": self.until,
        }


def limits_of(desk: TradingDesk, book: RiskContext) -> list[Limit]:
    """Every limit that is configured, in the order in which people think of them; `book` is a copy at the moment asked about."""
    return [
        *_sizes(desk, book),
        *_capital(book, desk),
        *_pace(desk, book),
        *_losses(desk, book),
        *_market(desk, book),
        *_cash(desk, book),
    ]


def switched_off(desk: TradingDesk) -> list[str]:
    """The settings of limits that are switched off."""
    limits = desk.config.limits
    named = {
        "max_position": limits.max_position,
        "max_exposure": limits.max_exposure,
        "max_order_notional": limits.max_order_notional,
        "max_open_orders": limits.max_open_orders,
        "max_orders_per_minute": limits.max_orders_per_minute,
        "max_daily_loss": limits.max_daily_loss,
        "max_drawdown": limits.max_drawdown,
        "loss_streak": limits.loss_streak,
        "symbol_cool_down": limits.symbol_cool_down_ms,
        "price_collar": limits.price_collar,
        "stale_after": limits.stale_after_ms,
    }
    return [f"risk.{name}" for name, limit in named.items() if limit is None]


def _sizes(desk: TradingDesk, book: RiskContext) -> Iterator[Limit]:
    limits, equity = desk.config.limits, book.equity
    if limits.max_position is not None:
        most, about = limits.max_position, "most held in one symbol, working entries counted"
        held = {symbol: _held(book, symbol) for symbol in book.market.instruments}
        for symbol, used in _or_none({symbol: fraction(worth, equity) for symbol, worth in held.items() if worth}):
            yield Limit("max_position", about, "fraction of equity", used, most, used >= most, "risk.max_position", symbol)
    if limits.max_exposure is not None:
        used, most = fraction(book.portfolio.exposure + book.reserved(), equity), limits.max_exposure
        about = "gross exposure of the whole book, working entries counted"
        yield Limit("max_exposure", about, "fraction of equity", used, most, used >= most, "risk.max_exposure")
    if limits.max_order_notional is not None:
        entries = (order for order in book.working.values() if not order.request.reduce_only)
        used = max((float(order.request.amount) * order.request.reference for order in entries), default=0.0)
        about, unit = "the largest entry that works; a larger one is shrunk", desk.config.currency
        yield Limit("max_order_notional", about, unit, used, limits.max_order_notional, False, "risk.max_order_notional")


def _capital(book: RiskContext, desk: TradingDesk) -> Iterator[Limit]:
    about = "what a source's open lots cost, of the capital allocated to it"
    for name, spec in desk.state.sources.items():
        used = fraction(float(book.portfolio.held_by(name)) + book.reserved(source=name), book.equity)
        most = float(spec.capital)
        yield Limit("source_capital", about, "fraction of equity", used, most, used >= most, "capital of the source", name)


def _pace(desk: TradingDesk, book: RiskContext) -> Iterator[Limit]:
    limits = desk.config.limits
    if limits.max_open_orders is not None:
        used, most = sum(not order.request.guards for order in book.working.values()), limits.max_open_orders
        about = "orders working at once, without the guards at the venue"
        yield Limit("max_open_orders", about, "orders", used, most, used >= most, "risk.max_open_orders")
    if limits.max_orders_per_minute is not None:
        used, most = sum(at > book.now - MINUTE_MS for at in book.risk.order_times), limits.max_orders_per_minute
        about = "orders sent in the last 60 seconds"
        yield Limit("max_orders_per_minute", about, "orders", used, most, used >= most, "risk.max_orders_per_minute")


def _losses(desk: TradingDesk, book: RiskContext) -> Iterator[Limit]:
    limits, risk = desk.config.limits, book.risk
    if limits.max_daily_loss is not None:
        used, most = max(0.0, fraction(risk.day_start - book.equity, risk.day_start)), limits.max_daily_loss
        hit = risk.day_start > 0 and book.equity <= risk.day_start * (1.0 - most)
        about = "equity lost since 00:00 UTC"
        yield Limit("max_daily_loss", about, "fraction of equity", used, most, hit, "risk.max_daily_loss")
    if limits.max_drawdown is not None:
        used, most = max(0.0, fraction(risk.peak - book.equity, risk.peak)), limits.max_drawdown
        hit = risk.peak > 0 and book.equity <= risk.peak * (1.0 - most)
        yield Limit("max_drawdown", "equity below its peak", "fraction of the peak", used, most, hit, "risk.max_drawdown")
    if limits.loss_streak is not None:
        over = risk.last_loss + limits.loss_streak_cool_down_ms
        hit = risk.loss_streak >= limits.loss_streak and book.now < over
        used, most, about = risk.loss_streak, limits.loss_streak, "losing trades in a row"
        yield Limit("loss_streak", about, "trades", used, most, hit, "risk.loss_streak", until=over if hit else None)
    if limits.symbol_cool_down_ms is not None:
        wait, about = limits.symbol_cool_down_ms, "time since a symbol was left that is still to pass before it is entered again"
        left = {symbol: float(wait - (book.now - at)) for symbol, at in risk.last_exit.items()}
        for subject, rest in _or_none({symbol: rest for symbol, rest in left.items() if rest > 0}):
            until = book.now + int(rest) if rest > 0 else None
            yield Limit("symbol_cool_down", about, "ms", rest, wait, rest > 0, "risk.symbol_cool_down", subject, None, until)


def _market(desk: TradingDesk, book: RiskContext) -> Iterator[Limit]:
    limits = desk.config.limits
    if limits.stale_after_ms is not None:
        most, about = limits.stale_after_ms, "age of a symbol's newest price"
        for symbol in book.market.instruments:
            health, seen = book.risk.health.get(symbol, Health.FRESH), book.risk.seen.get(symbol)
            age = book.now - seen if seen is not None else most
            hit = seen is None or age > most or health is not Health.FRESH
            detail = (
                "no price has come yet" if seen is None else None if health is Health.FRESH else f"its feed is {health.value}"
            )
            yield Limit("stale_after", about, "ms", age, most, hit, "risk.stale_after", symbol, detail)
    if limits.price_collar is not None:
        collar, about = limits.price_collar, "how far the price has left what the decision in the air saw"
        for subject, distance in _or_none(_distances(desk)):
            hit = distance > collar
            yield Limit("price_collar", about, "fraction of the price", distance, collar, hit, "risk.price_collar", subject)


def _cash(desk: TradingDesk, book: RiskContext) -> Iterator[Limit]:
    """As `Cash` pays a buy, of which `Shape` lets nothing pass that is smaller than the venue's least order."""
    buffer, books = desk.config.limits.cash_buffer, book.portfolio
    free = float(books.cash) - book.reserved()
    paid = [
        (_least(each, book.market.prices[symbol]), 1.0 + float(each.taker_fee) + buffer)
        for symbol, each in book.market.instruments.items()
        if each.active and book.market.prices.get(symbol, 0.0) > 0
    ]
    need = min((least * cost for least, cost in paid), default=0.0)
    room = max((free / cost for _, cost in paid), default=free)
    used, most = 1.0 - fraction(free, book.equity), 1.0 - fraction(need, book.equity)
    about = f"equity that is spent or reserved; an entry needs its fee and {buffer:.2%} of itself beside it, and shrinks to fit"
    detail = f"entries of up to {max(0.0, room):.2f} {books.currency} can be paid"
    hit = free <= 0 or free < need
    yield Limit("cash_buffer", about, "fraction of equity", max(0.0, used), most, hit, "risk.cash_buffer", detail=detail)


def _least(instrument: Instrument, price: float) -> float:
    """What the smallest order that the venue takes costs at a price, without its fee."""
    amount = max(instrument.min_amount, instrument.amount_step, Decimal(repr(float(instrument.min_cost) / price)))
    whole = whole_steps(instrument, amount)
    return float(whole if whole == amount else whole + instrument.amount_step) * price


def _or_none(used: Mapping[str, float]) -> list[tuple[str | None, float]]:
    """Who uses anything of a limit; one row for nobody where nobody does."""
    return [*used.items()] or [(None, 0.0)]


def _held(book: RiskContext, symbol: str) -> float:
    """As `MaxPosition` counts it."""
    price = book.market.prices.get(symbol, 0.0)
    return abs(float(book.portfolio.amount(symbol))) * price + book.reserved(symbol=symbol)


def _distances(desk: TradingDesk) -> dict[str, float]:
    """By symbol, the farthest that the price is from a waiting or pursued decision's reference."""
    pursued = [bench.standing for bench in desk.state.benches.values() if bench.standing is not None and bench.pursuing]
    found: dict[str, float] = {}
    for decision in (*desk.state.queue, *pursued):
        price = desk.market.price(decision.symbol)
        if price is not None and decision.action is not Action.HOLD:
            distance = abs(price / decision.price - 1.0)
            found[decision.symbol] = max(distance, found.get(decision.symbol, 0.0))
    return found
