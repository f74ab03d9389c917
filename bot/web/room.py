"""What every route stands on: the journal to read, the link to the bot, and who may do what.

Reading happens in this process; whatever changes something or spends money is a command to the bot.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import orjson
import structlog
from fastapi import Depends
from starlette.requests import HTTPConnection

from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.journal.records import Run
from bot.journal.run import BookKey
from bot.outlets.admission import LOOKS
from bot.outlets.command import CommandResult
from bot.outlets.errors import Disconnected
from bot.runtime.jobs import Progress
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.use_case import Ground, Missing, UseCase, UseCaseError, explained, use_case
from bot.settings import Loaded
from bot.web.problems import Problem, not_found
from bot.web.reports import Reports
from bot.web.security.idempotency import require_same_run
from bot.web.security.principal import Principal, Scope
from bot.web.security.store import AccessStore
from bot.web.stream.link import BotAway, BotLink
from bot.web.stream.ring import Ring

if TYPE_CHECKING:
    from bot.web.world import World

log = structlog.get_logger(__name__)

T = TypeVar("T")
Answer = Mapping[str, Any]

_AFAR = frozenset({"qc.projects", "qc.nodes", "qc.algorithms"})
"""Questions to a service that allows so many calls: what a reader asks is not there any more when something has to be stopped."""
_READ_SECONDS = 20.0
_READERS = 8
_STATUS_SECONDS = 0.5
_STATUS_ANSWER_SECONDS = 4.0
_MOST_REMEMBERED = 64
_SERVES_TIMES = 10.0
_SERVES_SECONDS = 5.0
_COMMAND_SECONDS = 35.0
_FIRST_LOOK_SECONDS = 0.05
_LONGEST_LOOK_SECONDS = 0.5


@dataclass(slots=True)
class _Fresh:
    """One answer for all who ask within half a second, and one question for all who wait."""

    _at: float = -1.0
    _found: Answer | Problem | None = None
    _changes: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """What `ask` finds, or the `Problem` that it meets: that too is for all who wait."""
        clock = asyncio.get_running_loop().time
        async with self._lock:
            found, changes = self._found, self._changes
            if found is None or clock() - self._at > _STATUS_SECONDS:
                try:
                    found = await ask()
                except Problem as problem:
                    found = problem
                # What was changed while it was asked may not be in the answer.
                self._found, self._at = found if changes == self._changes else None, clock()
            if isinstance(found, Problem):
                raise found.with_traceback(None)
            return found

    def changed(self) -> None:
        """Whoever changed something finds it in the next answer."""
        self._found, self._changes = None, self._changes + 1


@dataclass(slots=True)
class _Remembered:
    """An answer that serves a while past its time, as the next is looked for; who comes later than that waits for it."""

    _clock: Callable[[], float]
    _at: float = 0.0
    _value: Any = None
    _task: asyncio.Task[Any] | None = None
    _known: bool = False

    async def get(self, ask: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> Any:
        """What `ask` finds, wanted no older than `seconds`; raises what `ask` raises once the old answer is too old to serve."""
        age = self._clock() - self._at if self._known else math.inf
        if age <= seconds:
            return self._value
        if self._task is None:
            self._task = asyncio.create_task(self._ask(ask), name="remember")
            self._task.add_done_callback(_looked)
        if age <= max(_SERVES_TIMES * seconds, _SERVES_SECONDS):
            return self._value
        return await asyncio.shield(self._task)

    async def _ask(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        try:
            self._value = await ask()
            self._known, self._at = True, self._clock()
            return self._value
        finally:
            self._task = None


def _looked(task: asyncio.Task[Any]) -> None:
    """Have a failure heard of, though perhaps nobody waited."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, Problem):
        log.warning("answer_not_renewed", reason=error.detail)
    elif error is not None:
        log.error("answer_not_renewed", exc_info=error)


