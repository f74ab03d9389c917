"""The program that `docs/how-to/control-room.md` shows follows a real control room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from bot.web.security.principal import Scope
from tests.app.bot_process import eventually
from tests.docs.markdown_files import ROOT
from tests.web.house import House, house

PAGE = ROOT / "docs" / "how-to" / "control-room.md"
MARK = "<!-- example: stream -->\n```python\n"
_SECONDS = 60.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("shown")) as running:
        running.decided(1)
        eventually(lambda: bool(running.ask("/orders", limit=1)["items"]), "an order", 60.0)
        yield running


def shown() -> str:
    """The program, as the page has it."""
    return PAGE.read_text(encoding="utf-8").split(MARK, 1)[1].split("```", 1)[0]


def test_the_program_that_is_shown_reads_afresh_and_then_hears_every_order(demo: House, tmp_path: Path) -> None:
    program = tmp_path / "follow.py"
    program.write_text(shown(), encoding="utf-8")
    environ = {**os.environ, "ARBITER_URL": demo.url, "ARBITER_TOKEN": demo.token(Scope.READ)}
    with subprocess.Popen([sys.executable, str(program)], env=environ, stdout=subprocess.PIPE, text=True) as running:
        too_long = Timer(_SECONDS, running.kill)
        too_long.start()
        try:
            assert running.stdout is not None
            lines = iter(running.stdout.readline, "")
            first = next(lines)
            heard = next(line for line in lines if line.startswith(("orders.", "fills.")))
        finally:
            too_long.cancel()
            running.kill()
    assert first.startswith("orders: [(")
    assert "'symbol'" in heard


def test_the_program_that_is_shown_goes_on_where_it_was_and_is_told_what_it_missed(
    demo: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBITER_URL", demo.url)
    monkeypatch.setenv("ARBITER_TOKEN", demo.token(Scope.READ))
    room: dict[str, Any] = {"__name__": "shown"}
    exec(compile(shown(), str(PAGE), "exec", dont_inherit=True), room)

    place, _ = next(room["listen"]())
    told = {}
    for after in (place, "a-run-that-never-was:1"):
        messages = room["listen"](after)
        told[after] = [message["type"] for _, message in islice(messages, 2) if message is not None]
        messages.close()

    assert told["a-run-that-never-was:1"][0] in room["MISSED"]
    assert not room["MISSED"] & set(told[place])
