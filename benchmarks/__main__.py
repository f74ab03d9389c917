"""`python -m benchmarks [--peers PYTHON] [--only NAME] [--quick]`: one JSON line per figure on stdout, remarks on stderr."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import structlog

from benchmarks.peering import Peers
from benchmarks.report import Effort, Result

Item = Callable[[Effort, Peers], list[Result]]

ITEMS = {
    "single": "backtests:single",
    "multi": "backtests:multi",
    "quotes": "core:desk_quotes",
    "fill": "latency:tick_to_fill",
    "shell": "shell:throughput",
    "symbols": "shell:symbols_item",
    "burst": "burst:burst",
    "journal": "journal:journal",
    "start": "start:start",
    "send": "live_send:send",
    "limits": "live_limits:limits",
    "reconcile": "live_reconcile:reconcile",
    "restart": "live_restart:restart",
    "quantconnect": "quantconnect_client:overhead",
    "webhook": "quantconnect_signals:webhook",
    "insights": "quantconnect_signals:insights",
    "snapshot": "llm_snapshot:snapshot",
    "llm": "llm_overhead:overhead",
    "stream": "stream:stream",
    "pages": "pages:pages",
    "tabs": "tabs:desk_with_tabs",
    "pixel": "pixel:event_to_pixel",
    "construction": "core:construction",
}
_QUICK = Effort(runs=3, scale=0.2)


def item_of(name: str) -> Item:
    """The item of that name; `KeyError` if there is none."""
    module, _, function = ITEMS[name].partition(":")
    found: Item = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    return found


def main(arguments: list[str] | None = None) -> int:
    """0 when every item came through, 1 when one failed: a goal that is missed is a figure, not a failure."""
    given = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    base = _QUICK if given.quick else Effort()
    effort = Effort(given.runs or base.runs, given.scale or base.scale)
    failed = 0
    for name in given.only or ITEMS:
        sys.stderr.write(f"# {name}\n")
        try:
            results = item_of(name)(effort, Peers(given.peers))
        except Exception:  # noqa: BLE001 - one item that fails must not hide the others; it is shown and counted
            traceback.print_exc()
            failed += 1
            continue
        for result in results:
            print(result.line(), flush=True)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What the bot costs, beside a reference of the same run."
    )
    parser.add_argument("--peers", type=Path, help="interpreter in which the peers of requirements/bench.lock are installed")
    parser.add_argument(
        "--only", action="append", choices=list(ITEMS), metavar="NAME", help=f"one of {', '.join(ITEMS)}; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="three runs on a fifth of the data")
    parser.add_argument("--runs", type=int, help="runs of each item")
    parser.add_argument("--scale", type=float, help="fraction of the data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
