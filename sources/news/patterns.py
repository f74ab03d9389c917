"""What an order to a machine looks like: the patterns of `patterns.yaml`, ready to be used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml


@dataclass(frozen=True, slots=True)
class Patterns:
    """Expressions by group, and phrases that are looked for in bare letters."""

    groups: Mapping[str, tuple[re.Pattern[str], ...]]
    squeezed: tuple[str, ...]

    def finds(self, group: str, text: str) -> bool:
        """Whether one of the group is in the text."""
        return any(pattern.search(text) for pattern in self.groups[group])


@lru_cache(maxsize=1)
def shipped() -> Patterns:
    """Those that come with the bot."""
    told = yaml.safe_load(files("sources.news").joinpath("patterns.yaml").read_text(encoding="utf-8"))
    words = {name: str(text) for name, text in told.pop("words").items()}
    squeezed = tuple(told.pop("squeezed").split())
    return Patterns(
        {group: tuple(_compiled(line, words) for line in text.splitlines()) for group, text in told.items()}, squeezed
    )


def _compiled(line: str, words: Mapping[str, str]) -> re.Pattern[str]:
    for _ in range(2):  # a word may be made of words
        line = re.sub("«([a-z]+)»", lambda found: words[found[1]], line)
    return re.compile(unicodedata.normalize("NFKC", line))
