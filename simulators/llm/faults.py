"""The ways in which the service can go wrong, as values, and what is switched on at the moment.

A fault strikes requests of matching dialects, models and keys (shell-like patterns); `count` says how often, None until `clear`,
and `probability` how likely each time. The first fault that matches strikes, alone. `ok` lets requests pass and is used up by it,
so that a script of faults in order is a list: ok twice, then a 529.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, with_config

from simulators.llm.prompt import Dialect

Seconds = Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]
_MOST_ON = 1_000
_FOREVER = float("inf")


class Mode(StrEnum):
    """What goes wrong. Those in digits are answered with that HTTP status."""

    OK = "ok"
    # of what is said
    BAD_JSON = "bad_json"  # valid up to the middle, then garbage
    TRUNCATED = "truncated"  # cut off as if max tokens were reached
    REFUSAL = "refusal"
    EMPTY = "empty"  # an answer with no text
    HUGE = "huge"  # of `size` bytes
    NAN = "nan"  # every number in the JSON is NaN
    ABSURD = "absurd"  # every number in the JSON is 1e308
    ECHO = "echo"  # the prompt comes back
    FAILED = "failed"  # Responses: a 200 with status failed; others: an error body in a 200
    # of the status
    BAD_REQUEST = "400"
    UNAUTHORIZED = "401"
    PAYMENT = "402"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    TOO_LARGE = "413"
    UNPROCESSABLE = "422"
    RATE_LIMIT = "429"
    QUOTA = "quota"  # no credit left, as each provider says it: OpenAI 429 with insufficient_quota, Anthropic 402
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    TIMED_OUT = "504"
    OVERLOADED = "529"
    HTML = "html"  # a gateway's page, with status 502
    HTML_OK = "html_ok"  # a page with status 200
    # of the connection
    HANG = "hang"  # accepted, and nothing said for `seconds`, or until the client leaves
    SLOW = "slow"  # the first byte comes after `seconds`
    DRIP = "drip"  # a byte every `seconds`
    DROP = "drop"  # cut before the headers
    DROP_HEADERS = "drop_headers"  # cut after them
    DROP_BODY = "drop_body"  # cut in the middle of the body
    ERROR_EVENT = "error_event"  # an error event in the middle of a 200 stream; `failed` where nothing is streamed


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong. `retry_after` is in seconds and sent with a status; `seconds` None is the mode's own (see `pace`)."""

    mode: Mode
    count: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    dialect: str = "*"
    model: str = "*"
    key: str = "*"
    retry_after: Annotated[int, Field(ge=0)] | None = None
    seconds: Seconds | None = None
    size: Annotated[int, Field(gt=0, le=8 << 20)] = 1 << 20

    @property
    def pace(self) -> float:
        """Seconds of hanging, of waiting or between bytes."""
        if self.seconds is not None:
            return self.seconds
        return {Mode.HANG: 600.0, Mode.SLOW: 2.0, Mode.DRIP: 0.05}.get(self.mode, 0.0)

    @property
    def in_words(self) -> str:
        """For people, without a key."""
        given = [f"{name}={getattr(self, name)!r}" for name in ("count", "dialect", "model", "retry_after", "seconds")]
        kept = [text for text in given if not text.endswith(("=None", "='*'"))]
        return " ".join([self.mode.value, *kept, *(["for one key"] if self.key != "*" else [])])


@dataclass(slots=True)
class _Rule:
    fault: Fault
    left: float


@dataclass(slots=True)
class Switchboard:
    """What is on; `counts` tells how often each mode struck."""

    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _rules: list[_Rule] = field(default_factory=list)
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(f"faults-{self.seed}")  # noqa: S311 - reproducible, not secret

    def apply(self, fault: Fault) -> None:
        """Switch it on, after those that are; `ValueError` when there are too many."""
        if len(self._rules) >= _MOST_ON:
            message = f"{_MOST_ON} faults are on already; clear first"
            raise ValueError(message)
        self._rules.append(_Rule(fault, fault.count or _FOREVER))

    def clear(self) -> None:
        """Everything that is on goes off."""
        self._rules.clear()

    def active(self) -> list[str]:
        """What is on, in words, with what is left of it."""
        return [
            f"{rule.fault.in_words} ({'for ever' if rule.left == _FOREVER else f'{rule.left:.0f} left'})" for rule in self._rules
        ]

    def strike(self, dialect: Dialect, model: str, key: str) -> Fault | None:
        """The fault that this request meets, used up by asking."""
        for rule in self._rules:
            fault = rule.fault
            fits = fnmatchcase(dialect, fault.dialect) and fnmatchcase(model, fault.model) and fnmatchcase(key, fault.key)
            if not fits or (fault.probability < 1 and self._dice.random() >= fault.probability):
                continue
            rule.left -= 1
            if rule.left <= 0:
                self._rules.remove(rule)
            self.counts[fault.mode.value] += 1
            return None if fault.mode is Mode.OK else fault
        return None


def fault_reader() -> TypeAdapter[Fault]:
    """Reads a fault from JSON; `ValidationError` when it is none."""
    return TypeAdapter(Fault)
