"""Promises of the stream that a slow reader cannot hold up."""

from __future__ import annotations

import io
import threading
from typing import TextIO, cast

from bot.cli.streams import PatientStream


class Paused(io.StringIO):
    """A terminal on which somebody pressed Ctrl-S."""

    def __init__(self) -> None:
        super().__init__()
        self.resumed = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.resumed.wait(10)
        return super().write(text)


def test_a_paused_terminal_holds_up_nobody_and_what_does_not_fit_is_counted() -> None:
    terminal = Paused()
    with PatientStream(cast("TextIO", terminal), bound=3) as stream:
        stream.write("first\n")
        assert terminal.reached.wait(5)
        for number in range(5):
            stream.write(f"{number}\n")
        assert stream.lost == 2
        terminal.resumed.set()
    assert terminal.getvalue() == "first\n0\n1\n2\n"


def test_everything_written_is_there_at_the_end_and_in_order() -> None:
    sink = io.StringIO()
    with PatientStream(sink) as stream:
        for number in range(1_000):
            stream.write(f"{number}\n")
    stream.write("after\n")
    assert sink.getvalue().splitlines() == [*map(str, range(1_000)), "after"]


def test_a_reader_that_has_gone_is_survived_and_counted() -> None:
    sink = io.StringIO()
    sink.close()
    with PatientStream(sink) as stream:
        stream.write("to nobody\n")
    assert stream.lost == 1
