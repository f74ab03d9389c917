"""What `calibration` and `feedback` show a person: aligned text, what matters first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.cli.output import table
from bot.cli.screen import clean

Found = Mapping[str, Any]

_NOTHING = "nothing is known of that; no decision of it has been closed yet"


def calibration_lines(found: Found) -> Iterator[str]:
    """A line for each source, model and action; then the curve of each."""
    rows = [_row(one) for one in found["calibration"]]
    if not rows:
        yield _NOTHING
        return
    yield from table(["source", "model", "action", "closed", "true", "brier", "ece", "95 %", "map", "state"], rows)
    yield f"calibration is {found['calibrate']}; a confidence moves by {found['max_shift']:g} at most"
    for one in found["calibration"]:
        yield from _curve(one)


def insight_lines(found: Found) -> Iterator[str]:
    """What it comes to, in words."""
    for one in found["insights"]:
        yield ""
        yield clean(one["source"])
        yield from (clean(f"  - {said}") for said in one["insights"])


def feedback_lines(found: Found) -> Iterator[str]:
    """A line for each word."""
    for each in found["feedback"]:
        yield clean(f"{each['decision']}: {each['opined']}, says {each['author']}")


def _row(one: Found) -> list[object]:
    told = one["reliability"]
    if told is None:
        figures: list[object] = [0, None, None, None, None]
    else:
        interval = f"{told['error_low']:.3f} to {told['error_high']:.3f}"
        score, error = f"{told['brier']['score']:.3f}", f"{told['error']:.3f}"
        figures = [told["closed"], f"{told['won'] / told['closed']:.0%}", score, error, interval]
    return [one["source"], one["model"] or "-", one["action"], *figures, one["map"]["fit"], _state(one)]


def _curve(one: Found) -> Iterator[str]:
    told = one["reliability"]
    if told is None:
        return
    yield ""
    yield clean(" ".join(part for part in (one["source"], one["model"], one["action"]) if part))
    rows = [
        [
            f"{each['low']:.1f} to {each['high']:.1f}",
            each["closed"],
            f"{each['stated']:.3f}",
            f"{each['won']:.3f}",
            f"{each['won_low']:.3f} to {each['won_high']:.3f}",
            "#" * round(each["won"] * 40),
        ]
        for each in told["bins"]
    ]
    yield from table(["confidence", "closed", "stated", "true", "95 %", ""], rows)


def _state(one: Found) -> str:
    if one["frozen"]:
        return "frozen"
    return f"since {datetime.fromtimestamp(one['since'] / 1000, UTC):%Y-%m-%d %H:%M}" if one["since"] else "learning"
