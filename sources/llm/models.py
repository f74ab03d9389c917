"""What is known of a model: its price and what it takes. Any name is accepted; nothing here is a list of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum


class Dialect(StrEnum):
    """Which protocol a provider speaks."""

    RESPONSES = "responses"
    MESSAGES = "messages"
    CHAT = "chat"


class Effort(StrEnum):
    """How long a model may think before it answers; the main dial of what an answer costs."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class Structured(StrEnum):
    """How a model is held to a schema: by the provider itself, by "some JSON" and words, or by words alone."""

    SCHEMA = "schema"
    OBJECT = "object"
    WORDS = "words"


@dataclass(frozen=True, slots=True)
class Rate:
    """USD for one million tokens. `cached` and the writes fall back to `input` where they have no price of their own."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """A rate, the rate of long prompts, and later ones. `long` holds for the whole request above `long_above` prompt tokens."""

    rate: Rate
    long: Rate | None = None
    long_above: int | None = None
    later: Mapping[date, Rate] = field(default_factory=dict)  # from that day on (UTC), for short prompts
    as_of: date | None = None
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model takes. The defaults are what is safe to send to a model that nobody has heard of.

    `efforts` empty: it is not known which efforts it takes, and any is sent; with `effort` False none ever is.
    """

    structured: Structured = Structured.SCHEMA
    sampling: bool = False
    effort: bool = True
    efforts: tuple[Effort, ...] = ()
    thinks_always: bool = False
    tools: bool = True
    context: int | None = None
    max_output: int | None = None
    cache_min_tokens: int | None = None
    cache_key: bool = False  # it takes a key that groups prompts with the same beginning

    def effort_for(self, wanted: Effort | None) -> Effort | None:
        """The effort to be sent: the wanted one, else the next lower that the model takes, else its lowest; None: send none."""
        if wanted is None or not self.effort or not self.efforts or wanted in self.efforts:
            return wanted if self.effort else None
        scale = list(Effort)
        taken = sorted(self.efforts, key=scale.index)
        lower = [effort for effort in taken if scale.index(effort) < scale.index(wanted)]
        return lower[-1] if lower else taken[0]

    def output_for(self, wanted: int) -> int:
        """How many tokens of output may be asked for."""
        return wanted if self.max_output is None else min(wanted, self.max_output)


@dataclass(frozen=True, slots=True)
class Model:
    """A model at a provider. Without a price it is not asked."""

    provider: str
    name: str
    price: Price | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)

    def __str__(self) -> str:
        """Provider and name, as logs and tables show them."""
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that a role may ask. Lower ranks come first; among equals of a rank `weight` shares the calls out.

    Equals without weights: the cheapest of those that answered well of late is asked.
    """

    model: Model
    rank: int = 0
    weight: float | None = None
    effort: Effort | None = None

    def __str__(self) -> str:
        """Provider and model, as logs and tables show them."""
        return str(self.model)
