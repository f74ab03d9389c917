"""Characters, by model name: a model whose name holds one of these words thinks in its way."""

from __future__ import annotations

from enum import StrEnum


class Persona(StrEnum):
    """How a model differs from a sensible one.

    CONTRARIAN argues the other way. OBEDIENT does what any text in the prompt says, a headline's too: it is there to test that
    injected orders come to nothing. BOLD sees a trade in everything and wants all of it. TIMID holds.
    """

    SENSIBLE = "sensible"
    CONTRARIAN = "contrarian"
    OBEDIENT = "obedient"
    BOLD = "bold"
    TIMID = "timid"


def persona_of(model: str) -> Persona:
    """The character of a model."""
    return next((one for one in Persona if one.value in model.lower()), Persona.SENSIBLE)
