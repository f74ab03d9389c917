"""How an item is measured and what its line says.

Every figure is a median over runs; `spread` is the distance of the slowest from the fastest run as a fraction of it. Where the
machine is shared, `cpu_figure` (the same figure by CPU time of this process) tells more than the wall does.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

FIGURE = "figure"


@dataclass(frozen=True, slots=True)
class Effort:
    """How often to measure and on how much: `size` scales the number of events, never below `least`."""

    runs: int = 5
    scale: float = 1.0

    def size(self, count: int, least: int = 1) -> int:
        """`count`, scaled."""
        return max(least, round(count * self.scale))

    def seconds(self, duration: float, least: float = 0.2) -> float:
        """A duration, scaled."""
        return max(least, duration * self.scale)


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound to reach: of the figure itself, or of its ratio to the reference that `of` names."""

    least: float | None = None
    most: float | None = None
    of: str = FIGURE

    def __str__(self) -> str:
        subject = FIGURE if self.of == FIGURE else f"ratio to {self.of}"
        return f"{subject} >= {self.least:g}" if self.least is not None else f"{subject} <= {self.most:g}"

    def met(self, value: float) -> bool:
        """Whether the value reaches it."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True, slots=True)
class Result:
    """One line. `reference` holds the figures of others from the same run, by name; `detail` what helps to read the figure."""

    item: str
    figure: float
    unit: str
    goals: Sequence[Goal] = ()
    reference: Mapping[str, float] = field(default_factory=dict)
    runs: int = 1
    spread: float = 0.0
    cpu_figure: float | None = None
    detail: Mapping[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> dict[str, float]:
        """The figure as a multiple of each reference."""
        return {name: self.figure / value for name, value in self.reference.items() if value}

    @property
    def met(self) -> bool | None:
        """Whether every goal is met; None when there is none, or when one of its references was not measured."""
        ratio = self.ratio
        if not self.goals or any(goal.of != FIGURE and goal.of not in ratio for goal in self.goals):
            return None
        return all(goal.met(self.figure if goal.of == FIGURE else ratio[goal.of]) for goal in self.goals)

    def line(self) -> str:
        """The line, as JSON."""
        entry = {
            "item": self.item,
            "figure": _short(self.figure),
            "unit": self.unit,
            "target": "; ".join(map(str, self.goals)) or None,
            "met": self.met,
            "reference": {name: _short(value) for name, value in self.reference.items()} or None,
            "ratio": {name: _short(value) for name, value in self.ratio.items()} or None,
            "runs": self.runs,
            "spread": _short(self.spread),
            "cpu_figure": None if self.cpu_figure is None else _short(self.cpu_figure),
            "load": round(os.getloadavg()[0], 2),
            "detail": dict(self.detail),
        }
        return orjson.dumps(entry).decode()


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of every run, by the wall and of CPU."""

    wall: Sequence[float]
    cpu: Sequence[float]

    @property
    def median(self) -> float:
        """Median of the wall's seconds."""
        return statistics.median(self.wall)

    @property
    def cpu_median(self) -> float:
        """Median of the CPU's seconds."""
        return statistics.median(self.cpu)

    @property
    def spread(self) -> float:
        """(slowest - fastest) / median."""
        return spread_of(self.wall)


def measure(runs: int, prepare: Callable[[], Callable[[], object]]) -> Timings:
    """Time what `prepare` returns, fresh for each run. The garbage collector does not see what was there before."""
    wall, cpu = [], []
    for _ in range(runs):
        work = prepare()
        gc.collect()
        gc.freeze()
        began, spent = time.perf_counter(), time.process_time()
        work()
        cpu.append(time.process_time() - spent)
        wall.append(time.perf_counter() - began)
        gc.unfreeze()
    return Timings(wall, cpu)


def spread_of(values: Sequence[float]) -> float:
    """(largest - smallest) / median, zero for one value."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _short(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 1_000 else round(value)
