"""What can be configured. Defaults are what a first run needs; every field says its unit.

These models are the one definition: the YAML files of `config init`, the JSON Schema and the error messages are made from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot.settings.kinds import (
    Count,
    Depth,
    Duration,
    Fee,
    Fraction,
    Money,
    Multiple,
    NotNegative,
    Part,
    Port,
    Positive,
    Scalar,
    SegmentSize,
    Share,
    Size,
    Strict,
    Symbols,
    Timeframe,
    Timeframes,
    Wait,
)
from bot.settings.learning import LearningSettings
from bot.settings.llm import LlmSettings
from bot.settings.news import NewsroomSettings
from bot.settings.notifications import NotificationsSettings
from bot.settings.sizing import BUILT_IN_SIZINGS, SizingSettings, with_built_in

_SECRET_OPTION = re.compile(r"(?i)(api_?key|secret|password|token|private_?key|passphrase)")


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Embedded(StrEnum):
    """Whether the simulated world may stand in for the venue."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


OrderPrefix = Annotated[str, Field(pattern=r"^[a-z0-9]{1,4}$")]


class BotSettings(Strict):
    """Who the bot is and where it keeps what it knows."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = Field(
        "arbiter", description="names the bot's books and messages: lower-case letters, digits and dashes"
    )
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = Field(
        "main", description="the account at the venue; part of every client order id's hash"
    )
    order_prefix: OrderPrefix = Field(
        "arb", description="begins every client order id: 1 to 4 lower-case letters or digits, unique among bots on one account"
    )
    data_dir: Path = Field(Path("data"), description="journal, segments, logs and the encrypted secrets live here")
    log_level: LogLevel = Field(LogLevel.INFO, description="debug | info | warning | error")
    log_file: Path | None = Field(None, description="also write JSON log lines to this file; null: terminal only")


class ExchangeSettings(Strict):
    """The venue whose market data is used."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+$")] = Field("binance", description="ccxt id of the venue")
    symbols: Symbols = Field(("BTC/USDT", "ETH/USDT"), description="ccxt unified symbols", min_length=1)
    timeframes: Timeframes = Field(
        ("1m", "5m", "1h"), description="candles to keep, besides those that sources ask for", min_length=1
    )
    urls: dict[str, str] = Field(default_factory=dict, description="replaces the venue's API addresses, by ccxt's own names")
    sandbox: bool = Field(False, description="use the venue's test network")
    options: dict[str, Scalar] = Field(default_factory=dict, description="passed to ccxt as `options`; never keys")
    embedded: Embedded = Field(
        Embedded.AUTO, description="auto: a simulated world when the venue cannot be reached | never | always"
    )
    connect_timeout: Wait = Field(10_000, description="how long to try to reach the venue at start (duration)")

    @field_validator("options")
    @classmethod
    def _no_keys(cls, options: dict[str, Scalar]) -> dict[str, Scalar]:
        for name in options:
            if _SECRET_OPTION.search(name):
                message = f"{name!r} looks like a secret; say `python -m bot secrets set NAME` instead"
                raise ValueError(message)
        return options


class PaperSettings(Strict):
    """The paper account and how its fills are made."""

    starting_balance: Money = Field(Decimal(10_000), description="cash at the first start (accounting currency)")
    currency: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")] = Field("USDT", description="accounting currency of the book")
    maker_fee: Fee | None = Field(None, description="replaces the venue's (fraction of the notional); null: the venue's own")
    taker_fee: Fee | None = Field(None, description="likewise, for orders that take")
    slippage: Part = Field(0.0, description="added against every taker fill (fraction of the price)")
    impact: NotNegative = Field(0.1, description="added against a taker: fraction of the spread per displayed size taken")
    candle_spread: Part = Field(0.0002, description="whole spread where only candles are known (fraction of the price)")
    latency_ms: Duration = Field(50, description="between the durable intent and the venue (duration)")
    max_participation: Fraction = Field(1.0, description="most of a displayed or traded size that one order takes (fraction)")
    await_intent: bool = Field(True, description="paper orders, too, wait until their intent is durable")


