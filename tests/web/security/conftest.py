"""A store and a small application behind the real doors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.web.security.store import AccessStore
from tests.web.security.web_world import PASSWORD, Clock, World, make_world


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def access(tmp_path: Path, clock: Clock) -> AsyncIterator[AccessStore]:
    store = await AccessStore.open(tmp_path / "data", clock)
    yield store
    await store.close()


@pytest.fixture
async def world(tmp_path: Path, access: AccessStore, clock: Clock) -> World:
    return make_world(tmp_path, access, clock)


@pytest.fixture
async def guarded(tmp_path: Path, access: AccessStore, clock: Clock) -> World:
    """The same, with a password."""
    return make_world(tmp_path, access, clock, environ={"WEB_PASSWORD": PASSWORD})
