"""Headlines in numbers, by a lexicon: the same words always give the same number, without a network and without a model.

Each term found adds its weight: turned and lessened after a negation, more or less beside a word of degree, half in a question,
and by how many per cent the price moved where that is said. The sum is bent into -1..1. General lexicons fail here: to them a
plunge is nothing and a billion in liquidations is wealth.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml

from sources.news.items import Event, Reading

EVERY = "*"  # among the symbols of a reading: the market as a whole
_WORD = re.compile(r"[a-z0-9][a-z0-9'-]*")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?) ?(?:%|percent\b|per cent\b)")
_TICKER = re.compile(r"\$([A-Za-z]{2,10})\b|\b([A-Z0-9]{2,10})\b")
_BEFORE, _NEAR = 3, 2  # words that a negation and a word of degree reach
_MOST_SYMBOLS = 5
_LEAST_CAPITALS = 0.7


@dataclass(frozen=True, slots=True)
class _Term:
    """A term found at a place; `end` is the place after it."""

    start: int
    end: int
    weight: float
    negates: bool


class Lexicon:
    """Reads headlines. `names` are further words for base currencies."""

    def __init__(self, names: Mapping[str, Sequence[str]] | None = None) -> None:
        told = yaml.safe_load(files("sources.news").joinpath("lexicon.yaml").read_text(encoding="utf-8"))
        self._terms = _Phrases({str(term): float(weight) for term, weight in told["terms"].items()})
        self._negations = _Phrases(dict.fromkeys(map(str, told["negations"]), 1.0))
        self._negated = float(told["negated"])
        self._degrees = {word: float(by) for kind in ("stronger", "weaker") for word, by in told[kind].items()}
        self._events = [
            (event, _Phrases(dict.fromkeys(told["events"][event], 1.0))) for event in Event if event in told["events"]
        ]
        coins: dict[str, list[str]] = {coin: list(map(str, words)) for coin, words in told["names"].items()}
        for coin, words in (names or {}).items():
            coins.setdefault(coin, []).extend(word.lower() for word in words)
        self._coins = [(coin, _Phrases(dict.fromkeys(words, 1.0))) for coin, words in coins.items()]
        self._tickers = frozenset(told["tickers"]) | frozenset(coins)
        self._market = _Phrases(dict.fromkeys(told["market"], 1.0))

    @property
    def coins(self) -> tuple[str, ...]:
        """The base currencies it knows, in their order."""
        return tuple(coin for coin, _ in self._coins)

    @property
    def size(self) -> int:
        """How many terms it has."""
        return self._terms.size

    def read(self, title: str, about: Sequence[str] = ()) -> Reading:
        """A headline in numbers; `about` are base currencies that are known to be meant."""
        words = _words(title)
        sentiment, known = self._sentiment(words, title)
        event = next((event for event, phrases in self._events if phrases.first(words)), Event.OTHER)
        return Reading(sentiment, event, self._symbols(words, title, about), known=known)

    def _sentiment(self, words: Sequence[str], title: str) -> tuple[float, bool]:
        terms = self._found(words)
        if not terms:
            return 0.0, False
        total = sum(self._weighed(term, terms, words) for term in terms)
        total *= _moved(title)
        if title.rstrip().endswith("?"):
            total *= 0.5
        return round(math.tanh(total), 3) + 0.0, True

    def _found(self, words: Sequence[str]) -> list[_Term]:
        """The terms of a headline, none overlapping, the longest first where several begin at a place."""
        found, at = [], 0
        while at < len(words):
            length, weight = self._terms.at(words, at)
            negating, _ = self._negations.at(words, at)
            if length:
                found.append(_Term(at, at + length, weight, bool(negating)))
            at += max(length, 1)
        return found

    def _weighed(self, term: _Term, terms: Sequence[_Term], words: Sequence[str]) -> float:
        weight = term.weight
        if term.negates and any(term.end <= other.start < term.end + _BEFORE for other in terms):
            return 0.0  # it speaks of the next term, which it turns
        for at in range(max(0, term.start - _BEFORE), term.start):
            length, _ = self._negations.at(words, at)
            if length and at + length <= term.start:
                weight *= self._negated
                break
        near = [*words[max(0, term.start - _NEAR) : term.start], *words[term.end : term.end + 1]]
        return weight * math.prod(self._degrees.get(word, 1.0) for word in near)

    def _symbols(self, words: Sequence[str], title: str, about: Sequence[str]) -> tuple[str, ...]:
        found = list(about)
        named = [coin for coin, phrases in self._coins if phrases.first(words)]
        if "BCH" in named and words.count("bitcoin") == 1:
            named.remove("BTC")  # bitcoin cash alone
        letters = [one for one in title if one.isalpha()]
        shouted = sum(one.isupper() for one in letters) > _LEAST_CAPITALS * len(letters)
        for paid, plain in _TICKER.findall(title):
            ticker = (paid or ("" if shouted else plain)).upper()
            if ticker in self._tickers:
                named.append(ticker)
        found += named
        if not found and self._market.first(words):
            return (EVERY,)
        return tuple(dict.fromkeys(found))[:_MOST_SYMBOLS]


class _Phrases:
    """Terms of one or several words, found at a place in a list of words."""

    def __init__(self, terms: Mapping[str, float]) -> None:
        parsed = [([_pattern(word) for word in term.split()], weight) for term, weight in terms.items()]
        self._terms = sorted(parsed, key=lambda term: -len(term[0]))
        self._whole = re.compile("|".join({pattern.pattern: None for patterns, _ in parsed for pattern in patterns[:1]}))

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._terms)

    def at(self, words: Sequence[str], at: int) -> tuple[int, float]:
        """Length in words and weight of the longest term that begins at a place; (0, 0) for none."""
        if not self._whole.fullmatch(words[at]):
            return 0, 0.0
        for patterns, weight in self._terms:
            part = words[at : at + len(patterns)]
            if len(part) == len(patterns) and all(map(re.Pattern.fullmatch, patterns, part)):
                return len(patterns), weight
        return 0, 0.0

    def first(self, words: Sequence[str]) -> bool:
        """Whether any of them is there."""
        return any(self.at(words, at)[0] for at in range(len(words)))


@lru_cache(maxsize=2048)
def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(word.replace("*", "[a-z']*"))


def _words(title: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", title.lower()).replace("\u2019", "'").replace("\u2011", "-")
    return [word.strip("-'").removesuffix("'s") for word in _WORD.findall(plain)]


def _moved(title: str) -> float:
    """How much the largest percentage in a headline strengthens it: 0.7 for two per cent and less, 1.3 for twenty and more."""
    told = [float(found) for found in _PERCENT.findall(title)]
    return 1.0 if not told else 0.7 if max(told) <= 2 else 1.3 if max(told) >= 20 else 1.0
