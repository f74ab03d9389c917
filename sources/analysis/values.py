"""What all results share: they write themselves as JSON, and a number that is none becomes None."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import orjson

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

TIE = 1e-12
"""Numbers closer than this, relative to their size, are equal."""


class AnalysisError(ValueError):
    """Inputs that cannot be analysed; the message names what is wrong with them."""


class Told:
    """A result that can be told to others."""

    __slots__ = ()

    def as_json(self) -> bytes:
        """The whole result as JSON, fields in their order."""
        return orjson.dumps(self)

    def as_plain(self) -> Mapping[str, object]:
        """The whole result as plain JSON values."""
        return cast("Mapping[str, object]", orjson.loads(self.as_json()))


def known(number: float | np.floating | None) -> float | None:
    """A finite number as a float, None for all else."""
    return None if number is None or not math.isfinite(number) else float(number)


def last(array: Floats) -> float | None:
    """The newest number of an array, None if there is none or it is not finite."""
    return known(array[-1]) if len(array) else None


def ratio(part: float | None, whole: float | None) -> float | None:
    """`part / whole`, None if either is unknown or the whole is not positive."""
    return None if part is None or whole is None or whole <= 0.0 else known(part / whole)


def span(length: int) -> str:
    """A length in ms as people say it, such as `4 h` or `1.5 d`."""
    for size, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if length >= size:
            return f"{length / size:.3g} {name}"
    return f"{length / 1000:g} s"


def clip(number: float, low: float = -1.0, high: float = 1.0) -> float:
    """The number, kept within bounds."""
    return min(high, max(low, number))


def brief(number: float, digits: int = 5) -> float:
    """Rounded to significant digits, as prompts and people read it."""
    return float(f"{number:.{digits}g}")
