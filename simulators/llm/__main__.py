"""`python -m simulators.llm`: serve until SIGINT or SIGTERM; prints its URL."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import structlog

from simulators.llm.faults import fault_reader
from simulators.llm.gate import KEY, Terms
from simulators.llm.server import LlmSimulator


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulators.llm", description="Language models on loopback, in the protocols of OpenAI and Anthropic."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=7, help="of the mind and of faults by probability")
    parser.add_argument("--key", action="append", default=[], help=f"an accepted key, repeatable; default {KEY}")
    parser.add_argument("--model", action="append", default=[], help="the name of a further model; repeatable")
    parser.add_argument("--per-minute", type=int, metavar="N", help="requests a minute for each key")
    parser.add_argument("--quota", type=int, metavar="TOKENS", help="tokens for each key, after which its credit is used up")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="what every answer takes")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="between the events of a stream")
    parser.add_argument("--fault", action="append", default=[], metavar="JSON", help='e.g. {"mode": "529", "probability": 0.1}')
    return parser.parse_args()


async def _serve(given: argparse.Namespace) -> None:
    terms = Terms(tuple(given.key) or (KEY,), given.per_minute, given.quota, given.latency, given.pause)
    simulator = LlmSimulator(terms, given.seed, given.model, given.port, given.host)
    reader = fault_reader()
    simulator.inject(*(reader.validate_json(text) for text in given.fault))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with simulator:
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> int:
    """0 after a signal, 2 when it cannot start."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the URL alone
    try:
        asyncio.run(_serve(_arguments()))
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"cannot start the LLM simulator: {' '.join(str(problem).split())}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
