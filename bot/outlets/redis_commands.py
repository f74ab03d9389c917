"""The same commands over Redis, from whoever knows the secret.

`<prefix>.commands` is read, `<prefix>.answers` is written, both signed (see `bot.outlets.signing`). Whatever is not signed with
the secret is met with silence, and so is what is meant for another bot: only who knows the secret learns that anybody listens.
Without a secret nothing is read. Nothing here can hold up the feed: this outlet has connections of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from bot.outlets.admission import LONGEST_ACTOR, LOOKS, SAFER, Admission, NotAdmitted, Refusal, Request, request_of
from bot.outlets.command import CommandResult
from bot.outlets.envelope import Identity, Redact
from bot.outlets.errors import OutletError
from bot.outlets.redis_feed import FeedState
from bot.outlets.signing import ANSWERS, COMMANDS, LEAST_SECRET, VERSION, canonical, opened, signed

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log = structlog.get_logger(__name__)

# Answers can be read by everybody on that Redis.
_SECRET_KEY = re.compile(r"secret|token|passw|passphrase|credential|cookie|signature|private", re.IGNORECASE)
_STARS = "***"


class Silence(StrEnum):
    """Why a message is not answered."""

    TOO_LONG = "too-long"
    UNSIGNED = "unsigned"
    VERSION = "other-version"
    OTHER_BOT = "other-bot"
    TOO_FAST = "too-fast"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class RedisCommandSettings:
    """Where commands come in, and how many. Times are seconds, sizes bytes; rates are messages a second.

    `flood` bounds what is looked at, signed or not: beyond it, each message costs a `pause`. `rate` and `in_flight` bound the
    commands that are carried out; for `kill` and `reduce` there is always room. A line that is quiet for `idle` is asked for a
    sign of life, and given up after as long again without one.
    """

    url: str
    prefix: str
    secret: str
    longest: int = 16_384
    longest_answer: int = 262_144
    flood: int = 500
    pause: float = 0.01
    rate: int = 20
    in_flight: int = 8
    timeout: float = 2.0
    idle: float = 5.0
    first_backoff: float = 0.1
    last_backoff: float = 5.0

    def __repr__(self) -> str:
        """Without the URL, which may hold a password, and without the secret."""
        return f"RedisCommandSettings(prefix={self.prefix!r})"


@dataclass(frozen=True, slots=True)
class RedisCommandStats:
    """What it has done so far: commands carried out or refused with an answer, messages met with silence by why."""

    state: FeedState
    commands: int
    unanswered: int
    ignored: Mapping[str, int]


class _Pace:
    """At most so many in any second."""

    def __init__(self, rate: int, now: Callable[[], float]) -> None:
        self._times: deque[float] = deque(maxlen=rate)
        self._now = now

    def allows(self) -> bool:
        """Whether one more may come now; if so it is counted."""
        times, now = self._times, self._now()
        if len(times) == times.maxlen and now - times[0] < 1.0:
            return False
        times.append(now)
        return True


class RedisCommands:
    """One bot's commands from Redis. `redact` takes known secrets out of what is answered."""

    def __init__(
        self, settings: RedisCommandSettings, identity: Identity, admission: Admission, redact: Redact | None = None
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._admission = admission
        self._redact = redact
        self._commands = f"{settings.prefix}.{COMMANDS}"
        self._answers = f"{settings.prefix}.{ANSWERS}"
        self._ignored = dict.fromkeys(Silence, 0)
        self._done = 0
        self._unanswered = 0
        self._state = FeedState.OFF
        self._turn = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def stats(self) -> RedisCommandStats:
        """What it has done so far."""
        ignored = {why.value: count for why, count in self._ignored.items()}
        return RedisCommandStats(self._state, self._done, self._unanswered, ignored)

    async def start(self) -> None:
        """Begin to listen, in the background. `OutletError` if the secret is too short or the URL is none."""
        if len(self._settings.secret) < LEAST_SECRET:
            message = f"REDIS_COMMAND_SECRET has less than {LEAST_SECRET} characters; make one: openssl rand -hex 32"
            raise OutletError(message)
        client = self._client()
        self._enter(FeedState.CONNECTING)
        self._task = asyncio.create_task(self._run(client), name="redis-commands")

    async def wait_for(self, *states: FeedState, timeout: float) -> FeedState:
        """Wait until it is in one of these states; `TimeoutError` if it does not come."""
        async with asyncio.timeout(timeout):
            while self._state not in states:
                await self._turn.wait()
        return self._state

    async def close(self, timeout: float = 1.0) -> None:
        """Listen no more; what is under way may end and be answered within `timeout` seconds."""
        task, self._task = self._task, None
        if task is None:
            return
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=timeout)
        ending = [task, *self._under_way]
        for each in ending:
            each.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._enter(FeedState.OFF)

    def _client(self) -> Redis:
        # Imported here because redis costs the command line's start 0.1 s.
        from redis.asyncio import Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415

        settings = self._settings
        try:
            return Redis.from_url(
                settings.url,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=settings.timeout,
                socket_connect_timeout=settings.timeout,
            )
        except (ValueError, TypeError):
            # The library's message may quote the URL, and the URL may hold a password.
            message = "redis.url is not a Redis URL; it looks like redis://host:6379/0, rediss://... or unix:///path"
            raise OutletError(message) from None

    async def _run(self, client: Redis) -> None:
        settings = self._settings
        backoff = settings.first_backoff
        try:
            while True:
                await self._session(client)
                backoff = settings.first_backoff if self._state is FeedState.UP else min(backoff * 2, settings.last_backoff)
                self._enter(FeedState.DOWN)
                await asyncio.sleep(backoff)
        finally:
            await client.aclose()

    async def _session(self, client: Redis) -> None:
        """One subscription, from its beginning to the first failure."""
        from redis.exceptions import RedisError  # noqa: PLC0415

        clock = asyncio.get_running_loop().time
        flood, pace = _Pace(self._settings.flood, clock), _Pace(self._settings.rate, clock)
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(self._commands)
                asked = False
                while True:
                    message = await pubsub.get_message(timeout=self._settings.idle)
                    if message is None:
                        # The library's own check sends a ping, and never misses the pong: a line that is cut stays "up" for as
                        # long as the system repeats what nobody acknowledges, which is a quarter of an hour.
                        if asked:
                            raise TimeoutError
                        async with asyncio.timeout(self._settings.timeout):
                            await pubsub.ping()
                    asked = message is None
                    if message is None or message["type"] == "pong":
                        await asyncio.sleep(0)
                    elif message["type"] == "subscribe":
                        self._enter(FeedState.UP)
                    elif message["type"] == "message":
                        # A turn for everybody else after each one, however many wait.
                        await asyncio.sleep(0 if flood.allows() else self._settings.pause)
                        self._hear(client, message["data"], pace)
        except (RedisError, OSError, TimeoutError) as error:
            if self._state is not FeedState.DOWN:
                _log.warning("redis_commands_down", error=type(error).__name__)
        except Exception:  # noqa: BLE001 - an outlet's boundary: whatever the client library does, it is tried again
            _log.exception("redis_commands_failed")

    def _hear(self, client: Redis, payload: bytes, pace: _Pace) -> None:
        """Take one message, or be silent about it. Returns at once."""
        if len(payload) > self._settings.longest:
            self._ignore(Silence.TOO_LONG)
        elif (said := opened(self._settings.secret, COMMANDS, payload)) is None:
            self._ignore(Silence.UNSIGNED)
        elif said.get("v") != VERSION:
            self._ignore(Silence.VERSION)
        elif said.get("bot") != self._identity.bot:
            self._ignore(Silence.OTHER_BOT)
        elif (why := self._too_much(said, pace)) is not None:
            self._ignore(why)
        else:
            task = asyncio.create_task(self._carry_out(client, said), name="redis-command")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _too_much(self, said: Mapping[str, Any], pace: _Pace) -> Silence | None:
        """Why a command is not even tried now."""
        safer, most = str(said.get("command")) in SAFER, self._settings.in_flight
        if len(self._under_way) >= (most * 4 if safer else most):
            return Silence.BUSY
        return None if safer or pace.allows() else Silence.TOO_FAST

    async def _carry_out(self, client: Redis, said: dict[str, Any]) -> None:
        """One command. A boundary: whatever goes wrong with it stays with it."""
        from redis.exceptions import RedisError  # noqa: PLC0415

        try:
            result = await self._admission.carry_out(_request(said, self._identity.run))
        except NotAdmitted as refusal:
            result = self._admission.count(refusal)
        self._done += 1
        try:
            async with asyncio.timeout(self._settings.timeout):
                await client.publish(self._answers, self._answer(said.get("nonce"), result))
        except (RedisError, OSError, TimeoutError) as error:
            self._unanswered += 1
            _log.warning("redis_command_unanswered", error=type(error).__name__, unanswered=self._unanswered)
        except Exception:  # noqa: BLE001 - an answer that cannot be written must not end the outlet
            self._unanswered += 1
            _log.exception("redis_command_unanswered", unanswered=self._unanswered)

    def _answer(self, nonce: object, result: CommandResult) -> bytes:
        """The answer, signed, without secrets, and with the result only where it is not too long."""
        told = {
            "v": VERSION,
            "bot": self._identity.bot,
            "run": self._identity.run,
            "nonce": nonce if isinstance(nonce, str) else None,
            "ok": result.ok,
            "error": result.error,
            "result": result.result,
            "repeated": result.repeated,
            "refused": result.refused,
        }
        plain = orjson.dumps(told, default=str)
        clean = _hidden(orjson.loads(plain if self._redact is None else self._redact(plain)))
        if len(canonical(clean)) > self._settings.longest_answer:
            clean["result"] = None
            clean["error"] = result.error or "it was done, but the answer is too long for here: ask on the local feed"
        return signed(self._settings.secret, ANSWERS, clean)

    def _ignore(self, why: Silence) -> None:
        """Count, and log the first of each kind: thousands may follow it."""
        self._ignored[why] += 1
        if self._ignored[why] == 1:
            _log.warning("redis_command_ignored", why=why.value)

    def _enter(self, state: FeedState) -> None:
        if state is self._state:
            return
        if state is FeedState.UP:
            _log.info("redis_commands_up", channel=self._commands)
        self._state = state
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()


