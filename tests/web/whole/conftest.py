"""One demonstration for all that is asked of the control room as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.house import House, house


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A demonstration that has begun to trade."""
    with house(tmp_path_factory.mktemp("whole")) as running:
        running.decided(3)
        yield running
