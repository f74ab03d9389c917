"""The mind: the same seed, model and prompt always give the same thought.

A prompt with tools whose answer is not in yet makes it call them; one with a schema, or one that wants JSON, gets JSON of that
shape, by what the schema asks for: a trade, readings of news, a strategy; anything else gets a sentence.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import orjson

from simulators.llm.mind import ideas, news, talk, tools, trading
from simulators.llm.mind.filling import fill, properties_of
from simulators.llm.mind.finding import documents, first_object, prose, untrusted_texts, walk
from simulators.llm.mind.personas import Persona, persona_of
from simulators.llm.mind.snapshot import View, read
from simulators.llm.prompt import Json, Prompt
from simulators.llm.reply import Thought

_NEWS = {"sentiment"}
_IDEA = {
    "entry",
    "entries",
    "entryrules",
    "entryconditions",
    "exit",
    "exits",
    "exitrules",
    "rules",
    "template",
    "family",
    "indicators",
}
_TRADE = {"action", "side", "signal"}
_DECISION: Json = {
    "type": "object",
    "properties": {
        "symbol": {"type": "string"},
        "action": {"type": "string", "enum": ["buy", "sell", "hold"]},
        "confidence": {"type": "number"},
        "size_fraction": {"type": "number"},
        "stop_loss": {"type": ["number", "null"]},
        "take_profit": {"type": ["number", "null"]},
        "horizon_minutes": {"type": "integer"},
        "invalidation": {"type": "string"},
        "reasoning": {"type": "string"},
        "evidence": {"type": "array", "items": {"type": "string"}},
    },
}


def dice_of(seed: int, prompt: Prompt) -> random.Random:
    """Chance that depends on seed, model and what was said, and on nothing else."""
    told = orjson.dumps([seed, prompt.model, prompt.turns, prompt.schema, prompt.tools])
    return random.Random(hashlib.sha256(told).digest())  # noqa: S311 - reproducible, not secret


def think(prompt: Prompt, seed: int) -> Thought:
    """What the model says to a prompt."""
    dice, persona = dice_of(seed, prompt), persona_of(prompt.model)
    if calls := tools.wanted(prompt, dice):
        return Thought(calls=calls)
    schema = _schema(prompt)
    if schema is not None:
        return Thought(_json(_shaped(prompt, schema, persona, dice)))
    results = [turn.text for turn in prompt.since_question if turn.role == "tool"]
    earlier = "\n".join(turn.text for turn in prompt.turns if turn.text != prompt.question and turn.role != "tool")
    said = talk.answer(prompt.question, earlier, results, persona)
    return Thought(said.encode("utf-8", "replace").decode())


def _schema(prompt: Prompt) -> Json | None:
    """The form of the answer: given as such, told in the instructions, or a decision's where only JSON is wanted."""
    if prompt.schema is not None:
        return prompt.schema
    told = (one for _, _, one in documents(prompt.instructions) if isinstance(one, dict))
    found = next((one for one in told if isinstance(one.get("properties"), dict)), None)
    return found if found is not None else _DECISION if prompt.wants_json else None


def _shaped(prompt: Prompt, schema: Json, persona: Persona, dice: random.Random) -> Any:
    names, question = properties_of(schema), prompt.question
    if names & _NEWS and not names & {"action", "side"}:
        return fill(schema, {**_overall(question, persona), "rows": news.rows(question, persona)})
    if names & _IDEA:
        return fill(schema, ideas.knowledge(_sentence(question)))
    return fill(schema, _trade(prompt, "decisions" in names, persona, dice) if names & _TRADE else _plain(prompt, persona))


def _sentence(question: str) -> str:
    """The idea itself: the prose, or where that is all boilerplate around JSON, the texts in it."""
    told = first_object(question) or {}
    return " ".join([prose(question), *(str(value) for value in told.values() if isinstance(value, str))])


def _overall(text: str, persona: Persona) -> dict[str, Any]:
    """One reading of all items together, for schemas that want only that."""
    found = news.rows(text, persona)
    moods = [row["sentiment"] for row in found] or [news.sentiment(text)]
    mood = round(sum(moods) / len(moods), 3)
    label = "positive" if mood > 0.1 else "negative" if mood < -0.1 else "neutral"
    return {
        "sentiment": mood,
        "score": mood,
        "label": label,
        "confidence": 0.5,
        "summary": f"The news are {label}.",
        "items": found,
    }


def _trade(prompt: Prompt, several: bool, persona: Persona, dice: random.Random) -> dict[str, Any]:
    """A decision on the first market in the prompt, with rows for all of them where several are asked for."""
    said = prompt.question if first_object(prompt.question) else "\n".join(one.text for one in prompt.turns if one.role == "user")
    found = [one for _, _, one in documents(said) if isinstance(one, dict)]
    views = [view for document in found for view in (_markets(document) if several else [read(document)])]
    seen = [view for view in views if view.symbol] or views or [View()]
    untrusted = [text for document in found for text in untrusted_texts(document)]
    for view in seen:
        view.untrusted = untrusted
    rows = [_names(trading.decide(view, persona, dice, prose(said)), view) for view in seen]
    return {**rows[0], "rows": rows, "decisions": rows}


def _markets(document: dict[str, Any]) -> list[View]:
    """Every part of a document that is a market of its own, or else the whole."""
    parts = [node for path, node in walk(document) if path and isinstance(node, dict) and "symbol" in node]
    views = [view for view in map(read, parts) if view.frames]
    return views or [read(document)]


def _names(idea: trading.Idea, view: View) -> dict[str, Any]:
    """A trade under the names by which schemas ask for it."""
    known: dict[str, Any] = dict.fromkeys(("action", "side", "signal", "decision", "recommendation"), idea.action)
    known |= dict.fromkeys(("size_fraction", "size", "position_size", "fraction"), idea.size)
    known |= dict.fromkeys(("stop_loss", "stop", "stop_price"), idea.stop)
    known |= dict.fromkeys(("take_profit", "target", "target_price", "profit_target"), idea.target)
    known |= dict.fromkeys(("horizon_minutes", "horizon", "expected_minutes"), idea.horizon)
    known |= dict.fromkeys(("invalidation", "invalidation_condition"), idea.invalidation)
    known |= dict.fromkeys(("reasoning", "rationale", "justification", "thesis", "explanation", "summary"), idea.reasoning)
    known |= dict.fromkeys(("evidence", "evidence_ids", "sources"), idea.evidence)
    return known | {"symbol": idea.symbol, "confidence": idea.confidence, "price": view.price, "entry_price": view.price}


def _plain(prompt: Prompt, persona: Persona) -> dict[str, Any]:
    """A schema of something else: whatever the prompt's document says under the same names, and a sentence."""
    told = first_object(prompt.question) or {}
    said = talk.answer(prompt.question, prompt.instructions, (), persona)
    return {**dict.fromkeys(("text", "answer", "summary", "reasoning", "message", "reply"), said), "confidence": 0.5, **told}


def _json(value: Any) -> str:
    """Compact JSON. A snapshot may hold half a surrogate pair, which goes no further."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()
