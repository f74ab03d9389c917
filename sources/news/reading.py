"""Taking feeds apart: RSS and Atom through feedparser, and the public JSON of forums. Pure, and slow enough for a thread."""

from __future__ import annotations

import calendar
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from sources.news.items import Raw

MOST_ENTRIES = 200  # of one answer; feeds hold 10 to 50
_MOST_TAGS, _MOST_ITEMS = 50_000, 1_000
_LONGEST = 8_000  # characters of a text that are taken over
_LISTS = (
    ("data", "children"),
    ("topic_list", "topics"),
    ("items",),
    ("posts",),
    ("hits",),
    ("results",),
    ("stories",),
    ("articles",),
)
_IDS = ("id", "name", "objectID", "guid", "url", "slug")
_TITLES = ("title", "headline", "story_title", "name")
_TEXTS = ("summary", "selftext", "excerpt", "content_text", "description", "text")
_DATES = ("created_utc", "published_at", "date_published", "created_at", "created_at_i", "published", "pubDate", "time")
_EARLIEST_MS = 1_230_768_000_000  # 2009: before there was anything to write about


class UnreadableFeed(ValueError):  # noqa: N818 - it is what the feed is
    """What came is no feed; the message says what it is, never what it says."""


def read_feed(body: bytes) -> tuple[Raw, ...]:
    """The entries of RSS or Atom, as they come; `UnreadableFeed` where there is neither."""
    import feedparser  # type: ignore[import-untyped]  # noqa: PLC0415 - heavy

    if b"<!ENTITY" in body:
        message = "XML that defines entities of its own"
        raise UnreadableFeed(message)
    if body.count(b"<") > _MOST_TAGS or body.count(b"<item") + body.count(b"<entry") > _MOST_ITEMS:
        message = "more tags or items than any feed has"  # a parser would be busy for seconds
        raise UnreadableFeed(message)
    # Its own clean-up of markup is the gate's, which trusts nobody's; and no address in the body is ever opened.
    # As a stream: it takes bytes for the name of a file, and opens it, where there is one of that name.
    parsed = feedparser.parse(io.BytesIO(body), resolve_relative_uris=False, sanitize_html=False)
    if not parsed.get("version"):
        problem = parsed.get("bozo_exception")
        message = f"neither RSS nor Atom ({type(problem).__name__ if problem else 'another document'})"
        raise UnreadableFeed(message)
    return tuple(filter(None, (_entry(entry) for entry in parsed.entries[:MOST_ENTRIES])))


def read_posts(body: bytes) -> tuple[Raw, ...]:
    """The posts of a forum's listing (Reddit, Discourse, JSON Feed and their like); `UnreadableFeed` where there is none."""
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = "no JSON"
        raise UnreadableFeed(message) from error
    rows = _listed(told)
    if rows is None:
        message = "JSON without a list of posts"
        raise UnreadableFeed(message)
    return tuple(filter(None, (_post(row) for row in rows[:MOST_ENTRIES] if isinstance(row, Mapping))))


def _entry(entry: Mapping[str, Any]) -> Raw | None:
    title = _text(entry.get("title"))
    if not title:
        return None
    moment = entry.get("published_parsed") or entry.get("updated_parsed")
    try:
        published = None if moment is None else calendar.timegm(moment) * 1000
    except (TypeError, ValueError, OverflowError):
        published = None
    return Raw(_id(entry.get("id") or entry.get("link"), title), title, _text(entry.get("summary")), published)


def _listed(told: Any) -> Sequence[Any] | None:
    if isinstance(told, list):
        return told
    for path in _LISTS:
        node = told
        for part in path:
            node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, list):
            return node
    return None


def _post(row: Mapping[str, Any]) -> Raw | None:
    inner = row.get("data")
    row = inner if isinstance(inner, Mapping) else row
    title = next(_texts(row, _TITLES), "")
    if not title:
        return None
    given = next((row[name] for name in _IDS if isinstance(row.get(name), str | int)), None)
    return Raw(
        _id(given, title), title, next(_texts(row, _TEXTS), ""), next(filter(None, (_ms(row.get(name)) for name in _DATES)), None)
    )


def _texts(row: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    return filter(None, (_text(row.get(name)) for name in names))


def _text(value: Any) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def _id(given: Any, title: str) -> str:
    """The feed's own id, hashed: it is a stranger's text, too."""
    return hashlib.sha256(str(given if given else title)[:_LONGEST].encode(errors="replace")).hexdigest()[:24]


def _ms(value: Any) -> int | None:
    """Milliseconds of seconds, milliseconds or an ISO date."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value if value > 1e11 else value * 1000) if 0 < value < 1e14 else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value[:40])
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def plausible(published: int | None, seen: int) -> int | None:
    """The publisher's date where it can be true: not before there was crypto, nor after it was seen."""
    return published if published is not None and _EARLIEST_MS <= published <= seen else None
