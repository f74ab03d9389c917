"""What sources that speak with a service outside need besides their configuration: who asks, and what all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sources.quantconnect.budget import Budget
    from sources.quantconnect.settings import Credentials


@dataclass(frozen=True, slots=True)
class Means:
    """The means of one run: at QuantConnect who asks, and the request budget of all who do."""

    quantconnect: Credentials
    budget: Budget | None = None
