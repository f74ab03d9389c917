"""Chance: numbers that follow from a seed and from what they are for.

Each purpose has a row of its own, so that taking something out of a schedule does not shift the numbers of everything else.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from random import Random


class Chance:
    """Draws of one seed, by purpose and by how often that purpose has drawn."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn: Counter[str] = Counter()

    def draw(self, purpose: str) -> Random:
        """A fresh source of numbers for the next time of this purpose."""
        return Random(self._number(purpose))  # noqa: S311 - a drill, and no secret

    def between(self, purpose: str, least: float, most: float) -> float:
        """A number from `least` to `most`."""
        return least + (most - least) * self._number(purpose) / 2**64

    def _number(self, purpose: str) -> int:
        """64 bits that follow from the seed, the purpose, and how often it has drawn."""
        self._drawn[purpose] += 1
        text = f"{self._seed}:{purpose}:{self._drawn[purpose]}"
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
