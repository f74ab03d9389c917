"""A real run of the demonstration that tells a real web hook what it does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from bot.cli.exits import ExitCode
from tests.outlets.notify_hook import CANARY, standing_hook

SECONDS = 90.0


async def test_a_run_tells_its_fills_and_its_end_and_the_address_is_nowhere(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with standing_hook() as hook:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ARBITER_")} | {
            "ARBITER_SECRET_HOOK": hook.url,
            "ARBITER_KEY_FILE": str(tmp_path / "master.key"),
            "ARBITER_NOTIFICATIONS__CHANNELS__PHONE__URL_SECRET": "HOOK",
            "ARBITER_NOTIFICATIONS__CHANNELS__PHONE__SEVERITY": "info",
            "ARBITER_METRICS__PORT": "0",
            "ARBITER_BOT__LOG_LEVEL": "debug",
        }
        command = ("-m", "bot", "--demo", "--no-redis", "--no-web", "--duration", "120", "--data-dir", str(data))
        bot = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        spoken = asyncio.create_task(bot.communicate())
        try:
            async with asyncio.timeout(SECONDS):
                while not any("BTC/USDT" in post["title"] or "ETH/USDT" in post["title"] for post in hook.posts):
                    await hook.heard(len(hook.posts) + 1, SECONDS)
            kill = (sys.executable, "-m", "bot", "kill", "--data-dir", str(data))
            killing = await asyncio.create_subprocess_exec(*kill, env=env, stdout=asyncio.subprocess.DEVNULL)
            async with asyncio.timeout(SECONDS):
                assert await killing.wait() == 0
                while not any(post["type"] == "failure" for post in hook.posts):
                    await hook.heard(len(hook.posts) + 1, SECONDS)
        finally:
            if bot.returncode is None:
                bot.send_signal(signal.SIGTERM)
            async with asyncio.timeout(SECONDS):
                said, _ = await spoken
    assert bot.returncode == ExitCode.HALTED
    assert all(post["title"].startswith("[arbiter DEMO SIMULATED] ") for post in hook.posts)
    critical = [post["title"] for post in hook.posts if post["type"] == "failure"]
    assert critical == ["[arbiter DEMO SIMULATED] Trading is halted"]
    assert CANARY.encode() not in said
    files = [path for path in data.rglob("*") if path.is_file()]
    assert data / "arbiter.db" in files
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
