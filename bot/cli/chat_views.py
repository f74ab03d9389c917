"""What a person sees of the chat: an answer as it comes, proposals as they would be carried out, and what was said before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from bot.cli.screen import clean, cut
from bot.runtime.jobs import Progress
from bot.services.chat.plain_text import PlainText

_LOOKING = "looking at "
_WIDE = 110


class Streamed:
    """Writes an answer while it is told: `done` of the progress counts its characters, `note` holds the last of them.

    What was missed between two messages and is no longer in the note is marked by an ellipsis. With no streams it writes nothing.
    """

    def __init__(self, out: TextIO | None, notes: TextIO | None) -> None:
        self._out = out
        self._notes = notes
        self._words = PlainText()
        self._heard = 0
        self._stage = ""

    def __call__(self, progress: Progress) -> None:
        """More of it."""
        new = int(progress.done) - self._heard
        if new > 0:
            self._heard += new
            self._write(progress.note[-new:] if new <= len(progress.note) else f" … {progress.note}")
        if progress.stage != self._stage and progress.stage.startswith(_LOOKING) and self._notes is not None:
            self._notes.write(f"[{clean(progress.stage)}]\n")
            self._notes.flush()
        self._stage = progress.stage

    def rest(self, text: str) -> None:
        """The end of the answer that nobody told on the way, and its last line end."""
        shown = self._words.text.strip()
        if text.startswith(shown):
            self._write(text[len(shown) :])
        elif text != shown:
            self._write(f"\n{text}")
        self.end()

    def end(self) -> None:
        """End the line, if one was begun."""
        if self._words.length and not self._words.text.endswith("\n"):
            self._write("\n")

    def _write(self, text: str) -> None:
        shown = self._words.feed(text)
        if self._out is not None:
            self._out.write(shown)
            self._out.flush()


def proposal_lines(proposals: Sequence[Mapping[str, Any]]) -> list[str]:
    """What waits to be confirmed, in the words of the bot and not of a model."""
    lines = []
    for each in proposals:
        until = _clock(int(each["expires"]))
        lines += [
            "",
            f"PROPOSED  {clean(str(each['rendered']))}",
            f"          /confirm {each['id']} does it, until {until} UTC; elsewhere: "
            f'python -m bot chat "/confirm {each["id"]} {each["token"]}"',
        ]
    return lines


def confirmed_lines(found: Mapping[str, Any]) -> list[str]:
    """What was carried out, and what came of it."""
    state = "done" if found["ok"] else "NOT done"
    lines = [f"{state}: {clean(str(found['rendered']))}"]
    result = found.get("result") or {}
    return lines + [f"  {clean(str(name))}: {clean(str(value))}" for name, value in result.items()]


def footer(found: Mapping[str, Any]) -> str:
    """Who answered, and what it cost."""
    message, session = found["message"], found["session"]
    fault = f"; the answer is not whole: {message['fault']}" if message["fault"] else ""
    cost = (
        f"{float(message['cost']):.4f} USD, session {session['id']} {float(found['spent']):.4f} of {float(found['limit']):g} USD"
    )
    return f"[{message['model'] or 'nobody'}, {cost}{fault}]"


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """Sessions, or messages and what was proposed among them."""
    if "sessions" in found:
        rows = [f"{each['id']}  {_day(each['at'])}  {cut(clean(each['title']), 80)}" for each in found["sessions"]]
        return rows or ["nothing was said yet"]
    lines = [line for each in found["messages"] for line in _message(each)]
    lines += [f"proposal {each['id']} ({each['state']}): {clean(str(each['rendered']))}" for each in found.get("proposals", ())]
    return lines or ["nothing was said of that"]


def _message(each: Mapping[str, Any]) -> Iterator[str]:
    who = "you" if each["role"] == "person" else clean(str(each["model"])) or "assistant"
    yield f"{_day(each['ts'])}  {who}  [{each['session']}]"
    for line in str(each["text"]).splitlines():
        yield f"  {cut(clean(line), 40 * _WIDE)}"
    if each["fault"]:
        yield f"  ({clean(str(each['fault']))})"


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _clock(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%H:%M:%S")
