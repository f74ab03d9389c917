"""Several who have a say on a decision, one after the other."""

from __future__ import annotations

from bot.core.decision import Decision
from bot.runtime.hosting import Adjust


def chained(*adjusts: Adjust | None) -> Adjust | None:
    """One hook of them all, in their order; None if there is none. Calibration comes first: the memory reads what it leaves.

    What any of them raises is raised: the port then takes the decision as it came.
    """
    there = [each for each in adjusts if each is not None]
    if not there:
        return None

    def adjust(decision: Decision) -> Decision:
        for each in there:
            decision = each(decision)
        return decision

    return adjust
