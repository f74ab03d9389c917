"""Whose books these are, and the run that writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from bot.journal.codec import encode_snapshot
from bot.journal.rows import Row, json_text


@dataclass(frozen=True, slots=True)
class BookKey:
    """What separates books: a simulated world never touches those of a real-data account. `world` is `real` or `simulated`."""

    bot: str
    mode: str
    venue: str
    world: str


@dataclass(frozen=True, slots=True)
class RunStart:
    """A run as it begins: what replay needs beside the inputs. `config` must hold no secrets: it is stored as it is."""

    id: str
    book: BookKey
    started: int
    simulated: bool
    config: Mapping[str, object]
    code_version: str
    seed: int | None = None
    initial: object = None

    @property
    def config_hash(self) -> str:
        """SHA-256 of the configuration, whatever the order of its keys."""
        canonical = orjson.dumps(dict(self.config), default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        return hashlib.sha256(canonical).hexdigest()

    def row(self) -> Row:
        """The row of the table `runs`, without its book."""
        return {
            "id": self.id,
            "started": self.started,
            "ended": None,
            "simulated": self.simulated,
            "config_hash": self.config_hash,
            "config": json_text(dict(self.config)),
            "code_version": self.code_version,
            "seed": self.seed,
            "initial_snapshot": None if self.initial is None else encode_snapshot(self.initial).decode(),
            "final_snapshot": None,
            "closed_cleanly": False,
        }
