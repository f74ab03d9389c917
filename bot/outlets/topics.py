"""What a notice is about. The desk says how loud a notice is and what happened; its subject is told by its title, here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from bot.core.effects import Notify


class Topic(StrEnum):
    """What notices are about."""

    FILLS = "fills"
    STOPS = "stops"
    DENIALS = "denials"
    TRADING = "trading"
    ORDERS = "orders"
    SOURCES = "sources"
    FEEDS = "feeds"
    ACCOUNT = "account"
    BUDGET = "budget"
    ERRORS = "errors"
    OTHER = "other"


_BY_TITLE: Mapping[str, Topic] = MappingProxyType(
    {
        "Trading is": Topic.TRADING,
        "The bot has ended": Topic.TRADING,
        "Losses hold entries back": Topic.DENIALS,
        "No stop rests at the venue": Topic.STOPS,
        "An exit was": Topic.STOPS,
        "A remainder is too small to sell": Topic.STOPS,
        "A fill": Topic.ORDERS,
        "An order": Topic.ORDERS,
        "Broker updates pile up": Topic.ORDERS,
        "The broker": Topic.ORDERS,
        "The journal": Topic.ERRORS,
        "A source was refused": Topic.SOURCES,
        "LLM:": Topic.SOURCES,
        "A symbol was refused": Topic.FEEDS,
        "The account": Topic.ACCOUNT,
        "The venue": Topic.ACCOUNT,
    }
)


def topic_of(notice: Notify) -> Topic:
    """The subject of a notice of the desk or of a room around it."""
    title = notice.title
    if title.endswith("of an LLM budget is spent"):
        return Topic.BUDGET
    return next((topic for begins, topic in _BY_TITLE.items() if title.startswith(begins)), Topic.OTHER)
