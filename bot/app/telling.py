"""What a run tells a person: the banner before it, the line of each minute, the summary after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from bot.app.world import World
from bot.core.effects import Notify
from bot.core.inputs import TradingState
from bot.core.portfolio import Portfolio
from bot.runtime.shell import Shell
from bot.services.assembly import money
from bot.services.specs import unheard
from bot.settings import BannerFacts, Loaded, MinuteFacts, RunMode, RunSummary, RunWatcher, Settings, SourceFacts
from sources.loading import LoadedSource
from sources.means import Means


@dataclass(slots=True)
class Start:
    """The book's worth when the run began, to measure it by. `moved` is what deposits and withdrawals had come to by then."""

    at: int
    equity: Decimal
    moved: Decimal
    earned: Mapping[str, float]
    shadows: Mapping[str, float]

    @classmethod
    def of(cls, shell: Shell, at: int) -> Start:
        """Now."""
        desk = shell.desk
        shadows = {name: ledger.portfolio.equity for name, ledger in desk.state.shadows.items()}
        return cls(at, money(desk.portfolio.equity), desk.portfolio.moved, desk.portfolio.attribution(), shadows)

    def pnl(self, books: Portfolio) -> float:
        """What was made since then, in the accounting currency; what was paid in or taken out is no gain and no loss."""
        return books.equity - float(self.equity) - float(books.moved - self.moved)


@dataclass(slots=True)
class MinuteCount:
    """Counts at the last minute, to tell the difference."""

    market_events: int = 0
    decisions: int = 0
    orders: int = 0
    fills: int = 0


@dataclass(slots=True)
class WatcherNotifier:
    """Shows the desk's notifications on the screen."""

    watcher: RunWatcher
    name: str = field(default="screen")

    async def send(self, notice: Notify) -> None:
        """One line."""
        self.watcher.noticed(f"{notice.severity.value}: {notice.title}: {notice.text}")


def banner(
    world: World,
    loaded: Loaded,
    means: Means,
    shell: Shell,
    run: str,
    version: str,
    mode: RunMode,
    paths: Mapping[str, str],
) -> BannerFacts:
    """What a person should know before the first order."""
    settings = loaded.settings
    return BannerFacts(
        version=version,
        run=run,
        mode=mode,
        simulated=world.simulated,
        balance=money(shell.desk.portfolio.equity),
        currency=settings.paper.currency,
        fees=_fees(world, settings),
        venue=world.venue,
        symbols=settings.exchange.symbols,
        market_data=f"{world.market_data}; candles {', '.join(world.timeframes)}",
        sources=tuple(_source(source, settings, means) for source in world.sources),
        limits=_limits(settings),
        paths=paths,
        notices=(*world.notices, *_standing_state(shell)),
    )


def minute(shell: Shell, start: Start, last: MinuteCount, currency: str) -> MinuteFacts:
    """The last minute; moves `last` on."""
    tally, desk = shell.tally, shell.desk
    risk, books = desk.state.risk, desk.portfolio
    decisions = sum(tally.decisions.values())
    facts = MinuteFacts(
        at=desk.market.now,
        market_events=tally.market_events - last.market_events,
        decisions=decisions - last.decisions,
        orders=tally.orders - last.orders,
        fills=tally.fills - last.fills,
        equity=books.equity,
        pnl=start.pnl(books),
        drawdown=1.0 - books.equity / risk.peak if risk.peak > 0 else 0.0,
        positions=sum(1 for position in books.positions.values() if position.amount),
        currency=currency,
        state=risk.state.value,
    )
    last.market_events, last.decisions, last.orders, last.fills = tally.market_events, decisions, tally.orders, tally.fills
    return facts


def summary(shell: Shell, world: World, settings: Settings, start: Start, run: str, mode: RunMode, ended: int) -> RunSummary:
    """How the run went."""
    desk, tally = shell.desk, shell.tally
    earned = desk.portfolio.attribution()
    pnl = {name: money(value - start.earned.get(name, 0.0)) for name, value in sorted(earned.items())}
    opening = float(desk.config.balance)
    shadows = {
        name: money(ledger.portfolio.equity - start.shadows.get(name, opening))
        for name, ledger in sorted(desk.state.shadows.items())
    }
    latency = {f"to_fill_{name}": value for name, value in tally.to_fill.milliseconds().items()}
    latency |= {f"handled_{name}": value for name, value in tally.handled.milliseconds().items()}
    return RunSummary(
        run=run,
        mode=mode,
        simulated=world.simulated,
        symbols=settings.exchange.symbols,
        currency=settings.paper.currency,
        started=start.at,
        ended=ended,
        market_events=tally.market_events,
        decisions_by_source=dict(sorted(tally.decisions.items())),
        decisions_by_fate=dict(sorted(tally.fates.items())),
        orders=tally.orders,
        fills=tally.fills,
        fees=tally.fees,
        equity_start=start.equity,
        equity_end=money(desk.portfolio.equity),
        pnl=pnl,
        shadow_pnl=shadows,
        latency_ms=latency,
        halted=desk.state.risk.state is TradingState.HALTED,
        reason=desk.state.risk.reason if desk.state.risk.state is not TradingState.ACTIVE else "",
    )


def _standing_state(shell: Shell) -> list[str]:
    """What an earlier run left the desk in, if it is not trading."""
    risk = shell.desk.state.risk
    if risk.state is TradingState.ACTIVE:
        return []
    return [f"trading is {risk.state.value.upper()} since an earlier run ({risk.reason}); `python -m bot resume` trades again"]


def _fees(world: World, settings: Settings) -> str:
    instrument = next(iter(world.feed.instruments.values()))
    maker = instrument.maker_fee if settings.paper.maker_fee is None else settings.paper.maker_fee
    taker = instrument.taker_fee if settings.paper.taker_fee is None else settings.paper.taker_fee
    return f"maker {float(maker):.3%}, taker {float(taker):.3%}"


def _source(source: LoadedSource, settings: Settings, means: Means) -> SourceFacts:
    config = source.config
    off = unheard(source, settings, means)
    return SourceFacts(config.source, config.tier.label, off is None, off or source.about)


def _limits(settings: Settings) -> dict[str, str]:
    risk = settings.risk
    shown = {
        "position": risk.max_position,
        "exposure": risk.max_exposure,
        "daily loss": risk.max_daily_loss,
        "drawdown": risk.max_drawdown,
        "collar": risk.price_collar,
    }
    limits = {name: f"{value:.0%}" for name, value in shown.items() if value is not None}
    if risk.max_orders_per_minute is not None:
        limits["orders/min"] = str(risk.max_orders_per_minute)
    if risk.loss_streak is not None:
        limits["loss streak"] = str(risk.loss_streak.losses)
    return limits
