"""What a feed is asked for, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.core.inputs import MarketHealth
from bot.core.market import Candle, Quote, Trade, timeframe_ms


@dataclass(frozen=True, slots=True)
class FeedSink:
    """Plain callables of the feed's owner, called synchronously in the loop: they must be cheap and must not raise."""

    on_quote: Callable[[Quote], None]
    on_trade: Callable[[Trade], None]
    on_candle: Callable[[Candle], None]
    on_health: Callable[[MarketHealth], None]


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """Symbols and timeframes (every pair of them), and the feed's patience; seconds unless said otherwise.

    `warmup` closed candles of each pair are fetched at start. `band` and `confirmations` are those of `MarketSanity`. A symbol
    without a quote for `stale_after` is stale; a stream silent for as long (trades: `trade_silence`) is taken for stalled.
    `confirm_after` its end a candle that nobody closed is asked for by REST. `poll_interval` is for venues without websockets.
    `tick` is how often the clocks are looked at.
    """

    symbols: tuple[str, ...]
    timeframes: tuple[str, ...] = ("1m",)
    warmup: int = 200
    trades: bool = True
    band: float = 0.2
    confirmations: int = 3
    stale_after: float = 15.0
    trade_silence: float = 60.0
    silence_cap: float = 600.0
    confirm_after: float = 1.5
    poll_interval: float = 2.0
    backoff_first: float = 0.5
    backoff_cap: float = 30.0
    start_timeout: float = 60.0
    tick: float = 0.25

    def __post_init__(self) -> None:
        """Check what would otherwise fail later and obscurely."""
        if not self.symbols:
            message = "symbols: there are none: name at least one, such as BTC/USDT"
            raise ValueError(message)
        for timeframe in self.timeframes:
            timeframe_ms(timeframe)
        if self.warmup < 0:
            message = f"warmup is {self.warmup}: it must not be negative"
            raise ValueError(message)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every (symbol, timeframe)."""
        return tuple((symbol, timeframe) for symbol in self.symbols for timeframe in self.timeframes)
