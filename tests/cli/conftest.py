"""The command line as a shell sees it, in a directory of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from bot.cli import main

Result = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands configure the logs of their process; here that is the tests'."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, no variables of ours, and no key file of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith("ARBITER_") or name.endswith(("_API_KEY", "_API_SECRET", "_API_TOKEN")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ARBITER_KEY_FILE", str(tmp_path / "keys" / "master.key"))
    monkeypatch.setenv("COLUMNS", "100")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def shell(home: Path) -> Callable[..., Result]:
    """Run `python -m bot ...` as a process."""

    def run(*arguments: str, stdin: str = "", **env: str) -> Result:
        return subprocess.run(
            [sys.executable, "-m", "bot", *arguments],
            cwd=home,
            env={**os.environ, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run
