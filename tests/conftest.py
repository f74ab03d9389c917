"""What every test leaves as it found it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How fast this machine happens to be is no property of what is tested.
settings.register_profile("here", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("here")


def pytest_collection_finish() -> None:
    """All tests are there; see `_a_small_heap`."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _a_small_heap() -> None:
    """What the file before left is looked at once: going through all files' leavings stops a test for over a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Commands set up the logging of their process; a test that runs one in this process leaves no trace of it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
