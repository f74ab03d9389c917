"""A running bot of which use cases see the desk and the sources: a desk that a harness drives, and a host that tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bot.core.decision import SourceSpec
from bot.core.desk import DeskConfig
from bot.core.market import Trade
from bot.core.protocols import SourcePort
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.supervision import Supervisor
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.running import HELD, Described, Running
from bot.services.use_case import Ground
from bot.settings import load
from tests.factories import LLM, QC, RULE, DeskHarness, a_source
from tests.services.asking_ground import configured


class Ailing:
    """A source with a life of its own that says what is wrong with it."""

    def __init__(self, spec: SourceSpec, *ailments: str) -> None:
        self.spec = spec
        self.ailments: Sequence[str] = ailments

    async def run(self, port: SourcePort) -> None:
        """It never speaks."""
        del port
        await asyncio.Event().wait()


class DeskBot:
    """The bot: `harness` drives its desk, `ground` is what its use cases stand on."""

    def __init__(self, ground: Ground, harness: DeskHarness, off: Sequence[Described] = ()) -> None:
        self.ground, self.harness, self.inbox = ground, harness, Inbox()
        port = Port(self.inbox, harness.desk, lambda: harness.now)
        self.host = SourceHost(self.inbox, port, Supervisor())
        for spec in harness.desk.state.sources.values():
            self.host.add_life(Ailing(spec, *(("the key was refused",) if spec.name == LLM else ())))
        self.drain()
        described = [Described(spec, f"about {name}", None) for name, spec in self.host.specs.items()]
        ground.held[HELD] = Running(
            port, desk=harness.desk, host=self.host, described=lambda: (*described, *off), names=lambda: self.host.specs
        )

    def drain(self) -> None:
        """Let the desk take everything that waits in the inbox."""
        while (arrival := self.inbox.take()) is not None:
            if not isinstance(arrival[0], Trade):
                self.harness.turn(arrival[0])

    async def take(self) -> None:
        """Let the desk take what comes, as the shell does, until cancelled."""
        while True:
            self.drain()
            await self.inbox.wait()


@asynccontextmanager
async def desk_bot(
    place: Path,
    config: DeskConfig | None = None,
    sources: Sequence[SourceSpec] = (),
    off: Sequence[Described] = (),
    paper: bool = True,
) -> AsyncIterator[DeskBot]:
    """A bot with a desk of 10,000 USDT; see `tests.factories.a_config`."""
    loaded = load(configured(place), overrides={"bot.data_dir": place / "data"}, environ={})
    (place / "data").mkdir(exist_ok=True)
    harness = DeskHarness(config, sources or (a_source(QC), a_source(LLM), a_source(RULE)), paper=paper)
    async with own_ground(loaded, Secrets(place / "data", {}), lambda: harness.now) as ground:
        yield DeskBot(ground, harness, off)
