"""Inputs, effects and snapshots as JSON bytes.

Inputs and snapshots come back exactly as they were: what JSON lacks is tagged (`$d` a Decimal, `$e` an enum, `$t` a tuple, `$f` a
float that is not finite, `$` a class of the core). Quotes and candles, nearly all of a stream, are plain arrays instead. Effects
are only ever compared, so they need not come back: the same effects give the same bytes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from types import ModuleType
from typing import Any

import orjson
import structlog

from bot.core import (
    arbiter,
    decision,
    desk,
    effects,
    facts,
    inputs,
    market,
    matching,
    orders,
    portfolio,
    protection,
    queue,
    risk,
    shadow,
    sizing,
    state,
    targets,
    tracking,
    trading,
)
from bot.core.effects import Effect, Publish, Record
from bot.core.inputs import Input
from bot.core.market import Candle, Quote
from bot.journal.errors import JournalCorrupt

log = structlog.get_logger(__name__)

Plain = Any  # what orjson.loads gives
Fields = tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]

_MODULES: tuple[ModuleType, ...] = (
    market,
    decision,
    orders,
    inputs,
    facts,
    effects,
    # what a desk remembers, and what it was told at its birth
    state,
    portfolio,
    protection,
    queue,
    risk,
    shadow,
    desk,
    arbiter,
    sizing,
    targets,
    tracking,
    trading,
    matching,
)


def _members(module: ModuleType) -> list[type]:
    """The classes that the module itself defines."""
    return [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]


def _fields(cls: type) -> Fields:
    names = tuple(field.name for field in fields(cls))
    if not names:
        return names, lambda _: ()
    if len(names) == 1:
        only = attrgetter(*names)
        return names, lambda item: (only(item),)
    return names, attrgetter(*names)


_CLASSES: dict[str, type] = {cls.__name__: cls for module in _MODULES for cls in _members(module) if is_dataclass(cls)}
_ENUMS: dict[str, type[Enum]] = {cls.__name__: cls for module in _MODULES for cls in _members(module) if issubclass(cls, Enum)}
_FIELDS: dict[type, Fields] = {cls: _fields(cls) for cls in _CLASSES.values()}
_QUOTE = _FIELDS[Quote][1]
_CANDLE = _FIELDS[Candle][1]
_PLAIN_TYPES = (str, int, float, bool, type(None))
_INT64 = 2**63


def _refuse(value: object) -> Plain:
    message = f"a {type(value).__name__} has no place in the journal"
    raise TypeError(message)


def plain(value: object, other: Callable[[object], Plain] = _refuse) -> Plain:
    """The value as JSON holds it, tagged so that `revive` gives it back; `other` says what to do with a type without a tag."""
    kind = type(value)
    if kind in _PLAIN_TYPES:
        return _plain_scalar(value)
    if kind in _FIELDS:
        names, getter = _FIELDS[kind]
        return {"$": kind.__name__} | {name: plain(item, other) for name, item in zip(names, getter(value), strict=True)}
    if isinstance(value, Enum):
        return {"$e": [kind.__name__, value.value]}
    if isinstance(value, Decimal):
        return {"$d": str(value)}
    if isinstance(value, tuple):
        return {"$t": [plain(item, other) for item in value]}
    if isinstance(value, deque):
        return {"$q": [value.maxlen, [plain(item, other) for item in value]]}
    if isinstance(value, list):
        return [plain(item, other) for item in value]
    if isinstance(value, Mapping):
        return _plain_mapping(value, other)
    return _plain_scalar(float(value)) if isinstance(value, float) else other(value)


def _plain_scalar(value: object) -> Plain:
    if isinstance(value, float) and not math.isfinite(value):
        return {"$f": repr(value)}
    if isinstance(value, str) and not _encodable(value):
        return {"$s": value.encode("utf-8", "surrogatepass").hex()}
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return {"$i": str(value)}
    return value


def _plain_mapping(value: Mapping[Any, object], other: Callable[[object], Plain]) -> Plain:
    if all(type(key) is str and key[:1] != "$" and _encodable(key) for key in value):
        return {key: plain(item, other) for key, item in value.items()}
    return {"$m": [[plain(key, other), plain(item, other)] for key, item in value.items()]}


def _encodable(text: str) -> bool:
    """Whether the text has no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_REVIVE: dict[str, Callable[[Any], object]] = {
    "$d": Decimal,
    "$e": lambda item: _ENUMS[item[0]](item[1]),
    "$t": lambda item: tuple(revive(part) for part in item),
    "$q": lambda item: deque((revive(part) for part in item[1]), maxlen=item[0]),
    "$f": float,
    "$s": lambda item: bytes.fromhex(item).decode("utf-8", "surrogatepass"),
    "$i": int,
    "$m": lambda item: {revive(key): revive(part) for key, part in item},
}


