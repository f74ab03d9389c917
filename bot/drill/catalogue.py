"""Every drill there is, by name."""

from __future__ import annotations

from collections.abc import Sequence

from bot.drill import (
    trials_account,
    trials_answers,
    trials_journal,
    trials_kill,
    trials_limits,
    trials_market,
    trials_pairs,
    trials_random,
    trials_redis,
    trials_restarts,
    trials_stops,
    trials_switch,
    trials_updates,
)
from bot.drill.drill import Drill

DRILLS: tuple[Drill, ...] = (
    *trials_kill.DRILLS,
    *trials_restarts.DRILLS,
    *trials_answers.DRILLS,
    *trials_updates.DRILLS,
    *trials_market.DRILLS,
    *trials_limits.DRILLS,
    *trials_journal.DRILLS,
    *trials_redis.DRILLS,
    *trials_stops.DRILLS,
    *trials_pairs.DRILLS,
    *trials_account.DRILLS,
    *trials_switch.DRILLS,
)


class UnknownDrill(LookupError):  # noqa: N818 - it names what is wrong
    """There is no drill of that name."""


def chosen(names: Sequence[str] = (), seeds: int = 200) -> list[Drill]:
    """The drills of these names, in the order of the catalogue; all of them without a name. `UnknownDrill`.

    The randomised one, which keeps a core busy the longest, begins first and draws `seeds` schedules.
    """
    every = (trials_random.drill(seeds), *DRILLS)
    known = {drill.name for drill in every}
    for name in names:
        if name not in known:
            message = f"there is no drill {name!r}; `python -m bot drill --list` names them all"
            raise UnknownDrill(message)
    return [drill for drill in every if not names or drill.name in names]
