"""The envelope: one message for every outlet, numbered once.

`{schema, bot, run, mode, simulated, seq, ts, type, corr, data}`. The `type` begins with its channel (`orders.changed` travels on
`orders`). `seq` counts from 1 without a gap per (run, channel) and is given when the event happens, not when it is sent: a
message that an outlet had to drop leaves a hole that consumers can see. `data` is the fact itself; money is a string of digits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from bot.core.facts import (
    AbstentionMade,
    AccountReconciled,
    ClaimMade,
    CommandDone,
    DecisionFate,
    DecisionFilled,
    DecisionSeen,
    EquitySampled,
    Fact,
    FillBooked,
    HealthChanged,
    LotClosed,
    OrderChanged,
    OverrideClosed,
    PositionChanged,
    RiskChanged,
    ShadowClosed,
    ShadowSampled,
    Verdict,
)
from bot.core.market import Candle, Quote

SCHEMA = "arbiter.v1"

Redact = Callable[[bytes], bytes]


class Channel(StrEnum):
    """Where a message travels; on Redis the name follows the prefix, as in `arbiter.v1.orders`."""

    QUOTES = "quotes"
    CANDLES = "candles"
    DECISIONS = "decisions"
    VERDICTS = "verdicts"
    ORDERS = "orders"
    FILLS = "fills"
    POSITIONS = "positions"
    EQUITY = "equity"
    RISK = "risk"
    HEALTH = "health"
    JOBS = "jobs"

    @property
    def market(self) -> bool:
        """Whether it carries market data: plenty, and worth less than what the bot did."""
        return self in _MARKET


_MARKET = frozenset({Channel.QUOTES, Channel.CANDLES})


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The bot is alive.

    `last` is the newest `seq` of every channel before this message, so that a hole at the end of a quiet channel shows too;
    `dropped` counts what the Redis outlet had to drop so far, `redis` is its state, `uptime` is in milliseconds.
    """

    at: int
    uptime: int
    redis: str
    dropped: int
    last: Mapping[str, int]


class JobState(StrEnum):
    """How a job is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobChanged:
    """A job that the bot runs for somebody began, went on or ended.

    `stage` is what it is doing, `done` of `total` how far it is (null where unknown), `error` why it failed. Its result is not
    here: the command `job` gives it.
    """

    at: int
    id: str
    kind: str
    actor: str
    state: JobState
    started: int
    stage: str
    done: float
    total: float | None
    note: str
    error: str


Publishable = Fact | Quote | Candle | Heartbeat | JobChanged


@dataclass(frozen=True, slots=True)
class Kind:
    """How a type travels: its channel, its name, and what correlates it with others (a decision's or an order's id)."""

    channel: Channel
    name: str
    corr: Callable[[Any], str | None]


def _none(_: object) -> None:
    return None


def _kind(name: str, corr: str | None = None) -> Kind:
    return Kind(Channel(name.partition(".")[0]), name, attrgetter(corr) if corr else _none)


KINDS: Mapping[type[Publishable], Kind] = MappingProxyType(
    {
        Quote: _kind("quotes.quote"),
        Candle: _kind("candles.closed"),
        DecisionSeen: _kind("decisions.seen", "decision.id"),
        DecisionFate: _kind("decisions.fate", "decision_id"),
        DecisionFilled: _kind("decisions.filled", "decision_id"),
        ClaimMade: _kind("decisions.claimed"),
        AbstentionMade: _kind("decisions.abstained"),
        Verdict: _kind("verdicts.given", "winner"),
        OrderChanged: _kind("orders.changed", "request.id"),
        FillBooked: _kind("fills.booked", "fill.order_id"),
        PositionChanged: _kind("positions.changed"),
        LotClosed: _kind("positions.lot-closed", "opening_decision"),
        EquitySampled: _kind("equity.sampled"),
        ShadowSampled: _kind("equity.shadow"),
        ShadowClosed: _kind("equity.shadow-closed", "decision_id"),
        OverrideClosed: _kind("equity.override", "decision_id"),
        RiskChanged: _kind("risk.state"),
        CommandDone: _kind("risk.command"),
        AccountReconciled: _kind("risk.account"),
        HealthChanged: _kind("health.market"),
        Heartbeat: _kind("health.heartbeat"),
        JobChanged: _kind("jobs.changed", "id"),
    }
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose messages these are. `run` is the id of this start, `mode` such as `paper`; `simulated` says it is no real market."""

    bot: str
    run: str
    mode: str
    simulated: bool


