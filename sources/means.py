"""What sources that speak with a service outside need besides their configuration: who asks, and what all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sources.llm.hooks import News, Veto, Weight
    from sources.llm.leaks import Guard
    from sources.llm.minds import Minds
    from sources.quantconnect.budget import Budget
    from sources.quantconnect.settings import Credentials


@dataclass(frozen=True, slots=True)
class Means:
    """The means of one run: at QuantConnect who asks, and the request budget of all who do; language models, and own prompts.

    `minds` None: no language model can be asked. `prompts` is the folder of a person's own templates, `guard` knows the secrets
    that no prompt may hold, `weight` what each model's word counts; for `news` and `veto` see `sources.llm.hooks`.
    """

    quantconnect: Credentials
    budget: Budget | None = None
    minds: Minds | None = None
    prompts: Path | None = None
    guard: Guard | None = None
    weight: Weight | None = None
    news: News | None = None
    veto: Veto | None = None
