"""`chat`: talk with the assistant, in a loop or with one question.

What the assistant says is shown as plain text and does nothing. What it proposes is shown as the bot wrote it down, and is done
only by `/confirm`, typed by the person.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

if TYPE_CHECKING:
    from bot.settings import Loaded

_MOST_TOKENS = 100


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("chat")(chat)


def chat(
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="One question, or a command such as /sessions; without it, a loop.")
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Go on in this session [a new one].")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Ask the assistant about positions, decisions, the market, analysis, risk and costs.

    In the loop: /new, /thread, /history, /sessions, /search WORDS, /confirm ID, /quit. It changes nothing by itself: what it
    proposes is done only where you confirm it.
    """
    talk = Talk(settings_for(config, data_dir), session, as_json)
    if question is not None:
        talk.take(question)
        return
    if as_json:
        message = "--json answers one question: write it behind the command"
        raise typer.BadParameter(message, param_hint="QUESTION")
    talk.loop()


@dataclass(slots=True)
class Talk:
    """One conversation at a terminal. `tokens` are of the proposals that were shown here."""

    loaded: Loaded
    session: str | None
    as_json: bool = False
    tokens: dict[str, str] = field(default_factory=dict)

    def loop(self) -> None:
        """Until /quit, the end of the input or Ctrl-C at the prompt. What goes wrong with one line ends none but that."""
        if sys.stdin.isatty():
            _note("Ask, or /help. Ctrl-C stops an answer, Ctrl-D ends.")
        while (line := _prompted()) is not None:
            if line in {"/quit", "/exit"}:
                return
            if line:
                self._safely(line)

    def _safely(self, line: str) -> None:
        from bot.cli.exits import code_of, one_line

        try:
            self.take(line)
        except KeyboardInterrupt:
            _note("stopped")
        except Exception as error:
            if code_of(error) is None and not isinstance(error, typer.BadParameter):
                raise
            _note(f"error: {one_line(error)}")

    def take(self, line: str) -> None:
        """A question, or a command that begins with a slash."""
        if not line.startswith("/"):
            self._ask(line)
            return
        name, *words = line.split()
        match name:
            case "/new":
                self.session = None
                _note("a new session begins with the next question")
            case "/thread":
                self._thread()
            case "/history":
                self._shown("chat.history", {"session": words[0] if words else self._here(), "limit": 40})
            case "/sessions":
                self._shown("chat.sessions", {})
            case "/search":
                self._shown("chat.search", {"words": " ".join(words) or " "})
            case "/confirm":
                self._confirm(words)
            case _:
                _note("/new /thread /history [ID] /sessions /search WORDS /confirm ID [TOKEN] /quit")

    def _ask(self, question: str) -> None:
        from bot.cli.chat_views import Streamed, footer, proposal_lines
        from bot.cli.errand import performed
        from bot.cli.output import say, say_json

        args = {"question": question} | ({} if self.session is None else {"session": self.session})
        streamed = Streamed(None if self.as_json else sys.stdout, None if self.as_json else sys.stderr)
        try:
            found = asyncio.run(performed(self.loaded, "chat.ask", args, streamed))
        finally:
            streamed.end()
        self.session = str(found["session"]["id"])
        if self.as_json:
            say_json(found)
            return
        streamed.rest(str(found["message"]["text"]))
        self._remember(found["proposals"])
        if found["proposals"]:
            say(*proposal_lines(found["proposals"]))
        _note(footer(found))

    def _remember(self, proposals: Sequence[Mapping[str, Any]]) -> None:
        for each in proposals:
            self.tokens[str(each["id"])] = str(each["token"])
        while len(self.tokens) > _MOST_TOKENS:
            del self.tokens[next(iter(self.tokens))]

    def _confirm(self, words: Sequence[str]) -> None:
        from bot.cli.chat_views import confirmed_lines
        from bot.cli.exits import ExitCode, StopError

        if not words or len(words) > 2:
            message = "write /confirm ID, or /confirm ID TOKEN for a proposal that was not made here"
            raise typer.BadParameter(message, param_hint="/confirm")
        token = words[1] if len(words) == 2 else self.tokens.get(words[0], "")
        found = self._perform("chat.confirm", {"proposal": words[0], "token": token})
        self._say(found, confirmed_lines(found))
        if not found["ok"]:
            raise StopError(ExitCode.FAILURE, f"it was not done: {found['outcome']}")

    def _thread(self) -> None:
        self._perform("chat.new", {"session": self._here()})
        _note("a new thread: what was said before is kept, and no longer told to the model")

    def _shown(self, name: str, args: Mapping[str, object]) -> None:
        from bot.cli.chat_views import lines_of

        found = self._perform(name, args)
        self._say(found, lines_of(found))

    def _perform(self, name: str, args: Mapping[str, object]) -> Mapping[str, Any]:
        from bot.cli.errand import perform

        return perform(self.loaded, name, args, as_json=True)

    def _say(self, found: Mapping[str, Any], lines: Sequence[str]) -> None:
        from bot.cli.output import say, say_json

        if self.as_json:
            say_json(found)
        else:
            say(*lines)

    def _here(self) -> str:
        if self.session is None:
            message = "nothing was said yet; ask something, name a session, or look at /sessions"
            raise typer.BadParameter(message)
        return self.session


def _prompted() -> str | None:
    """The next line; None at the end, or where Ctrl-C is pressed at the prompt."""
    try:
        if sys.stdin.isatty():
            return input("> ").strip()
        line = sys.stdin.readline()
    except (EOFError, KeyboardInterrupt):
        sys.stderr.write("\n")
        return None
    return line.strip() if line else None


def _note(text: str) -> None:
    from bot.cli.screen import clean

    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()