class Message(NamedTuple):
    """One encoded envelope and the channel it belongs to."""

    channel: Channel
    payload: bytes


class Encoder:
    """Numbers and encodes events. One per run; every outlet gets the same bytes.

    `redact`, if given, sees the bytes of everything but market data before anybody else does.
    """

    def __init__(self, identity: Identity, redact: Redact | None = None) -> None:
        who = {"schema": SCHEMA, "bot": identity.bot, "run": identity.run, "mode": identity.mode, "simulated": identity.simulated}
        self._head = orjson.dumps(who)[:-1] + b',"seq":'
        self._names = {kind.name: b'","type":%b,"corr":' % orjson.dumps(kind.name) for kind in KINDS.values()}
        self._seq = dict.fromkeys(Channel, 0)
        self._redact = redact
        self._second = -1
        self._stamp = b""

    @property
    def last(self) -> Mapping[str, int]:
        """The newest `seq` of every channel; 0 before the first."""
        return {channel.value: seq for channel, seq in self._seq.items()}

    def skip(self, event: Publishable) -> None:
        """Count an event that nobody listens to, without the price of encoding it."""
        self._seq[KINDS[type(event)].channel] += 1

    def encode(self, event: Publishable) -> Message:
        """The event's envelope. `TypeError` if it holds what JSON cannot: its number is then spent, and shows as a hole."""
        kind = KINDS[type(event)]
        channel = kind.channel
        seq = self._seq[channel] = self._seq[channel] + 1
        corr = kind.corr(event)
        payload = b'%b%d,"ts":"%b%b%b,"data":%b}' % (
            self._head,
            seq,
            self._time(event.at),
            self._names[kind.name],
            b"null" if corr is None else _text(corr),
            _data(event),
        )
        if self._redact is not None and channel not in _MARKET:
            payload = self._redact(payload)
        return Message(channel, payload)

    def _time(self, at: int) -> bytes:
        """Milliseconds as `2026-01-31T23:59:59.123Z`. The second is remembered: most messages share it with the one before."""
        second, milli = divmod(at, 1_000)
        if second != self._second:
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
            self._second = second
        return b"%b.%03dZ" % (self._stamp, milli)


def masking(secrets: Iterable[str]) -> Redact:
    """A `Redact` that replaces every one of these, as JSON writes them, by `***`.

    Left out are those under 6 characters, which would hit plain words, and those of digits alone, which would hit numbers.
    """
    worthy = {secret for secret in secrets if len(secret) >= 6 and not secret.isdigit()}
    needles = sorted((orjson.dumps(secret)[1:-1] for secret in worthy), key=lambda text: (-len(text), text))

    def redact(payload: bytes) -> bytes:
        for needle in needles:
            if needle in payload:
                payload = payload.replace(needle, b"***")
        return payload

    return redact


def _data(event: Publishable) -> bytes:
    try:
        return orjson.dumps(event, default=_plain)
    except TypeError:
        return orjson.dumps(_writable(dataclasses.asdict(event)), default=_plain)


def _text(value: str) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_writable(value))


def _plain(value: object) -> object:
    """What orjson does not know: decimals become plain digits (never an exponent), read-only mappings become objects."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return dict(value)
    message = f"{type(value).__name__} has no place in a message"
    raise TypeError(message)


def _writable(value: object) -> object:
    """The same value without what JSON cannot carry: half a surrogate pair in a text, a whole number beyond 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, Mapping):
        return {str(_writable(key)): _writable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_writable(item) for item in value]
    return value
