"""The section `news` of bot.yaml."""

from __future__ import annotations

from pydantic import Field

from sources.news.settings import FeedSettings, NewsSettings

_FEEDS = (
    FeedSettings(id="coindesk", url="https://www.coindesk.com/arc/outboundfeeds/rss/"),
    FeedSettings(id="cointelegraph", url="https://cointelegraph.com/rss"),
)


class NewsroomSettings(NewsSettings):
    """News for language models. They may lower what is held, never raise it (`news: veto` of a source)."""

    feeds: tuple[FeedSettings, ...] = Field(default=_FEEDS, max_length=50, description="the allow-list: nothing else is fetched")
