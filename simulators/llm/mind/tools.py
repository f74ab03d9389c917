"""Choosing tools: those whose name and description speak of what the user asks."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from simulators.llm.mind.filling import fill, squeeze
from simulators.llm.mind.finding import prose, symbols_in
from simulators.llm.mind.talk import words
from simulators.llm.prompt import Call, Prompt, Tool

_ENOUGH = 2  # a word of the name, or two of the description
_MOST = 2
_COINS = {"btc": "BTC/USDT", "eth": "ETH/USDT", "sol": "SOL/USDT", "xrp": "XRP/USDT"}


def wanted(prompt: Prompt, dice: random.Random) -> tuple[Call, ...]:
    """The calls to make now: none when nothing fits, it is forbidden, or they were made since the question."""
    if not prompt.tools or prompt.choice == "none":
        return ()
    called = {call.name for turn in prompt.since_question for call in turn.calls}
    question = prose(prompt.question)
    if prompt.choice in {tool.name for tool in prompt.tools}:
        chosen: Sequence[Tool] = [tool for tool in prompt.tools if tool.name == prompt.choice]
    else:
        asked = set(words(question))
        ranked = sorted(((_fit(tool, asked), tool) for tool in prompt.tools), key=lambda pair: -pair[0])
        chosen = [tool for fit, tool in ranked if fit >= _ENOUGH][:_MOST]
        if not chosen and prompt.choice == "required":
            chosen = [ranked[0][1]]
    return tuple(
        Call(f"call_{dice.getrandbits(64):016x}", tool.name, _arguments(tool, question))
        for tool in chosen
        if tool.name not in called
    )


def _fit(tool: Tool, asked: set[str]) -> int:
    name, about = set(words(tool.name.replace("_", " "))), set(words(tool.description))
    return 2 * len(asked & name) + len(asked & (about - name))


def _arguments(tool: Tool, question: str) -> dict[str, Any]:
    """Arguments by name from the question: symbols, numbers, or the whole of it."""
    coins = [_COINS[word] for word in words(question) if word in _COINS]
    symbols = symbols_in(question) or list(dict.fromkeys(coins))
    known: dict[str, Any] = dict.fromkeys(("query", "question", "text"), question.strip()[:200])
    if symbols:
        known |= {"symbol": symbols[0], "symbols": symbols}
    amounts = [int(found) for found in re.findall(r"\b\d{1,6}\b", question)]
    if amounts:
        known |= dict.fromkeys(("limit", "days", "count", "hours", "n", "amount"), amounts[0])
    known |= {name: word for name, word in _spoken_options(tool, question).items() if name not in known}
    required = {squeeze(name) for name in tool.parameters.get("required", ())}
    filled = fill(tool.parameters, known)
    told = {squeeze(name) for name in known}
    return {name: value for name, value in filled.items() if {squeeze(name)} & (required | told)} if filled else {}


def _spoken_options(tool: Tool, question: str) -> dict[str, str]:
    """Enumerated arguments whose option is named in the question; the first one named, where there are several."""
    said, found = words(question), {}
    for name, schema in (tool.parameters.get("properties") or {}).items():
        options = schema.get("enum", ()) if isinstance(schema, dict) else ()
        named = {said.index(word): one for one in options if isinstance(one, str) for word in words(one) if word in said}
        if named:
            found[name] = named[min(named)]
    return found
