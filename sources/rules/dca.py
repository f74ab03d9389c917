"""Dollar-cost averaging: buy the same part at every slot of a schedule, whatever the price.

It has no opinion of the market, so its confidence is what the configuration says. Its source is marked `adds: true`: each buy
adds to the position.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bot.core.decision import Action
from bot.core.indicators import Previous
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict
from sources.schedule import Schedule


class DcaParams(Strict):
    """When to buy, and what part of the desk's own size."""

    schedule: Schedule = Schedule(every="1d")
    size: float = Field(default=0.05, gt=0, le=1, description="fraction of the desk's own size that each buy takes")
    confidence: float = Field(default=0.5, ge=0, le=1)

    def proposal(self, slot: int) -> Proposal:
        """The buy of a slot."""
        return Proposal(Action.BUY, self.confidence, "scheduled buy", {"slot": slot}, size_fraction=self.size, slot=slot)


class Dca(Rule):
    """Fires with the first candle that is known at or after a slot; of slots without a candle between them, the last counts."""

    Params: ClassVar[type[Strict]] = DcaParams

    def __init__(self, params: DcaParams) -> None:
        self.params = params
        self.due = Previous()

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose when a slot has come."""
        now = candle.at
        due = self.due.value
        if due is None:
            self.due.update(self.params.schedule.next_after(now - 1))
            due = self.due.value
        if due is None or now < due:
            return None
        self.due.update(self.params.schedule.next_after(now))
        return self.params.proposal(self.params.schedule.latest(int(due), now))
