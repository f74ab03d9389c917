"""What a running bot may give a source of language models beside its configuration: all of it is optional.

Whoever makes these lives in other rooms; here are only their shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bot.core.decision import Decision


class Settled(Protocol):
    """What news came to: the decision that stands, whether the news lowered it, and a sentence."""

    @property
    def decision(self) -> Decision | None:
        """None is an abstention."""
        ...

    @property
    def vetoed(self) -> bool:
        """Whether the news lowered it."""
        ...

    @property
    def why(self) -> str:
        """In a sentence."""
        ...


Veto = Callable[[Decision | None, Decision | None, float], Settled]
"""(decision without news, decision with, what is held as 0..1 of the most that may be) -> what stands. Never more exposure."""

News = Callable[[str, int], Mapping[str, Any] | None]
"""(symbol, now in ms UTC) -> JSON with `items` that have an `id` each; None where there are none to be had."""

Weight = Callable[[str], float]
"""What a model's word counts in an ensemble (provider/model), by its calibration."""
