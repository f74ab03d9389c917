"""What it costs to tell an LLM of a market: the snapshot of three timeframes of two hundred candles, the prompt, the last look.

The reference is the least that any snapshot costs: its own body written as canonical JSON and hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from time import perf_counter

import orjson

from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile
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

    least, made, told = (_milliseconds(one, count) for one in (write, lambda: take(sight), tell))
    size = {"bytes": len(taken.canonical), "candles": sum(one["candles"] for one in taken.body["timeframes"].values())}
    return [
        _result("llm-snapshot", made, least, (Goal(most=_MOST_MS),), size),
        _result("llm-prompt", told, least, (), size),
    ]


def _milliseconds(work: Callable[[], object], count: int) -> list[float]:
    for _ in range(20):
        work()
    times = []
    for _ in range(count):
        began = perf_counter()
        work()
        times.append((perf_counter() - began) * 1e3)
    return times


def _result(item: str, times: list[float], least: list[float], goals: tuple[Goal, ...], size: dict[str, int]) -> Result:
    middle = percentile(times, 0.5)
    detail: dict[str, object] = {**size, "p99": percentile(times, 0.99)}
    reference = {"json-and-hash": percentile(least, 0.5)}
    return Result(item, middle, "ms", goals, reference, len(times), (percentile(times, 0.9) - min(times)) / middle, None, detail)
