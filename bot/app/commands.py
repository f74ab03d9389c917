"""What operators may tell a running bot, through the local feed.

A command to the desk becomes an input of it, so that it is recorded. Use cases run here too: the quick ones at once, the
others as jobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from bot.app.live import LiveSide
from bot.core.decision import SourceSpec
from bot.core.inputs import SetTradingState, TradingState
from bot.journal.errors import JournalError
from bot.outlets.command import Command, CommandResult
from bot.runtime.hosting import SourceHost
from bot.runtime.jobs import JobRefused, Jobs, Progress
from bot.runtime.shell import Shell
from bot.services.use_case import Ground, Missing, UseCaseError, explained, use_case
from bot.settings import ConfigError
from execution.reconcile import ReconcileFailed
from sources.config import SourceConfigError

log = structlog.get_logger(__name__)

_SETTLE_SECONDS = 2.0
# Within the 30 s that the local feed gives a command, so that the answer says what is still held.
_FLATTEN_SECONDS = 25.0
_QUICK_SECONDS = 25.0


class Operator:
    """Carries out commands.

    `kill`, `reduce` and `resume` answer when the desk has acted and the disk has it, `--flatten` when the positions are gone.
    """

    def __init__(
        self,
        shell: Shell,
        host: SourceHost,
        status: Callable[[], Mapping[str, object]],
        admit: Callable[[Path, str], SourceSpec],
        ground: Ground,
        jobs: Jobs,
        live: LiveSide | None = None,
    ) -> None:
        """`admit` lets in the source that a YAML file describes, or raises `SourceConfigError`, `ConfigError` or `ValueError`."""
        self._live = live
        self._ground = ground
        self._jobs = jobs
        self._shell = shell
        self._admit = admit
        self._host = host
        self._status = status
        self._table: Mapping[str, Callable[[Command], Awaitable[CommandResult]]] = {
            "kill": lambda command: self._state(command, TradingState.HALTED),
            "reduce": lambda command: self._state(command, TradingState.REDUCING),
            "resume": lambda command: self._state(command, TradingState.ACTIVE),
            "pause": lambda command: self._pause(command, paused=True),
            "unpause": lambda command: self._pause(command, paused=False),
            "add-source": self._add,
            "remove-source": self._remove,
            "reconcile": self._reconcile,
            "status": self._tell,
            "do": self._do,
            "job": self._job,
            "jobs": self._list_jobs,
            "cancel-job": self._cancel_job,
        }

    async def __call__(self, command: Command) -> CommandResult:
        """Do it, or say in one line why not."""
        act = self._table.get(command.name)
        if act is None:
            return _refused(f"there is no command {command.name!r}; use one of {', '.join(self._table)}")
        return await act(command)

    async def _state(self, command: Command, state: TradingState) -> CommandResult:
        flatten = command.args.get("flatten", False)
        reason = command.args.get("reason", "by hand")
        if not isinstance(flatten, bool) or not isinstance(reason, str):
            return _refused("args must be {flatten: true|false, reason: text}")
        now = self._shell.clock.now()
        self._shell.inbox.put_command(SetTradingState(now, state, command.actor, reason[:200], flatten))
        risk = self._shell.desk.state.risk
        done = await self._until(self._handled, _SETTLE_SECONDS)
        if done and flatten and state is not TradingState.ACTIVE:
            done = await self._until(lambda: not risk.flattening, _FLATTEN_SECONDS)
        held = {name: str(held.amount) for name, held in self._shell.desk.portfolio.positions.items() if held.amount}
        result: dict[str, object] = {"state": risk.state.value, "positions": held}
        if not done:
            return CommandResult(False, f"not finished yet: state {risk.state.value}, still held: {held}", result)
        try:
            await self._shell.journal.flush(_SETTLE_SECONDS)
        except JournalError as problem:
            fault = f"trading is {risk.state.value}, but a restart may forget it: it is not on the disk yet ({problem})"
            return CommandResult(False, fault, result)
        return CommandResult(True, None, result)

    async def _pause(self, command: Command, *, paused: bool) -> CommandResult:
        name = command.args.get("source")
        if not isinstance(name, str) or name not in self._host.specs:
            return self._unknown(name)
        self._host.set_paused(name, paused, command.actor)
        done = await self._until(self._handled, _SETTLE_SECONDS)
        return CommandResult(done, None if done else "the desk did not answer in time", {"source": name, "paused": paused})

    async def _add(self, command: Command) -> CommandResult:
        file = command.args.get("file")
        if not isinstance(file, str):
            return _refused("args must be {file: path of the source's YAML file}")
        try:
            spec = self._admit(Path(file), command.actor)
        except (SourceConfigError, ConfigError, ValueError) as error:
            return _refused(str(error))
        done = await self._until(self._handled, _SETTLE_SECONDS)
        return CommandResult(done, None if done else "the desk did not answer in time", {"source": spec.name, "on": True})

    async def _remove(self, command: Command) -> CommandResult:
        name = command.args.get("source")
        if not isinstance(name, str) or name not in self._host.specs:
            return self._unknown(name)
        await self._host.remove(name, command.actor)
        done = await self._until(self._handled, _SETTLE_SECONDS)
        return CommandResult(done, None if done else "the desk did not answer in time", {"source": name, "removed": True})

    async def _reconcile(self, command: Command) -> CommandResult:
        accept = command.args.get("accept", False)
        if not isinstance(accept, bool):
            return _refused("args must be {accept: true|false}")
        if self._live is None:
            return _refused("this run has no account at a venue: only a live run is reconciled")
        try:
            found = await self._live.reconcile(command.actor if accept else None)
        except ReconcileFailed as problem:
            return CommandResult(False, str(problem))
        done = await self._until(lambda: not self._shell.inbox.broker_depth, _SETTLE_SECONDS)
        return CommandResult(done, None if done else "the desk did not answer in time", found)

    def _unknown(self, name: object) -> CommandResult:
        return _missing(f"no source is called {name!r}; there are {', '.join(self._host.specs) or 'none'}")

    async def _tell(self, command: Command) -> CommandResult:
        del command
        return CommandResult(True, None, self._status())

    async def _do(self, command: Command) -> CommandResult:
        """A use case: at once if it is quick, else a job, whose id is the answer."""
        name, given = command.args.get("use_case"), command.args.get("args", {})
        if not isinstance(name, str) or not isinstance(given, Mapping):
            return _refused("args must be {use_case: name, args: {...}}")
        try:
            case = use_case(name)
            args = case.read(given)
            if case.quick:
                async with asyncio.timeout(_QUICK_SECONDS):
                    return CommandResult(True, None, {"result": dict(await case.run(self._ground, args, _unheard))})
            job = self._jobs.start(name, given, lambda report: case.run(self._ground, args, report), command.actor)
        except Missing as error:
            return _missing(str(error))
        except (UseCaseError, JobRefused) as error:
            return _refused(str(error))
        except TimeoutError:
            return CommandResult(False, f"{name} has no answer after {_QUICK_SECONDS:g} s")
        except Exception as error:
            line = explained(error)
            if line is None:
                log.exception("use_case_failed", use_case=name)
                line = f"unexpected {type(error).__name__}; the log has more"
            return CommandResult(False, line)
        return CommandResult(True, None, {"job": job.id})

    async def _job(self, command: Command) -> CommandResult:
        try:
            return CommandResult(True, None, self._jobs.get(str(command.args.get("id"))).as_json())
        except JobRefused as error:
            return _missing(str(error))

    async def _list_jobs(self, command: Command) -> CommandResult:
        del command
        return CommandResult(True, None, {"jobs": [{**job.as_json(), "result": None} for job in self._jobs.all()]})

    async def _cancel_job(self, command: Command) -> CommandResult:
        try:
            job = await self._jobs.cancel(str(command.args.get("id")))
        except JobRefused as error:
            return _missing(str(error))
        return CommandResult(job.ended, None if job.ended else f"{job.id} has not cleaned up yet", job.as_json())

    def _handled(self) -> bool:
        """Whether the desk has taken every command; the market may go on arriving."""
        return not self._shell.inbox.command_depth

    @staticmethod
    async def _until(true: Callable[[], bool], seconds: float) -> bool:
        """Wait, at most `seconds`, for something that the desk's task brings about."""
        try:
            async with asyncio.timeout(seconds):
                while not true():  # noqa: ASYNC110 - the desk is plain code and signals nobody
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        return True


def _missing(why: str) -> CommandResult:
    """Nothing was done: what is named does not exist."""
    return CommandResult(False, why, refused=True, missing=True)


def _refused(line: str) -> CommandResult:
    """Nothing was done, and this is why."""
    return CommandResult(False, line, refused=True)


def _unheard(progress: Progress) -> None:
    """A quick use case tells nobody how far it is."""
    del progress
