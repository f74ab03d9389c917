"""PHP's habits, done to an answer on its way out: each switchable, and mixed by a seed where its probability is below one."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

NAMES = ("empty_lists", "text_numbers", "text_insights", "capitals", "nulls", "numbered_maps", "other_dates")

_MAPS = frozenset(
    [
        "statistics",
        "runtimeStatistics",
        "parameterSet",
        "backtests",
        "libraries",
        "holdings",
        "cash",
        "rollingWindow",
        "charts",
        "series",
        "options",
    ]
)
_FRACTIONS = frozenset(["confidence", "magnitude", "weight", "reference", "referenceFinal", "estimatedValue", "scoreMagnitude"])
_CAPITALS = ("holdings", "charts", "runtimeStatistics", "symbol")
_LISTS = frozenset(("parameters", "libraries"))
_DATES = frozenset(["created", "modified", "launched", "stopped", "requested"])


@dataclass(slots=True)
class Quirks:
    """Probability of each habit, by its name; `counts` tells how often each was done.

    `empty_lists`: an empty map is a list. `text_numbers`: the figures of a performance are
    texts of four decimals, `text_insights`: those of insights. `capitals`: some keys begin with a
    capital, `symbol.id` is `Symbol.ID`. `nulls`: a field that nobody knows, and nothing where an empty list could be.
    `numbered_maps`: the parameters and libraries of a project are a map by number. `other_dates`: ISO for blank, blank for ISO.
    """

    seed: int = 0
    probability: dict[str, float] = field(default_factory=lambda: {"empty_lists": 1.0, "text_numbers": 1.0})
    counts: Counter[str] = field(default_factory=Counter)
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        unknown = set(self.probability) - set(NAMES)
        if unknown:
            message = f"{', '.join(sorted(unknown))}: there are the quirks {', '.join(NAMES)}"
            raise ValueError(message)
        self._dice = random.Random(self.seed)  # noqa: S311 - not a secret

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer as PHP would have it; the body given is not changed."""
        found = self._walk(body, "")
        assert isinstance(found, dict)
        if found.get("success") and self._happens("nulls"):
            found["liveResults"] = None
            if found.get("errors") == []:
                found["errors"] = None
        return found

    def _happens(self, name: str) -> bool:
        chance = self.probability.get(name, 0.0)
        if chance <= 0.0 or (chance < 1.0 and self._dice.random() >= chance):
            return False
        self.counts[name] += 1
        return True

    def _walk(self, node: Any, key: str) -> Any:
        if isinstance(node, dict):
            if not node:
                return [] if key in _MAPS and self._happens("empty_lists") else {}
            texts = key in ("portfolioStatistics", "tradeStatistics") and self._happens("text_numbers")
            if key == "symbol" and set(node) == {"value", "id", "permtick"} and self.probability.get("capitals"):
                return self._symbol(node)
            return {self._key(name): self._value(value, name, texts) for name, value in node.items()}
        if isinstance(node, list):
            rows = [self._walk(row, "") for row in node]
            if rows and key in _LISTS and self._happens("numbered_maps"):
                return {str(place): row for place, row in enumerate(rows)}
            return rows
        return node

    def _value(self, value: Any, name: str, texts: bool) -> Any:
        if isinstance(value, float) and (texts or (name in _FRACTIONS and self._happens("text_insights"))):
            return f"{value:.4f}".rstrip("0").rstrip(".")
        if isinstance(value, str) and name in _DATES and self._happens("other_dates"):
            return f"{value.replace(' ', 'T')}Z" if " " in value else value.replace("T", " ").removesuffix("Z")
        return self._walk(value, name)

    def _symbol(self, node: dict[str, Any]) -> dict[str, Any]:
        if not self._happens("capitals"):
            return dict(node)
        return {"Value": node["value"], "ID": node["id"], "Permtick": node["permtick"]}

    def _key(self, name: str) -> str:
        if name in _CAPITALS and name != "symbol" and self.probability.get("capitals") and self._happens("capitals"):
            return name[0].upper() + name[1:]
        return name
