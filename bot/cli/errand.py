"""An errand: a command has a use case performed, by the bot that runs in the data directory, or by itself where none does.

Progress goes to stderr: a bar on a terminal, else a line for every stage, nothing with `--json`. Ctrl-C cancels the work and
waits until it has cleaned up.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from bot.cli.exits import ExitCode, StopError, timed_out

if TYPE_CHECKING:
    from bot.outlets.command import CommandResult
    from bot.outlets.local_client import LocalClient
    from bot.runtime.jobs import Report
    from bot.services.use_case import Ground
    from bot.settings import Loaded

Answer = Mapping[str, Any]

LOOK_S = 5.0
"""How often a job is asked for when the feed says nothing: a message may have been dropped."""
CANCEL_S = 15.0
"""How long a cancelled job may clean up before the command leaves it to the bot."""
LINE_EVERY_S = 5.0


def perform(loaded: Loaded, name: str, args: Mapping[str, object], *, as_json: bool = False) -> Answer:
    """Have the use case done and give its answer; `StopError` where the running bot could not do it."""
    with telling(name, as_json=as_json) as report:
        return asyncio.run(performed(loaded, name, args, report))


def perform_here(loaded: Loaded, name: str, args: Mapping[str, object], *, as_json: bool = False) -> Answer:
    """Have a use case that only reads done by this process, though a bot may run: what it is given need not go anywhere."""

    async def done(report: Report) -> Answer:
        async with alone(loaded) as ground:
            return await _by_ourselves(ground, name, args, report)

    with telling(name, as_json=as_json) as report:
        return asyncio.run(done(report))


async def performed(loaded: Loaded, name: str, args: Mapping[str, object], report: Report) -> Answer:
    """The same, on a loop that runs already."""
    from bot.outlets.errors import NotRunning
    from bot.outlets.local_client import LocalClient

    try:
        client = await LocalClient.connect(loaded.settings.bot.data_dir)
    except NotRunning:
        async with alone(loaded) as ground:
            return await _by_ourselves(ground, name, args, report)
    async with client:
        return await _by_the_bot(client, name, args, report)


@asynccontextmanager
async def alone(loaded: Loaded) -> AsyncIterator[Ground]:
    """The ground of this process; its logs know the secrets."""
    from bot import logs
    from bot.secrets import Secrets
    from bot.services.ground import own_ground

    secrets = Secrets(loaded.settings.bot.data_dir)
    logs.configure(level="error", secrets=secrets.values())
    async with own_ground(loaded, secrets, lambda: time.time_ns() // 1_000_000) as ground:
        yield ground


async def _by_ourselves(ground: Ground, name: str, args: Mapping[str, object], report: Report) -> Answer:
    from bot.services.use_case import use_case

    case = use_case(name)
    return dict(await case.run(ground, case.read(args), report))


async def _by_the_bot(client: LocalClient, name: str, args: Mapping[str, object], report: Report) -> Answer:
    heard = _Heard()
    listening = asyncio.create_task(heard.listen(client), name="follow jobs")
    try:
        await asyncio.sleep(0)  # the feed is followed before anything is asked, so that nothing is missed
        asked = asyncio.create_task(_ask(client, "do", {"use_case": name, "args": dict(args)}), name="ask")
        try:
            answer = await asyncio.shield(asked)
            if "job" not in answer:
                return dict(answer["result"])
            return await _followed(client, heard, str(answer["job"]), report)
        except asyncio.CancelledError:
            await _cancel(client, asked)
            raise
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


class _Heard:
    """The newest that the feed said of each job."""

    def __init__(self) -> None:
        self.last: dict[str, Mapping[str, Any]] = {}
        self.gone = False
        self._news = asyncio.Event()

    async def listen(self, client: LocalClient) -> None:
        """Until the bot goes away."""
        from bot.outlets.envelope import Channel

        try:
            async for message in client.follow([Channel.JOBS]):
                if message.type == "jobs.changed":
                    self.last[message.data["id"]] = message.data
                    self._news.set()
        finally:
            self.gone = True
            self._news.set()

    async def of(self, job: str) -> Mapping[str, Any] | None:
        """The next that is said of a job; None where nothing is for a while. `StopError` when the bot has gone."""
        try:
            async with asyncio.timeout(LOOK_S):
                while job not in self.last:
                    if self.gone:
                        break
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        if job not in self.last:
            raise StopError(ExitCode.NOT_RUNNING, f"the bot has gone away, and {job} with it")
        return self.last.pop(job)


async def _followed(client: LocalClient, heard: _Heard, job: str, report: Report) -> Answer:
    """A job's result; `StopError` where it failed or somebody cancelled it."""
    from bot.outlets.envelope import JobState
    from bot.runtime.jobs import Progress

    told: Mapping[str, Any] = await _ask(client, "job", {"id": job})
    while told["state"] == JobState.RUNNING.value:
        report(Progress(told["stage"], told["done"], told["total"], told["note"]))
        told = await heard.of(job) or await _ask(client, "job", {"id": job})
    if told["state"] == JobState.DONE.value:
        return dict((await _ask(client, "job", {"id": job}))["result"] or {})
    raise StopError(ExitCode.FAILURE, told["error"] or f"{job} was cancelled")


