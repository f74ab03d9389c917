"""What watching costs the desk: its latencies with the control room, five open tabs and a report being built, against without.

The desk is that of the item `fill`, with durable intents and the commands of a bot, at 2,000 quotes and 20 decisions a second.
Stretches without and with take turns in one run; the control room and the tabs are processes of their own and are up before the
clock starts. `fill` is from the arrival of the candle that causes a decision to its fill, `handled` from the arrival of any
event until the desk has handled it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from benchmarks.latency import Alternating, Samples, feed
from benchmarks.made import symbols
from benchmarks.operated import operated
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import Rig, run_loop
from benchmarks.room import control_room, token
from bot.web.security.principal import Scope

_SYMBOLS = 10
_CANDLE_EVERY = 50
_SECONDS = 10.0
_LEAST_SECONDS = 1.0
_TURNS = 3
_SETTLING = 0.5
_PATIENCE = 30.0
_FAR = 1_000_000
_MOST = 1.2
_PAGES = ("/", "/decisions", "/markets", "/sources", "/journal?tab=orders")
_NONE = "none"


@dataclass(slots=True)
class _Run:
    """Seconds, of stretches without and with tabs; what the tabs did."""

    fills: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    handled: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    tabs: dict[str, object] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    turn: int = 0


def desk_with_tabs(effort: Effort, peers: Peers) -> list[Result]:
    """p99 in milliseconds with everything open, and as a multiple of none."""
    del peers
    seconds, turns = effort.seconds(_SECONDS, _LEAST_SECONDS), effort.size(_TURNS)
    runs = [run_loop(_measured(seconds, turns)) for _ in range(effort.runs)]
    return [
        _result("desk-with-tabs-fill", [run.fills for run in runs], runs),
        _result("desk-with-tabs-handled", [run.handled for run in runs], runs),
    ]


def _result(name: str, samples: Sequence[tuple[list[float], list[float]]], runs: Sequence[_Run]) -> Result:
    without = [percentile(quiet, 0.99) * 1_000 for quiet, _ in samples]
    figures = [percentile(busy, 0.99) * 1_000 for _, busy in samples]
    medians = {f"p50_{word}": round(percentile(samples[0][at], 0.5) * 1_000, 3) for at, word in enumerate(("without", "with"))}
    ratios = [round(busy / quiet, 2) for busy, quiet in zip(figures, without, strict=True)]
    detail = {**medians, "ratios": ratios, "samples": len(samples[0][1]), "tabs": runs[0].tabs, **runs[0].lost}
    goals, reference = (Goal(most=_MOST, of=_NONE),), {_NONE: statistics.median(without)}
    return Result(name, statistics.median(figures), "ms", goals, reference, len(runs), spread_of(figures), detail=detail)


async def _measured(seconds: float, turns: int) -> _Run:
    names, run = symbols(_SYMBOLS), _Run()
    source = Alternating(names)
    async with operated(names, (source,)) as rig:
        for _ in range(turns):
            await _stretch(rig, source, run, 0, seconds)
            async with _open_tabs(rig, run):
                await _stretch(rig, source, run, 1, seconds)
        run.lost = rig.lost()
    return run


async def _stretch(rig: Rig, source: Alternating, run: _Run, at: int, seconds: float) -> None:
    fills, handled = Samples(), Samples()
    run.turn += _FAR
    await feed(rig, source, _SETTLING, _CANDLE_EVERY, run.turn - _FAR // 2)
    rig.shell.tally.to_fill, rig.shell.tally.handled = fills, handled
    await feed(rig, source, seconds, _CANDLE_EVERY, run.turn)
    await rig.settled()
    run.fills[at].extend(fills.seconds)
    run.handled[at].extend(handled.seconds)


@asynccontextmanager
async def _open_tabs(rig: Rig, run: _Run) -> AsyncIterator[None]:
    """The control room and five tabs, the first report begun."""
    async with control_room(rig.folder) as (_, port):
        key = await token(rig.folder, Scope.TRADE)
        command = ("-m", "benchmarks.tab", str(port), *_PAGES)
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{key}\n".encode())
            async with asyncio.timeout(_PATIENCE):
                if await process.stdout.readline() != b"open\n":
                    message = "the tabs did not open; its own words are above"
                    raise RuntimeError(message)
            yield
            process.stdin.close()
            async with asyncio.timeout(_PATIENCE):
                run.tabs = orjson.loads(await process.stdout.readline())
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
