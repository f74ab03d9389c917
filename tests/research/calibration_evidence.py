"""Outcomes for the tests of calibration: small factories, and strategies for the laws."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from research.calibration.evidence import Closed, Opinion, Part
from research.calibration.feedback import Feedback, Opined
from tests.factories import BTC, LLM, RULE, T0

HOUR = 3_600_000


def an_opinion(number: int = 0, stated: float = 0.6, **changed: Any) -> Opinion:
    """A decision of the rule to buy, made in hour `number`, which lasts a minute."""
    created = T0 + number * HOUR
    fields: dict[str, Any] = {
        "decision": f"d{number}",
        "source": RULE,
        "model": "",
        "action": "buy",
        "symbol": BTC,
        "stated": stated,
        "counted": stated,
        "created": created,
        "expires": created + 60_000,
    }
    return Opinion(**(fields | changed))


def a_part(number: int = 0, stated: float = 0.6, profit: float = 0.01, *, known_at: int | None = None, **changed: Any) -> Part:
    """All that came of the decision of hour `number`, half an hour later."""
    opinion = an_opinion(number, stated, **changed)
    return Part(
        opinion, opinion.created + HOUR // 2 if known_at is None else known_at, profit * 100, 100.0, f"part-{number}", "book"
    )


def outcomes(groups: Iterable[tuple[float, int, int]], **changed: Any) -> list[Part]:
    """For each (stated, closed, won): so many decisions of that confidence, so many of which came true, well mixed."""
    drawn = [
        (stated, number * won // closed != (number + 1) * won // closed)
        for stated, closed, won in groups
        for number in range(closed)
    ]
    return [a_part(number, stated, 0.01 if won else -0.01, **changed) for number, (stated, won) in enumerate(drawn)]


def a_closed(stated: float = 0.6, won: bool = True, number: int = 0, **changed: Any) -> Closed:
    """A closed decision of the rule."""
    fields: dict[str, Any] = {
        "source": RULE,
        "model": "",
        "action": "buy",
        "symbol": BTC,
        "stated": stated,
        "counted": stated,
        "known_at": T0 + number,
        "profit": 0.01 if won else -0.01,
        "decision": f"d{number}",
    }
    return Closed(**(fields | changed))


confidences = st.floats(0.0, 1.0)
closed_lists = st.lists(st.tuples(confidences, st.booleans(), st.floats(0.5, 1.5)), min_size=1, max_size=300).map(
    lambda drawn: [a_closed(stated, won, number, weight=weight) for number, (stated, won, weight) in enumerate(drawn)]
)
parts = st.builds(
    a_part,
    st.integers(0, 60),
    confidences,
    st.floats(-0.9, 2.0),
    known_at=st.integers(T0 + 61 * HOUR, T0 + 100 * HOUR),
    source=st.sampled_from([RULE, LLM]),
    model=st.sampled_from(["", "claude-haiku-5-5"]),
    action=st.sampled_from(["buy", "sell"]),
)
feedback = st.builds(
    Feedback,
    st.integers(0, 60).map(lambda number: f"d{number}"),
    st.sampled_from(Opined),
    st.integers(T0, T0 + 120 * HOUR),
    st.sampled_from(["ann", "bob"]),
)
