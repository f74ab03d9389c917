"""How many tokens a prompt has, before it is sent, without a tokenizer.

Trading prompts are mostly digits, of which a token holds three at most; counting four characters to a token is wrong by half. The
count here is of runs: three digits, seven letters, one of anything else, one for lines that end. What providers report then
teaches a factor for each model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from sources.llm.asking import Ask
from sources.llm.models import Model

START = 1.15
_PACE = 0.1
_BOUNDS = (0.5, 4.0)  # a report beyond these is no report
_PER_TURN = 6  # what a provider wraps around each turn
_WHITE, _OTHER, _DIGIT, _LETTER, _LINE, _REST = range(6)


def count(text: str) -> int:
    """Estimated tokens of a text, never fewer than none."""
    import numpy as np  # noqa: PLC0415 - who only reads the settings need not wait for it

    octets = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    if octets.size == 0:
        return 0
    kinds = np.frombuffer(_kinds(), dtype=np.uint8)[octets]
    kinds = kinds[kinds != _REST]  # a character counts once, by its first octet
    starts = np.flatnonzero(np.concatenate(([True], kinds[1:] != kinds[:-1])))
    lengths = np.diff(np.append(starts, kinds.size))
    of_run = kinds[starts]
    tokens = np.where(of_run == _DIGIT, -(-lengths // 3), np.where(of_run == _LETTER, -(-lengths // 7), lengths))
    tokens = np.where(of_run == _LINE, 1, np.where(of_run == _WHITE, 0, tokens))
    return int(tokens.sum())


@lru_cache(maxsize=1)
def _kinds() -> bytes:
    """For each octet what it is."""
    table = bytearray([_OTHER] * 256)
    for octets, kind in ((b" \t\r\f\v", _WHITE), (b"0123456789", _DIGIT), (b"\n", _LINE)):
        for octet in octets:
            table[octet] = kind
    for octet in (*range(65, 91), *range(97, 123)):
        table[octet] = _LETTER
    for octet in range(0x80, 0xC0):
        table[octet] = _REST
    return bytes(table)


def count_ask(ask: Ask) -> int:
    """Estimated tokens of all that a model is told."""
    told = [ask.instructions, *(turn.text for turn in ask.messages)]
    told += [call.text for turn in ask.messages for call in turn.tool_calls]
    told += [turn.native.content for turn in ask.messages if turn.native is not None]
    if ask.schema is not None:
        told.append(orjson.dumps(dict(ask.schema.body)).decode())
    told += [f"{tool.name} {tool.description} {orjson.dumps(dict(tool.parameters)).decode()}" for tool in ask.tools]
    return count("\n".join(told)) + _PER_TURN * (2 + len(ask.messages))


class TokenScale:
    """How much the estimate is to be stretched, for each model, as its reports have taught it."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._factors: dict[str, float] = {}
        for name, factor in (state or {}).items():
            if isinstance(factor, int | float) and _BOUNDS[0] <= factor <= _BOUNDS[1]:
                self._factors[str(name)] = float(factor)

    def factor(self, model: Model) -> float:
        """Reported tokens per estimated one."""
        return self._factors.get(str(model), START)

    def stretched(self, estimated: int, model: Model) -> int:
        """How many tokens the model will report for a prompt that `count_ask` estimates so, as far as is known."""
        return math.ceil(estimated * self.factor(model))

    def learn(self, model: Model, estimated: int, reported: int) -> None:
        """Take in what a provider reported for a prompt that `count_ask` had estimated; absurd reports are passed over."""
        if estimated <= 0 or reported <= 0:
            return
        ratio = reported / estimated
        if _BOUNDS[0] <= ratio <= _BOUNDS[1]:
            before = self.factor(model)
            self._factors[str(model)] = before + _PACE * (ratio - before)

    def state(self) -> dict[str, float]:
        """The factors as plain values, for `TokenScale(state)`."""
        return dict(self._factors)
