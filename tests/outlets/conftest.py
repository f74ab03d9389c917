from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.outlets.envelope import Identity
from tests.servers import RedisProcess, redis_process, redis_url


@pytest.fixture
def identity() -> Identity:
    return Identity(bot="main", run="run-1", mode="paper", simulated=True)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis of the test's own, which it may kill."""
    with redis_process(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis_at(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis that others may use too."""
    with redis_url(tmp_path / "redis") as url:
        yield url


@pytest.fixture
def prefix() -> str:
    """Channel names that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"
