"""What the YAML of a QuantConnect source may say under `params`. Secrets are not among it: see `Credentials`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from bot.core.market import timeframe_ms
from sources.base import Strict
from sources.config import Duration
from sources.quantconnect.insights import Way
from sources.quantconnect.wire import BASE_URL, checked_url

KIND = "quantconnect"
"""The kind of source that hears QuantConnect."""


class WebhookAuth(StrEnum):
    """How a message proves who sent it."""

    HMAC = "hmac"
    SECRET = "secret"  # noqa: S105 - a word, not one


Auth = Annotated[
    WebhookAuth,
    BeforeValidator(lambda raw: WebhookAuth(raw) if isinstance(raw, str) and raw in {*WebhookAuth} else raw),
    WithJsonSchema({"type": "string", "enum": [auth.value for auth in WebhookAuth]}),
]


class WebhookParams(Strict):
    """The listener for `notify.web`, on a bind and port of its own; the secret is QUANTCONNECT_WEBHOOK_SECRET."""

    enabled: bool = False
    host: str = Field(default="127.0.0.1", min_length=1, description="bind; put a proxy with TLS before any other than loopback")
    port: int = Field(default=8790, ge=0, le=65_535, description="0 takes a free one")
    path: str = Field(default="/quantconnect", pattern=r"^/[A-Za-z0-9/_-]*$")
    auth: Auth = Field(
        default=WebhookAuth.SECRET, description="secret: the header holds it | hmac: the message is signed with it"
    )
    header: str = Field(
        default="X-Secret", pattern=r"^[A-Za-z][A-Za-z0-9-]*$", description="where the secret is, with auth secret"
    )
    window: Duration = Field(default="5m", description="how far a message's time may be from now; so long a replay is known")
    per_minute: int = Field(default=120, ge=1, le=100_000, description="messages taken in a minute")
    failures_per_minute: int = Field(default=60, ge=1, le=100_000, description="refusals that are answered one by one")
    largest: int = Field(default=65_536, ge=256, le=16 << 20, description="bytes of a message")
    most_signals: int = Field(default=100, ge=1, le=10_000, description="signals in one message")


class PollParams(Strict):
    """A route that asks."""

    enabled: bool = False
    every: Duration = Field(default="1m", description="pause between polls, before jitter")
    max_age: Duration | None = Field(default=None, description="older opinions are stale; absent: that of the source")


class ObjectParams(PollParams):
    """Signals that an algorithm stores as JSON."""

    organization: str = Field(default="", max_length=64, description="whose object store")
    keys: tuple[str, ...] = Field(default=(), description="objects such as signals/latest.json")


class BacktestParams(PollParams):
    """The signal backtest: a short one that ends now, of which the last insights count."""

    every: Duration = Field(default="1h", description="pause between backtests, before jitter")
    max_age: Duration | None = Field(default="1d", description="older insights are stale: its data are behind")
    project: int = Field(default=0, ge=0, description="the project that is run")
    days: int = Field(default=30, ge=1, le=3_650, description="how far before now it begins")
    start_parameter: str = Field(default="start", description="parameter of the algorithm that gets the first day, YYYY-MM-DD")
    end_parameter: str = Field(default="end", description="parameter that gets the last day")
    parameters: dict[str, str] = Field(default_factory=dict, description="its other parameters")
    timeout: Duration = Field(default="15m", description="longest time until the end; then it is deleted")
    poll: Duration = Field(default="3s", description="pause between looks at its progress")
    wait_for_node: Duration = Field(default="5m", description="how long it waits for a free node")
    last: int = Field(default=100, ge=1, le=10_000, description="insights read, the newest")


class QuantConnectParams(Strict):
    """What a QuantConnect source hears, and how it takes it."""

    base_url: str | None = Field(default=None, description="the REST API; absent: the bot's quantconnect.base_url")
    projects: tuple[int, ...] = Field(default=(), description="projects whose live algorithms are heard")
    symbols: dict[str, str] = Field(
        default_factory=dict, description="explicit map, such as {'binance:BTCUSDT': BTC/USDT}; keys may be SIDs or tickers"
    )
    markets: tuple[str, ...] = Field(default=(), description="markets that are heard, such as binance; empty means all")
    confidence: float = Field(default=0.5, ge=0, le=1, description="confidence of opinions that come without one")
    max_age: Duration = Field(default="20m", description="opinions older than this when first seen are stale, not traded")
    longest: Duration = Field(default="7d", description="longest time that an opinion stands")
    jitter: float = Field(default=0.1, ge=0, le=0.9, description="random part of a pause, as a fraction")
    backoff: Duration = Field(default="10m", description="longest pause after failures")
    stale_kept: int = Field(default=50, ge=0, le=10_000, description="stale opinions journaled per poll, the newest")
    close_unheld: bool = Field(
        default=False, description="portfolio: at start, close what the bot's symbols hold and the portfolio does not"
    )
    webhook: WebhookParams = WebhookParams()
    insights: PollParams = PollParams()
    orders: PollParams = PollParams()
    portfolio: PollParams = PollParams()
    objects: ObjectParams = ObjectParams()
    backtest: BacktestParams = BacktestParams()

    @field_validator("base_url")
    @classmethod
    def _url(cls, url: str | None) -> str | None:
        return None if url is None else checked_url(url)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        faults = {
            "no route is enabled: switch on webhook, insights, orders, portfolio, objects or backtest": not self.ways,
            "insights, orders and portfolio need params.projects": self._of_projects and not self.projects,
            "objects need params.objects.organization and params.objects.keys": self.objects.enabled
            and not (self.objects.organization and self.objects.keys),
            "backtest needs params.backtest.project": self.backtest.enabled and not self.backtest.project,
            "a project is listed twice": len(set(self.projects)) != len(self.projects),
        }
        for fault, found in faults.items():
            if found:
                raise ValueError(fault)
        return self

    @property
    def _of_projects(self) -> bool:
        return self.insights.enabled or self.orders.enabled or self.portfolio.enabled

    @property
    def ways(self) -> tuple[Way, ...]:
        """The routes that are on."""
        return tuple(way for way in Way if getattr(self, way.value).enabled)

    @property
    def polls(self) -> bool:
        """Whether any route asks the service, which needs credentials."""
        return any(way is not Way.WEBHOOK for way in self.ways)

    def max_age_ms(self, way: Way) -> int:
        """How old an opinion may be when it is first seen, by the way it came."""
        route = getattr(self, way.value)
        own = route.max_age if isinstance(route, PollParams) else None
        return timeframe_ms(own or self.max_age)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks, where, and what the webhook's messages are proven by. Empty where there is none; secrets are shown nowhere."""

    user_id: str = ""
    token: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)
    base_url: str = BASE_URL

    @property
    def complete(self) -> bool:
        """Whether the service can be asked."""
        return bool(self.user_id and self.token)
