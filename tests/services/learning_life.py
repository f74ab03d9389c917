"""What the tests of learning share: a recorded run of a real desk, a journal that holds it, and a calibration beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bot.core.decision import Action
from bot.core.effects import Publish, Record
from bot.core.facts import Fact
from bot.journal.journal import Journal
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch
from bot.secrets import Secrets
from bot.services.learning.live import LiveCalibration, LiveLimits
from bot.services.use_case import Ground
from bot.settings import load
from bot.settings.learning import Calibrate
from research.calibration.policy import CalibrationPolicy
from research.calibration.sql import SqlCalibration
from sources.quantconnect.settings import Credentials
from tests.factories import QC, RULE, T0, DeskHarness, a_config, a_model
from tests.services.memory_life import configured

MINUTE = 60_000
BOOK = BookKey("main", "paper", "test", "real")
NOW = T0 + 1_000 * 86_400_000
POLICY = CalibrationPolicy(max_shift=0.5)
QUICK = LiveLimits(retry=0.001, retry_longest=0.01, look=0.02, refit=0.001)


def a_recorded_run(trades: int = 60, win_every: int = 4, confidence: float = 0.8) -> list[Fact]:
    """What a desk tells of so many trades of the rule, stated with `confidence`, of which every `win_every`th wins.

    Every second one is held back by QuantConnect, so that only the rule's shadow takes it. Each sell is followed by a fall.
    """
    desk = DeskHarness(a_config(fills=a_model()), paper=True)
    for number in range(trades):
        desk.quote(100.0, after=MINUTE)
        if number % 2:
            desk.propose(Action.HOLD, QC, lasts=2 * MINUTE, name=f"hold-{number}")
        desk.propose(Action.BUY, RULE, name=f"buy-{number}", confidence=confidence, lasts=MINUTE)
        desk.quote(100.0, after=1_000)
        desk.quote(110.0 if number % win_every == 0 else 95.0, after=2 * MINUTE)
        desk.propose(Action.SELL, RULE, name=f"sell-{number}", confidence=0.7, lasts=MINUTE)
        desk.quote(desk.desk.market.prices["BTC/USDT"], after=1_000)
        desk.quote(90.0, after=MINUTE)
        desk.propose(Action.SELL, RULE, name=f"again-{number}", confidence=0.7, lasts=1_000)
    return [effect.fact for effect in desk.effects if isinstance(effect, Record | Publish)]


async def journal(url: str, place: Path, facts: Sequence[Fact], book: BookKey = BOOK, run: str = "run-1") -> None:
    """A journal that holds a run."""
    place.mkdir(parents=True, exist_ok=True)
    written = await asyncio.to_thread(Journal.open, url, place)
    start = RunStart(run, book, T0, simulated=book.world != "real", config={}, code_version="test")
    written.begin(start, Watch(lambda trouble: None, lambda: None))
    for fact in facts:
        written.append(fact)
    await written.flush()
    await written.close(NOW)


async def a_calibration(
    url: str, now: Callable[[], int] = lambda: NOW, store: type[SqlCalibration] = SqlCalibration, **options: Any
) -> LiveCalibration:
    """Calibration that is on, with a store of its own."""
    policy = options.pop("policy", POLICY)
    given: dict[str, Any] = {"calibrate": Calibrate.ON, "limits": QUICK, "book": "main"} | options
    return LiveCalibration(await store.open(url), policy, now, **given)


def a_ground(
    place: Path, now: Callable[[], int] = lambda: NOW, *, simulated: bool = False, url: str | None = None, **settings: object
) -> Ground:
    """A ground whose data are below `place`, with a journal at `url`; settings of the section `learning` by their names."""
    given: dict[str, object] = {"bot.data_dir": str(place / "data"), "learning.max_shift": POLICY.max_shift}
    given |= {f"learning.{name}": value for name, value in settings.items()} | ({} if url is None else {"journal.url": url})
    loaded = load(configured(place), environ={}, overrides=given)
    return Ground(loaded, Secrets(place / "data", {}), now, Credentials(), simulated=simulated)
