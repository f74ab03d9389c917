"""A simulator of QuantConnect and the ground that use cases of it stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.runtime.jobs import Progress
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.use_case import Ground, use_case
from bot.settings import load
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms

QUICK = Terms(compile_reads=0, loading_reads=0, live_stage=0.0, snapshot=0.02, live_nodes=2)
ALGORITHM = """from AlgorithmImports import *


class Listening(QCAlgorithm):

    def initialize(self):
        self.set_time_zone(TimeZones.UTC)
        self.set_start_date(2026, 1, 6)
        self.set_end_date(2026, 1, 31)
        self.set_account_currency("USDT", 10000)
        self.set_brokerage_model(BrokerageName.BINANCE, AccountType.CASH)
        self._symbol = self.add_crypto("BTCUSDT", Resolution.SECOND, Market.BINANCE).symbol

    def on_data(self, data):
        if self._symbol in data.bars and not self.portfolio[self._symbol].invested:
            self.set_holdings(self._symbol, 0.5)

    def on_command(self, data):
        self.log("told")
        return True
"""


class Clock:
    """The time of the ground, in ms; it stands still."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


@asynccontextmanager
async def standing(
    base_url: str, home: Path, now: Clock, environ: Mapping[str, str] | None = None, **overrides: object
) -> AsyncIterator[Ground]:
    """A ground on which a simulator at this base URL is asked, without patience for the request budget."""
    given: dict[str, object] = {"bot.data_dir": home / "data", "quantconnect.base_url": base_url, "quantconnect.calls": 100_000}
    loaded = load(overrides=given | {name.replace("__", "."): value for name, value in overrides.items()}, environ={})
    known = {"QUANTCONNECT_USER_ID": "123456", "QUANTCONNECT_API_TOKEN": "secret"} if environ is None else environ
    async with own_ground(loaded, Secrets(home / "data", known), now) as ground:
        yield ground


class Told:
    """Hears of progress."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def __call__(self, progress: Progress) -> None:
        self.stages.append(progress.stage)


async def do(ground: Ground, name: str, told: Told | None = None, **args: object) -> Mapping[str, Any]:
    """A use case as the command line and the API ask for it."""
    case = use_case(name)
    return await case.run(ground, case.read(args), told or Told())


def project_of(simulator: QuantConnectSimulator, text: str = ALGORITHM) -> int:
    """A project that can be deployed."""
    return simulator.upload("listening", {"main.py": text}).id


def asked(simulator: QuantConnectSimulator, path: str) -> int:
    """How often an endpoint was asked."""
    return simulator.counts()["requests"].get(path, 0)
