"""Commands as the audit sees them: carried out by the operator, and written down with what they changed.

Nothing waits for the audit: before a command acts it is only looked at, and the line is left to the audit's own task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.core.decision import SourceSpec
from bot.outlets.command import Command, CommandHandler, CommandResult
from bot.outlets.envelope import Identity, JobChanged, JobState
from bot.runtime.hosting import SourceHost
from bot.runtime.jobs import JobRefused, Jobs
from bot.runtime.shell import Shell
from bot.services.audit.entry import LONGEST_DETAIL, LONGEST_TARGET, Entry, Outcome, Scribe, target_of
from bot.services.audit.live import AuditLimits, LiveAudit
from bot.services.audit.store import Scene
from bot.services.audit.views import looks, seen, told
from bot.services.use_case import Ground, UseCaseError, use_case
from bot.settings import Settings

_STATES = frozenset({"kill", "reduce", "resume"})
_SOURCES = frozenset({"pause", "unpause", "add-source", "remove-source"})
_COMMANDS = _STATES | _SOURCES | {"reconcile", "cancel-job"}
_UNFINISHED = "it failed, or was not finished in time: the bot's log says more"


@dataclass(frozen=True, slots=True)
class _Act:
    """What is written down of a command: its name, or that of the use case that it asks for, with the arguments of that."""

    command: Command
    name: str
    args: Mapping[str, object]
    use_case: bool = False


class Audited:
    """Carries out commands by `act`, and keeps a line of each that changes something. `now` is in ms UTC."""

    def __init__(
        self,
        act: CommandHandler,
        audit: LiveAudit,
        scribe: Scribe,
        *,
        shell: Shell,
        host: SourceHost,
        jobs: Jobs,
        ground: Ground,
        now: Callable[[], int],
    ) -> None:
        self._act = act
        self._audit = audit
        self._scribe = scribe
        self._shell = shell
        self._host = host
        self._jobs = jobs
        self._ground = ground
        self._now = now
        self._began: dict[str, tuple[_Act, object]] = {}

    async def __call__(self, command: Command) -> CommandResult:
        """Do it, or say in one line why not."""
        act = _changing(command)
        if act is None:
            return await self._act(command)
        before = await self._seen(act, None)
        after: object = None
        result: CommandResult | None = None
        try:
            result = await self._act(command)
            if not self._follows(act, before, result):
                after = await self._seen(act, result)
            return result
        finally:
            self._ended(act, before, after, result)

    def changed(self, job: JobChanged) -> None:
        """Hear of a job; one that was asked for here is written down once it has ended."""
        if job.state is JobState.RUNNING or job.id not in self._began:
            return
        act, before = self._began.pop(job.id)
        try:
            said, after = told(self._jobs.get(job.id).result)
        except JobRefused:
            said, after = None, None
        detail = f"{job.id} {job.state.value}" + (f": {job.error}" if job.error else "")
        outcome = Outcome.OK if job.state is JobState.DONE else Outcome.FAILED
        self._put(act, before if said is None else said, after, outcome, detail)

    def _follows(self, act: _Act, before: object, result: CommandResult) -> bool:
        """Whether what was asked for is a job now, whose end will be heard of."""
        job = (result.result or {}).get("job") if act.use_case and result.ok else None
        if not isinstance(job, str):
            return False
        self._began[job] = act, before
        return True

    def _ended(self, act: _Act, before: object, after: object, result: CommandResult | None) -> None:
        if result is None:
            self._put(act, before, None, Outcome.FAILED, _UNFINISHED)
            return
        answer = result.result or {}
        detail = result.error or ""
        if act.use_case:
            inner = answer.get("result")
            said, became = told(inner if isinstance(inner, Mapping) else None)
            before, after = (before, after) if said is None and became is None else (said, became)
            detail = detail or (f"began as {answer['job']}" if "job" in answer else "")
        outcome = Outcome.OK if result.ok else Outcome.REFUSED if result.refused else Outcome.FAILED
        self._put(act, before, after, outcome, detail)

    async def _seen(self, act: _Act, result: CommandResult | None) -> object:
        return await seen(self._ground, act.name, act.args) if act.use_case else self._desk(act, result)

    def _desk(self, act: _Act, result: CommandResult | None) -> object:
        """What a command of the desk is about, as it is now."""
        risk = self._shell.desk.state.risk
        if act.name in _STATES:
            return {"state": risk.state.value, "reason": risk.reason}
        if act.name == "reconcile":
            return {"state": risk.state.value, "unexplained": list(risk.unexplained)}
        if act.name == "cancel-job":
            try:
                return {"state": self._jobs.get(str(act.args.get("id"))).state.value}
            except JobRefused:
                return None
        named = act.args.get("source") or ((result.result or {}).get("source") if result is not None else None)
        spec = self._host.specs.get(str(named))
        return None if spec is None else _source(spec)

    def _put(self, act: _Act, before: object, after: object, outcome: Outcome, detail: str) -> None:
        scribe, command = self._scribe, act.command
        self._audit.put(
            Entry(
                self._now(),
                scribe.text(command.actor, LONGEST_TARGET),
                act.name,
                scribe.text(target_of(act.args), LONGEST_TARGET),
                scribe.shown(dict(act.args)),
                scribe.shown(before),
                scribe.shown(after),
                outcome,
                scribe.text(detail, LONGEST_DETAIL),
                command.nonce,
            )
        )


def live_audit(settings: Settings, identity: Identity, now: Callable[[], int]) -> LiveAudit:
    """The audit of a run, kept for as long as the journal's rows are."""
    scene = Scene(identity.bot, identity.run, identity.mode, identity.simulated)
    return LiveAudit(settings.database_url, scene, now, AuditLimits(keep_ms=settings.journal.retention))


def _changing(command: Command) -> _Act | None:
    """The act, if the command changes something; what is no command or use case at all changes nothing."""
    if command.name != "do":
        return _Act(command, command.name, command.args) if command.name in _COMMANDS else None
    name, given = command.args.get("use_case"), command.args.get("args", {})
    if not isinstance(name, str) or not isinstance(given, Mapping):
        return None
    try:
        only_looks = use_case(name).reads or looks(name, given)
    except UseCaseError:
        return None
    return None if only_looks else _Act(command, name, given, use_case=True)


def _source(spec: SourceSpec) -> dict[str, object]:
    return {"source": spec.name, "tier": spec.tier.label, "paused": spec.paused, "threshold": spec.threshold}
