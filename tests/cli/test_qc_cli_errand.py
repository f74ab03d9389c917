"""An errand: done by the running bot as its job, followed over its real feed, and cancelled by Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.cli import errand
from bot.core.decision import Action, Decision, Tier
from bot.core.facts import DecisionSeen
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Channel, Encoder, Identity, JobChanged, Publishable
from bot.outlets.local_feed import LocalFeed
from bot.runtime.jobs import JobRefused, Jobs, Progress, Report, Result
from tests.cli.qc_world import PATIENCE_S, started

WHO = Identity(bot="main", run="run-1", mode="paper", simulated=True)
PROJECTS = {"at": 1_700_000_000_000, "age_ms": 5_000, "projects": []}
TESTED = {"ok": True, "base_url": "http://there", "simulated": False, "checks": []}


class Bot:
    """Runs jobs as a bot does; `work` is what every use case comes to."""

    def __init__(self, home: Path, quiet: bool = False) -> None:
        self.feed = LocalFeed(home / "data", WHO, self)
        self.heard: list[Command] = []
        self.begun = asyncio.Event()
        self.looked = asyncio.Event()
        self.cleaned = asyncio.Event()
        self.go_on = asyncio.Event()
        self.quick: Mapping[str, object] | None = None
        self.work: Callable[[Report], Awaitable[Result]] = self._nothing
        self._quiet = quiet
        self._encoder = Encoder(WHO)
        self.jobs = Jobs(lambda: time.time_ns() // 1_000_000, self._tell, lambda error: str(error) or None)

    def _tell(self, changed: JobChanged) -> None:
        if not self._quiet:
            self.publish(changed)

    def publish(self, event: Publishable) -> None:
        self.feed.publish(self._encoder.encode(event))

    async def _nothing(self, report: Report) -> Result:
        del report
        return {}

    async def __call__(self, command: Command) -> CommandResult:
        self.heard.append(command)
        try:
            match command.name:
                case "do" if self.quick is not None:
                    return CommandResult(True, None, {"result": self.quick})
                case "do":
                    job = self.jobs.start(str(command.args["use_case"]), {}, self.work, command.actor)
                    return CommandResult(True, None, {"job": job.id})
                case "job":
                    self.looked.set()
                    return CommandResult(True, None, self.jobs.get(str(command.args["id"])).as_json())
                case "cancel-job":
                    return CommandResult(True, None, (await self.jobs.cancel(str(command.args["id"]))).as_json())
        except JobRefused as error:
            return CommandResult(False, str(error))
        return CommandResult(False, "no such command")

    async def lasting(self, report: Report) -> Result:
        """Work that goes on until it is told to, or cancelled."""
        report(Progress("first", 1, 4, "a note"))
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cleaned.set()
            raise
        report(Progress("second", 4, 4))
        return TESTED


@asynccontextmanager
async def running(home: Path, *, quiet: bool = False) -> AsyncIterator[Bot]:
    bot = Bot(home, quiet)
    await bot.feed.start()
    try:
        yield bot
    finally:
        await bot.jobs.close(5.0)
        await bot.feed.close()


Cli = Callable[..., tuple[int, str, str]]


async def shell(cli: Cli, *words: str) -> tuple[int, str, str]:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.to_thread(cli, "qc", *words)


async def test_a_running_bot_does_it_and_what_it_answers_at_once_is_shown(home: Path, cli: Cli) -> None:
    async with running(home) as bot:
        bot.quick = PROJECTS
        code, out, err = await shell(cli, "projects", "--fresh")
    assert (code, err) == (0, "")
    assert "read 5 s ago" in out
    (command,) = bot.heard
    assert (command.name, command.actor) == ("do", "cli")
    assert dict(command.args) == {"use_case": "qc.projects", "args": {"fresh": True}}


async def test_a_job_is_followed_to_its_end_and_its_result_shown(home: Path, cli: Cli) -> None:
    async with running(home) as bot:
        bot.work = bot.lasting
        asked = asyncio.create_task(shell(cli, "test"))
        async with asyncio.timeout(PATIENCE_S):
            await bot.looked.wait()
            bot.go_on.set()
        code, out, err = await asked
    assert code == 0
    assert out.startswith("QuantConnect at http://there")
    assert err.splitlines()[0] == "first 1 of 4 (a note)"


async def test_json_leaves_stderr_empty_and_stdout_to_the_answer(home: Path, cli: Cli) -> None:
    async with running(home) as bot:
        bot.work = bot.lasting
        bot.go_on.set()
        code, out, err = await shell(cli, "test", "--json")
    assert (code, err, json.loads(out)) == (0, "", TESTED)


async def test_large_results_are_compared_without_the_running_bot(home: Path, cli: Cli) -> None:
    days = [[1_700_000_000_000 + day * 86_400_000, 10_000.0 + day / 7] for day in range(4_000)]
    for name in ("a.json", "b.json"):
        (home / name).write_text(json.dumps({"total_return": 0.1, "equity_start": 10_000.0, "daily_equity": days}), "utf-8")
    async with running(home) as bot:
        code, out, err = await shell(cli, "compare", "a.json", "b.json")
    assert (code, bot.heard) == (0, []), err
    assert "correlation of daily returns" in out


async def test_a_backtest_of_the_cloud_is_read_by_the_running_bot_and_compared_here(home: Path, cli: Cli) -> None:
    days = [[1_700_000_000_000 + day * 86_400_000, 10_000.0 + day] for day in range(9)]
    body = {"total_return": 0.1, "equity_start": 10_000.0, "daily_equity": days}
    (home / "a.json").write_text(json.dumps(body), "utf-8")
    async with running(home) as bot:
        bot.quick = {"name": "in the cloud", **body}
        code, out, err = await shell(cli, "compare", "a.json", "7/abcd", "--json")
    assert (code, err, json.loads(out)["names"]) == (0, "", ["a.json", "in the cloud (7/abcd)"])
    (command,) = bot.heard
    assert dict(command.args) == {"use_case": "qc.backtest-result", "args": {"project": 7, "backtest": "abcd"}}


async def test_a_job_that_fails_is_a_failure_with_its_reason(home: Path, cli: Cli) -> None:
    async def failing(report: Report) -> Result:
        del report
        message = "project 5 cannot be built: line 3; mend it"
        raise ValueError(message)

    async with running(home) as bot:
        bot.work = failing
        code, out, err = await shell(cli, "test")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "error: project 5 cannot be built: line 3; mend it"


async def test_a_job_that_somebody_else_cancels_is_a_failure(home: Path, cli: Cli) -> None:
    async with running(home) as bot:
        bot.work = bot.lasting
        asked = asyncio.create_task(shell(cli, "test"))
        async with asyncio.timeout(PATIENCE_S):
            await bot.begun.wait()
        await bot.jobs.cancel(bot.jobs.all()[0].id)
        code, _, err = await asked
    assert code == 1
    assert "was cancelled" in err


async def test_a_refusal_is_a_failure_with_its_reason(home: Path, cli: Cli) -> None:
    async with running(home) as bot:
        await bot.jobs.close(1.0)
        code, _, err = await shell(cli, "test")
    assert (code, err) == (1, "error: the bot is stopping\n")


async def test_a_feed_that_says_nothing_keeps_no_result_back(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errand, "LOOK_S", 0.1)
    async with running(home, quiet=True) as bot:
        bot.work = bot.lasting
        asked = asyncio.create_task(shell(cli, "test", "--json"))
        async with asyncio.timeout(PATIENCE_S):
            await bot.begun.wait()
            bot.go_on.set()
        code, out, _ = await asked
    assert (code, json.loads(out)) == (0, TESTED)


async def test_a_bot_that_goes_away_takes_its_job_with_it(home: Path, cli: Cli) -> None:
    async with running(home) as bot:
        bot.work = bot.lasting
        asked = asyncio.create_task(shell(cli, "test"))
        async with asyncio.timeout(PATIENCE_S):
            await bot.begun.wait()
        await bot.feed.close()
        code, out, err = await asked
    assert (code, out) == (3, "")
    assert "away" in err.splitlines()[-1]


async def test_ctrl_c_cancels_the_job_and_waits_until_it_has_cleaned_up(home: Path) -> None:
    async with running(home) as bot:
        bot.work = bot.lasting
        process = await started(home, ["test"])
        async with asyncio.timeout(PATIENCE_S):
            await bot.begun.wait()
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert process.returncode == 130
        assert err.decode().splitlines()[-1] == "interrupted"
        assert bot.cleaned.is_set()
        assert [command.name for command in bot.heard][-1] == "cancel-job"


def _decision(name: str, source: str, tier: Tier, project: int) -> DecisionSeen:
    at = 1_700_000_000_000
    made = Decision(name, source, tier, "BTC/USDT", Action.BUY, 0.7, at, at + 60_000, 50_000.0)
    return DecisionSeen(at, replace(made, evidence={"project": project}))


async def test_signals_are_followed_on_the_feed_and_only_those_of_quantconnect(home: Path) -> None:
    async with running(home) as bot:
        process = await started(home, ["signals", "-f", "--project", "7"])
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while not bot.feed.wants(Channel.DECISIONS):
                await asyncio.sleep(0.01)
            bot.publish(_decision("d1", "rules:x", Tier.TRADITIONAL, 7))
            bot.publish(_decision("d2", "quantconnect:a", Tier.QUANTCONNECT, 8))
            bot.publish(_decision("d3", "quantconnect:a", Tier.QUANTCONNECT, 7))
            line = (await process.stdout.readline()).decode()
        assert "decisions.seen source=quantconnect:a symbol=BTC/USDT action=buy" in line
        await bot.feed.close()
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate()
        assert (process.returncode, out) == (3, b"")
        assert b"has gone away" in err
