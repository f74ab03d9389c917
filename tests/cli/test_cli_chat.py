"""`chat` as a person and a program use it: streamed, plain, and nothing done that was not confirmed."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.cli.chat_views import Streamed
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Encoder, Identity
from bot.outlets.local_feed import LocalFeed
from bot.runtime.jobs import Jobs, Progress
from bot.services.use_case import Ground, explained, use_case
from simulators.llm.faults import Fault, Mode
from tests.cli.llm_world import Shell, a_shell
from tests.services.asking_ground import asking
from tests.services.chat_world import recorded

Cli = Callable[..., tuple[int, str, str]]
WHO = Identity(bot="main", run="run-1", mode="paper", simulated=True)


@pytest.fixture
async def shell(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    await recorded(home)
    async with a_shell(cli, monkeypatch) as standing:
        yield standing


async def test_one_question_is_answered_on_stdout_and_its_cost_told_beside(shell: Shell) -> None:
    code, out, err = await shell("chat", "What are my positions?")
    assert code == 0, err
    assert out.startswith("I looked it up.")
    assert out.endswith("\n")
    assert "[looking at positions]" in err
    assert "USD, session " in err


async def test_a_program_gets_one_json_object(shell: Shell) -> None:
    code, out, err = await shell("chat", "What are my positions?", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["message"]["role"] == "assistant"
    code, out, _ = await shell("chat", "And what do they cost?", "--session", found["session"]["id"], "--json")
    assert json.loads(out)["session"]["id"] == found["session"]["id"]
    assert (await shell("chat", "--json"))[0] == 2


async def test_the_loop_goes_on_until_quit_and_knows_its_commands(shell: Shell) -> None:
    lines = [
        "What are my positions?",
        "/history",
        "/search POSITIONS",
        "/thread",
        "/sessions",
        "/new",
        "/history",
        "/what",
        "/quit",
        "never",
    ]
    code, out, err = await shell("chat", stdin="\n".join(lines) + "\n")
    assert code == 0, err
    assert out.count("I looked it up.") == 2  # the answer, and it again in the history; the search finds the question
    assert "you  [" in out
    assert "nothing was said yet; ask something" in err
    assert "/confirm ID [TOKEN]" in err
    assert "never" not in out + err


async def test_what_goes_wrong_with_one_line_does_not_end_the_loop(shell: Shell) -> None:
    shell.simulator.inject(Fault(Mode.BAD_REQUEST, count=20))
    code, out, err = await shell("chat", stdin="Hello?\n/confirm nothing\n/confirm\n/history none\nStill there?\n")
    assert (code, out) == (0, "")
    assert err.count("error: ") == 5
    assert "there is no proposal" in err
    shell.simulator.clear()
    assert (await shell("chat", "/history nothing"))[0] == 1


def test_without_a_key_one_line_says_what_to_do(cli: Cli, home: Path) -> None:
    code, out, err = cli("chat", "Hello?")
    assert (code, out) == (1, "")
    assert "_API_KEY" in err
    assert err.count("\n") == 1


class Bot:
    """A bot that performs use cases as its jobs, and notes what else it is told."""

    def __init__(self, home: Path, ground: Ground) -> None:
        self.feed = LocalFeed(home / "data", WHO, self)
        self.heard: list[tuple[str, Mapping[str, object]]] = []
        encoder = Encoder(WHO)
        self.jobs = Jobs(ground.now, lambda changed: self.feed.publish(encoder.encode(changed)), explained)
        self._ground = ground

    async def __call__(self, command: Command) -> CommandResult:
        match command.name:
            case "do":
                return await self._do(str(command.args["use_case"]), dict(command.args["args"]))  # type: ignore[call-overload]
            case "job":
                return CommandResult(True, None, self.jobs.get(str(command.args["id"])).as_json())
            case "status":
                return CommandResult(True, None, {"sources": {"rules:sma-cross": "on"}, "state": "active", "positions": {}})
        self.heard.append((command.name, command.args))
        return CommandResult(True, None, {"source": "rules:sma-cross", "paused": True})

    async def _do(self, name: str, given: Mapping[str, object]) -> CommandResult:
        case = use_case(name)
        args = case.read(given)
        if case.quick:
            return CommandResult(True, None, {"result": dict(await case.run(self._ground, args, lambda _: None))})
        return CommandResult(
            True, None, {"job": self.jobs.start(name, given, lambda report: case.run(self._ground, args, report), "t").id}
        )


@asynccontextmanager
async def a_bot(shell: Shell, home: Path) -> AsyncIterator[Bot]:
    async with asking(shell.simulator.root, shell.simulator.key, home) as ground:
        bot = Bot(home, ground)
        await bot.feed.start()
        try:
            yield bot
        finally:
            await bot.jobs.close(5.0)
            await bot.feed.close()


async def test_a_proposal_of_the_running_bot_is_done_when_it_is_confirmed_and_not_before(shell: Shell, home: Path) -> None:
    async with a_bot(shell, home) as bot:
        code, out, err = await shell("chat", "Propose to pause rules:sma-cross, please", "--json")
        assert code == 0, err
        (offered,) = json.loads(out)["proposals"]
        assert bot.heard == []
        code, out, err = await shell("chat", f"/confirm {offered['id']} {'0' * 12}")
        assert (code, bot.heard) == (1, [])
        code, out, err = await shell("chat", f"/confirm {offered['id']} {offered['token']}")
        assert code == 0, err
        assert "done: PAUSE the source rules:sma-cross" in out
        assert bot.heard == [("pause", {"source": "rules:sma-cross"})]
        assert (await shell("chat", f"/confirm {offered['id']} {offered['token']}"))[0] == 1
        assert len(bot.heard) == 1


async def test_an_answer_of_the_running_bot_is_streamed_over_its_feed(shell: Shell, home: Path) -> None:
    async with a_bot(shell, home) as bot:
        code, out, err = await shell("chat", "Propose to pause rules:sma-cross, please")
        assert code == 0, err
        text, _, offered = out.partition("PROPOSED  ")
        assert "I looked it up" in text
        assert offered.startswith("PAUSE the source rules:sma-cross")
        assert 'python -m bot chat "/confirm ' in offered
        assert bot.heard == []


def test_pieces_are_written_once_whatever_was_missed_and_commands_no_terminal() -> None:
    out, notes = io.StringIO(), io.StringIO()
    streamed = Streamed(out, notes)
    streamed(Progress("looking at \x1b[2Jmarket", 0))
    streamed(Progress("answering", 3, None, "one"))
    streamed(Progress("answering", 3, None, "one"))
    streamed(Progress("answering", 7, None, "one two"))
    streamed(Progress("answering", 5_000, None, "tail\x1b[31m"))
    streamed.rest("one two and another ending")
    shown = out.getvalue()
    assert shown.startswith("one two … tail")
    assert shown.endswith("one two and another ending\n")
    assert "\x1b" not in shown + notes.getvalue()
