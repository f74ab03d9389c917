"""The `params` of a source of the kind `llm`: whom it asks, when, about what, within which bounds.

Importing this costs no SDK and no database.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from bot.core.market import timeframe_ms
from sources.base import Strict
from sources.config import Amount, Duration
from sources.llm.settings import CandidateSettings
from sources.schedule import Schedule

KIND = "llm"
Fraction = Annotated[float, Field(gt=0, lt=1)]
TemplateName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
FigureId = Annotated[str, Field(pattern=r"^[a-z0-9_]+@[0-9]+[smhdw]$", max_length=40)]


class WithoutPosition(StrEnum):
    """What a `sell` is where nothing is held."""

    ABSTAIN = "abstain"
    HOLD = "hold"


class NewsMode(StrEnum):
    """Whether news are read. Where they are, they may veto and never raise: the same question is asked with and without."""

    OFF = "off"
    VETO = "veto"


class GateParams(Strict):
    """Cheap conditions without which nobody is asked, compared with the last time somebody was.

    A new candle, and at least one of the changes that are configured; without any of these the candle is enough.
    """

    candle: bool = Field(default=True, description="a candle of `timeframe` has closed since")
    price: Fraction | None = Field(default=None, description="the price has moved by this fraction")
    indicators: dict[FigureId, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="a figure of the snapshot has moved by so much, such as rsi14@5m: 5"
    )
    position: bool = Field(default=False, description="the position in the symbol has changed")
    at_least_every: Duration | None = Field(default=None, description="ask after this long, whatever has not changed")

    @property
    def of_change(self) -> bool:
        """Whether any change is asked for."""
        return self.price is not None or bool(self.indicators) or self.position


class BoundsParams(Strict):
    """What an answer may want. What is beyond is clamped where that is safe and refused where it is not."""

    confidence: float = Field(default=0.0, ge=0, le=1, description="least confidence of a buy, beside the source's threshold")
    stop_nearest: Fraction = Field(default=0.002, description="a stop nearer to the live price than this fraction is refused")
    stop_farthest: Fraction = Field(default=0.15, description="one farther away is brought here, or refused beyond twice that")
    reward_risk: float = Field(default=1.2, ge=0, le=100, description="least reward for the risk, at the live price, after fees")
    target_farthest: float = Field(default=1.0, gt=0, le=10, description="a target farther away is brought here (fraction)")
    size: float = Field(default=1.0, gt=0, le=1, description="largest size, as a fraction of what the risk checks admit")
    shortest: Duration = Field(default="1m", description="shortest horizon; the longest is the source's `expiry`")
    oldest: Duration = Field(default="60s", description="an answer to a snapshot that is older than this is stale")
    moved: Fraction = Field(default=0.01, description="so is one when the price has moved by this fraction since")
    sell_without_position: WithoutPosition = Field(default=WithoutPosition.ABSTAIN, description="abstain | hold")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.stop_nearest >= self.stop_farthest:
            message = f"stop_nearest = {self.stop_nearest} must be below stop_farthest = {self.stop_farthest}"
            raise ValueError(message)
        return self


class BudgetParams(Strict):
    """What this source may spend, in USD; it can only narrow the common budget. Absent: nothing of its own."""

    per_call: Amount | None = Field(default=None, gt=0, le=1000, description="most that one call may cost")
    per_day: Amount | None = Field(default=None, gt=0, le=100_000, description="most in a UTC day")


class EnsembleParams(Strict):
    """Several models asked at once. Their weights say whose word counts how much; who disagrees lowers the confidence."""

    members: int = Field(default=1, ge=1, le=8, description="how many of the candidates are asked at once; 1: no ensemble")
    quorum: int = Field(default=2, ge=1, le=8, description="usable answers without which it abstains")


class CircuitParams(Strict):
    """When the source pauses itself."""

    decisions_per_hour: int = Field(default=60, ge=1, le=10_000, description="more decisions than this in an hour")
    flips_per_hour: int = Field(default=4, ge=1, le=1000, description="more turns from buy to sell and back in a symbol and hour")
    rejected: float = Field(default=0.5, gt=0, le=1, description="a larger share of answers that fail the semantic checks")
    rejected_of: int = Field(default=10, ge=2, le=1000, description="of so many of the last answers, and not before")
    failures: int = Field(default=5, ge=1, le=1000, description="so many questions in a row that nobody answered")
    rest: Duration = Field(default="30m", description="for how long")
    failure_rest: Duration = Field(default="5m", description="for how long after failures")


class LlmParams(Strict):
    """A source that asks language models."""

    candidates: tuple[CandidateSettings, ...] = Field(
        default=(), max_length=16, description="whom it asks, the first choice first; empty: those of llm.roles.decision"
    )
    timeframes: tuple[Duration, ...] = Field(
        default=(), max_length=8, description="what the snapshot shows, `timeframe` among them; empty: that alone"
    )
    template: TemplateName = Field(default="decide", description="prompt template: a saved version, else a file")
    on_candle: bool = Field(default=True, description="ask when a candle of `timeframe` has closed")
    schedule: Schedule | None = Field(default=None, description="ask at these times as well")
    gates: GateParams = GateParams()
    cool_down: Duration = Field(default="30s", description="least time between two questions about a symbol")
    deadline: Duration = Field(default="20s", description="longest that a question may take, whoever is asked")
    max_output_tokens: int = Field(default=4096, ge=256, le=100_000, description="most tokens of an answer, thoughts included")
    bounds: BoundsParams = BoundsParams()
    budget: BudgetParams = BudgetParams()
    ensemble: EnsembleParams = EnsembleParams()
    circuit: CircuitParams = CircuitParams()
    news: NewsMode = Field(default=NewsMode.OFF, description="off | veto: asked twice, and news can only lower exposure")
    money: bool = Field(default=False, description="show equity and cash themselves, not only shares")
    concurrency: int = Field(default=2, ge=1, le=32, description="symbols that are thought about at once")
    queue: int = Field(default=64, ge=1, le=1000, description="symbols that may wait; what comes then is dropped, and counted")
    closes: int = Field(default=24, ge=1, le=200, description="closes of each timeframe in the snapshot")
    depth: int = Field(default=200, ge=30, le=1000, description="candles of each timeframe that its figures are made of")

    @field_validator("timeframes")
    @classmethod
    def _each_once(cls, timeframes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(timeframes)) != len(timeframes):
            message = "a timeframe is listed twice; list it once"
            raise ValueError(message)
        return timeframes

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.on_candle and self.schedule is None:
            message = "on_candle is false and there is no schedule: it would never ask; give one of them"
            raise ValueError(message)
        pairs = [(one.provider, one.model) for one in self.candidates]
        if len(set(pairs)) != len(pairs):
            message = "a model is listed twice in candidates; list it once"
            raise ValueError(message)
        if self.ensemble.members > 1 and self.ensemble.quorum > self.ensemble.members:
            message = f"ensemble.quorum = {self.ensemble.quorum} is more than ensemble.members = {self.ensemble.members}"
            raise ValueError(message)
        return self

    @property
    def deadline_s(self) -> float:
        """Seconds."""
        return timeframe_ms(self.deadline) / 1000
