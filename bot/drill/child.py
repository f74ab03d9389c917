"""The bot of a drill: `python -m bot run --live` in a process of its own, as a person starts it.

It is told what to do in the two ways that a person has: by a source that proposes, and by commands to the running bot.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from bot.drill.waiting import until
from bot.outlets.command import CommandResult
from bot.outlets.errors import Disconnected, NotRunning
from bot.outlets.local_client import LocalClient

START_SECONDS = 40.0
_END_SECONDS = 12.0
_ANSWER_SECONDS = 10.0
_TAIL = 1_500


class BotEnded(Exception):  # noqa: N818 - it names what happened
    """The bot ended when it should not have, or otherwise than it should; the message quotes the end of its log."""


@dataclass(slots=True)
class Child:
    """One bot with a folder of its own, in which configuration, data and logs are. It may be started many times."""

    place: Path
    environment: Mapping[str, str]
    entry: Sequence[str] = ("-m", "bot")
    starts: int = 0
    _process: asyncio.subprocess.Process | None = None
    _said: int = 0

    @property
    def config(self) -> Path:
        """The folder of its configuration."""
        return self.place / "config"

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.place / "data"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def log(self) -> str:
        """What it has told since its newest start."""
        path = self._log_path()
        return path.read_text(errors="replace") if path.exists() else ""

    def _log_path(self) -> Path:
        return self.place / "logs" / f"bot-{self.starts}.log"

    async def start(self, **extra: str) -> None:
        """Start it, with more variables for this time alone; does not wait until it trades."""
        assert not self.alive
        self.starts += 1
        self._log_path().parent.mkdir(parents=True, exist_ok=True)
        command = [*self.entry, "run", "--live", "--json", "--config", str(self.config), "--data-dir", str(self.data)]
        environment = {**_clean(os.environ), **self.environment, **extra}
        with self._log_path().open("wb") as log, (self.place / "logs" / f"summary-{self.starts}.json").open("wb") as out:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                cwd=self.place,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is the drill's; it ends its bots itself
            )

    async def ready(self, seconds: float = START_SECONDS) -> Mapping[str, Any]:
        """Wait until it has reconciled and sees the market; its status."""
        found: dict[str, Any] = {}

        async def trading() -> bool:
            if not self.alive:
                raise BotEnded(self._epitaph("ended before it traded"))
            with suppress(NotRunning, Disconnected, TimeoutError, OSError):
                found.update(await self.status())
            return bool(found.get("market_events"))

        await until(trading, "a start of the bot", seconds)
        return found

    async def command(self, name: str, seconds: float = _ANSWER_SECONDS, **arguments: object) -> CommandResult:
        """Tell the running bot something. `NotRunning` when it does not, `TimeoutError` without an answer."""
        async with await LocalClient.connect(self.data, actor="drill") as client:
            return await client.command(name, arguments, timeout=seconds)

    async def status(self) -> Mapping[str, Any]:
        """How it does; `BotEnded` when it will not say."""
        answer = await self.command("status")
        if not answer.ok or answer.result is None:
            raise BotEnded(self._epitaph(f"would not tell its status: {answer.error}"))
        return answer.result

    async def propose(self, action: str, symbol: str = "BTC/USDT", horizon: str = "1m", **line: object) -> str:
        """Let a new source of its own propose this at once; the source's name. `protection` and `size` are as in a recording."""
        self._said += 1
        name = f"rules:drill-{self.starts}-{self._said}"
        said = {
            "offset_ms": 0, "source": name, "tier": "traditional", "symbol": symbol, "action": action, "confidence": 0.9,
            "horizon": horizon, **line,
        }  # fmt: skip
        stem = self.place / "said" / name.replace(":", "-")
        stem.parent.mkdir(exist_ok=True)
        stem.with_suffix(".jsonl").write_bytes(orjson.dumps(said))
        source = {"source": name, "kind": "recorded", "tier": "traditional", "params": {"file": f"{stem.name}.jsonl"}}
        stem.with_suffix(".yaml").write_text(yaml.safe_dump(source))
        answer = await self.command("add-source", file=str(stem.with_suffix(".yaml")))
        if not answer.ok:
            raise BotEnded(self._epitaph(f"would not hear a source: {answer.error}"))
        return name

    async def died(self, seconds: float = 20.0) -> None:
        """Wait until it has killed itself; `BotEnded` if it ends in another way."""
        await until(lambda: not self.alive, "the death of the bot", seconds)
        assert self._process is not None
        if self._process.returncode != -signal.SIGKILL:
            raise BotEnded(self._epitaph(f"ended with {self._process.returncode} instead of being killed"))

    async def kill(self) -> None:
        """`kill -9`, now; its process is gone when this returns."""
        if self._process is not None:
            if self.alive:
                with suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.wait()

    async def stop(self, codes: Sequence[int] = (0,)) -> None:
        """SIGTERM, and wait until it has left in order; `BotEnded` if it takes too long or its exit code is none of these."""
        assert self._process is not None
        if not self.alive:
            raise BotEnded(self._epitaph(f"had ended with {self._process.returncode}"))
        self._process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except TimeoutError:
            raise BotEnded(self._epitaph(f"had not stopped {_END_SECONDS:g} s after SIGTERM")) from None
        if code not in codes:
            raise BotEnded(self._epitaph(f"stopped with {code}"))

    async def says(self, text: str, seconds: float = 20.0) -> None:
        """Wait until its log holds a text."""
        await until(lambda: text in self.log, f"{text!r} in the bot's log", seconds)

    def _epitaph(self, what: str) -> str:
        return f"the bot {what}: {' '.join(self.log[-_TAIL:].split())}"


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Without the settings and keys of whoever runs the drill."""
    foreign = ("_API_KEY", "_API_SECRET", "_API_TOKEN", "_API_PASSPHRASE")
    return {name: value for name, value in environ.items() if not (name.startswith("ARBITER_") or name.endswith(foreign))}
