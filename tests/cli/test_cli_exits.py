"""Exit codes are stable, and what goes wrong is one line on stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.cli.exits import EXIT_CODES, ExitCode, StopError, code_of, guarded, one_line
from bot.outlets.errors import NotRunning
from bot.outlets.rendezvous import Rendezvous

Result = subprocess.CompletedProcess[str]
Shell = Callable[..., Result]
Cli = Callable[..., tuple[int, str, str]]


def test_the_codes_are_those_of_the_reference() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILURE": 1,
        "USAGE": 2,
        "NOT_RUNNING": 3,
        "CONFIG": 4,
        "TIMEOUT": 5,
        "HALTED": 6,
        "INTERRUPTED": 130,
    }


def test_the_help_documents_every_code(cli: Cli) -> None:
    _, out, _ = cli("--help")
    told = " ".join(out.split())
    assert " ".join(EXIT_CODES.split()) in told
    assert all(f"{code.value} {code.meaning}" in told for code in ExitCode)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--version",), 0, ""),
        (("nonsense",), 2, "No such command"),
        (("--paper", "--demo"), 2, "exclude each other"),
        (("--duration", "nan"), 2, "not a time that can pass"),
        (("--duration", "-1"), 2, "not a time that can pass"),
        (("--symbols", " , "), 2, "write symbols with commas"),
        (("--seed", "-1"), 2, "--seed"),
        (("backtest",), 2, "--data"),
        (("backtest", "--data", "x", "--from", "soon"), 2, "is not a date"),
        (("backtest", "--data", "x", "--from", "2023-02-01", "--to", "2023-01-01"), 2, "is not before"),
        (("decisions", "--fate", "odd"), 2, "is not a fate"),
        (("status",), 3, "no bot is running in data"),
        (("kill", "--flatten"), 3, "no bot is running"),
        (("resume",), 3, "no bot is running"),
        (("pause", "rules:x"), 3, "no bot is running"),
        (("decisions", "-f"), 3, "no bot is running"),
        (("config", "check", "--config", "nowhere"), 4, "is not a directory"),
        (("run", "--config", "nowhere"), 4, "is not a directory"),
        (("--exchange", "No Such"), 4, "command line: exchange.id = No Such"),
        (("--symbols", "BTCUSDT"), 4, "write BASE/QUOTE"),
        (("--live",), 4, "--live sends real orders and is not confirmed"),
        (("decisions",), 1, "does not exist: no run was journaled there yet"),
        (("db", "check"), 1, "arbiter.db"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_and_its_code(cli: Cli, arguments: tuple[str, ...], code: int, said: str) -> None:
    found, out, err = cli(*arguments)
    assert (found, said in err) == (code, True), err
    if code not in {0, 2}:
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_the_codes_reach_the_shell(shell: Shell) -> None:
    assert shell("status").returncode == 3
    assert shell("--live").returncode == 4
    assert shell("nonsense").returncode == 2
    assert shell("--help").returncode == 0


def test_live_without_its_confirmation_touches_nothing(cli: Cli, home: Path) -> None:
    code, out, err = cli("--live", "--json")
    assert (code, out) == (4, "")
    assert "go-live-safely" in err
    assert list(home.iterdir()) == []


def test_ctrl_c_is_130(home: Path) -> None:
    """A watcher that waits for a bot is interrupted as a terminal would do it."""
    script = (
        "import sys, time\n"
        "from bot.cli import main\n"
        "import bot.cli.control as control\n"
        "async def wait(*_):\n"
        "    print('waiting', flush=True)\n"
        "    import asyncio\n"
        "    await asyncio.sleep(60)\n"
        "control._once = wait\n"
        "sys.exit(main(['status']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_stale_rendezvous_is_not_a_running_bot(cli: Cli, home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    Rendezvous("127.0.0.1", 9, "t", gone.pid, "r").write(home / "data")
    code, _, err = cli("status")
    assert code == 3
    assert "which is gone" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StopError(ExitCode.HALTED, "x"), ExitCode.HALTED),
        (NotRunning("x"), ExitCode.NOT_RUNNING),
        (TimeoutError(), ExitCode.TIMEOUT),
        (FileNotFoundError("x"), ExitCode.FAILURE),
        (RuntimeError("x"), None),
    ],
)
def test_errors_have_codes_and_defects_have_none(error: Exception, code: ExitCode | None) -> None:
    assert code_of(error) is code
    assert one_line(error)


def test_a_defect_shows_its_traceback_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BINANCE_API_SECRET", "CANARY-0123456789")
    with pytest.raises(SystemExit) as caught, guarded():
        raise RuntimeError(f"signed with {os.environ['BINANCE_API_SECRET']}")
    err = capsys.readouterr().err
    assert caught.value.code == 1
    assert "Traceback" in err
    assert "signed with ***" in err
    assert "CANARY" not in err


def test_of_a_group_of_errors_the_first_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, guarded():
        raise ExceptionGroup("tasks", [ExceptionGroup("inner", [NotRunning("no bot")])])
    assert caught.value.code == 3
    assert capsys.readouterr().err == "error: no bot\n"


def test_stdout_of_json_is_one_object(cli: Cli) -> None:
    code, out, err = cli("doctor", "--offline", "--json")
    assert code == 0, err
    assert json.loads(out)["ok"] is True
    assert out.count("\n") == 1