class Policy(StrEnum):
    """How conflicts between sources are settled."""

    PRIORITY = "priority"
    CONFIDENCE = "confidence"
    CONSENSUS = "consensus"


class Selection(StrEnum):
    """Which tiers are heard."""

    TRADITIONAL = "traditional"
    QUANTCONNECT = "quantconnect"
    LLM = "llm"
    HYBRID = "hybrid"


class Entry(StrEnum):
    """How entries are ordered."""

    MARKET = "market"
    LIMIT = "limit"


class TierWeights(Strict):
    """Weight of a tier's confidence under the policy `confidence`."""

    quantconnect: NotNegative = 1.0
    llm: NotNegative = 0.7
    traditional: NotNegative = 0.5


class SettleWindows(Strict):
    """How long a tier's first proposal waits for others (duration)."""

    quantconnect: Duration = 0
    llm: Duration = 250
    traditional: Duration = 250


class DeskSettings(Strict):
    """The arbiter and its queue."""

    policy: Policy = Field(Policy.PRIORITY, description="priority | confidence | consensus")
    selection: Selection = Field(
        Selection.HYBRID, description="traditional | quantconnect | llm: only sources of that tier are heard | hybrid: all"
    )
    tier_weights: TierWeights = Field(
        TierWeights(), description="weight of a tier's confidence under `confidence` (pure numbers)"
    )
    settle_ms: SettleWindows = Field(SettleWindows(), description="how long a tier's first proposal waits for others (duration)")
    queue_size: Count = Field(1_024, description="decisions that may wait at once; a full queue drops its lowest priority")
    max_claim_ms: Duration = Field(30_000, description="longest time that a thinking source can make lower tiers wait (duration)")
    max_age: Wait = Field(60_000, description="a decision older than this on arrival is stale (duration)")
    sample_every: Duration = Field(60_000, description="pace of equity and shadow samples (duration); 0ms: none")
    entry: Entry = Field(Entry.MARKET, description="market | limit: how entries are ordered")
    entry_ttl: Wait = Field(60_000, description="a limit entry that has not filled by then is cancelled (duration)")
    retry_every: Wait = Field(1_000, description="pace at which what was refused for now is tried again (duration)")
    band: Part = Field(0.10, description="a change smaller than this is not worth an order (fraction of the target)")
    sizing_timeframe: Timeframe = Field("1m", description="candles that volatility is measured on")
    sizing: str = Field("fixed-fraction", description="the sizing of sources that name none: one of `sizings`")
    sizings: dict[str, SizingSettings] = Field(
        default_factory=lambda: dict(BUILT_IN_SIZINGS), description="sizing policies by name, fractions of the source's capital"
    )

    @field_validator("sizings", mode="before")
    @classmethod
    def _keep_built_in(cls, given: object) -> object:
        return with_built_in(given) if isinstance(given, Mapping) else given


class MarketSettings(Strict):
    """What is believed of market data."""

    sanity_band: Positive = Field(0.2, description="a price jump beyond this must be confirmed before anyone sees it (fraction)")
    confirmations: Count = Field(3, description="further prices near it that confirm a jump")
    stall_multiple: Multiple = Field(
        5.0, description="a symbol without a quote for this many times 3 s is stale and its stream taken for stalled"
    )
    history_depth: Depth = Field(512, description="closed candles kept in memory per symbol and timeframe")


class JournalSettings(Strict):
    """Where everything is recorded."""

    url: str | None = Field(None, description="sqlite:///FILE or postgresql://...; null: arbiter.db in data_dir")
    retention: Wait | None = Field(7_776_000_000, description="telemetry rows are kept this long (duration); null: for ever")
    segment_retention: Wait | None = Field(
        1_209_600_000, description="recorded inputs are kept this long (duration); null: for ever"
    )
    segment_bytes: SegmentSize = Field(67_108_864, description="size of one segment file (bytes)")
    ballast_bytes: Size = Field(16_777_216, description="disk reserve given up so that exits stay writable (bytes)")

    @field_validator("url")
    @classmethod
    def _known_engine(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"(sqlite|postgresql)(\+\w+)?://", url):
            message = "is not a database URL this bot can use; write sqlite:///FILE or postgresql://USER@HOST/NAME"
            raise ValueError(message)
        return url


