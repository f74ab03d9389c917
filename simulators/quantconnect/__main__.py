"""`python -m simulators.quantconnect`: serve until SIGINT or SIGTERM; prints its URL."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from simulators.quantconnect.market import MarketSpec
from simulators.quantconnect.quirks import NAMES
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulators.quantconnect", description="QuantConnect's REST API v2 on loopback."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--host", default="127.0.0.1", help="uploaded text is executed: do not show it to strangers")
    parser.add_argument("--user", default=Terms().user)
    parser.add_argument("--token", default=Terms().token)
    parser.add_argument("--seed", type=int, default=7, help="of the market and of the quirks")
    parser.add_argument("--genesis", type=int, metavar="MS", help="when the live market began; an exchange simulator's, say")
    parser.add_argument(
        "--candles", type=Path, action="append", default=[], metavar="FILE", help="recorded history instead; repeatable"
    )
    parser.add_argument("--backtest-nodes", type=int, default=1)
    parser.add_argument("--live-nodes", type=int, default=1)
    parser.add_argument("--snapshot", type=float, default=5.0, metavar="SECONDS", help="age of what is read of live algorithms")
    parser.add_argument("--quirk", action="append", metavar="NAME[=PROBABILITY]", help=f"habits of PHP: all, {', '.join(NAMES)}")
    parser.add_argument("--demo", action="store_true", help="begin with a live algorithm that emits insights")
    parser.add_argument("--webhook", default="", metavar="URL", help="where that algorithm posts its insights, on loopback")
    parser.add_argument("--webhook-secret", default="", help="what it puts into the header X-Secret")
    return parser.parse_args()


def _quirks(given: list[str] | None) -> dict[str, float] | None:
    if given is None:
        return None
    pairs = (one.partition("=") for one in given)
    chosen = {name: float(probability or 1) for name, _, probability in pairs}
    every = chosen.pop("all", None)
    return chosen if every is None else dict.fromkeys(NAMES, every) | chosen


async def _serve(given: argparse.Namespace) -> None:
    missing = next((path for path in given.candles if not path.is_file()), None)
    if missing is not None:
        message = f"{missing} is not a file of candles"
        raise ValueError(message)
    files = tuple(str(path.resolve()) for path in given.candles)
    terms = Terms(
        user=given.user,
        token=given.token,
        backtest_nodes=given.backtest_nodes,
        live_nodes=given.live_nodes,
        snapshot=given.snapshot,
    )
    spec = MarketSpec(seed=given.seed, live_genesis=given.genesis, files=files)
    simulator = QuantConnectSimulator(terms, spec, _quirks(given.quirk), given.seed, given.port, given.host)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with simulator:
        if given.demo:
            await simulator.deploy(parameters={"webhook": given.webhook, "secret": given.webhook_secret})
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> int:
    """0 after a signal, 2 when it cannot start."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the URL alone
    try:
        asyncio.run(_serve(_arguments()))
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"cannot start the QuantConnect simulator: {problem}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
