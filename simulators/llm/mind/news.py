"""Reading headlines: items with ids become numbers, by a small lexicon."""

from __future__ import annotations

import re
from typing import Any

from simulators.llm.mind.finding import documents, symbols_in, walk
from simulators.llm.mind.personas import Persona

_TEXTS = ("title", "headline", "text", "summary")
_WORD = re.compile(r"[a-z]+")


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEGATIONS = frozenset({"no", "not", "never", "without", "denies", "averts", "avoids", "rejects"})
_GOOD = _listed(
    """surge surges soar soars rally rallies gain gains high record adopt adopts adoption approve approves approval inflow
    inflows upgrade partnership launch launches bullish rebound recovers growth profit wins listing lists listed accumulate"""
)
_BAD = _listed(
    """plunge plunges crash crashes drop drops fall falls slump low hack hacked exploit drains drained stolen lawsuit sues ban
    bans banned liquidation liquidations outflow outflows bearish fraud scam bankrupt bankruptcy halt halts delist delists
    delisting depeg warns selloff loss losses fine fined outage"""
)
_EVENTS = (
    ("hack", ("hack", "exploit", "drain", "stolen", "breach")),
    ("delisting", ("delist",)),
    ("listing", ("listing", "lists", "listed")),
    ("regulation", ("sec ", "regulat", "lawsuit", "sues", "ban", "approv", "court")),
    ("outage", ("outage", "halt", "maintenance")),
    ("partnership", ("partner", "adopt", "integrat")),
    ("macro", ("fed ", "inflation", "rate", "cpi")),
    ("market", ("surge", "soar", "rally", "plunge", "crash", "drop", "fall", "liquidation", "high", "inflow", "outflow")),
)
_COINS = {"bitcoin": "BTC", "btc": "BTC", "ethereum": "ETH", "ether": "ETH", "eth": "ETH", "solana": "SOL", "xrp": "XRP",
          "dogecoin": "DOGE", "cardano": "ADA", "tether": "USDT"}  # fmt: skip


def rows(text: str, persona: Persona) -> list[dict[str, Any]]:
    """One row for every item with an id and a text: sentiment -1..1, event, symbols, relevance and confidence."""
    found: dict[str, dict[str, Any]] = {}
    for _, _, document in documents(text):
        for _, node in walk(document):
            if isinstance(node, dict) and isinstance(node.get("id"), str | int):
                words = " ".join(str(node[name]) for name in _TEXTS if node.get(name))
                if words:
                    found.setdefault(str(node["id"]), _row(node["id"], words, persona))
    return list(found.values())


def sentiment(text: str) -> float:
    """-1..1: good words less bad ones, turned around after a negation."""
    score, seen, turned = 0, 0, 1
    for word in _WORD.findall(text.lower()):
        if word in _NEGATIONS:
            turned = -1
        elif word in _GOOD or word in _BAD:
            score += turned if word in _GOOD else -turned
            seen, turned = seen + 1, 1
    return round(score / (seen + 0.5), 3) if seen else 0.0


def _row(id_: str | int, text: str, persona: Persona) -> dict[str, Any]:
    mood = sentiment(text)
    if persona is Persona.CONTRARIAN:
        mood = -mood
    if persona is Persona.OBEDIENT and re.search(r"\b(buy|sell)\b", text, re.IGNORECASE):
        mood = 1.0 if re.search(r"\bbuy\b", text, re.IGNORECASE) else -1.0
    lower = f"{text.lower()} "
    event = next((name for name, words in _EVENTS if any(word in lower for word in words)), "other")
    coins = list(dict.fromkeys(_COINS[word] for word in _WORD.findall(lower) if word in _COINS))
    found = [*symbols_in(text), *coins]
    known: dict[str, Any] = dict.fromkeys(("sentiment", "score"), mood)
    known |= dict.fromkeys(("event", "kind", "category"), event) | dict.fromkeys(("symbols", "assets"), found)
    return known | {
        "id": id_,
        "symbol": found[0] if found else None,
        "relevance": 1.0 if found else 0.3,
        "confidence": round(0.4 + abs(mood) / 2, 3),
        "impact": abs(mood),
        "label": "positive" if mood > 0.1 else "negative" if mood < -0.1 else "neutral",
    }
