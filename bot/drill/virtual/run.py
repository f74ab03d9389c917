"""The randomised drill: many seeds, one after another or beside each other, and the smallest form of each that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from bot.core.values import value
from bot.drill.virtual.draw import drawn
from bot.drill.virtual.sabotage import Sabotage
from bot.drill.virtual.schedule import Schedule
from bot.drill.virtual.shrink import shrunk
from bot.drill.virtual.world import Result, play

Progress = Callable[["Outcome"], None]


@value
class Outcome:
    """How a seed went. Where it failed, `smallest` is the least of its schedule that fails too, and `broken` what that breaks."""

    seed: int
    kept: bool
    findings: tuple[str, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    smallest: Schedule | None = None
    broken: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kept:
            return f"seed {self.seed}: kept"
        lines = [f"seed {self.seed}: BROKEN", *(f"  {finding}" for finding in self.findings)]
        if self.smallest is not None:
            lines += ["smallest form:", str(self.smallest), "which breaks:", *(f"  {finding}" for finding in self.broken)]
        return "\n".join(lines)


def run(
    seeds: Iterable[int] | int,
    *,
    sabotage: Sabotage = Sabotage.NONE,
    processes: int = 1,
    shrink: bool = True,
    stop_at: int | None = None,
    progress: Progress = lambda outcome: None,
) -> list[Outcome]:
    """Run the seeds (a number n: 0 to n-1), in their order; the same seed always has the same outcome.

    `processes` beside each other; `stop_at` ends the run once so many seeds have failed. Not to be called from a running event
    loop (use a thread): each run has a loop of its own. Memory does not grow with the number of seeds.
    """
    wanted = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    outcomes: list[Outcome] = []
    failed = 0
    for outcome in _outcomes(wanted, sabotage, processes, shrink):
        outcomes.append(outcome)
        progress(outcome)
        failed += not outcome.kept
        if stop_at is not None and failed >= stop_at:
            break
    return outcomes


def one(seed: int, sabotage: Sabotage = Sabotage.NONE, shrink: bool = True) -> Outcome:
    """Run a seed, and shrink its schedule if it fails."""
    schedule = drawn(seed)
    result = play(schedule, sabotage)
    counts = tuple(result.counts.items())
    if not result.findings:
        return Outcome(seed, True, (), counts)
    if not shrink:
        return Outcome(seed, False, result.findings, counts)
    smallest = shrunk(schedule, lambda smaller: bool(play(smaller, sabotage).findings))
    return Outcome(seed, False, result.findings, counts, smallest, play(smallest, sabotage).findings)


def _outcomes(seeds: list[int], sabotage: Sabotage, processes: int, shrink: bool) -> Iterator[Outcome]:
    if processes <= 1:
        yield from (one(seed, sabotage, shrink) for seed in seeds)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        try:
            yield from pool.map(one, seeds, [sabotage] * len(seeds), [shrink] * len(seeds))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


__all__ = ["Outcome", "Progress", "Result", "one", "run"]
