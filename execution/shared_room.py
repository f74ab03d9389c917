"""What a bot may use of a window that it shares: its leases while the others can be asked, its fair share while they cannot.

Plain arithmetic; the time is an argument, in ms of the bot's own clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.values import value
from execution.shared_window import Answer, Sharing
from execution.turns import BudgetRules, Lane, Turns, Window

_LANES = tuple(Lane)
_EPSILON = 1e-9


@dataclass(slots=True)
class Lease:
    """Weight granted to a lane, of which `left` may be used before `until`."""

    id: str
    lane: Lane
    left: float
    until: int


@value
class Want:
    """What to ask for next, and for which lane."""

    lane: Lane
    least: float
    wanted: float


class SharedRoom:
    """The leases of a bot, and what it knows of the window beside them."""

    def __init__(self, rules: BudgetRules, sharing: Sharing) -> None:
        self._rules = rules
        self._sharing = sharing
        self._leases: list[Lease] = []
        self._own = Window(rules.window_ms)  # what this bot used
        self._all = Window(rules.window_ms)  # what is known of everybody's use, ours included
        self._alone = 0.0  # of it, what the others have not been told
        self._cautious_until: int | None = None
        self.local = True
        self.fair_share = rules.capacity * sharing.first_share
        self.members = 0

    def limit(self, lane: Lane) -> float:
        """Up to where the whole window may be filled by a lane."""
        return self._rules.capacity * self._rules.shares[lane]

    def used(self, now: int) -> float:
        """What is known to be used by everybody."""
        return self._all.used(now)

    def untold(self, now: int) -> tuple[float, float]:
        """What this bot used and has not told the others, and all that it used."""
        own = self._own.used(now)
        return min(self._alone, own), own

    def cap(self, now: int) -> float | None:
        """What this bot must not go above; None, once every other has had the time to be heard of."""
        return self.fair_share if self._cautious_until is None or now < self._cautious_until else None

    def leased(self, now: int, lane: Lane) -> float:
        """What a lane may use: its own leases, and those of the lanes after it."""
        return sum(lease.left for lease in self._open(now, lane))

    def fits_at(self, now: int, weight: float, lane: Lane) -> int | None:
        """Now, if there is room; else when to look again; None if never."""
        if not self.local:
            if weight > self.limit(lane):
                return None
            return now if weight <= self.leased(now, lane) + _EPSILON else now + self._sharing.denied_ms
        ours = self._own.fits_at(now, weight, self.fair_share * self._rules.shares[lane])
        theirs = self._all.fits_at(now, weight, self.limit(lane))
        return None if ours is None or theirs is None else max(ours, theirs)

    def add(self, now: int, weight: float, lane: Lane) -> None:
        """Use room that is there."""
        self._own.add(now, weight)
        self._all.add(now, weight)
        if self.local:
            self._alone += weight
        else:
            for lease in self._open(now, lane):
                part = min(lease.left, weight)
                lease.left -= part
                weight -= part

    def correct(self, now: int, used: float) -> bool:
        """Learn that everybody used at least so much; whether that was news."""
        return self._all.correct(now, used) > 0

    def want(self, now: int, turns: Turns) -> Want | None:
        """What is lacking most: for the best lane that waits, else to keep a little ready for an order."""
        chunk = self.fair_share * self._sharing.chunk
        for lane in _LANES:
            head, waiting = turns.demand(lane)
            if head:
                ready = self.leased(now, lane)
                if ready + _EPSILON < waiting:
                    return Want(lane, max(0.0, head - ready), waiting - ready + chunk)
                break
        ready = sum(lease.left for lease in self._open(now + 2 * self._sharing.beat_ms, Lane.ORDERS))
        return Want(Lane.ORDERS, 0.0, chunk - ready) if 2 * ready < chunk else None

    def hand_back(self, now: int) -> list[tuple[str, float]]:
        """Leases that are used up or about to lapse, with what is left of them. They are no longer ours."""
        over = [lease for lease in self._leases if lease.left <= _EPSILON or lease.until <= now + self._sharing.beat_ms]
        self._leases = [lease for lease in self._leases if lease not in over]
        return [(lease.id, max(0.0, lease.left)) for lease in over]

    def hand_back_all(self) -> list[tuple[str, float]]:
        """Every lease, at the end."""
        leases, self._leases = self._leases, []
        return [(lease.id, lease.left) for lease in leases]

    def learn(self, asked_at: int, now: int, answer: Answer, want: Want | None, told: float) -> None:
        """Take what the window said; a lease is ours for as long as the server holds it, counted from before it was asked.

        After Redis was away the first to be back seems to be the only one: until the others must be there too, the share can only
        get smaller.
        """
        if self._cautious_until is None:
            self._cautious_until = now + self._sharing.member_ms
        fair = self._rules.capacity / answer.members
        self.fair_share = fair if now >= self._cautious_until else min(self.fair_share, fair)
        self.members = answer.members
        self.local = False
        self._alone = max(0.0, self._alone - told)
        self._all.correct(now, answer.total)
        if want is not None and answer.granted:
            self._leases.append(Lease(answer.lease, want.lane, answer.granted, asked_at + self._sharing.lease_ms))

    def go_local(self) -> None:
        """Nobody can be asked: keep to the fair share last known. The leases lapse on the server, used or not."""
        self.local = True
        self._cautious_until = None
        self._leases.clear()

    def _open(self, now: int, lane: Lane) -> list[Lease]:
        """The leases that a lane may use, its own first."""
        lanes = _LANES[_LANES.index(lane) :]
        return [lease for each in lanes for lease in self._leases if lease.lane is each and lease.until > now]
