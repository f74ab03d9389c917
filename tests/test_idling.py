"""What the tests' own measure of waiting counts, and what not."""

from __future__ import annotations

import asyncio
import time

from tests.idling import idle_seconds


async def test_waiting_counts_and_computing_does_not() -> None:
    async def computing() -> None:
        for _ in range(5):
            time.sleep(0.1)
            await asyncio.sleep(0)

    assert await idle_seconds(lambda: asyncio.sleep(0.5)) > 0.3
    assert await idle_seconds(computing) < 0.2
