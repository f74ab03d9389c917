"""Which commands are carried out: each once, in its time, and only by the bot and the start of it that it was meant for.

A command carries a nonce, an expiry and its addressee. The nonce is remembered for as long as any expiry may lie ahead, so that
no copy of a command is ever carried out a second time: the same command under the same nonce gets the answer of the first,
another one is refused. What the handler refused did nothing: the next try is a new one. What is remembered is bounded; where
nothing more can be remembered, nothing more is carried out, but for the commands that make the bot safer, for which room is kept.
Commands that only look are asked all the time and may be repeated freely: of them nothing is remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson
import structlog

from bot.outlets.command import Command, CommandHandler, CommandResult
from bot.outlets.envelope import Identity

_log = structlog.get_logger(__name__)

LONGEST_MS = 300_000
"""How far ahead an expiry may lie at most; so long a nonce is remembered at least."""
LONGEST_ACTOR = 64
SAFER = frozenset({"kill", "reduce"})
"""Commands that make the bot safer: there is always room for them."""

LOOKS = frozenset({"status", "job", "jobs"})
"""Commands that change nothing: each is answered afresh."""

_NONCE = re.compile(r"[A-Za-z0-9_.:-]{16,128}")


def wall_ms() -> int:
    """Milliseconds UTC by the system's clock, which the processes of one machine share."""
    return time.time_ns() // 1_000_000


class Refusal(StrEnum):
    """Why a command is not carried out."""

    MALFORMED = "malformed"
    OTHER_BOT = "other-bot"
    OTHER_RUN = "other-run"
    EXPIRED = "expired"
    TOO_FAR = "too-far-ahead"
    REUSED = "reused-nonce"
    FULL = "too-many"


@dataclass(frozen=True, slots=True)
class Request:
    """A command as it was asked for. `expires` is ms UTC; without a `run` any start of the bot may carry it out.

    `overheard` says that others may have copies of it, who must not get done later what its sender was told is refused.
    """

    command: Command
    expires: int
    bot: str
    run: str | None
    overheard: bool = False

    @property
    def digest(self) -> bytes:
        """The same for the same command with the same arguments."""
        what = [self.command.name, dict(self.command.args)]
        return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).digest()


class NotAdmitted(Exception):  # noqa: N818 - it names what happened
    """A command that is not carried out; `kind` says why to a machine, the text to a person."""

    def __init__(self, kind: Refusal, line: str) -> None:
        super().__init__(line)
        self.kind = kind


