"""The section `notifications` of bot.yaml: who is told of what, how loud it must be, and how often."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from bot.core.effects import Severity
from bot.outlets.topics import Topic
from bot.secrets import PREFIX
from bot.settings.kinds import Count, Strict, Wait


def _secret_name(given: object) -> object:
    """The name by itself: people copy the variable's, with its prefix."""
    return given.strip().upper().removeprefix(PREFIX) if isinstance(given, str) else given


def _topics(given: object) -> object:
    """A list, one written with commas, or the word all."""
    if isinstance(given, str):
        words = tuple(part.strip() for part in given.strip("[] ").split(",") if part.strip())
        return () if words == ("all",) else words
    return given


ChannelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
SecretName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,63}$"), BeforeValidator(_secret_name)]
Attempts = Annotated[int, Field(ge=1, le=20)]


class ChannelSettings(Strict):
    """One way to reach a person. Its address holds a token, so it is a secret and stands here by its name only."""

    url_secret: SecretName = Field(description="name of the secret that holds the address, as apprise writes it: tgram://...")
    severity: Severity = Field(Severity.WARNING, description="info | warning | critical: what is less loud is not told here")
    topics: Annotated[tuple[Topic, ...], NoDecode, BeforeValidator(_topics)] = Field(
        (), description="what it is told about; empty: everything"
    )
    digest: Wait | None = Field(
        None, description="what is not critical is collected this long and told in one message (duration); null: told at once"
    )
    enabled: bool = Field(True, description="false: nothing is told here")


class TopicSettings(Strict):
    """What anybody is told about at all."""

    fills: bool = Field(True, description="orders that traded, once each is over")
    stops: bool = Field(True, description="stops, targets and trailing stops that were filled, exits that do not succeed")
    denials: bool = Field(True, description="what risk refused, counted over `denials_every`; loss limits in force")
    trading: bool = Field(True, description="kill switch, reducing, trading again, an end by an error")
    orders: bool = Field(True, description="orders and fills that are not as they should be")
    sources: bool = Field(True, description="sources and models that are degraded, and that are well again")
    feeds: bool = Field(True, description="market data that stalls, and that flows again")
    account: bool = Field(True, description="differences between account and books, a venue that does not answer")
    budget: bool = Field(True, description="50, 80 and 100 % of an LLM budget")
    errors: bool = Field(True, description="bursts of errors in the log, tasks that fail, a journal that cannot be written")
    other: bool = Field(True, description="the rest")

    def admits(self, topic: Topic) -> bool:
        """Whether this is told at all."""
        return bool(getattr(self, topic.value))


class NotificationsSettings(Strict):
    """Whom the bot tells what happens."""

    channels: dict[ChannelName, ChannelSettings] = Field(
        default_factory=dict, description="by name: url_secret, severity, topics, digest, enabled"
    )
    topics: TopicSettings = Field(TopicSettings(), description="false: nobody is told of it")
    timeout: Wait = Field(10_000, description="a service that has not answered by then has failed (duration)")
    attempts: Attempts = Field(
        10, description="how often a message is tried, ever more rarely; a critical one 20 times at least (count)"
    )
    per_minute: Count = Field(20, description="messages of a channel in a minute; more are told together in one")
    queue: Count = Field(200, description="messages of a channel that may wait; the oldest beyond are dropped and counted")
    keep: Count = Field(5_000, description="newest rows of the delivery log that are kept (count)")
    denials_every: Wait = Field(300_000, description="denials are counted this long and told in one notice (duration)")
    errors: Count = Field(10, description="so many errors in the log within `errors_within` are a burst (count)")
    errors_within: Wait = Field(60_000, description="see `errors` (duration)")
