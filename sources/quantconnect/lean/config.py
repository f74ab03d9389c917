"""What a backtest in the cloud is: one YAML, or one request."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from bot.core.market import timeframe_ms
from sources.base import Strict
from sources.config import Duration, Expiry


class AssetClass(StrEnum):
    """What kind of security."""

    CRYPTO = "crypto"
    CRYPTO_FUTURE = "crypto-future"
    EQUITY = "equity"
    FOREX = "forex"
    CFD = "cfd"


class Forwarding(StrEnum):
    """How the algorithm hands its insights to the bot, besides emitting them."""

    NONE = "none"
    WEBHOOK = "webhook"
    OBJECTS = "objects"


class StrategyConfig(Strict):
    """Which strategy: a template (sma-rsi, momentum, mean-reversion, breakout) or a kind of the bot's own rules."""

    kind: str = Field(min_length=1, description="sma-rsi | momentum | mean-reversion | breakout, or a rule such as sma-cross")
    params: dict[str, Any] = Field(default_factory=dict, description="its parameters; absent ones have the rule's defaults")


class Fees(Strict):
    """Fees, as a fraction of the notional; absent: the brokerage model's own."""

    rate: float | None = Field(default=None, ge=0, lt=0.1, description="fee of every fill")
    slippage: float = Field(default=0.0, ge=0, lt=0.1, description="added against every fill (fraction of the price)")


def _word(kind: type[StrEnum]) -> BeforeValidator:
    return BeforeValidator(lambda raw: kind(raw) if isinstance(raw, str) and raw in {*kind} else raw)


class BacktestConfig(Strict):
    """One backtest."""

    name: str = Field(default="", max_length=100, description="shown in the cloud; empty: made of strategy and symbol")
    symbol: str = Field(description="the bot's own, such as BTC/USDT; an equity is its ticker")
    asset_class: Annotated[AssetClass, _word(AssetClass), WithJsonSchema({"enum": [*AssetClass]})] = AssetClass.CRYPTO
    market: str = Field(default="binance", description="LEAN's market: binance, coinbase, oanda, usa ...")
    start: date = Field(description="first day")
    end: date = Field(description="last day, included")
    timeframe: Duration = Field(
        default="1h", description="candles the strategy sees: 1m, 1h and 1d come as they are, others are joined"
    )
    capital: Decimal = Field(default=Decimal(10_000), gt=0, description="cash at the start")
    currency: str = Field(default="USDT", description="of the cash, and of the account")
    strategy: StrategyConfig
    size: float = Field(default=0.95, gt=0, le=1, description="share of the portfolio that an entry takes")
    stop_loss: float | None = Field(default=None, gt=0, lt=1, description="below the entry, as a fraction of its price")
    take_profit: float | None = Field(default=None, gt=0, description="above the entry, as a fraction of its price")
    expiry: Expiry = Field(default=5, description="how long an insight stands: candles, or a duration such as 15m")
    fees: Fees = Fees()
    forward: Annotated[Forwarding, _word(Forwarding), WithJsonSchema({"enum": [*Forwarding]})] = Forwarding.NONE
    webhook_url: str = Field(default="", description="where live insights are posted, with forward: webhook")
    object_key: str = Field(default="signals/latest.json", description="object that holds the insights, with forward: objects")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.start > self.end:
            message = f"start {self.start} is after end {self.end}; give the first day first"
            raise ValueError(message)
        return self

    @property
    def horizon(self) -> int:
        """How long an insight stands, in milliseconds."""
        return self.expiry * timeframe_ms(self.timeframe) if isinstance(self.expiry, int) else timeframe_ms(self.expiry)
