"""`status`, `kill`, `reduce`, `resume`, `pause`, `unpause`, `add`, `remove`, `reconcile`: speak with the running bot."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.exits import ExitCode, StopError, timed_out
from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

if TYPE_CHECKING:
    from bot.outlets.local_client import LocalClient

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the audit.")]
Timeout = Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long to wait for the answer.")]
SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="A source's name, such as rules:sma-cross.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, kill, reduce, resume, pause, unpause, add, remove, reconcile):
        app.command()(command)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.2, max=3600, help="How often, with --watch.")] = 1.0,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    timeout: Timeout = 5.0,
) -> None:
    """Show how the running bot does."""
    place = settings_for(config, data_dir).settings.bot.data_dir
    asyncio.run(_watch(place, as_json, interval, timeout) if watch else _once(place, as_json, timeout))


async def _once(place: Path, as_json: bool, timeout: float) -> None:
    from bot.cli.output import say, say_json
    from bot.outlets.local_client import LocalClient

    async with await LocalClient.connect(place, timeout=timeout) as client:
        found = await _status(client, timeout)
        if as_json:
            say_json(found)
        else:
            say(*_status_lines(client, found))


async def _status(client: LocalClient, timeout: float) -> Mapping[str, object]:
    answer = await client.command("status", timeout=timeout)
    if not answer.ok:
        raise StopError(ExitCode.FAILURE, answer.error or "the bot did not say why")
    return answer.result or {}


def _status_lines(client: LocalClient, found: Mapping[str, object]) -> list[str]:
    from bot.cli.output import report

    hello = client.hello
    world = " SIMULATED" if hello.simulated else ""
    now = datetime.now(UTC).strftime("%H:%M:%S UTC")
    return report(found, f"{hello.bot}: {hello.mode.upper()}{world}, run {hello.run}, process {hello.pid}, {now}")


async def _watch(place: Path, as_json: bool, interval: float, timeout: float) -> None:
    """One status after another, over one connection; on a terminal in place, else one below the other."""
    from bot.cli.output import say, say_json
    from bot.outlets.local_client import LocalClient

    async with await LocalClient.connect(place, timeout=timeout) as client:
        if as_json or not sys.stdout.isatty():
            while True:
                found = await _status(client, timeout)
                if as_json:
                    say_json(found)
                else:
                    say(*_status_lines(client, found), "")
                await asyncio.sleep(interval)
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(), auto_refresh=False) as live:
            while True:
                live.update(Text("\n".join(_status_lines(client, await _status(client, timeout)))), refresh=True)
                await asyncio.sleep(interval)


def kill(
    flatten: Annotated[bool, typer.Option("--flatten", help="Close every position first.")] = False,
    reason: Reason = "by hand",
    config: ConfigDir = None,
    data_dir: DataDir = None,
    timeout: Timeout = 35.0,
) -> None:
    """Halt trading: no order leaves any more, now and after a restart, until `resume`."""
    _tell("kill", {"flatten": flatten, "reason": reason}, config, data_dir, timeout)


def reduce(
    flatten: Annotated[bool, typer.Option("--flatten", help="Close every position.")] = False,
    reason: Reason = "by hand",
    config: ConfigDir = None,
    data_dir: DataDir = None,
    timeout: Timeout = 35.0,
) -> None:
    """Admit only orders that lower a position."""
    _tell("reduce", {"flatten": flatten, "reason": reason}, config, data_dir, timeout)


def resume(reason: Reason = "by hand", config: ConfigDir = None, data_dir: DataDir = None, timeout: Timeout = 35.0) -> None:
    """Trade again after `kill`, `reduce` or a halt."""
    _tell("resume", {"reason": reason}, config, data_dir, timeout)


def pause(
    source: SourceName, reason: Reason = "by hand", config: ConfigDir = None, data_dir: DataDir = None, timeout: Timeout = 35.0
) -> None:
    """Stop listening to one source."""
    _tell("pause", {"source": source, "reason": reason}, config, data_dir, timeout)


def unpause(
    source: SourceName, reason: Reason = "by hand", config: ConfigDir = None, data_dir: DataDir = None, timeout: Timeout = 35.0
) -> None:
    """Listen to a source again."""
    _tell("unpause", {"source": source, "reason": reason}, config, data_dir, timeout)


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The YAML file of the source.")],
    config: ConfigDir = None,
    data_dir: DataDir = None,
    timeout: Timeout = 35.0,
) -> None:
    """Let a source into the running bot; put its file into config/sources to keep it."""
    _tell("add-source", {"file": str(file.resolve())}, config, data_dir, timeout)


def remove(source: SourceName, config: ConfigDir = None, data_dir: DataDir = None, timeout: Timeout = 35.0) -> None:
    """Take a source out of the running bot; its position and its shadow ledger stay."""
    _tell("remove-source", {"source": source}, config, data_dir, timeout)


def reconcile(
    accept: Annotated[
        bool, typer.Option("--accept", help="Take the account as it is: what is unexplained counts as explained from now on.")
    ] = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    timeout: Timeout = 35.0,
) -> None:
    """Compare the account at the venue with the books of the live bot, now."""
    _tell("reconcile", {"accept": accept}, config, data_dir, timeout)


def _tell(name: str, args: Mapping[str, object], config: Path | None, data_dir: Path | None, timeout: float) -> None:
    """Send one command to the running bot and say how it went."""
    from bot.cli.output import report, say

    place = settings_for(config, data_dir).settings.bot.data_dir
    found = asyncio.run(_send(place, name, args, timeout))
    say(f"{name}: done", *report(found))


async def _send(place: Path, name: str, args: Mapping[str, object], timeout: float) -> Mapping[str, object]:
    from bot.outlets.errors import Disconnected
    from bot.outlets.local_client import LocalClient

    async with await LocalClient.connect(place, timeout=min(timeout, 5.0)) as client:
        try:
            answer = await client.command(name, args, timeout=timeout)
        except (TimeoutError, Disconnected) as error:
            if not timed_out(error):
                raise
            line = (
                f"the bot did not answer `{name}` within {timeout:g} s; it may have been carried out: see `python -m bot status`"
            )
            raise StopError(ExitCode.TIMEOUT, line) from None
    if not answer.ok:
        raise StopError(ExitCode.FAILURE, answer.error or "the bot did not say why")
    return answer.result or {}
