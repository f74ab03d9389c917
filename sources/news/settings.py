"""What the configuration says of news: which feeds, how much each counts, and how often they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from bot.core.market import timeframe_ms
from sources.base import Strict
from sources.config import Duration
from sources.news.items import Kind

FeedId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,23}$")]
Ticker = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,10}$")]
_SHORTEST_MS = 60_000
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class NewsSettingsError(ValueError):
    """An address that news may not come from; the message names it and the remedy."""


class FeedSettings(Strict):
    """One feed. Its id is what prompts show as its source, so it is short and plain."""

    id: FeedId = Field(description="name of the feed in prompts and pages")
    url: str = Field(max_length=500, description="where it is: https, without a user or a password")
    format: Literal["feed", "json"] = Field(default="feed", description="feed: RSS or Atom | json: a forum's public listing")
    kind: Kind = Field(default=Kind.PRESS, description="press: an editor speaks | social: anybody may write there")
    weight: float = Field(default=1.0, gt=0, le=1, description="how much it counts beside others")
    group: FeedId | None = Field(default=None, description="whose voice it is; absent: that of its host. One group is one voice")
    symbols: tuple[Ticker, ...] = Field(default=(), max_length=20, description="base currencies that all of its items are about")
    every: Duration = Field(default="2m", description="time between two polls; at least 60s")

    @field_validator("url")
    @classmethod
    def _safe(cls, url: str) -> str:
        check_url(url)
        return url

    @field_validator("every")
    @classmethod
    def _polite(cls, every: str) -> str:
        if timeframe_ms(every) < _SHORTEST_MS:
            message = f"{every} is too often; give 60s or more"
            raise ValueError(message)
        return every

    @property
    def host(self) -> str:
        """The host that it is fetched from."""
        return (urlsplit(self.url).hostname or "").lower()

    @property
    def voice(self) -> str:
        """Who speaks: the group, or the last two parts of the host."""
        return self.group or ".".join(self.host.split(".")[-2:])

    @property
    def every_s(self) -> float:
        """Seconds between two polls."""
        return timeframe_ms(self.every) / 1000


class NewsSettings(Strict):
    """News. Only headlines come in by default; whatever comes in passes the same gate."""

    enabled: bool = Field(default=False, description="fetch news at all")
    feeds: tuple[FeedSettings, ...] = Field(default=(), max_length=50, description="the allow-list: nothing else is fetched")
    hosts: tuple[str, ...] = Field(default=(), max_length=50, description="further hosts that feeds may redirect to")
    summaries: bool = Field(default=False, description="take summaries in as well; off: headlines only")
    extraction: bool = Field(default=False, description="have a small model turn headlines into numbers; off: the lexicon does")
    titles: bool | None = Field(
        default=None, description="show titles to whoever decides; off: numbers alone. Absent: only without extraction"
    )
    window: Duration = Field(default="12h", description="older news are not shown")
    keep: int = Field(default=1000, ge=10, le=10_000, description="items that are remembered")
    names: Mapping[Ticker, tuple[str, ...]] = Field(
        default_factory=dict, description="further words by which a base currency is known, say TON: [toncoin]"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        ids = [feed.id for feed in self.feeds]
        if len(set(ids)) != len(ids):
            message = "two feeds have the same id; give each its own"
            raise ValueError(message)
        if self.enabled and not self.feeds:
            message = "news is enabled without feeds; list one, or set enabled: false"
            raise ValueError(message)
        return self

    @property
    def shows_titles(self) -> bool:
        """Whether words of others reach the prompt of a decision."""
        return not self.extraction if self.titles is None else self.titles

    @property
    def allowed(self) -> frozenset[str]:
        """Hosts that may be asked."""
        return frozenset({feed.host for feed in self.feeds} | {host.lower() for host in self.hosts})

    @property
    def window_ms(self) -> int:
        """How far back a decision sees."""
        return timeframe_ms(self.window)


def check_url(url: str) -> None:
    """`NewsSettingsError` for what is not fetched: other schemes than https (http only to this machine), and users."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if not host or parts.scheme not in {"http", "https"} or parts.username is not None or parts.password is not None:
        message = f"{parts.scheme}://{host}: give https://host/path, without a user"
        raise NewsSettingsError(message)
    if parts.scheme == "http" and host not in _LOOPBACK:
        message = f"http://{host} could be changed on its way: give https"
        raise NewsSettingsError(message)
