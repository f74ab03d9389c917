"""Subjects and lessons as plain JSON values."""

from __future__ import annotations

from dataclasses import asdict

from research.memory.evidence import Subject
from research.memory.lessons import Lesson


def named(subject: Subject) -> dict[str, object]:
    """Symbol, strategy and timeframe."""
    return asdict(subject)


def lesson_json(lesson: Lesson) -> dict[str, object]:
    """A lesson as plain JSON values, without the single returns."""
    figures = asdict(lesson.figures)
    del figures["returns"]
    return named(lesson.subject) | {
        "origin": lesson.origin.value,
        "known_at": lesson.known_at,
        "reference": lesson.reference,
        "rating": lesson.rating.value,
        "risk": lesson.risk.value,
        "score": lesson.score,
        "figures": figures,
        "insights": list(lesson.insights),
        "recommendations": asdict(lesson.recommendations),
        "expected_return": None if lesson.expected_return is None else asdict(lesson.expected_return),
        "expected_sharpe": None if lesson.expected_sharpe is None else asdict(lesson.expected_sharpe),
    }
