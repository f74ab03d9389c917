"""`config set|unset|source|history`, `errors` and `components`, where no bot runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., tuple[int, str, str]]


def test_a_setting_is_said_shown_told_and_left_again(cli: Cli, home: Path) -> None:
    cli("config", "init")
    before = (home / "config" / "risk.yaml").read_bytes()
    code, out, err = cli("config", "set", "risk.max_position=0.2", "--note", "calmer", "--author", "ann")
    assert (code, err) == (0, "")
    assert "risk.max_position: 0.25 -> 0.2" in out
    assert "start it again" in out
    shown = json.loads(cli("config", "show", "--origin", "--json")[1])["risk.max_position"]
    assert (shown["value"], shown["kind"]) == (0.2, "overlay")
    assert [part in cli("config", "history")[1] for part in ("ann", "calmer", "0.25")] == [True] * 3
    assert cli("config", "unset", "risk.max_position")[0] == 0
    assert json.loads(cli("config", "show", "--origin", "--json")[1])["risk.max_position"]["kind"] == "file"
    assert (home / "config" / "risk.yaml").read_bytes() == before


def test_values_are_read_as_yaml(cli: Cli) -> None:
    cli("config", "init")
    code, out, _ = cli("config", "set", "risk.max_order_notional=null", "exchange.symbols=[BTC/USDT]", "--json")
    assert code == 0
    told = json.loads(out)
    after = {row["key"]: row["after"] for row in told["changes"]}
    assert (after["risk.max_order_notional"], after["exchange.symbols"]) == (None, ["BTC/USDT"])


def test_what_is_refused_is_one_line_and_leaves_nothing(cli: Cli, home: Path) -> None:
    cli("config", "init")
    for given, fault in (
        ("live.confirm=I-understand", "real orders are decided upon in the YAML files"),
        ("risk.max_position=7", "must be 1 or less"),
        ("risk.max_positon=0.1", "did you mean 'max_position'?"),
    ):
        code, out, err = cli("config", "set", given)
        assert (code, out) == (1, "")
        assert fault in err
        assert err.count("\n") == 1
    assert cli("config", "set", "no-equals-sign")[0] == 2
    assert not (home / "data" / "overlay.yaml").exists()


def test_an_overlay_that_stops_the_start_is_mended_by_unset(cli: Cli, home: Path) -> None:
    cli("config", "init")
    cli("config", "set", "risk.max_position=0.2")
    path = home / "data" / "overlay.yaml"
    path.write_text(path.read_text().replace("0.2", "7"))
    code, _, err = cli("config", "check")
    assert code == 4
    assert "overlay data/overlay.yaml" in err
    assert cli("config", "unset", "risk.max_position")[0] == 0
    assert cli("config", "check")[0] == 0


def test_a_source_is_switched_off_for_the_next_start(cli: Cli) -> None:
    cli("config", "init")
    code, out, _ = cli("config", "source", "rules:sma-cross", "off")
    assert code == 0
    assert "rules:sma-cross is off from the next start" in out
    assert cli("config", "source", "rules:sma-cross", "maybe")[0] == 2
    assert cli("config", "source", "rules:none", "off")[0] == 1


def test_without_a_bot_errors_are_those_that_are_kept_and_parts_are_none(cli: Cli) -> None:
    code, out, _ = cli("errors")
    assert (code, out) == (0, "0 open, 0 resolved\n")
    assert json.loads(cli("errors", "--json", "--state", "all")[1])["errors"] == []
    code, _, err = cli("errors", "--resolve", "0" * 16)
    assert code == 1
    assert "no error has the fingerprint" in err
    code, _, err = cli("components")
    assert code == 1
    assert "none runs here" in err