class RedisSettings(Strict):
    """The Redis feed."""

    url: str = Field("auto", description="redis://HOST:PORT/DB | auto: a Redis on this machine, if there is one | off")
    streams: bool = Field(False, description="also write capped Redis Streams, for consumers that must not miss anything")
    stream_length: Count = Field(10_000, description="entries kept per stream (about)")
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = Field(
        "arbiter.v1", description="begins the name of every channel and stream"
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if url not in {"auto", "off"} and not re.match(r"(rediss?|unix)://", url):
            message = "is not a Redis URL; write redis://HOST:6379/0, auto or off"
            raise ValueError(message)
        return url


class FeedSettings(Strict):
    """Messages to the outside: Redis and the local feed share these."""

    port: Port = Field(0, description="loopback port of the local feed; 0: any free one, found through data_dir")
    buffer: Count = Field(10_000, description="messages that may wait per outlet; the oldest beyond are dropped and counted")


class MetricsSettings(Strict):
    """The listener for metrics and health."""

    enabled: bool = Field(True, description="serve /metrics, /healthz and /readyz")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(9464, description="0: any free port")
    allow_remote: bool = Field(False, description="true: `host` may be an address that others can reach (a container, say)")


class QuantConnectSettings(Strict):
    """The account at QuantConnect. Who asks is never here: `python -m bot secrets set QUANTCONNECT_USER_ID` and `_API_TOKEN`."""

    base_url: str = Field("https://www.quantconnect.com/api/v2", description="the REST API")
    calls: Count = Field(
        30, description="calls in any `window`, by all parts of the bot together; the service publishes no limit"
    )
    window: Wait = Field(60_000, description="what `calls` are counted in (duration)")
    organization: str = Field("", description="id of the organization; empty: the preferred one of the account")
    cache: Duration = Field(60_000, description="lists of projects and algorithms are at most this old (duration)")

    @field_validator("calls")
    @classmethod
    def _some(cls, calls: int) -> int:
        if calls < 10:
            message = "fewer than 10 leave no room for a burst; give 10 or more, and a longer window"
            raise ValueError(message)
        return calls


MemoryPlace = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class MemorySettings(Strict):
    """What is learnt from backtests and closed trades, and what it may do."""

    enabled: bool = Field(True, description="remember backtests and closed trades")
    store: MemoryPlace = Field("sql", description="sql: the journal's database | an entry point of the group arbiter.memory")
    adjust_confidence: bool = Field(False, description="what was learnt scales the confidence of sources, within `strength`")
    strength: Part = Field(0.25, description="most that the memory takes from or adds to a confidence (fraction)")
    min_trades: Count = Field(30, description="fewer trades never give a confidence above 0.5 (count)")
    prior_trades: NotNegative = Field(30.0, description="weight of scepticism (trades)")
    backtest_weight: Share = Field(0.5, description="what a backtested trade counts of a real one (fraction)")
    window: Count = Field(500, description="newest trades, and as many backtests, that are looked at per subject (count)")
    files: bool = Field(True, description="mirror what is learnt into files under data_dir/mem, for people")
    file_bytes: Size = Field(1_000_000, description="a mirrored file is turned over before it outgrows this (bytes)")
    files_kept: Annotated[int, Field(ge=0, le=100)] = Field(3, description="old mirrored files that are kept")


class WebSettings(Strict):
    """The control room."""

    enabled: bool = Field(True, description="start the control room beside the bot")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(8080, description="0: any free port")


class LiveProtection(StrEnum):
    """What of a position's protection also rests at the venue."""

    DESK = "desk"
    STOP = "stop"
    OCO = "oco"


class LiveSettings(Strict):
    """Real orders. Keys are never here: `python -m bot secrets set BINANCE_API_KEY`."""

    confirm: Literal["", "I-understand"] = Field("", description="I-understand: `--live` may send real orders")
    allocation: Money | None = Field(
        None, description="this bot's cash at its first live start (accounting currency); null: all that is free in the account"
    )
    sisters: tuple[OrderPrefix, ...] = Field(
        (), description="`bot.order_prefix` of other bots on the same account: their orders and trades are known, never touched"
    )
    watch: Symbols = Field(
        (), description="further symbols that anybody trades on the account: their trades explain its balances"
    )
    protection: LiveProtection = Field(
        LiveProtection.DESK,
        description="desk: the bot watches the levels | stop: a stop-loss order also rests at the venue "
        "| oco: and the take-profit with it, one cancelling the other",
    )
    reconcile_every: Wait = Field(30_000, description="pace at which the account is compared with the books (duration)")
    poll_every: Wait = Field(5_000, description="pace at which open orders are asked for behind the account stream (duration)")
    grace: Wait = Field(6_000, description="an order the venue does not know counts as lost only this long after it was sent")
    call_timeout: Wait = Field(10_000, description="an answer not here by then is taken for lost (duration)")
    weight_margin: Share = Field(0.1, description="part of the venue's rate limit that is never used (fraction)")
    share_limit: bool = Field(False, description="share the venue's rate limit through Redis with the bots on this address")


class LossStreak(Strict):
    """A pause after losing trades in a row."""

    losses: Count = Field(5, description="losing trades in a row")
    cool_down: Wait = Field(900_000, description="no entry for this long after the last of them (duration)")


class RiskSettings(Strict):
    """Limits. They shrink or refuse entries and never exits; null switches a check off."""

    max_position: Fraction | None = Field(0.25, description="most held in one symbol (fraction of equity)")
    max_exposure: Positive | None = Field(0.95, description="gross exposure of the whole book (fraction of equity)")
    max_order_notional: Positive | None = Field(None, description="most one entry may be worth (accounting currency)")
    max_open_orders: Count | None = Field(20, description="orders working at once (count)")
    max_orders_per_minute: Count | None = Field(30, description="orders in any 60 seconds (count)")
    max_daily_loss: Fraction | None = Field(0.05, description="no entry once this is lost since 00:00 UTC (fraction of equity)")
    max_drawdown: Fraction | None = Field(0.20, description="no entry once equity is this far below its peak (fraction)")
    loss_streak: LossStreak | None = Field(LossStreak(), description="pause after losing trades in a row")
    symbol_cool_down: Wait | None = Field(None, description="no new entry on a symbol this soon after leaving it (duration)")
    price_collar: Fraction | None = Field(
        0.02, description="no entry once the live price is this far from the decision's reference (fraction)"
    )
    stale_after: Wait | None = Field(30_000, description="no entry on prices older than this (duration)")
    cash_buffer: Share = Field(0.002, description="cash kept free for slippage between check and fill (fraction)")
    allowed_symbols: Symbols = Field((), description="symbols that may be entered; empty: all of exchange.symbols")


class Settings(BaseSettings):
    """Everything that can be configured, validated. `bot.settings.load` makes one; nothing is read behind its back."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        env_prefix="ARBITER_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_parse_none_str="null",
    )

    bot: BotSettings = BotSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    paper: PaperSettings = PaperSettings()
    desk: DeskSettings = DeskSettings()
    market: MarketSettings = MarketSettings()
    journal: JournalSettings = JournalSettings()
    redis: RedisSettings = RedisSettings()
    feed: FeedSettings = FeedSettings()
    metrics: MetricsSettings = MetricsSettings()
    web: WebSettings = WebSettings()
    live: LiveSettings = LiveSettings()
    quantconnect: QuantConnectSettings = QuantConnectSettings()
    memory: MemorySettings = MemorySettings()
    learning: LearningSettings = LearningSettings()
    llm: LlmSettings = LlmSettings()
    news: NewsroomSettings = NewsroomSettings()
    notifications: NotificationsSettings = NotificationsSettings()
    risk: RiskSettings = RiskSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the loader hands over: it reads each layer by itself, to know where every value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def database_url(self) -> str:
        """The journal's URL: as configured, else SQLite in the data directory."""
        return self.journal.url or f"sqlite:///{self.bot.data_dir / 'arbiter.db'}"
