"""`config` and `secrets`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bot.web.security.store import AccessStore

Shell = Callable[..., "subprocess.CompletedProcess[str]"]
Cli = Callable[..., tuple[int, str, str]]
CANARY = "CANARY-0123456789-abcd"


def test_init_writes_what_check_accepts_and_overwrites_nothing(cli: Cli, home: Path) -> None:
    code, out, _ = cli("config", "init")
    assert code == 0
    assert "wrote config/bot.yaml" in out
    assert cli("config", "check")[0] == 0
    (home / "config" / "bot.yaml").write_text("bot: {name: mine}\n")
    code, out, _ = cli("config", "init")
    assert code == 0
    assert "kept  config/bot.yaml" in out
    assert (home / "config" / "bot.yaml").read_text() == "bot: {name: mine}\n"


def test_check_tells_every_problem(cli: Cli, home: Path) -> None:
    cli("config", "init")
    (home / "config" / "risk.yaml").write_text("max_drawdown: -1\nmax_exposur: 1\n")
    code, out, err = cli("config", "check")
    assert (code, out) == (4, "")
    assert "max_drawdown = -1: must be above 0" in err
    assert "did you mean 'max_exposure'?" in err
    assert err.count("error: ") == 2


def test_check_reads_the_sources_too(cli: Cli, home: Path) -> None:
    cli("config", "init")
    (home / "config" / "sources" / "broken.yaml").write_text("kind: no-such-rule\nsource: rules:x\n")
    code, _, err = cli("config", "check")
    assert code == 4
    assert "broken.yaml" in err


def test_show_origin_names_file_and_line_and_stars_passwords(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("config", "init")
    monkeypatch.setenv("ARBITER_REDIS__URL", f"redis://u:{CANARY}@127.0.0.1/0")
    code, out, err = cli("config", "show", "--origin")
    assert code == 0
    assert CANARY not in out + err
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "ARBITER_REDIS__URL" in lines["redis.url"]
    assert "config/risk.yaml:" in lines["risk.max_drawdown"]
    assert " 15m " in lines["risk.loss_streak.cool_down"]
    shown = json.loads(cli("config", "show", "--json")[1])
    assert shown["risk"]["loss_streak"]["cool_down"] == 900_000
    assert json.loads(cli("config", "show", "--origin", "--json")[1])["redis.url"]["kind"] == "environment"


def test_schema_is_a_json_schema(cli: Cli) -> None:
    code, out, _ = cli("config", "schema")
    assert code == 0
    assert json.loads(out)["properties"]["risk"]


async def test_another_password_ends_the_sessions_of_the_control_room(shell: Shell, home: Path) -> None:
    early = shell("secrets", "set", "WEB_PASSWORD", stdin="correct horse")
    assert (early.returncode, "sessions" in early.stdout) == (0, False)  # there was no control room yet
    access = await AccessStore.open(home / "data", lambda: time.time_ns() // 1_000_000)
    try:
        for words, stdin in (
            (("set", "ANOTHER_KEY"), "x y z"),
            (("set", "WEB_PASSWORD"), "battery staple"),
            (("rm", "WEB_PASSWORD"), ""),
        ):
            session = await access.new_session()
            done = await asyncio.to_thread(partial(shell, "secrets", *words, stdin=stdin))
            assert done.returncode == 0, done.stderr
            ended = "sessions of the control room that ended: " in done.stdout
            assert ended is ("WEB_PASSWORD" in words)
            assert (await access.session(session.key) is None) is ended
    finally:
        await access.close()


def test_a_secret_goes_in_by_stdin_and_never_comes_out(shell: Shell, home: Path) -> None:
    done = shell("secrets", "set", "binance_api_key", stdin=f"{CANARY}\n")
    assert done.returncode == 0, done.stderr
    listed = shell("secrets", "list")
    as_json = shell("secrets", "list", "--json")
    doctor = shell("doctor", "--offline")
    gone = shell("secrets", "rm", "BINANCE_API_KEY")
    again = shell("secrets", "rm", "BINANCE_API_KEY")
    assert "BINANCE_API_KEY" in listed.stdout
    assert json.loads(as_json.stdout)[0]["masked"] == "••••abcd"
    assert "set: BINANCE_API_KEY" in doctor.stdout
    assert (gone.returncode, again.returncode) == (0, 1)
    for step in (done, listed, as_json, doctor, gone, again):
        assert CANARY not in step.stdout + step.stderr
    assert CANARY not in (home / "data" / "secrets.json").read_text()


@pytest.mark.parametrize("value", ["", "  \n", "two\nlines\n"])
def test_an_unusable_value_is_refused(shell: Shell, value: str) -> None:
    done = shell("secrets", "set", "A_KEY", stdin=value)
    assert done.returncode == 4
    assert "no usable value for A_KEY" in done.stderr


def test_a_value_cannot_be_an_argument(shell: Shell) -> None:
    assert shell("secrets", "set", "A_KEY", CANARY).returncode == 2


def test_a_wrong_master_key_is_one_line_and_code_4(shell: Shell) -> None:
    assert shell("secrets", "set", "A_KEY", stdin=CANARY, ARBITER_MASTER_KEY="one passphrase").returncode == 0
    done = shell("secrets", "list", ARBITER_MASTER_KEY="another passphrase")
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "sealed with another key" in done.stderr
    assert "passphrase" not in done.stderr.replace("sealed with a passphrase", "")
