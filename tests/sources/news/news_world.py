"""Items, feeds and corpora for tests of news."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sources.news.archive import Archive
from sources.news.gate import Gate
from sources.news.items import Item, Kind, Raw
from sources.news.lexicon import Lexicon
from sources.news.settings import FeedSettings

NOW = 1_795_000_000_000
HOUR = 3_600_000
ROOM = Path(__file__).parent
LEXICON = Lexicon()


def attacks() -> list[dict[str, Any]]:
    """The attack corpus."""
    cases: list[dict[str, Any]] = _read("attacks.yaml")
    return cases


def headlines() -> list[tuple[str, str, str, list[str]]]:
    """Headlines that must pass: title, mood, event, symbols."""
    return [(title, mood, event, symbols) for title, mood, event, symbols in _read("headlines.yaml")]


def _read(name: str) -> Any:
    return yaml.safe_load((ROOM / name).read_text(encoding="utf-8"))


def a_feed(id_: str = "wire", **more: Any) -> FeedSettings:
    """A feed of a host of its own."""
    return FeedSettings.model_validate({"id": id_, "url": f"https://{id_}.example/rss", **more})


def an_archive(*, keep: int = 100, summaries: bool = False) -> Archive:
    """An empty archive."""
    return Archive(keep, LEXICON, Gate(summaries))


def an_item(title: str, source: str = "wire", at: int = NOW, **more: Any) -> Item:
    """An item as if it had passed the gate, whatever it says."""
    item = Item(f"{source}-{title}", source, source, Kind.PRESS, 1.0, title, "", at, None, LEXICON.read(title))
    return replace(item, **more)


def a_raw(title: str, id_: str = "", **more: Any) -> Raw:
    """An entry of a feed."""
    return Raw(id_ or title, title, **more)
