"""Value classes: facts that nobody changes, at the price of plain ones.

A frozen dataclass sets each field through `object.__setattr__`: twenty fields cost 2.0 us instead of 0.2, and an order passes
through a dozen of them (benchmarks/core.py). So immutability is the type checker's to enforce (mypy refuses an assignment), not
the interpreter's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A slotted, hashable dataclass that mypy treats as frozen."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