async def _cancel(client: LocalClient, asked: asyncio.Task[Answer]) -> None:
    """End the job that was asked for, if one was, and wait for its end."""
    from bot.outlets.errors import Disconnected

    try:
        async with asyncio.timeout(CANCEL_S):
            job = (await asked).get("job")
            if job is not None:
                await client.command("cancel-job", {"id": job}, timeout=CANCEL_S)
    except (StopError, Disconnected, TimeoutError) as error:
        sys.stderr.write(f"it may not have been cancelled ({error or 'no answer in time'}): see the bot's log\n")


async def _ask(client: LocalClient, name: str, args: Mapping[str, object]) -> Answer:
    from bot.outlets.errors import Disconnected

    try:
        answer: CommandResult = await client.command(name, args)
    except (TimeoutError, Disconnected) as error:
        if not timed_out(error):
            raise StopError(ExitCode.NOT_RUNNING, f"{error}; `{name}` may have been carried out") from None
        line = f"the bot did not answer `{name}` in time; it may have been carried out: see `python -m bot status`"
        raise StopError(ExitCode.TIMEOUT, line) from None
    if not answer.ok:
        raise StopError(ExitCode.FAILURE, answer.error or "the bot did not say why")
    return answer.result or {}


@contextmanager
def telling(what: str, *, as_json: bool = False) -> Iterator[Report]:
    """Something to report progress to, as the terminal allows."""
    if as_json:
        yield lambda progress: None
    elif not sys.stderr.isatty():
        yield _lines()
    else:
        with _bar(what) as report:
            yield report


def _lines() -> Report:
    """A line for every stage, and one now and then while it lasts."""
    from bot.cli.screen import clean
    from bot.runtime.jobs import Progress

    stage, said = "", 0.0

    def report(progress: Progress) -> None:
        nonlocal stage, said
        now = time.monotonic()
        if progress.stage == stage and now - said < LINE_EVERY_S:
            return
        stage, said = progress.stage, now
        part = f" {progress.done:g} of {progress.total:g}" if progress.total else ""
        note = f" ({progress.note})" if progress.note else ""
        sys.stderr.write(clean(f"{progress.stage}{part}{note}") + "\n")
        sys.stderr.flush()

    return report


@contextmanager
def _bar(what: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from bot.cli.screen import clean
    from bot.runtime.jobs import Progress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=None, note="")

        def report(progress: Progress) -> None:
            stage, note = escape(clean(progress.stage)), escape(clean(progress.note))
            bar.update(task, description=stage, completed=progress.done, note=note)
            bar.tasks[0].total = progress.total  # `update` would take None for what it was

        yield report
