"""What a client allows itself: how many requests, how long, how often again, and how large an answer may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a client; times are seconds, sizes bytes. `ValueError` for those that make no sense.

    The service publishes no request rate: `requests` in any `window_s`, at most `burst` of them at once, is a careful guess. A
    call has `call_s` for everything, waiting and repeating included, and each of its attempts `attempt_s`. The pause before the
    next try doubles from `pause_s` to `longest_pause_s`; a random part of each, up to the fraction `jitter`, is left out.
    """

    requests: int = 30
    window_s: float = 60.0
    burst: int = 5
    concurrent: int = 2
    waiting: int = 100  # calls that wait for the budget; one more is turned away
    call_s: float = 60.0
    attempt_s: float = 30.0
    connect_s: float = 10.0
    tries: int = 4
    pause_s: float = 2.0
    longest_pause_s: float = 60.0
    jitter: float = 0.5
    compile_tries: int = 5  # while it does not know the id of a compile
    compile_pause_s: float = 2.0
    busy_pause_s: float = 20.0  # first pause while all nodes are busy, or after "slow down"
    longest_penalty_s: float = 300.0  # however long it asks to be left alone
    largest_answer: int = 64 << 20
    largest_objects: int = 256 << 20  # what a download of objects may unpack to
    digest_life_s: float = 0.0

    def __post_init__(self) -> None:
        whole = ("requests", "burst", "concurrent", "waiting", "tries", "compile_tries", "largest_answer", "largest_objects")
        times = ("window_s", "call_s", "attempt_s", "connect_s")
        for name in (*whole, *times):
            if getattr(self, name) <= 0:
                message = f"limits.{name} is {getattr(self, name)}; give a number above 0"
                raise ValueError(message)
        if not self.burst < self.requests:
            message = f"limits.burst is {self.burst}; it must be below limits.requests, {self.requests}"
            raise ValueError(message)
        if not 0 <= self.jitter <= 1:
            message = f"limits.jitter is {self.jitter}; give a fraction from 0 to 1"
            raise ValueError(message)
