"""The exchange simulator in a process of its own, so that what the venue does is none of our cost.

`python -m benchmarks.live_venue` prints what ccxt wants to be told, a line of JSON for each account, and serves until its stdin
ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from benchmarks.made import symbols
from simulators.exchange.audit import Opening
from simulators.exchange.server import ExchangeSimulator

KEYS = ("ours-key-1", "bare-key-2")
_DEPOSIT = Decimal(10_000_000)
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class LiveVenue:
    """A venue that runs. `ours` and `bare` are what ccxt's constructor wants, as one account and as another."""

    symbols: Sequence[str]
    ours: dict[str, Any]
    bare: dict[str, Any]


@contextmanager
def live_venue(count: int, orders: int = 1_000_000, weight: int = 1_000_000) -> Iterator[LiveVenue]:
    """A venue of `count` symbols that takes `orders` in ten seconds and `weight` in a minute."""
    command = [sys.executable, "-m", "benchmarks.live_venue", str(count), str(orders), str(weight)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        told = [process.stdout.readline() for _ in KEYS]
        if not all(told):
            message = "the simulated exchange did not start; try `python -m simulators.exchange`"
            raise RuntimeError(message)
        ours, bare = (orjson.loads(line) for line in told)
        yield LiveVenue(symbols(count), ours, bare)
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


async def _serve(count: int, orders: int, weight: int) -> None:
    names = symbols(count)
    deposit = {name.partition("/")[0]: _DEPOSIT for name in names} | {"USDT": _DEPOSIT}
    accounts = [Opening(key, f"{key}-secret", balances=deposit) for key in KEYS]
    simulator = ExchangeSimulator(
        symbols=names, history=60, quotes_per_second=1, weight_limit=weight, order_limit=orders, accounts=accounts
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), stop.set)  # nothing is ever written there: it can only end
    async with simulator:
        for key in KEYS:
            sys.stdout.write(f"{orjson.dumps(simulator.ccxt_config(key)).decode()}\n")
        sys.stdout.flush()
        await simulator.wait(stop)
    loop.remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:4])))
