"""From a prompt to a reply: what the mind says, under a fault perhaps, within the limit of tokens, and what it is billed."""

from __future__ import annotations

import hashlib

import orjson

from simulators.llm.catalogue import Model
from simulators.llm.faults import Fault, Mode
from simulators.llm.mind.thinking import dice_of, think
from simulators.llm.mischief import spoilt
from simulators.llm.prompt import Prompt
from simulators.llm.reply import Reply, Stop, Thought, Usage
from simulators.llm.tokens import PrefixCache, cut, estimate, reasoning


class Composer:
    """Answers prompts; the same seed and prompt get the same words. It remembers beginnings of prompts, and nothing else."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._cache = PrefixCache()

    def reply(self, prompt: Prompt, model: Model, owner: str, fault: Fault | None, number: int, created: int) -> Reply:
        """The answer to the `number`th request, at `created` (s UTC); `owner` is whose cache it reads."""
        thought, stop = spoilt(think(prompt, self._seed), fault, prompt)
        thinking = reasoning(prompt, model, dice_of(self._seed, prompt).random())
        if prompt.max_tokens is not None and (fault is None or fault.mode is not Mode.HUGE):
            thought, thinking, cut_off = _limited(thought, thinking, prompt.max_tokens)
            stop = Stop.LENGTH if cut_off else stop
        asked = self._cache.input_usage(prompt, model, owner)
        usage = Usage(asked.input, asked.cached, asked.written, thinking + _said(thought), thinking)
        return Reply(
            id=hashlib.sha256(f"{self._seed}/{number}".encode()).hexdigest()[:24],
            created=created,
            model=prompt.model,
            thought=thought,
            stop=stop or (Stop.TOOLS if thought.calls else Stop.DONE),
            usage=usage,
            thinks=thinking > 0,
            cache_hour=prompt.cache_hour,
        )

    def count(self, prompt: Prompt, model: Model) -> int:
        """Input tokens of a prompt, without remembering it."""
        return PrefixCache().input_usage(prompt, model, "").input


def _said(thought: Thought) -> int:
    calls = orjson.dumps([[call.name, call.arguments] for call in thought.calls]).decode() if thought.calls else ""
    return estimate(thought.text + thought.refusal + calls)


def _limited(thought: Thought, thinking: int, most: int) -> tuple[Thought, int, bool]:
    """Thinking comes first and may leave nothing for the answer."""
    if thinking >= most:
        return Thought(), most, True
    if thinking + _said(thought) <= most:
        return thought, thinking, False
    return Thought(cut(thought.text, most - thinking)), thinking, True
