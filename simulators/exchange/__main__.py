"""`python -m simulators.exchange`: serve until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from bot.market.simulated import DEFAULT_SYMBOLS
from simulators.exchange.scenarios import load
from simulators.exchange.server import ExchangeSimulator


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.exchange", description="A spot exchange in the Binance dialect.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--symbols", default=",".join(DEFAULT_SYMBOLS), help="separated by commas, for example BTC/USDT,ETH/USDT")
    parser.add_argument("--history", type=int, default=600, metavar="SECONDS", help="market before the start (default 600)")
    parser.add_argument("--quotes-per-second", type=int, default=5)
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="YAML list of faults and when they happen")
    return parser.parse_args()


async def _serve(given: argparse.Namespace) -> None:
    symbols = [symbol.strip() for symbol in given.symbols.split(",") if symbol.strip()]
    steps = load(given.scenario) if given.scenario is not None else []
    simulator = ExchangeSimulator(
        given.seed, symbols, given.port, given.host, given.history, given.quotes_per_second, scenario=steps
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with simulator:
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        await simulator.wait(stop)


def main() -> int:
    """0 after a signal, 2 when it cannot start."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the URL alone
    try:
        asyncio.run(_serve(_arguments()))
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"cannot start the exchange simulator: {problem}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
