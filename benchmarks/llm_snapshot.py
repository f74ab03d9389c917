"""What it costs to tell an LLM of a market: the snapshot of three timeframes of two hundred candles, the prompt, the last look.

The reference is the least that any snapshot costs: its own body written as canonical JSON and hashed.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable
from time import perf_counter

import orjson

from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from sources.llm.leaks import Guard
from sources.llm.prompts.example import TERMS, example_sight
from sources.llm.prompts.files import shipped
from sources.llm.snapshot import take

_TIMES = 1_000
_MOST_MS = 1.0
_SECRETS = tuple(f"a-secret-of-this-benchmark-{number}" for number in range(12))


def snapshot(effort: Effort, peers: Peers) -> list[Result]:
    """Milliseconds of a snapshot, and of the prompt that is made of it and searched for secrets."""
    del peers
    sight, template, guard = example_sight(), shipped(), Guard(_SECRETS)
    taken = take(sight)
    count = effort.size(_TIMES, 50)

    def write() -> None:
        hashlib.sha256(orjson.dumps(taken.body, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def tell() -> None:
        template.render(taken, TERMS).check(guard)

    works = {"json-and-hash": write, "llm-snapshot": lambda: take(sight), "llm-prompt": tell}
    # Each in turn in every run, so that a busy moment of the machine falls on all of them.
    runs = [{name: _milliseconds(work, count) for name, work in works.items()} for _ in range(effort.runs)]
    size = {"bytes": len(taken.canonical), "candles": sum(one["candles"] for one in taken.body["timeframes"].values())}
    goals = {"llm-snapshot": (Goal(most=_MOST_MS),), "llm-prompt": ()}
    return [_result(name, runs, goals[name], size) for name in goals]


def _milliseconds(work: Callable[[], object], count: int) -> list[float]:
    for _ in range(20):
        work()
    times = []
    for _ in range(count):
        began = perf_counter()
        work()
        times.append((perf_counter() - began) * 1e3)
    return times


def _result(item: str, runs: list[dict[str, list[float]]], goals: tuple[Goal, ...], size: dict[str, int]) -> Result:
    middles = [percentile(run[item], 0.5) for run in runs]
    least = statistics.median(percentile(run["json-and-hash"], 0.5) for run in runs)
    detail: dict[str, object] = {**size, "p99": statistics.median(percentile(run[item], 0.99) for run in runs)}
    reference = {"json-and-hash": least}
    return Result(item, statistics.median(middles), "ms", goals, reference, len(runs), spread_of(middles), None, detail)
