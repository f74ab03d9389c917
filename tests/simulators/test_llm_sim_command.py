"""`python -m simulators.llm` as a person or a script runs it."""

from __future__ import annotations

import asyncio
import signal
import sys

import aiohttp
import pytest

PATIENCE = 40.0


async def start(*arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "simulators.llm", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


async def test_it_prints_its_url_answers_and_stops_cleanly() -> None:
    process = await start("--port", "0", "--key", "k", "--model", "my-own", "--fault", '{"mode": "529", "count": 1}')
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().strip()
        assert url.endswith("/v1")
        body, headers = {"model": "my-own", "input": 'What is my cash? {"cash": 3}'}, {"Authorization": "Bearer k"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(f"{url}/responses", json=body) as answer:
                assert answer.status == 529
            async with session.post(f"{url}/responses", json=body) as answer:
                assert (await answer.json())["output"][0]["content"][0]["text"] == "Cash is 3."
        process.send_signal(signal.SIGTERM)
        rest, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert (process.returncode, rest, errors) == (0, b"", b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--fault", "{}"), b"mode"), (("--fault", "no json"), b"JSON"), (("--port", "1", "--host", "192.0.2.1"), b"192.0.2.1")],
)
async def test_what_it_cannot_do_it_says_in_one_line(arguments: tuple[str, ...], words: bytes) -> None:
    process = await start(*arguments)
    rest, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, rest) == (2, b"")
    assert words in errors
    assert errors.count(b"\n") == 1
