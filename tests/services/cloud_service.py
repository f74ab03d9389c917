"""A simulated QuantConnect, a client of it that does not like to wait, and algorithms that are quick to run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from bot.runtime.jobs import Progress
from bot.services.quantconnect.cloud import CloudBacktests, Patience
from simulators.quantconnect.market import MarketSpec
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from sources.quantconnect.client import Client
from sources.quantconnect.lean.config import BacktestConfig, StrategyConfig
from sources.quantconnect.lean.generating import LeanProject
from tests.simulators.quantconnect_client import SMA, START
from tests.sources.quantconnect.qc_service import QUICK

SPEC = MarketSpec(history_genesis=START)
PATIENT = replace(QUICK, call_s=20, attempt_s=15)
QUIET = SMA.replace("if self._above is not None and above != self._above:", "if False:")
BROKEN = SMA.replace("self._above = None\n", 'self._above = None\n        raise ValueError("boom")\n')


def config(**more: Any) -> BacktestConfig:
    given: dict[str, Any] = {
        "symbol": "BTC/USDT", "start": date(2026, 1, 6), "end": date(2026, 1, 31),
        "strategy": StrategyConfig(kind="sma-rsi", params={"fast": 5, "slow": 20}),
    }  # fmt: skip
    return BacktestConfig(**(given | more))


def project(text: str = SMA, name: str = "sma-rsi BTC-USDT") -> LeanProject:
    return LeanProject(name, {"main.py": text}, {"fast": "5", "slow": "20"}, 21)


async def hurried(seconds: float) -> None:
    """A sleep that does not take long."""
    await asyncio.sleep(min(seconds, 0.01))


@dataclass
class Told:
    """What was reported, and an event that is set when a stage, or a note, is reached."""

    wanted: str = ""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)
        if self.wanted in {progress.stage, progress.note}:
            self.reached.set()

    @property
    def stages(self) -> list[str]:
        return list(dict.fromkeys(each.stage for each in self.seen))


@asynccontextmanager
async def simulated(**more: Any) -> AsyncIterator[QuantConnectSimulator]:
    terms = Terms(**({"creates_at_once": 1_000, "loading_reads": 0} | more.pop("terms", {})))
    async with QuantConnectSimulator(terms, **({"spec": SPEC} | more)) as running:
        yield running


def client_of(simulator: QuantConnectSimulator, **more: Any) -> Client:
    options: dict[str, Any] = {"base_url": simulator.url, "limits": PATIENT, "sleep": hurried} | more
    return Client(simulator.user, options.pop("token", simulator.token), **options)


def cloud_of(
    client: Client, text: str = SMA, *, patience: Patience | None = None, now: Callable[[], int] | None = None
) -> CloudBacktests:
    return CloudBacktests(
        client,
        now or (lambda: 1_790_000_000_000),
        patience=patience or Patience(),
        generate=lambda _: project(text),
        sleep=hurried,
    )
