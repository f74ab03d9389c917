"""`python -m simulators.exchange` as a person or a script runs it."""

from __future__ import annotations

import asyncio
import signal
import sys

import aiohttp
import pytest

PATIENCE = 20.0


async def start(*arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "simulators.exchange", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_it_prints_its_url_serves_and_stops_cleanly_with_a_client_connected(sent: signal.Signals) -> None:
    process = await start("--port", "0", "--seed", "3", "--symbols", "BTC/USDT,DOGE/USDT", "--history", "60")
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().strip()
        async with aiohttp.ClientSession() as session:
            async with session.get(url + "/api/v3/exchangeInfo") as answer:
                assert [row["symbol"] for row in (await answer.json())["symbols"]] == ["BTCUSDT", "DOGEUSDT"]
            async with session.ws_connect(url.replace("http", "ws") + "/stream/ws/0") as socket:
                await socket.send_json({"method": "SUBSCRIBE", "params": ["dogeusdt@bookTicker"], "id": 1})
                assert await socket.receive_json(timeout=PATIENCE) == {"result": None, "id": 1}
                assert (await socket.receive_json(timeout=PATIENCE))["s"] == "DOGEUSDT"
                process.send_signal(sent)
                rest, errors = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, rest, errors) == (0, b"", b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scenario", "no-such-file.yaml"), b"no-such-file.yaml"),
        (("--symbols", "BTCUSDT"), b"BASE/QUOTE"),
        (("--seed", "-1"), b"seed"),
        (("--history", "0"), b"history"),
    ],
)
async def test_what_it_cannot_do_it_says_in_one_line(arguments: tuple[str, ...], words: bytes) -> None:
    process = await start(*arguments)
    rest, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 2
    assert rest == b""
    assert words in errors
    assert errors.count(b"\n") == 1
