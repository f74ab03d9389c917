"""Faults by a script."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulators.exchange.faults import Clear, Status
from simulators.exchange.mischief import Fault
from simulators.exchange.scenarios import BadScenario, Cue, Player, Step, load, read
from simulators.exchange.server import ExchangeSimulator

SCRIPT = """
- {after_requests: 2, on_path: /api/v3/time, fault: status, code: 503}
- {at: 0.05, fault: latency, delay: 0.0, path: "/api/v3/klines"}
- {on_path: "/api/v3/p*", on_method: GET, fault: dropped, when: before, path: "/api/v3/*", count: 2}
"""


async def test_a_script_strikes_the_requests_it_names(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCRIPT)
    async with (
        ExchangeSimulator(symbols=["BTC/USDT"], history=60, scenario=load(path)) as simulator,
        aiohttp.ClientSession(simulator.url) as session,
    ):
        seen = []
        for _ in range(4):
            async with session.get("/api/v3/time") as answer:
                seen.append(answer.status)
        assert seen == [200, 200, 503, 200]
        with pytest.raises(aiohttp.ClientConnectionError):  # twice, because the client asks again by itself
            await session.get("/api/v3/ping")
        async with session.get("/api/v3/ping") as answer:
            assert answer.status == 200


async def test_the_clock_plays_steps_in_their_order() -> None:
    played: list[Fault] = []
    late, early = Step(Cue(at=0.03), Clear()), Step(Cue(at=0.01), Status(503))
    player = Player([late, early], played.append)
    await asyncio.wait_for(player.run(), 20)
    assert played == [early.fault, late.fault]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"fault": "stall"}, "not a list"),
        ([{"at": 1}], "entry 1"),
        ([{"fault": "stall"}, {"fault": "nonsense"}], "entry 2"),
        ([{"fault": "stall", "second": 3}], "second"),
        ([{"fault": "status", "code": 200}], "code"),
        ([{"at": "soon", "fault": "stall"}], "at"),
    ],
)
def test_a_bad_script_says_which_entry_and_why(entries: Any, words: str) -> None:
    with pytest.raises(BadScenario, match=words):
        read(entries)


def test_every_step_that_cannot_be_is_skipped_not_fatal() -> None:
    def inject(_: Fault) -> None:
        raise LookupError("no such symbol")

    player = Player([], inject)
    player.observe("GET", "/api/v3/time")
    assert player.played == 0
