"""One turn: an input goes into the desk, its effects are performed, and the inputs that this gave at once go in next.

The very same cycle runs live, on paper, in a backtest and in tests; only who performs the effects differs. It is synchronous
and is called by one task, so nothing overtakes anything. The tape is written once nothing waits any more, in the order of the
turns: an order does not wait until its cause is encoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bot.core.desk import TradingDesk
from bot.core.effects import CancelOrder, Effect, Notify, Publish, Record, SetTimer, StoreIntent, SubmitOrder, SubmitPair
from bot.core.inputs import Input


class Tape(Protocol):
    """Keeps every input and what the desk answered, for replay."""

    def input(self, event: Input) -> int:
        """Keep an input that was handled; its number. Must not wait."""
        ...

    def effects(self, n: int, returned: Sequence[Effect]) -> None:
        """Keep what the desk returned for input `n`. Must not wait."""
        ...


class Performer(Protocol):
    """Does what the desk asks. What the world answers at once comes back through the cycle's `turn`."""

    def store(self, effect: StoreIntent) -> None:
        """Store an order's intent durably."""
        ...

    def submit(self, effect: SubmitOrder) -> None:
        """Send an order."""
        ...

    def submit_pair(self, effect: SubmitPair) -> None:
        """Send two orders of which one cancels the other."""
        ...

    def cancel(self, effect: CancelOrder) -> None:
        """Cancel an order."""
        ...

    def record(self, effect: Record) -> None:
        """Journal and publish a fact."""
        ...

    def publish(self, effect: Publish) -> None:
        """Publish a fact."""
        ...

    def notify(self, effect: Notify) -> None:
        """Tell the person."""
        ...

    def timer(self, effect: SetTimer) -> None:
        """Wake the desk later."""
        ...


class Cycle:
    """Turns inputs into performed effects, one at a time, first come first served."""

    def __init__(self, desk: TradingDesk, performer: Performer, tape: Tape | None = None) -> None:
        self.desk = desk
        self.tape = tape
        self.turns = 0
        self._waiting: deque[Input] = deque()
        self._turning = False
        self._untaped: list[tuple[Input, Sequence[Effect]]] = []
        self._performers: Mapping[type, Callable[[Any], None]] = {
            StoreIntent: performer.store,
            SubmitOrder: performer.submit,
            SubmitPair: performer.submit_pair,
            CancelOrder: performer.cancel,
            Record: performer.record,
            Publish: performer.publish,
            Notify: performer.notify,
            SetTimer: performer.timer,
        }

    def turn(self, event: Input) -> None:
        """Handle an input and everything it causes at once. Called while turning, it takes its place in the line."""
        if self._turning:
            self._waiting.append(event)
            return
        self._turning = True
        try:
            waiting, desk, performers = self._waiting, self.desk, self._performers
            untaped = None if self.tape is None else self._untaped
            while True:
                try:
                    effects = desk.handle(event)
                except BaseException:
                    if untaped is not None:
                        untaped.append((event, ()))  # the input that broke the desk is the one that replay needs most
                    raise
                self.turns += 1
                if untaped is not None:
                    untaped.append((event, effects))
                for effect in effects:
                    performers[effect.__class__](effect)
                if not waiting:
                    break
                event = waiting.popleft()
        finally:
            self._turning = False
            if self.tape is not None:
                self._write(self.tape)

    def perform(self, effects: Sequence[Effect]) -> None:
        """Perform the effects of an input that was handled outside, and all that follows: for a backtest, which tapes nothing."""
        performers, waiting, handle = self._performers, self._waiting, self.desk.handle
        self._turning = True
        try:
            while True:
                for effect in effects:
                    performers[effect.__class__](effect)
                if not waiting:
                    return
                effects = handle(waiting.popleft())
                self.turns += 1
        finally:
            self._turning = False

    def _write(self, tape: Tape) -> None:
        """Put on the tape what was turned since the last time."""
        untaped, self._untaped = self._untaped, []
        for event, effects in untaped:
            number = tape.input(event)
            if effects:
                tape.effects(number, effects)
