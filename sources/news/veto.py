"""News may lower what would be held, and never raise it.

Two decisions are compared by the exposure they aim at, one made without news and one with. Whatever the news adds to the first is
refused, whoever wrote it and however well; a sell that the news talked out of counts as raised. So the worst that a poisoned
headline can do is to keep the bot out of a trade, or to take it out of one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from bot.core.decision import Action, Decision

_SAME = 1e-9


class Settled(NamedTuple):
    """What to propose, None to abstain. `vetoed`: the news lowered it; `why` is a sentence, also for what was refused."""

    decision: Decision | None
    vetoed: bool
    why: str


def settle(without: Decision | None, with_: Decision | None, exposure: float) -> Settled:
    """The decision that stands of the one made without news and the one made with.

    `exposure` is what is held now, in the unit of the decisions: of the desk's own size, or where they name a `target`, of the
    source's capital. None is an abstention, which like a HOLD leaves what is held. What is malformed with news is refused.
    """
    base = target_exposure(without, exposure)
    if with_ is None:
        return Settled(without, False, "there is no decision with news: the one without stands")
    if without is not None and (with_.symbol, with_.source) != (without.symbol, without.source):
        return Settled(without, False, "the decision with news is about something else: refused")
    if without is not None and with_.action is Action.BUY is without.action and _in_capital(with_) is not _in_capital(without):
        return Settled(without, False, "the decision with news is sized by another measure: refused")
    wanted = target_exposure(with_, exposure)
    if not (math.isfinite(wanted) and math.isfinite(base) and 0 <= with_.confidence <= 1):
        return Settled(without, False, "an exposure or a confidence is no sound number: the news was not heard")
    if wanted > base + _SAME:
        return Settled(without, False, f"the news would raise exposure from {base:.3g} to {wanted:.3g}: refused")
    if wanted >= base - _SAME:
        return Settled(without, False, "the news changes nothing")
    return Settled(_lowered(without, with_, wanted), True, f"the news lowers exposure from {base:.3g} to {wanted:.3g}")


def target_exposure(decision: Decision | None, exposure: float) -> float:
    """What would be held if the decision were carried out; a buy never sells, a sell never buys. NaN for absurd sizes."""
    if decision is None or decision.action is Action.HOLD:
        return exposure
    if decision.action is Action.BUY:
        size = decision.size_fraction if decision.target is None else decision.target
        size = 1.0 if size is None else size
        return max(exposure, size) if 0 < size <= 1 else math.nan
    left = 0.0 if decision.target is None else decision.target
    return min(exposure, left) if 0 <= left <= 1 else math.nan


def _in_capital(decision: Decision) -> bool:
    return decision.target is not None


def _lowered(without: Decision | None, with_: Decision, wanted: float) -> Decision:
    """Only the size is the news's; stops, expiry and all else of a buy stay those of the decision without it.

    Nothing that was written with news in sight may loosen a protection or live longer.
    """
    if without is not None and with_.action is Action.BUY is without.action:
        sized = {"target": wanted} if without.target is not None else {"size_fraction": wanted}
        return replace(without, confidence=min(without.confidence, with_.confidence), **sized)  # type: ignore[arg-type]
    expires = with_.expires if without is None else min(without.expires, with_.expires)
    return replace(with_, stop_loss=None, take_profit=None, trailing=None, expires=expires)
