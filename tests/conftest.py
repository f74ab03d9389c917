"""What every test leaves as it found it, and in which order the rooms are tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

_LONGEST_FIRST = ("drill", "faults", "app", "journal", "benchmarks")
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The rooms whose tests wait for processes come first, so that at the end no worker waits for the last of them alone."""
    places = {room: place for place, room in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.relative_to(_HERE).parts[0], len(places)))


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Commands set up the logging of their process; a test that runs one in this process leaves no trace of it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