def request_of(said: Mapping[str, object], actor: str) -> Request:
    """The request in a parsed line, by the `actor` it names, else by that given; `NotAdmitted` as malformed if it is none."""
    name, args = said.get("command"), said.get("args")
    nonce, expires, bot, run = said.get("nonce"), said.get("expires"), said.get("bot"), said.get("run")
    named = said.get("actor")
    who = actor if named is None else named
    if not isinstance(name, str) or not 0 < len(name) <= 64 or not isinstance(args, dict):
        raise NotAdmitted(Refusal.MALFORMED, 'a command has a name and its arguments: {"command": "status", "args": {}, ...}')
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise NotAdmitted(Refusal.MALFORMED, f"{name} needs a nonce of 16 to 128 letters, digits, '-', '_', '.' or ':'")
    if not isinstance(expires, int) or isinstance(expires, bool):
        raise NotAdmitted(Refusal.MALFORMED, f"{name} needs `expires`, in milliseconds UTC")
    if not isinstance(bot, str) or not (run is None or isinstance(run, str)):
        raise NotAdmitted(Refusal.MALFORMED, f"{name} needs `bot`, and `run` beside it: whom it is meant for")
    if not isinstance(who, str) or not 0 < len(who) <= LONGEST_ACTOR or not who.isprintable():
        raise NotAdmitted(Refusal.MALFORMED, f"an actor's name has 1 to {LONGEST_ACTOR} printable characters")
    return Request(Command(name, args, who, nonce), expires, bot, run)


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Bounds. `nonces` may be remembered at once and `reserved` more for what makes the bot safer; `answers` is in bytes.

    `seconds` is how long a command may take.
    """

    seconds: float = 30.0
    nonces: int = 60_000
    reserved: int = 1_000
    answers: int = 4 << 20


@dataclass(slots=True)
class _Known:
    """A nonce that was seen. `answer` is the JSON that its command was answered with, None while it runs or if it is not kept.

    `heard` is there only where somebody waits for the end.
    """

    digest: bytes
    until: int
    done: bool = False
    answer: bytes | None = None
    heard: asyncio.Event | None = None


class Admission:
    """Carries out the commands of one run, whichever way they come. `now` is in ms UTC."""

    def __init__(
        self,
        identity: Identity,
        handler: CommandHandler,
        limits: AdmissionLimits | None = None,
        now: Callable[[], int] = wall_ms,
    ) -> None:
        self._identity = identity
        self._handler = handler
        self._limits = limits or AdmissionLimits()
        self._now = now
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._answered: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        self.refused = dict.fromkeys(Refusal, 0)

    def check(self, request: Request) -> None:
        """Nothing if the command may be carried out or was so before; `NotAdmitted` says why not."""
        command, now = request.command, self._now()
        who = self._identity
        if request.bot != who.bot:
            raise NotAdmitted(
                Refusal.OTHER_BOT, f"{command.name} is meant for the bot {request.bot[:64]!r}; this one is {who.bot!r}"
            )
        if request.run is not None and request.run != who.run:
            line = f"{command.name} is meant for the run {request.run[:64]!r}; the bot was started again as {who.run!r}"
            raise NotAdmitted(Refusal.OTHER_RUN, line)
        if request.expires <= now:
            raise NotAdmitted(
                Refusal.EXPIRED, f"{command.name} expired {(now - request.expires) / 1_000:.3f} s ago; nothing was done"
            )
        if request.expires > now + LONGEST_MS:
            line = (
                f"{command.name} expires in {(request.expires - now) / 1_000:.0f} s; at most {LONGEST_MS // 1_000} s are allowed"
            )
            raise NotAdmitted(Refusal.TOO_FAR, line)
        if command.name in LOOKS:
            return
        self._forget(now)
        known = self._known.get(command.nonce)
        if known is not None:
            if known.digest != request.digest:
                raise NotAdmitted(
                    Refusal.REUSED, f"the nonce of {command.name} was used before, for another command; draw a new one"
                )
            return
        limits = self._limits
        if len(self._known) >= limits.nonces + (limits.reserved if command.name in SAFER else 0):
            line = f"{len(self._known)} commands came within {LONGEST_MS // 60_000} minutes, which is the most; wait a while"
            raise NotAdmitted(Refusal.FULL, line)

    async def carry_out(self, request: Request) -> CommandResult:
        """Have it done, or answer as before if it was. A boundary: a refusal and a failing handler are answers too."""
        try:
            self.check(request)
        except NotAdmitted as refusal:
            return self.count(refusal)
        if request.command.name in LOOKS:
            return await self._performed(request.command)
        nonce = request.command.nonce
        known = self._known.get(nonce)
        until = self._now() + LONGEST_MS
        if known is not None:
            known.until = until
            self._known.move_to_end(nonce)
            return await self._again(request.command, known)
        known = self._known[nonce] = _Known(request.digest, until)
        try:
            result = await self._performed(request.command)
            self._keep(nonce, known, result)
        finally:
            known.done = True
            if known.heard is not None:
                known.heard.set()
                known.heard = None
        if result.refused and not request.overheard:
            self._drop(nonce)
        return result

    def count(self, refusal: NotAdmitted) -> CommandResult:
        """A refusal as an answer, counted."""
        self.refused[refusal.kind] += 1
        return CommandResult(ok=False, error=str(refusal), refused=True)

    async def _performed(self, command: Command) -> CommandResult:
        seconds = self._limits.seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._handler(command)
        except TimeoutError:
            return CommandResult(ok=False, error=f"{command.name} took longer than {seconds:g} s")
        except Exception as error:  # noqa: BLE001 - the handler's faults belong in the log, and in the answer only by name
            _log.exception("command_failed", command=command.name)
            return CommandResult(ok=False, error=f"{command.name} failed ({type(error).__name__}); the bot's log says why")

    async def _again(self, command: Command, known: _Known) -> CommandResult:
        """The answer of the first time, once there is one."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                if not known.done:
                    known.heard = known.heard or asyncio.Event()
                    await known.heard.wait()
        except TimeoutError:
            return CommandResult(ok=False, error=f"{command.name} is still being carried out", repeated=True)
        if known.answer is None:
            line = f"{command.name} was carried out before, and its answer is not kept any more"
            return CommandResult(ok=False, error=line, repeated=True)
        ok, error, result, refused, missing = orjson.loads(known.answer)
        return CommandResult(ok, error, result, repeated=True, refused=refused, missing=missing)

    def _keep(self, nonce: str, known: _Known, result: CommandResult) -> None:
        """Keep an answer, at the price of the oldest where there are too many bytes of them."""
        try:
            answer = orjson.dumps([result.ok, result.error, result.result, result.refused, result.missing], default=str)
        except TypeError:
            return  # what cannot be written is not answered either
        if len(answer) > self._limits.answers // 4:
            return
        known.answer = answer
        self._answered[nonce] = len(answer)
        self._bytes += len(answer)
        while self._bytes > self._limits.answers:
            oldest = next(iter(self._answered))
            self._known[oldest].answer = None
            self._bytes -= self._answered.pop(oldest)

    def _forget(self, now: int) -> None:
        """Let go of nonces whose time is over; they stand in the order in which that comes."""
        while self._known:
            nonce, known = next(iter(self._known.items()))
            if known.until > now or not known.done:
                return
            self._drop(nonce)

    def _drop(self, nonce: str) -> None:
        """Let go of one nonce; whoever was promised its answer still has that."""
        del self._known[nonce]
        self._bytes -= self._answered.pop(nonce, 0)
