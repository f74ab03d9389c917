"""Worlds to start a bot in: an exchange in a process of its own, and the configuration that points `--paper` at it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from simulators.exchange.server import ExchangeSimulator
from tests.app.bot_process import ROOT


@contextmanager
def an_exchange(*arguments: str) -> Iterator[str]:
    """`python -m simulators.exchange`; its URL."""
    command = [sys.executable, "-m", "simulators.exchange", "--seed", "5", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        assert url.startswith("http://127.0.0.1:"), "the exchange did not start"
        yield url
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def switch(url: str, **fault: object) -> None:
    """Switch a fault of the exchange on."""
    request = urllib.request.Request(
        f"{url}/admin/faults", json.dumps(fault).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status < 300


def a_configuration(place: Path, url: str, live: dict[str, object] | None = None, **exchange: object) -> Path:
    """The house's configuration on one-second candles, with the sources of the demonstration, at a venue of that URL.

    With `live`, real orders there are confirmed, on those settings.
    """
    shutil.copytree(ROOT / "config" / "demo", place, dirs_exist_ok=True)
    shutil.copy(ROOT / "config" / "risk.yaml", place / "risk.yaml")
    simulator = ExchangeSimulator()
    described = json.loads(
        json.dumps(simulator.ccxt_config()).replace(simulator.url, url).replace(simulator.ws_url, f"ws{url[4:]}")
    )
    settings = {
        "exchange": {
            "timeframes": ["1s"],
            "urls": dict(flat(described["urls"]["api"])),
            "options": {name: value for name, value in described["options"].items() if not isinstance(value, dict)},
            "embedded": "never",
            "connect_timeout": "10s",
            **exchange,
        },
        "desk": {"sizing_timeframe": "1s"},
        **({} if live is None else {"live": {"confirm": "I-understand", **live}}),
    }
    (place / "bot.yaml").write_text(yaml.safe_dump(settings))
    return place


def flat(tree: dict[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of ccxt's tree of addresses, by dotted key."""
    for name, branch in tree.items():
        if isinstance(branch, dict):
            yield from flat(branch, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(branch)
