"""`python -m simulators.quantconnect` as a person or a script runs it."""

from __future__ import annotations

import asyncio
import signal
import sys

import aiohttp
import pytest

from tests.simulators.quantconnect_client import signed

PATIENCE = 40.0


async def start(*arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "simulators.quantconnect", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


async def test_it_prints_its_url_shows_a_live_algorithm_and_stops_cleanly() -> None:
    process = await start("--port", "0", "--user", "123", "--token", "t", "--demo", "--snapshot", "0.1", "--quirk", "all=0.5")
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().strip()
        assert url.endswith("/api/v2")
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/live/list", json={"status": "Running"}, headers=signed("123", "t")) as answer:
                assert [row["status"] for row in (await answer.json())["live"]] == ["Running"]
            wanted = {"symbol": "ETH/USDT", "direction": "down"}
            async with session.post(url.replace("/api/v2", "/admin/insights"), json=wanted) as answer:
                assert (await answer.json())["insight"]["ticker"] == "ETHUSDT"
        process.send_signal(signal.SIGTERM)
        rest, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert (process.returncode, rest, errors) == (0, b"", b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--candles", "no-such.csv"), b"no-such.csv"),
        (("--quirk", "none"), b"there are the quirks"),
        (("--quirk", "all=x"), b"float"),
    ],
)
async def test_what_it_cannot_do_it_says_in_one_line(arguments: tuple[str, ...], words: bytes) -> None:
    process = await start(*arguments)
    rest, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 2
    assert rest == b""
    assert words in errors
    assert errors.count(b"\n") == 1
