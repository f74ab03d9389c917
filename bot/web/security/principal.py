"""Who asks, and how far their permission reaches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

OWNER = "owner"
_LONGEST_ACTOR = 64


class Scope(IntEnum):
    """What a principal may do; each contains the one before it."""

    READ = 1
    TRADE = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """As people and programs write it."""
        return self.name.lower()

    @classmethod
    def of(cls, label: str) -> Scope:
        """The scope of a label; `ValueError` with the choices for any other."""
        for scope in cls:
            if scope.label == label:
                return scope
        message = f"scope {label[:40]!r} is unknown; choose one of {', '.join(scope.label for scope in cls)}"
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who was recognised. `id` is public and names the session or the token; it opens nothing."""

    name: str
    scope: Scope
    kind: Literal["session", "token"]
    id: str

    @property
    def actor(self) -> str:
        """As the audit names them: `web:NAME`, printable, at most 64 characters."""
        printable = "".join(character if character.isprintable() else "?" for character in self.name)
        return f"web:{printable}"[:_LONGEST_ACTOR]

    @property
    def key(self) -> str:
        """By which limits, confirmations and idempotency tell principals apart."""
        return f"{self.kind}:{self.id}"