@dataclass(slots=True)
class ControlRoom:
    """One control room; `now` is in ms UTC. Made by `bot.web.server.open_room`."""

    loaded: Loaded
    secrets: Secrets
    queries: Queries
    link: BotLink
    ring: Ring
    access: AccessStore
    reports: Reports
    now: Callable[[], int]
    version: str
    closing: AsyncExitStack
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    held: dict[str, Any] = field(default_factory=dict)
    _grounds: dict[bool, Ground] = field(default_factory=dict)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _status: _Fresh = field(default_factory=_Fresh)
    _run: Run | None = None
    _run_for: str = ""
    _run_at: float = 0.0
    _memory: dict[tuple[object, ...], _Remembered] = field(default_factory=dict)
    _readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_READERS, "journal-read"))

    def __post_init__(self) -> None:
        self.closing.callback(self._readers.shutdown, wait=False, cancel_futures=True)

    async def read(self, work: Callable[[Queries], T]) -> T:
        """What a question to the journal finds, asked in a thread; `Problem` 503 if the journal cannot be read.

        The threads are the journal's own: while it does not answer, nobody else waits for one.
        """
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._readers, self.queries.together, work)
        except JournalError as error:
            raise Problem(503, "The journal cannot be read", str(error)) from error
        except TimeoutError as error:
            raise Problem(503, "The journal is slow", f"no answer within {_READ_SECONDS:g} s; try again") from error

    async def remembered(self, key: tuple[object, ...], seconds: float, work: Callable[[Queries], T]) -> T:
        """What a long question finds, asked again when the answer is older than `seconds`, while the old one serves.

        It serves until it is ten times so old (or 5 s); then who asks waits for the next one, or hears why there is none.
        """
        found: _Remembered | None = self._memory.get(key)
        if found is None:
            found = self._memory[key] = _Remembered(asyncio.get_running_loop().time)
            while len(self._memory) > _MOST_REMEMBERED:
                del self._memory[next(iter(self._memory))]
        value: T = await found.get(lambda: self.read(work), seconds)
        return value

    @property
    def running(self) -> str:
        """The run that the bot is in; empty while none runs."""
        hello = self.link.hello
        return "" if hello is None else hello.run

    async def run(self) -> Run | None:
        """The run that is shown: the one that the bot is in, else this bot's newest of half a second ago, or anybody's.

        None for an empty journal.
        """
        hello = self.link.hello
        wanted = "latest" if hello is None else hello.run
        now = asyncio.get_running_loop().time()
        stale = wanted == "latest" and now - self._run_at > _STATUS_SECONDS
        if self._run is None or self._run_for != wanted or stale:
            self._run = await self.read(self._newest if hello is None else lambda queries: queries.run(wanted))
            self._run_for, self._run_at = wanted, now
        return self._run

    async def run_named(self, name: str) -> Run | None:
        """The run of an id, `latest` being the one that is shown; None if there is none."""
        return await (self.run() if name == "latest" else self.read(lambda queries: queries.run(name)))

    def _newest(self, queries: Queries) -> Run | None:
        """Of this bot's name, of those that share a database; of whoever it is only where this bot has none."""
        return queries.newest_of(self.loaded.settings.bot.name)

    async def world(self) -> World:
        """Where this is, as every page says. While a bot greets nobody waits for the journal: the kill switch asks this."""
        from bot.web.world import World  # noqa: PLC0415 - it needs the room's type

        hello = self.link.hello
        return World.of(await self.run() if hello is None else self._run, hello, self.loaded)

    async def book(self) -> BookKey:
        """The books that are shown; `Problem` 503 while there are none."""
        run = await self.run()
        if run is None:
            raise Problem(503, "Nothing to show yet", "the journal holds no run: start the bot, such as `python -m bot --paper`")
        return BookKey(run.bot, run.mode, run.venue, run.world)

    async def status(self) -> Answer:
        """How the bot does, at most half a second old however many ask; `Problem` 503 while none runs."""
        return await self._status.get(self._ask_status)

    async def ask(self, name: str, args: Mapping[str, object], principal: Principal, *, nonce: str | None = None) -> Answer:
        """Have a use case performed: here if it only reads, else by the bot; one that takes a while answers `{"job": id}`.

        `Problem` 404 for no such use case, 422 for wrong arguments, 409 if it cannot be done, 503 while no bot runs.
        """
        try:
            case = use_case(name)
        except UseCaseError as error:
            raise not_found(str(error)) from error
        if case.reads:
            return await self._perform(case, args)
        if principal.scope < Scope.TRADE and (name in _AFAR or not case.quick):
            needed = Scope.TRADE.label
            detail = f"{name} takes one of the bot's few jobs, or of the calls that a service allows; this needs {needed}"
            raise Problem(403, "Not permitted", detail, scope=principal.scope.label, needed=needed)
        checked(case, args)
        answer = await self.command("do", {"use_case": name, "args": dict(args)}, principal, nonce=nonce)
        return dict(answer["result"]) if "result" in answer else answer

    async def command(self, name: str, args: Mapping[str, object], principal: Principal, *, nonce: str | None = None) -> Answer:
        """Have the bot do something; what it answers. `Problem` 409 with its reason if it refuses, 503 while none runs.

        Where the bot began it and does not say that it is done, or was asked and does not answer, the problem is `unknown`.
        """
        done = await self._send(name, args, principal.actor, nonce)
        if name not in LOOKS and name != "do":
            self._status.changed()
        if done.missing:
            raise not_found(done.error or "it does not exist")
        if not done.ok:
            title, why = "Not done" if done.refused else "Not finished", done.error or "the bot did not say why"
            raise Problem(409, title, why, unknown=not done.refused and name not in LOOKS, result=dict(done.result or {}))
        return dict(done.result or {})

    async def finished(self, job: str, principal: Principal, seconds: float) -> Answer | None:
        """The result of a job, None if it still runs after so long; `Problem` 404 or 409 if it failed or was cancelled."""
        until = asyncio.get_running_loop().time() + seconds
        pause = _FIRST_LOOK_SECONDS
        while True:
            found = await self.command("job", {"id": job}, principal)
            if found["state"] == "done":
                return dict(found["result"] or {})
            if found["missing"]:
                raise not_found(str(found["error"]))
            if found["state"] != "running":
                raise Problem(409, "Not done", str(found["error"] or f"the job was {found['state']}"), job=job)
            if asyncio.get_running_loop().time() + pause > until:
                return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)

    async def note(
        self, principal: Principal, command: str, target: str, before: Mapping[str, object] | None, after: object
    ) -> None:
        """Write into the audit that it was done, here and not by the bot."""
        from bot.web.auditing import noted  # noqa: PLC0415 - it needs the room's type

        await noted(self, principal, command, target, before, after)

    async def ground(self) -> Ground:
        """What reading use cases stand on here: a simulated world keeps things apart from the real one."""
        run = await self.run()
        simulated = run is not None and run.simulated
        async with self._opening:  # two who ask at once stand on one
            if simulated not in self._grounds:
                made = await self.closing.enter_async_context(own_ground(self.loaded, self.secrets, self.now))
                made.simulated = simulated
                self._grounds[simulated] = made
        found = self._grounds[simulated]
        found.run = "" if run is None else run.id  # the bot may have started again
        return found

    async def _perform(self, case: UseCase[Any], args: Mapping[str, object]) -> Answer:
        given = checked(case, args)
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return dict(await case.run(await self.ground(), given, _unheard))
        except Missing as error:
            raise not_found(str(error)) from error
        except UseCaseError as error:
            raise Problem(409, "Cannot be answered", str(error)) from error
        except TimeoutError as error:
            raise Problem(503, "Slow", f"{case.name} has no answer after {_READ_SECONDS:g} s") from error
        except Exception as error:
            line = explained(error)
            if line is None:
                raise
            raise Problem(503, "Cannot be answered", line) from error

    async def _ask_status(self) -> Answer:
        done = await self._send("status", {}, "control-room", None, _STATUS_ANSWER_SECONDS)
        if not done.ok or done.result is None:
            raise Problem(503, "The bot does not answer", done.error or "")
        return done.result

    async def _send(
        self, name: str, args: Mapping[str, object], actor: str, nonce: str | None, seconds: float = _COMMAND_SECONDS
    ) -> CommandResult:
        _sendable(args)
        if name not in LOOKS:
            require_same_run(self.running)
        try:
            return await self.link.command(name, args, actor=actor, nonce=nonce, timeout=seconds)
        except BotAway as error:
            raise Problem(503, "No bot is running", str(error)) from error
        except Disconnected as error:
            raise Problem(
                503, "The bot went away", f"{name} may or may not have been carried out; look before you repeat it", unknown=True
            ) from error
        except TimeoutError as error:
            raise Problem(
                503,
                "The bot does not answer",
                f"{name} may or may not be carried out yet; look before you repeat it",
                unknown=True,
            ) from error


def checked(case: UseCase[Any], args: Mapping[str, object]) -> Any:
    """The arguments as the use case takes them; `Problem` 422 says what is wrong with them."""
    try:
        return case.read(args)
    except UseCaseError as error:
        raise Problem(422, "Not acceptable as it is", str(error)) from error


def _sendable(args: Mapping[str, object]) -> None:
    """JSON allows what the bot's line cannot carry: numbers without end, halves of characters, depth without end."""
    try:
        orjson.dumps(args, default=str)
    except TypeError as error:
        raise Problem(422, "Not acceptable as it is", f"this cannot be sent on to the bot: {error}") from error


def _unheard(progress: Progress) -> None:
    del progress


def room_of(connection: HTTPConnection) -> ControlRoom:
    """The control room that serves a request."""
    room: ControlRoom = connection.app.state.room
    return room


Room = Annotated[ControlRoom, Depends(room_of)]
