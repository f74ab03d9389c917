"""Which models there are, and what they refuse.

A model is known by its name; a name that continues a known one after a dash is the same model (`claude-haiku-4-5-20251001`,
`gpt-6-luna-contrarian`, whose ending is a personality, see `mind.personas`). `demo` models answer in every dialect and refuse
nothing. The facts are those of the provider reference of 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from simulators.llm.prompt import Dialect, Refusal

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_OPENAI = frozenset({Dialect.RESPONSES, Dialect.CHAT})
_CHAT = frozenset({Dialect.CHAT})
_CLAUDE = frozenset({Dialect.MESSAGES})


@dataclass(frozen=True, slots=True)
class Model:
    """What a model allows. `cache_min` is the shortest cached prompt in tokens, `max_output` the most it gives, in tokens.

    `sampling` says whether temperature and its like are taken: always, only with effort none, or never. With `folds_reasoning`
    False, chat's `completion_tokens` lack the reasoning. `bills_writes`: what is written to the cache is told, and costs more.
    """

    name: str
    owner: str
    dialects: frozenset[Dialect]
    efforts: tuple[str, ...] = _EFFORTS
    default_effort: str = "medium"
    sampling: str = "always"
    thinking_always: bool = False
    forced_tool: bool = True
    prefill: bool = True
    cache_min: int = 1024
    max_output: int = 128_000
    folds_reasoning: bool = True
    old_max_tokens: bool = True
    bills_writes: bool = False


_GPT = Model("", "openai", _OPENAI, sampling="effort_none", old_max_tokens=False, bills_writes=True)
_GPT62 = replace(_GPT, efforts=("low", "medium", "high", "xhigh"), sampling="never")
_SOL = replace(_GPT, efforts=("low", "medium", "high", "xhigh", "max"))
_OPUS = Model(
    "", "anthropic", _CLAUDE, efforts=_EFFORTS[2:], sampling="never", thinking_always=True, forced_tool=False, prefill=False,
    cache_min=512,
)  # fmt: skip
_CLAUDE_5 = replace(_OPUS, thinking_always=False, forced_tool=True)
_GEMINI = Model(
    "", "google", _CHAT, efforts=("none", "minimal", "low", "medium", "high"), default_effort="low", cache_min=4096,
    max_output=65_536, folds_reasoning=False,
)  # fmt: skip
_GROK = Model(
    "", "xai", _OPENAI, efforts=("low", "medium", "high"), default_effort="low", max_output=500_000, folds_reasoning=False
)
_DEMO = Model("demo", "demo", frozenset(Dialect), default_effort="none", cache_min=0)

_KNOWN: tuple[tuple[Model, tuple[str, ...]], ...] = (
    (_GPT62, ("gpt-6.2-astra", "gpt-6.2-sol")),
    (_SOL, ("gpt-6-astra", "gpt-6.1-sol")),
    (_GPT, ("gpt-6.1-terra", "gpt-6-sol", "gpt-6-luna", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna")),
    (replace(_GPT, bills_writes=False), ("gpt-5.5", "gpt-5.4", "gpt-5.4-mini")),
    (_OPUS, ("claude-fable-5-2", "claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5")),
    (_CLAUDE_5, ("claude-haiku-5-5", "claude-opus-5", "claude-sonnet-5")),
    (replace(_CLAUDE_5, sampling="always", prefill=True, cache_min=4096, max_output=64_000), ("claude-haiku-4-5",)),
    (_GEMINI, ("gemini-4-argon", "gemini-3.5-flash", "gemini-3.1-flash-lite", "gemini-flash-latest")),
    (_GEMINI, ("gemini-2.5-flash", "gemini-2.5-flash-lite")),
    (replace(_GEMINI, sampling="never"), ("gemini-3.8-flash", "gemini-3.7-flash", "gemini-3.6-flash", "gemini-3.5-flash-lite")),
    (replace(_GROK, efforts=("low", "medium", "high", "xhigh")), ("grok-4.7", "grok-latest")),
    (_GROK, ("grok-4.6", "grok-4.5", "grok-4.20")),
    (replace(_GROK, efforts=("none", "low", "medium", "high")), ("grok-4.3",)),
    (_DEMO, ("demo", "demo-contrarian", "demo-obedient", "demo-bold", "demo-timid")),
)


class Catalogue:
    """The models of the simulator; `more` are names of further ones, which are as forbearing as `demo`."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        kinds = [*_KNOWN, (_DEMO, tuple(more))]
        self._models = {name: replace(kind, name=name) for kind, names in kinds for name in names}
        self._longest_first = sorted(self._models, key=len, reverse=True)

    def all(self) -> list[Model]:
        """Every model by name."""
        return [self._models[name] for name in sorted(self._models)]

    def find(self, name: str, dialect: Dialect | None = None) -> Model:
        """The model of that name, which speaks that dialect; `Refusal` 404 where there is none."""
        bare = name.removeprefix("models/")  # as Gemini's compatible endpoint lists them
        known = next((one for one in self._longest_first if bare == one or bare.startswith(f"{one}-")), None)
        if known is None or (dialect is not None and dialect not in self._models[known].dialects):
            text = f"The model `{name}` does not exist or you do not have access to it."
            raise Refusal(404, text, code="model_not_found", param="model")
        return self._models[known]
