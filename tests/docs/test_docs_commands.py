"""Commands that the documentation names are commands that exist, and blocks that promise to run do."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bot.docs.commands import root, walk
from tests.docs.markdown_files import ROOT, Block, blocks, markdown_files
from tests.servers import free_port

BLOCKS = [block for file in markdown_files() for block in blocks(file)]
RUNNABLE = sorted({block.file for block in BLOCKS if block.runs})
_HEREDOC = re.compile(r"^(?P<command>.*)<<'END'.*?^END$", re.DOTALL | re.MULTILINE)


def lines(block: Block) -> Iterator[list[str]]:
    """The commands of a shell block as words, here-documents left out."""
    text = _HEREDOC.sub(lambda found: found["command"], block.text)
    for line in text.splitlines():
        words = shlex.split(re.sub(r"[<>] *\S+", "", line), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words.pop(0)
        if words:
            yield words


def parses(words: list[str]) -> None:
    """Let the command line read its arguments without doing anything; raises what it would complain about."""
    group: Any = root()
    context = group.make_context("bot", list(words))
    rest = [*context._protected_args, *context.args]
    name, command, rest = group.resolve_command(context, rest)
    while getattr(command, "commands", None) is not None:
        context = command.make_context(name, list(rest), parent=context)
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, list(rest), parent=context)


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


SHELL = [block for block in BLOCKS if block.language in {"bash", "sh"}]
BOT = [words for block in SHELL for words in lines(block) if words[:3] == ["python", "-m", "bot"]]
MAKE = [words for block in SHELL for words in lines(block) if words[0] == "make"]


def test_there_are_commands_to_test() -> None:
    assert len(BOT) > 25
    assert len(MAKE) > 6


@pytest.mark.parametrize("words", BOT, ids=" ".join)
def test_every_bot_command_that_is_shown_parses(words: list[str], tmp_path: Path) -> None:
    named = [str(tmp_path / word) if word.endswith("slow-cross.yaml") else word for word in words[3:]]
    (tmp_path / "config" / "sources").mkdir(parents=True)
    (tmp_path / "config" / "sources" / "slow-cross.yaml").touch()
    parses(named)


def test_a_command_that_is_gone_would_be_noticed() -> None:
    with pytest.raises(Exception, match="flattten"):
        parses(["kill", "--flattten"])
    with pytest.raises(Exception, match="obey"):
        parses(["obey"])


@pytest.mark.parametrize("words", MAKE, ids=" ".join)
def test_every_make_target_that_is_shown_exists(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {word for word in words[1:] if "=" not in word} <= targets


def test_every_command_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for name, _ in walk(root()):
        assert f"\n## `{name}`\n" in text


@pytest.mark.parametrize("file", RUNNABLE, ids=lambda file: file.stem)
def test_blocks_that_promise_to_run_do(file: Path, tmp_path: Path) -> None:
    """In order, in one directory, as a reader of that page would."""
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("*.local.yaml"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    for block in blocks(file):
        if block.runs:
            done = subprocess.run(
                ["bash", "-eu", "-c", block.text],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_python_that_is_shown_compiles() -> None:
    shown = [block for block in BLOCKS if block.language == "python"]
    assert shown
    for block in shown:
        compile(block.text, str(block), "exec", dont_inherit=True)


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        del words


def _asks(port: int) -> int:
    """The container's own health check, at another port; its exit code."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"HEALTHCHECK .*?\n +CMD (\[.*\])$", dockerfile, re.MULTILINE)
    assert found is not None
    _, *arguments = json.loads(found[1])
    environ = {**os.environ, "ARBITER_METRICS__PORT": str(port)}
    return subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, timeout=20, check=False).returncode


def test_the_health_check_of_the_image_tells_a_living_bot_from_a_dead_one() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Healthy)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        assert _asks(server.server_port) == 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    assert _asks(free_port()) != 0
