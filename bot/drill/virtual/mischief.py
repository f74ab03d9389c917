"""Mischief: what of a schedule strikes the calls and the stream of an account, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.drill.virtual.schedule import Event, Fail, How, Omit, Op, Outage, Tell, Telling, Thing

_FailOrOmit = Fail | Omit


@dataclass(slots=True)
class _Left:
    """A fault and how often it may still strike."""

    fault: _FailOrOmit
    left: int


class Mischief:
    """Faults of one schedule by the clock `elapsed` (milliseconds since the run began). Once `over`, nothing fails any more."""

    def __init__(self, events: Sequence[Event], elapsed: Callable[[], int]) -> None:
        self._elapsed = elapsed
        self._left = [_Left(event, getattr(event, "count", 1)) for event in events if isinstance(event, Fail | Omit)]
        self._told = [event for event in events if isinstance(event, Tell)]
        self._outages = [event for event in events if isinstance(event, Outage)]
        self.over = False
        self.struck = 0
        self._missing = False

    def call(self, op: Op) -> How | None:
        """How this call fails, if it does; using that up."""
        if self.down:
            self.struck += 1
            return How.LOST_BEFORE
        for rule in self._active():
            fault = rule.fault
            if isinstance(fault, Fail) and fault.op in {Op.ANY, op}:
                rule.left -= 1
                self.struck += 1
                return fault.how
        return None

    def omits(self, thing: Thing) -> bool:
        """Whether this answer leaves such a thing out; using that up. A balance is never missing twice in a row."""
        if thing is Thing.BALANCE and self._missing:
            self._missing = False
            return False
        for rule in self._active():
            if isinstance(rule.fault, Omit) and rule.fault.thing is thing:
                rule.left -= 1
                self.struck += 1
                self._missing = thing is Thing.BALANCE or self._missing
                return True
        return False

    def telling(self) -> Telling | None:
        """What becomes of a message of the stream now."""
        now = self._elapsed()
        found = (fault.how for fault in self._told if fault.at <= now < fault.at + fault.lasting)
        return None if self.over else next((how for how in found if how is not Telling.DISCONNECT), None)

    @property
    def down(self) -> bool:
        """Whether the venue is out."""
        now = self._elapsed()
        return not self.over and any(outage.at <= now < outage.at + outage.lasting for outage in self._outages)

    def _active(self) -> list[_Left]:
        now = self._elapsed()
        if self.over:
            return []
        return [rule for rule in self._left if rule.left > 0 and rule.fault.at <= now < rule.fault.at + rule.fault.lasting]
