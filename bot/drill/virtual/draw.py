"""Drawing a schedule from a seed: decisions enough that something always happens, and trouble of every kind around them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random

from bot.core.decision import Action
from bot.core.market import Side
from bot.drill.virtual.schedule import (
    SYMBOLS,
    Crash,
    CrashOn,
    Decide,
    Disk,
    Event,
    Fail,
    How,
    Leak,
    Moment,
    Move,
    Omit,
    Op,
    Other,
    Outage,
    Schedule,
    Shock,
    Slice,
    Tell,
    Telling,
    Thing,
    Who,
)

LENGTH = 60_000
_CALM_AFTER = 56_000
_OPS = (Op.ANY, Op.CREATE, Op.CREATE, Op.CREATE, Op.CANCEL, Op.ORDER, Op.OPEN_ORDERS, Op.TRADES, Op.BALANCES, Op.TRANSFERS)
_DOWN = (20, 300, 1_000, 4_000)


def drawn(seed: int) -> Schedule:
    """The schedule of a seed."""
    chance = Random(f"schedule:{seed}")  # noqa: S311 - a drill, and no secret
    events = _decisions(chance)
    decided = [event.at for event in events]
    for _ in range(chance.randint(4, 30)):
        # Trouble is worth most where an order is on its way.
        at = chance.choice(decided) + chance.randint(-200, 2_500) if chance.random() < 0.7 else chance.randint(0, _CALM_AFTER)
        events.append(chance.choices(_KINDS, _WEIGHTS)[0](chance, min(max(at, 0), _CALM_AFTER)))
    if chance.random() < 0.1:
        events.append(Leak(chance.randint(10_000, 40_000), Decimal(chance.randint(100, 10_000)) / 100))
    return Schedule(seed, tuple(sorted(events, key=lambda event: event.at)), LENGTH)


def _decisions(chance: Random) -> list[Event]:
    found: list[Event] = []
    at = chance.randint(300, 1_500)
    busy = chance.choice((2_000, 7_000))
    while at < _CALM_AFTER:
        stops = chance.random() < 0.5
        found.append(
            Decide(
                at,
                chance.choice(SYMBOLS),
                chance.choices((Action.BUY, Action.SELL), (4, 3))[0],
                chance.choice((2_000, 20_000)),
                chance.choice((0.0005, 0.005)) if stops else None,
                chance.choice((0.0005, 0.005)) if stops else None,
            )
        )
        at += chance.randint(300, busy)
    return found


def _fail(chance: Random, at: int) -> Event:
    return Fail(
        at, chance.choice(_OPS), chance.choice(list(How)), chance.choice((1, 1, 1, 2, 5, 20)), chance.choice((5_000, 12_000))
    )


def _omit(chance: Random, at: int) -> Event:
    return Omit(at, chance.choice(list(Thing)))


def _tell(chance: Random, at: int) -> Event:
    return Tell(at, chance.choice(list(Telling)), chance.choice((500, 3_000, 10_000)))


def _outage(chance: Random, at: int) -> Event:
    return Outage(at, chance.choice((500, 2_000, 8_000, 12_000)))


def _disk(chance: Random, at: int) -> Event:
    return Disk(at, chance.choice((200, 2_000, 5_000)))


def _slice(chance: Random, at: int) -> Event:
    return Slice(at, Decimal(chance.randint(1, 9)) / 10, chance.randint(1, 3))


def _shock(chance: Random, at: int) -> Event:
    return Shock(at, chance.choice(SYMBOLS), chance.choice((0.9, 0.99, 1.01, 1.1)))


def _other(chance: Random, at: int) -> Event:
    side = chance.choice(list(Side))
    return Other(at, chance.choice(list(Who)), chance.choice(SYMBOLS), side, rests=chance.random() < 0.4)


def _move(chance: Random, at: int) -> Event:
    return Move(at, "USDT", Decimal(chance.choice((-500, -20, 20, 1_000))))


def _crash(chance: Random, at: int) -> Event:
    return Crash(at, chance.choice(_DOWN))


def _crash_on(chance: Random, at: int) -> Event:
    return CrashOn(at, chance.choice(list(Moment)), chance.choice((0, 1, 3, 10, 40, 120)), chance.choice(_DOWN))


_Draw = Callable[[Random, int], Event]
_DRAWS: dict[_Draw, int] = {
    _fail: 8, _omit: 3, _tell: 4, _outage: 2, _disk: 1, _slice: 2, _shock: 1, _other: 3, _move: 2, _crash: 2, _crash_on: 5,
}  # fmt: skip
_KINDS, _WEIGHTS = tuple(_DRAWS), tuple(_DRAWS.values())
