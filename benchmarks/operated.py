"""A rig that can be told things: its local feed answers as a running bot's does, so that the control room shows all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.rig import Rig, nothing, running
from bot.app.commands import Operator
from bot.core.decision import SourceSpec
from bot.core.facts import Fact
from bot.core.protocols import StepSource
from bot.outlets.command import Command, CommandResult
from bot.runtime.hosting import Port
from bot.runtime.jobs import Jobs
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.running import HELD, Running
from bot.services.use_case import explained
from bot.settings import load


@asynccontextmanager
async def operated(
    names: Sequence[str], sources: Sequence[StepSource], saw: Callable[[Fact], None] = nothing
) -> AsyncIterator[Rig]:
    """A rig without Redis, with durable intents, and with the operator that a bot has."""
    ear = _Ear()
    async with running(names, sources, redis_url=None, saw=saw, handler=ear) as rig:
        loaded = load(None, overrides={"bot.data_dir": rig.folder})
        async with own_ground(loaded, Secrets(rig.folder), rig.clock.now) as ground:
            ground.held[HELD] = Running(Port(rig.inbox, rig.shell.desk, rig.clock.now), desk=rig.shell.desk, host=rig.host)
            jobs = Jobs(rig.clock.now, lambda job: None, explained)
            ear.operator = Operator(rig.shell, rig.host, lambda: _status(rig), _nothing_let_in, ground, jobs)
            yield rig


class _Ear:
    """Hands commands on to the operator as soon as there is one."""

    operator: Operator | None = None

    async def __call__(self, command: Command) -> CommandResult:
        if self.operator is None:
            return CommandResult(ok=False, error="not yet")
        return await self.operator(command)


def _status(rig: Rig) -> Mapping[str, object]:
    """What the pages read of a bot's status."""
    desk, tally = rig.shell.desk, rig.shell.tally
    told = {"decisions": dict(tally.fates), "orders": tally.orders, "fills": tally.fills, "market_events": tally.market_events}
    worth = {"equity": desk.portfolio.equity, "pnl": 0.0, "day_pnl": None}
    return {"state": desk.state.risk.state.value, "health": {}, "journal_trouble": None, **worth, **told}


def _nothing_let_in(file: Path, actor: str) -> SourceSpec:
    message = f"no source is let in here, so not {file} for {actor} either"
    raise ValueError(message)
