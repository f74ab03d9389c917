"""The source when somebody asks it to look now, or to judge one signal now: what counts once counts once on every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bot.core.decision import Action
from sources.quantconnect.insights import Heading, Signal, Way
from sources.quantconnect.settings import Credentials
from sources.quantconnect.source import QuantConnectSource
from tests.sources.quantconnect.qc_port import LIVE, NOW, PROJECT, SPEC, SYMBOLS, Port, paged, params, row
from tests.sources.quantconnect.qc_service import QUICK, TOKEN, USER, serving

KNOWN = Credentials(USER, TOKEN)


class Patience:
    """Pauses that never end; `paused` is set with the first."""

    def __init__(self) -> None:
        self.paused = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        del seconds
        self.paused.set()
        await asyncio.Event().wait()


@asynccontextmanager
async def polled_once(rows: list[dict[str, Any]]) -> AsyncIterator[tuple[QuantConnectSource, Port]]:
    """A source that has polled, and will not again by itself."""
    port, patience = Port(), Patience()
    async with serving(live__read=LIVE, live__insights__read=paged(rows)) as service:
        said = params(base_url=service.url)
        source = QuantConnectSource(SPEC, said, 3_600_000, SYMBOLS, KNOWN, limits=QUICK, sleep=patience.sleep)
        task = asyncio.create_task(source.run(port))
        try:
            await asyncio.wait_for(patience.paused.wait(), 20)
            yield source, port
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert not source.hears(PROJECT), "it ended"
    assert await source.fetch() == []


def signal(name: str) -> Signal:
    return Signal(
        Way.INSIGHTS, name, Heading.UP, "BTCUSDT", symbol="BTC/USDT", price=100.0, generated=NOW - 1_000, closes=NOW + 60_000
    )


async def test_what_came_since_the_last_poll_is_proposed_when_it_is_asked_for() -> None:
    rows = [row(20)]
    async with polled_once(rows) as (source, port):
        rows.append(row(5, direction="down"))
        assert await source.fetch() == [f"insights:{PROJECT}"]
        assert [one.action for one in port.live()] == [Action.BUY, Action.SELL]
        assert await source.fetch() == [f"insights:{PROJECT}"]
        assert len(port.live()) == 2


async def test_two_who_ask_at_once_wait_for_each_other_and_nothing_counts_twice() -> None:
    rows = [row(20)]
    async with polled_once(rows) as (source, port):
        rows.append(row(5))
        await asyncio.gather(*(source.fetch() for _ in range(5)))
        assert len(port.decisions) == 2


async def test_a_signal_that_was_handed_in_is_not_proposed_again() -> None:
    async with polled_once([]) as (source, port):
        assert source.hears(PROJECT)
        assert not source.hears(PROJECT + 1)
        assert not source.knows("one")
        assert await source.take(signal("one"))
        assert source.knows("one")
        assert not await source.take(signal("one"))
        assert [one.external_id for one in port.live()] == ["one"]


async def test_a_source_that_does_not_run_takes_nothing() -> None:
    source = QuantConnectSource(SPEC, params(), 3_600_000, SYMBOLS, KNOWN, limits=QUICK)
    assert not await source.take(signal("one"))
    assert not source.knows("one")