def revive(value: Plain) -> Any:
    """The inverse of `plain`."""
    if isinstance(value, list):
        return [revive(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$" in value:
        cls = _CLASSES[value["$"]]
        return cls(**{name: revive(item) for name, item in value.items() if name != "$"})
    if len(value) == 1:
        ((tag, item),) = value.items()
        if tag in _REVIVE:
            return _REVIVE[tag](item)
    return {key: revive(item) for key, item in value.items()}


def encode_input(event: Input) -> bytes:
    """One input as `{"type": ..., "in": ...}`; about a microsecond for a quote.

    It comes back exactly; only a foreign type that a source put into its evidence (an array, a path) comes back as text.
    """
    kind = type(event)
    try:
        if kind is Quote:
            data = orjson.dumps(_QUOTE(event))
            # A float that is not finite prints as null, which no field of a quote or candle may be.
            if b"null" not in data:
                return b'{"type":"Quote","in":' + data + b"}"
        elif kind is Candle:
            data = orjson.dumps(_CANDLE(event))
            if b"null" not in data:
                return b'{"type":"Candle","in":' + data + b"}"
    except TypeError:  # text or a number that only the tagged form can hold
        log.debug("input_encoded_slowly", type=kind.__name__)
    return orjson.dumps({"type": kind.__name__, "in": plain(event, str)})


def decode_input(data: bytes) -> Input:
    """The input of a line (other keys are passed over). Raises `JournalCorrupt` if it is not one."""
    try:
        entry = orjson.loads(data)
        return input_of(entry)
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        message = f"not an input: {data[:200]!r} ({type(error).__name__}: {error})"
        raise JournalCorrupt(message) from error


def input_of(entry: Plain) -> Input:
    """The input of a line that is parsed already. `ValueError`, `TypeError` or `KeyError` if it is not one."""
    body = entry["in"]
    if isinstance(body, list):
        event: Input = Quote(*body) if entry["type"] == "Quote" else Candle(*body)
        return event
    revived: Input = revive(body)
    if type(revived).__name__ != entry["type"]:
        message = f"a {entry['type']} was announced, a {type(revived).__name__} came"
        raise ValueError(message)
    return revived


def _default(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _tagged(effect: Effect) -> list[object]:
    """The effect behind its name; what it records or publishes behind its own."""
    if isinstance(effect, Record):
        return ["Record", type(effect.fact).__name__, effect.fact, effect.durable]
    if isinstance(effect, Publish):
        return ["Publish", type(effect.fact).__name__, effect.fact]
    return [type(effect).__name__, effect]


def encode_effects(returned: Sequence[Effect]) -> bytes:
    """A JSON list: the same effects give the same bytes, in every process."""
    try:
        return orjson.dumps([_tagged(effect) for effect in returned], default=_default)
    except TypeError:  # a lone surrogate, an integer past 64 bits, a foreign type in the evidence
        return orjson.dumps([plain(effect, str) for effect in returned])


def encode_snapshot(state: object) -> bytes:
    """A snapshot of plain values, containers, enums, decimals and classes of the core. `TypeError` for anything else."""
    return orjson.dumps(plain(state))


def decode_snapshot(data: bytes | str) -> Any:
    """The snapshot exactly as it was. Raises `JournalCorrupt` if it cannot be read."""
    try:
        return revive(orjson.loads(data))
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        message = f"a snapshot cannot be read ({type(error).__name__}: {error}); it may be of another version"
        raise JournalCorrupt(message) from error
