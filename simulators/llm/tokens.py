"""What an answer is billed: a documented estimate of tokens, and a cache of prompt beginnings.

A text has as many tokens as it has pieces of up to three digits, up to seven letters, one other sign, or a run of line ends.
The prompt's beginning is remembered in blocks of 512 characters per key and model; what an earlier request had, too, is cached,
from the model's shortest prompt on. Claude caches only what is marked, and tells what it writes. Reasoning is billed by effort.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict

import orjson

from simulators.llm.catalogue import Model
from simulators.llm.prompt import Dialect, Prompt
from simulators.llm.reply import Usage

_PIECE = re.compile(r"\d{1,3}|[A-Za-z]{1,7}|[^\x00-\x7f]|[^\sA-Za-z0-9]|\n+")
_BLOCK = 512
_GRAIN = 128  # OpenAI tells cached tokens in such steps
_MOST_BLOCKS = 20_000
_PER_TURN = 4
_REASONING = {"none": 0, "minimal": 16, "low": 64, "medium": 256, "high": 768, "xhigh": 1_500, "max": 2_500}


def estimate(text: str) -> int:
    """Tokens of a text."""
    return sum(1 for _ in _PIECE.finditer(text))


def cut(text: str, tokens: int) -> str:
    """The beginning of a text that has so many tokens."""
    last = next((piece for number, piece in enumerate(_PIECE.finditer(text), 1) if number == tokens), None)
    return text[: last.end()] if last is not None and tokens > 0 else "" if tokens <= 0 else text


def rendered(prompt: Prompt) -> str:
    """All that the model is told, in the order in which it is cached: tools, schema, then the turns."""
    head = [orjson.dumps([tool.name, tool.description, tool.parameters]).decode() for tool in prompt.tools]
    head += [orjson.dumps(prompt.schema).decode()] if prompt.schema is not None else []
    return "\n".join([*head, *(_turn(turn.text, turn.calls) for turn in prompt.turns)])


def _turn(text: str, calls: tuple[object, ...]) -> str:
    return text if not calls else text + orjson.dumps(calls).decode()


def reasoning(prompt: Prompt, model: Model, wobble: float) -> int:
    """Tokens of thinking, by effort; `wobble` 0..1 varies them by a quarter either way."""
    if not prompt.thinks:
        return 0
    return round(_REASONING[prompt.effort or model.default_effort] * (0.75 + wobble / 2))


class PrefixCache:
    """Which beginnings of prompts were seen; bounded, the least used goes first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def touch(self, owner: str, text: str) -> int:
        """How many characters of the text's beginning were seen before, by the same owner; the text is seen from now on."""
        chain, known = hashlib.blake2b(owner.encode(), digest_size=16), 0
        for start in range(0, len(text) - _BLOCK + 1, _BLOCK):
            chain.update(text[start : start + _BLOCK].encode("utf-8", "surrogatepass"))
            mark = chain.digest()
            if mark in self._seen:
                self._seen.move_to_end(mark)
                known = start + _BLOCK
            else:
                self._seen[mark] = None
        while len(self._seen) > _MOST_BLOCKS:
            self._seen.popitem(last=False)
        return known

    def input_usage(self, prompt: Prompt, model: Model, owner: str) -> Usage:
        """The tokens of a prompt."""
        text = rendered(prompt)
        total = estimate(text) + _PER_TURN * len(prompt.turns)
        if prompt.dialect is Dialect.MESSAGES:
            return self._marked(prompt, model, owner, text, total)
        if total < model.cache_min or not prompt.cache_implicit:
            return Usage(total)
        cached = estimate(text[: self.touch(f"{owner}\n{prompt.model}", text)]) // _GRAIN * _GRAIN
        return Usage(total, cached, (total - cached) // _GRAIN * _GRAIN if model.bills_writes else 0)

    def _marked(self, prompt: Prompt, model: Model, owner: str, text: str, total: int) -> Usage:
        """Claude: the marked part is read or written, the rest is neither."""
        marked = text[: prompt.cache_marked or 0]
        most = estimate(marked)
        if most < max(model.cache_min, 1):
            return Usage(total)
        cached = estimate(marked[: self.touch(f"{owner}\n{prompt.model}", marked)])
        return Usage(total, cached, most - cached if most - cached >= _BLOCK // 4 else 0)
