"""From settings to the desk's own configuration: the one place where the two vocabularies meet."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from bot.core.arbiter import Arbiter
from bot.core.arbiter import Policy as ArbiterPolicy
from bot.core.decision import Tier
from bot.core.desk import DeskConfig, Drive
from bot.core.market import timeframe_ms
from bot.core.matching import FillModel
from bot.core.orders import OrderType
from bot.core.risk import RiskLimits
from bot.core.sizing import CappedKelly, ConfidenceScaled, FixedFraction, Sizing, VolatilityTarget
from bot.core.targets import TargetRules
from bot.core.tracking import NativeProtection, TradingRules
from bot.settings.models import Entry, RiskSettings, Settings
from bot.settings.sizing import (
    ConfidenceScaledSettings,
    FixedFractionSettings,
    SizingSettings,
    VolatilityTargetSettings,
)


def desk_config(
    settings: Settings,
    *,
    drive: Drive = Drive.QUOTES,
    drive_timeframe: str = "1m",
    next_open: bool = True,
    sizing_timeframe: str | None = None,
    sample_ms: int | None = None,
    loss_pause_ms: int | None = None,
    balance: Decimal | None = None,
    native: NativeProtection = NativeProtection.OFF,
) -> DeskConfig:
    """The desk of these settings; `balance` replaces the paper account's, `native` says what rests at the venue.

    `sample_ms` and `loss_pause_ms`, where given, are the longest that samples may be apart and a pause after losses may last.
    Where candles drive, latency and data age have nothing to measure, and nothing is learned between two candles: a refused order
    is tried again with the next candle, and a limit entry lives to see one.
    """
    desk, paper = settings.desk, settings.paper
    candles = drive is Drive.CANDLES
    return DeskConfig(
        currency=paper.currency,
        balance=paper.starting_balance if balance is None else balance,
        arbiter=_arbiter(settings),
        limits=_limits(settings.risk, loss_pause_ms, candles=candles),
        targets=TargetRules(
            {name: _sizing(given) for name, given in desk.sizings.items()},
            desk.sizing,
            desk.band,
            timeframe=sizing_timeframe or (drive_timeframe if candles else desk.sizing_timeframe),
        ),
        trading=replace(_trading(settings, timeframe_ms(drive_timeframe) if candles else 0), native=native),
        fills=FillModel(
            maker_fee=paper.maker_fee,
            taker_fee=paper.taker_fee,
            slippage=paper.slippage,
            impact=paper.impact,
            latency_ms=0 if candles else paper.latency_ms,
            candle_spread=paper.candle_spread if candles else 0.0,
            max_participation=paper.max_participation,
        ),
        drive=drive,
        drive_timeframe=drive_timeframe,
        next_open=next_open,
        queue_bound=desk.queue_size,
        max_age_ms=desk.max_age,
        sample_ms=0 if candles else desk.sample_every if sample_ms is None else min(desk.sample_every, sample_ms),
        depth=settings.market.history_depth,
    )


def _arbiter(settings: Settings) -> Arbiter:
    weights = settings.desk.tier_weights
    return Arbiter(
        ArbiterPolicy(settings.desk.policy.value),
        {Tier.QUANTCONNECT: weights.quantconnect, Tier.LLM: weights.llm, Tier.TRADITIONAL: weights.traditional},
    )


def _trading(settings: Settings, least_ms: int) -> TradingRules:
    """`least_ms` is the shortest time after which anything can have changed."""
    bot, desk = settings.bot, settings.desk
    return TradingRules(
        account=bot.account,
        bot=bot.name,
        prefix=bot.order_prefix,
        entry=OrderType.LIMIT if desk.entry is Entry.LIMIT else OrderType.MARKET,
        entry_ttl_ms=max(desk.entry_ttl, least_ms),
        retry_ms=max(desk.retry_every, least_ms),
    )


def _limits(risk: RiskSettings, loss_pause_ms: int | None, *, candles: bool) -> RiskLimits:
    streak = risk.loss_streak
    pause = streak.cool_down if streak else 0
    return RiskLimits(
        max_position=risk.max_position,
        max_exposure=risk.max_exposure,
        max_order_notional=risk.max_order_notional,
        max_open_orders=risk.max_open_orders,
        max_orders_per_minute=risk.max_orders_per_minute,
        max_daily_loss=risk.max_daily_loss,
        max_drawdown=risk.max_drawdown,
        loss_streak=streak.losses if streak else None,
        loss_streak_cool_down_ms=pause if loss_pause_ms is None else min(pause, loss_pause_ms),
        symbol_cool_down_ms=risk.symbol_cool_down,
        price_collar=risk.price_collar,
        stale_after_ms=None if candles else risk.stale_after,
        cash_buffer=risk.cash_buffer,
        live_quote=not candles,
        allowed_symbols=tuple(risk.allowed_symbols),
    )


def _sizing(given: SizingSettings) -> Sizing:
    if isinstance(given, FixedFractionSettings):
        return FixedFraction(given.fraction)
    if isinstance(given, ConfidenceScaledSettings):
        return ConfidenceScaled(given.least, given.most)
    if isinstance(given, VolatilityTargetSettings):
        return VolatilityTarget(given.risk, given.multiple, given.period, given.fallback)
    return CappedKelly(given.cap, given.share, given.least_trades, given.fallback)


def money(value: float) -> Decimal:
    """A worth as a decimal with 8 places, for people and for `--json`."""
    return Decimal(repr(value)).quantize(Decimal("1e-8"))