def _request(said: dict[str, Any], run: str) -> Request:
    """The command in a message to this run; its actor is who the sender says it is, and that it came over Redis."""
    actor = said.get("actor")
    if not isinstance(actor, str) or not actor:
        raise NotAdmitted(Refusal.MALFORMED, "a command over Redis needs `actor`: who asks")
    named = {**said, "actor": f"redis:{actor}"}
    if len(named["actor"]) > LONGEST_ACTOR:
        raise NotAdmitted(Refusal.MALFORMED, f"an actor's name has at most {LONGEST_ACTOR - len('redis:')} characters")
    try:
        named["args"] = orjson.loads(canonical({"args": said.get("args")}))["args"]
    except ValueError:
        raise NotAdmitted(Refusal.MALFORMED, "`args` hold a number or a text that is none") from None
    request = request_of(named, actor)
    if request.run is None and request.command.name not in SAFER | LOOKS:
        # A bot that was started again knows no nonce of before, and anybody on that Redis may have kept a copy.
        line = f"{request.command.name} over Redis needs `run`, so that no copy of it acts after a restart; here it is {run!r}"
        raise NotAdmitted(Refusal.MALFORMED, line)
    return replace(request, overheard=True)


def _hidden(value: Any) -> Any:
    """The same, with every text starred out whose key says that it is secret."""
    if isinstance(value, dict):
        stars = {key: _STARS for key, item in value.items() if isinstance(item, str) and _SECRET_KEY.search(key)}
        return {key: _hidden(item) for key, item in value.items()} | stars
    return [_hidden(item) for item in value] if isinstance(value, list) else value
