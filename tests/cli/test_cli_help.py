"""`--help` loads nothing heavy and writes no colour."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

Shell = Callable[..., "subprocess.CompletedProcess[str]"]
HEAVY = {
    "pydantic", "yaml", "ccxt", "polars", "numpy", "sqlalchemy", "redis", "aiohttp", "cryptography", "structlog", "orjson",
    "plotly",
}  # fmt: skip
COMMANDS = (
    "run", "backtest", "replay", "status", "kill", "reduce", "resume", "pause", "unpause", "decisions", "orders", "doctor",
)  # fmt: skip
GROUPS = {"config": ("init", "check", "show", "schema"), "secrets": ("set", "list", "rm"), "db": ("upgrade", "backup", "check")}


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, json\n"
        "from bot.cli import main\n"
        "import io; real = sys.stdout; sys.stdout = io.StringIO()\n"
        "code = main(['--help'])\n"
        "sys.stdout = real\n"
        "print(json.dumps([code, sorted(sys.modules)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    code, modules = json.loads(done.stdout)
    assert code == 0
    loaded = set(modules)
    assert not loaded & HEAVY
    ours = {name for name in loaded if name.split(".")[0] in {"sources", "execution", "simulators"} or name.startswith("bot.")}
    assert all(name == "bot.cli" or name.startswith("bot.cli.") for name in ours), ours
    assert "bot.cli.screen" not in ours


def test_help_names_every_command_and_the_worlds(cli: Callable[..., tuple[int, str, str]]) -> None:
    _, out, _ = cli("--help")
    assert all(f"  {name} " in out for name in (*COMMANDS, *GROUPS))
    assert all(world in out for world in ("--paper", "--demo", "--live"))
    for group, names in GROUPS.items():
        _, out, _ = cli(group, "--help")
        assert all(f"  {name} " in out for name in names)


def test_help_of_run_names_every_option_of_the_issue(cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli("run", "--help")
    assert code == 0
    for option in ("paper", "demo", "live", "config", "exchange", "symbols", "duration", "seed", "json", "data-dir", "no-redis",
                   "no-web", "web-port", "database"):  # fmt: skip
        assert f"--{option}" in out, option


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("nonsense",), ("status",), ("config", "show")])
def test_off_a_terminal_nothing_is_coloured(shell: Shell, arguments: tuple[str, ...]) -> None:
    done = shell(*arguments, TERM="xterm-256color", FORCE_COLOR="")
    assert "\x1b" not in done.stdout + done.stderr


def test_no_secret_is_in_any_help(shell: Shell) -> None:
    done = shell("run", "--help", BINANCE_API_KEY="CANARY-0123456789", ARBITER_MASTER_KEY="CANARY-0123456789")
    assert "CANARY" not in done.stdout + done.stderr
