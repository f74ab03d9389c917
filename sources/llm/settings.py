"""What the configuration says of LLMs: who they are, who is asked for what, and for how long.

Keys are never here, only the names of the secrets that hold them.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from bot.core.market import timeframe_ms
from sources.base import Strict
from sources.config import Amount, Duration
from sources.llm.asking import Role
from sources.llm.models import Dialect, Effort, Price, Rate, Structured

ProviderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=32)]
SecretName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,63}$")]
ModelName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]


class PriceSettings(Strict):
    """USD for one million tokens; goes before the shipped table. What is absent costs as input does."""

    input: Amount = Field(ge=0, le=10_000, description="USD per million tokens of the prompt")
    output: Amount = Field(ge=0, le=10_000, description="USD per million tokens of the answer, thoughts included")
    cached: Amount | None = Field(default=None, ge=0, le=10_000, description="of the prompt, read from the cache")
    cache_write: Amount | None = Field(default=None, ge=0, le=10_000, description="of the prompt, written to the cache")
    cache_write_1h: Amount | None = Field(default=None, ge=0, le=10_000, description="the same, kept for an hour")

    @property
    def price(self) -> Price:
        """As the bot counts it."""
        return Price(Rate(self.input, self.output, self.cached, self.cache_write, self.cache_write_1h))


class ProviderSettings(Strict):
    """One who answers. `key` is the name of a secret, null where the server wants none."""

    dialect: Dialect = Field(description="responses: OpenAI, Grok | messages: Anthropic | chat: Gemini and compatible servers")
    base_url: str = Field(description="where its interface is, as its SDK wants it")
    key: SecretName | None = Field(default=None, description="NAME of the secret that holds the key")
    timeout: Duration = Field(default="60s", description="no call has longer, whatever its deadline")
    trust_env: bool | None = Field(
        default=None, description="use proxies of the environment; absent: unless it is on this machine"
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        url = urlsplit(self.base_url)
        if url.scheme not in {"http", "https"} or not url.hostname or url.username or url.query or url.fragment:
            message = f"base_url {url.scheme}://{url.hostname}: give http(s)://host[:port]/path and nothing else"
            raise ValueError(message)
        if url.scheme == "http" and self.key is not None and not is_loopback(url.hostname):
            message = f"base_url http://{url.hostname}: a key goes out over https only, or to this machine"
            raise ValueError(message)
        return self

    @property
    def timeout_s(self) -> float:
        """Seconds."""
        return timeframe_ms(self.timeout) / 1000


class CandidateSettings(Strict):
    """A model that a role may ask. What is absent of its capabilities is that of the shipped table, else a careful guess."""

    provider: ProviderName
    model: ModelName = Field(description="any name that the provider knows")
    rank: int | None = Field(default=None, ge=0, le=100, description="lower is asked first; absent: its place in the list")
    weight: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        allow_inf_nan=False,
        description="share of the calls among equal ranks; absent: the cheapest that does well",
    )
    effort: Effort | None = Field(default=None, description="how long it may think")
    price: PriceSettings | None = Field(default=None, description="goes before the shipped table; a model without is not asked")
    structured: Structured | None = Field(default=None, description="schema | object | words: how it is held to a schema")
    sampling: bool | None = Field(default=None, description="it takes a temperature")
    takes_effort: bool | None = Field(default=None, description="false: no effort is sent")
    tools: bool | None = Field(default=None, description="it can use tools")
    max_output: int | None = Field(default=None, ge=1, le=10_000_000, description="most tokens of output")


class DeadlineSettings(Strict):
    """How long a role waits."""

    total: Duration = Field(default="20s", description="for the whole chain of candidates")
    first: Duration = Field(default="12s", description="for each of them while another one is left")

    @model_validator(mode="after")
    def _within(self) -> Self:
        if timeframe_ms(self.first) > timeframe_ms(self.total):
            message = f"first = {self.first} is longer than total = {self.total}; it must fit in"
            raise ValueError(message)
        return self


class BreakerSettings(Strict):
    """When a model is left alone."""

    failures: int = Field(default=3, ge=1, le=100, description="failures in a row that open it")
    open: Duration = Field(default="30s", description="for so long; twice as long after each failed probe")
    longest: Duration = Field(default="15m", description="but never longer, also where the provider asks for more")


class RestSettings(Strict):
    """When a role stops asking."""

    failures: int = Field(default=3, ge=1, le=100, description="calls in a row that nobody answered")
    rest: Duration = Field(default="1m", description="for so long; twice as long each time")
    longest: Duration = Field(default="15m", description="but never longer")


def _well_known() -> dict[str, ProviderSettings]:
    rows = {
        "openai": (Dialect.RESPONSES, "https://api.openai.com/v1", "OPENAI_API_KEY"),
        "anthropic": (Dialect.MESSAGES, "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
        "gemini": (Dialect.CHAT, "https://generativelanguage.googleapis.com/v1beta/openai/", "GEMINI_API_KEY"),
        "xai": (Dialect.RESPONSES, "https://api.x.ai/v1", "XAI_API_KEY"),
    }
    return {name: ProviderSettings(dialect=dialect, base_url=url, key=key) for name, (dialect, url, key) in rows.items()}


class AccessSettings(Strict):
    """Who answers, and who is asked for what. A role without candidates of its own asks those of `decision`."""

    providers: dict[ProviderName, ProviderSettings] = Field(
        default_factory=_well_known, description="added to openai, anthropic, gemini and xai, or in the place of one of them"
    )
    roles: dict[Role, tuple[CandidateSettings, ...]] = Field(
        default_factory=dict, description="candidates of decision, chat, analysis and copilot, the first choice first"
    )
    deadlines: dict[Role, DeadlineSettings] = Field(default_factory=dict, description="how long each role waits")
    breaker: BreakerSettings = BreakerSettings()
    rest: RestSettings = RestSettings()

    @field_validator("providers")
    @classmethod
    def _added(cls, providers: dict[str, ProviderSettings]) -> dict[str, ProviderSettings]:
        return _well_known() | providers

    @model_validator(mode="after")
    def _known(self) -> Self:
        for role, candidates in self.roles.items():
            for candidate in candidates:
                if candidate.provider not in self.providers:
                    known = ", ".join(sorted(self.providers))
                    message = f"roles.{role}: provider {candidate.provider!r} is none of {known}; add it to providers"
                    raise ValueError(message)
            pairs = [(candidate.provider, candidate.model) for candidate in candidates]
            if len(set(pairs)) != len(pairs):
                message = f"roles.{role}: a model is listed twice; list it once"
                raise ValueError(message)
        return self

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the providers that some role asks."""
        return tuple(sorted({candidate.provider for each in self.roles.values() for candidate in each}))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
