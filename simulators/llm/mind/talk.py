"""Answering a person: from what stands in the context, in plain sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from simulators.llm.mind.finding import documents, prose, walk
from simulators.llm.mind.personas import Persona

_WORD = re.compile(r"[a-z0-9]+")
_IDLE_WORDS = """
    a about all am an and any are as at be by can could did do does for from give get has have how i if in is it its latest let
    many me much my now of on or our please show so tell that the their them there they this to us was we were what when where
    which who why will with would you your
"""
_IDLE = frozenset(_IDLE_WORDS.split())
_SYNONYMS = {
    "money": "cash", "balance": "cash", "worth": "equity", "holdings": "position", "hold": "position", "holding": "position",
    "own": "position", "portfolio": "portfolio", "spent": "cost", "spend": "cost", "spending": "cost", "costs": "cost",
    "pnl": "pnl", "profit": "pnl", "loss": "pnl", "bought": "decision", "sold": "decision", "trades": "decision",
    "market": "price", "quote": "price", "bitcoin": "btc", "ethereum": "eth",
}  # fmt: skip
_MOST_FACTS = 6
_LONGEST = 200


def words(text: str) -> list[str]:
    """The words that mean something, in a common form."""
    found = (word for word in _WORD.findall(text.lower()) if word not in _IDLE)
    return [_SYNONYMS.get(word, _SYNONYMS.get(_singular(word), _singular(word))) for word in found]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def answer(question: str, context: str, results: Sequence[str], persona: Persona) -> str:
    """What a friendly analyst would say; `results` are those of tools."""
    asked = set(words(prose(question)))
    if results:
        facts = [fact for result in results for fact in _facts(result)]
        chosen = _relevant(facts, asked) or facts[:_MOST_FACTS]
        if not chosen:
            return f"I looked it up: {' '.join(results)[:_LONGEST]}."
        return f"I looked it up. {_sentences(chosen)}"
    facts = _relevant(_facts(f"{context}\n{question}"), asked)
    if not facts:
        return (
            "I find nothing about that in what I was given. Ask me about the portfolio, decisions, the market, analysis or costs."
        )
    opening = "I would doubt it, but here is what I see. " if persona is Persona.CONTRARIAN else ""
    return f"{opening}{_sentences(facts)}"


def _facts(text: str) -> list[tuple[str, Any]]:
    """Every scalar in the documents of a text with its path in words; of a text without any, its sentences."""
    found = [
        (" ".join(key for key in path if not key.isdigit()).replace("_", " "), node)
        for _, _, document in documents(text)
        for path, node in walk(document)
        if path and isinstance(node, str | int | float | bool)
    ]
    return found + [("", line.strip(" -*#")) for line in re.split(r"\n+|(?<=[.!])\s", prose(text)) if ":" in line]


def _relevant(facts: Sequence[tuple[str, Any]], asked: set[str]) -> list[tuple[str, Any]]:
    scored = [
        (len(asked & set(words(f"{name} {value if isinstance(value, str) else ''}"))), name, value) for name, value in facts
    ]
    most = max((score for score, _, _ in scored), default=0)
    return [(name, value) for score, name, value in scored if score == most][:_MOST_FACTS] if most else []


def _sentences(facts: Sequence[tuple[str, Any]]) -> str:
    return " ".join(_sentence(name, value) for name, value in facts)


def _sentence(name: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)[:_LONGEST]
    said = f"{name} is {text}" if name else text
    return f"{said[:1].upper()}{said[1:]}".rstrip(".") + "."
