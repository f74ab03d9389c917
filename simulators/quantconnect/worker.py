"""The process that executes an uploaded algorithm: a job comes in as the first line of standard input, lines of JSON go out.

Before the uploaded text is touched the process gives up what it can: it has an empty environment, it cannot open another file or
socket, cannot write to one, and has so much memory and time (see `sandbox`). A live run goes on until standard input ends, so
that no algorithm outlives its server; further lines of input are commands to it.
"""

from __future__ import annotations

import os
import resource
import select
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from simulators.quantconnect import sandbox
from simulators.quantconnect.charts import charts_of
from simulators.quantconnect.lean import AlgorithmError, Run, guarded, load, simulate
from simulators.quantconnect.lean_algorithm import QCAlgorithm
from simulators.quantconnect.lean_types import Insight, InsightDirection
from simulators.quantconnect.market import Archive, LiveMarket, MarketSpec
from simulators.quantconnect.results import result_of, state_of

_TELL_SECONDS = 0.2
_MAX_CATCH_UP = 120
_NOBODY = 65_534


def tell(kind: str, body: Mapping[str, object]) -> None:
    """A line to the server."""
    sys.stdout.buffer.write(orjson.dumps({"kind": kind, **body}, default=str, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
    sys.stdout.buffer.flush()


def confine(memory_mb: int, cpu_seconds: int) -> None:
    """Give up files, sockets, memory beyond what is in use, and time; there is no way back."""
    sandbox.preload()
    for name in ("numpy.random", "numpy.ma"):  # loaded lazily otherwise
        __import__(name)
    size = (_size_mb() + memory_mb) << 20
    if os.geteuid() == 0:  # so that it may not even signal what is not its own
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    if cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


def _size_mb() -> int:
    """Address space in use; 4 GB where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() >> 20
    except OSError:
        return 4_096


def main() -> int:
    """0 when the run came to its end, however that was; what went wrong has been told."""
    lines = Lines()
    job = orjson.loads(lines.wait())
    spec = MarketSpec.from_json(job["market"])
    live = job["mode"] == "live"
    bars: Archive | LiveMarket = LiveMarket(spec) if live else Archive(spec)
    list(bars("BTC/USDT", 86_400_000, 0, 0))  # whatever is read from files is read now
    confine(job["memory_mb"], 0 if live else job["cpu_seconds"])
    try:
        if live:
            assert isinstance(bars, LiveMarket)
            LiveRun(job, bars, lines).go()
        else:
            objects = {key: bytes.fromhex(text) for key, text in job["objects"].items()}
            run = simulate(job["files"], bars, job["now"], job["parameters"], tell, job["id"], objects)
            tell("result", {"result": result_of(run)})
    except AlgorithmError as problem:
        tell("failed", {"error": str(problem), "stacktrace": problem.stacktrace, "initializing": problem.initializing})
    except MemoryError:
        tell("failed", {"error": "Algorithm ran out of memory", "stacktrace": "out of memory", "initializing": False})
    return 0


class Lines:
    """Standard input, line by line, without a buffer that `select` does not see."""

    def __init__(self) -> None:
        self._input = bytearray()
        self.ended = False

    def wait(self) -> bytes:
        """The next line; empty when there is none any more."""
        while not self.ended:
            found = self.within(1.0, 1)
            if found:
                return found[0]
        return b""

    def within(self, seconds: float, most: int = 1_000) -> list[bytes]:
        """The lines that are there, after waiting so long at most for the first."""
        if b"\n" not in self._input:
            ready, _, _ = select.select([0], [], [], seconds)
            if ready:
                chunk = os.read(0, 65_536)
                self.ended = not chunk
                self._input += chunk
        found: list[bytes] = []
        while len(found) < most and (place := self._input.find(b"\n")) >= 0:
            found.append(bytes(self._input[:place]))
            del self._input[: place + 1]
        return found


class LiveRun:
    """A live run: wakes at the ends of bars, when something is scheduled and when a command comes."""

    def __init__(self, job: Mapping[str, Any], market: LiveMarket, lines: Lines) -> None:
        objects = {key: bytes.fromhex(text) for key, text in job["objects"].items()}
        self._market, self._lines = market, lines
        self._run = Run(market, tell, _now(), job["parameters"], True, job["id"], job["cash"], objects)
        self._files: Mapping[str, str] = job["files"]
        self._told = 0.0
        self._over = False
        self._bar_at = 0
        self._acts: dict[str, Callable[[Mapping[str, Any]], object]] = {
            "command": lambda body: self._algorithm.command(body["body"]),
            "insight": self._emit,
            "liquidate": lambda _: self._algorithm.liquidate(),
            "stop": lambda _: None,
        }

    @property
    def _algorithm(self) -> QCAlgorithm:
        return self._run.algorithm

    def go(self) -> None:
        """Until told to stop, or until the algorithm quits or raises."""
        run = self._run
        algorithm = load(self._files, run)
        guarded(lambda: run.begin(algorithm), initializing=True)
        self._bar_at = run.now
        self._refresh(_now())
        tell("running", {})
        tell("state", state_of(run))
        while not self._over and not run.quitting:
            soon = min(self._next_bar(), _now() + 1_000)
            self._listen(max(0.0, min((soon - _now()) / 1000, _TELL_SECONDS)))
            self._catch_up(_now())
            self._say()
        tell("state", state_of(run) | {"charts": charts_of(run)})
        tell("ended", {"message": run.quitting})

    def _next_bar(self) -> int:
        lengths = [one.length for one in self._run.subscriptions.values()] or [1_000]
        return min((self._bar_at // length + 1) * length for length in lengths)

    def _catch_up(self, now: int) -> None:
        run = self._run
        for _ in range(_MAX_CATCH_UP):
            end = self._next_bar()
            if end > now:
                break
            arrived = []
            for subscription in run.subscriptions.values():
                if end % subscription.length == 0:
                    found = list(self._market(subscription.symbol.unified, subscription.length, end - subscription.length, end))
                    arrived += [(subscription, subscription.bar(candle)) for candle in found]
            guarded(lambda end=end, arrived=arrived: run.step(end, arrived))  # type: ignore[misc]
            self._bar_at = end
        guarded(lambda: run.call_scheduled(now))
        self._refresh(now)

    def _refresh(self, now: int) -> None:
        """Prices as of now, so that an insight or an order between two bars is at the market."""
        self._run.now = max(self._run.now, now)
        for security in self._run.securities.values():
            security.price = security.holdings.price = self._market.price(security.symbol.unified, now)

    def _say(self) -> None:
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            tell("state", state_of(self._run) | {"charts": charts_of(self._run)})

    def _listen(self, seconds: float) -> None:
        """Wait for commands that long, and carry out what came."""
        for line in self._lines.within(seconds):
            self._act(orjson.loads(line))
        self._over = self._over or self._lines.ended

    def _act(self, order: Mapping[str, Any]) -> None:
        kind = order["do"]
        self._refresh(_now())
        try:
            answer = guarded(lambda: self._acts[kind](order))
        except AlgorithmError as problem:
            self._run.log(f"ERROR: {kind}: {problem.stacktrace}")
            tell("done", {"number": order.get("number"), "problem": str(problem)})
            return
        self._over = self._over or kind == "stop"
        tell("state", state_of(self._run))
        tell("done", {"number": order.get("number"), "answer": bool(answer)})

    def _emit(self, body: Mapping[str, Any]) -> None:
        run = self._run
        ticker = str(body["symbol"]).replace("/", "").upper()
        if ticker not in run.securities:
            message = f"{ticker} is not in the algorithm, which has {', '.join(map(str, run.securities))}"
            raise ValueError(message)
        insight = Insight.price(
            run.securities[ticker].symbol,  # type: ignore[index]  # a ticker equals its symbol
            timedelta(seconds=body["period"]),
            InsightDirection[body["direction"].upper()],
            body.get("magnitude"),
            body.get("confidence"),
            body.get("source_model"),
            body.get("weight"),
            body.get("tag") or "",
        )
        insight.id = body.get("id") or ""
        insight.generated_ms = body.get("generated_ms") or 0
        insight.reference = body.get("reference") or 0.0
        self._algorithm.emit_insights(insight)


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
