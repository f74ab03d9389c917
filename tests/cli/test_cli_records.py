"""`decisions`, `orders`, `db` and `doctor` over a real journal."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from bot.core.decision import Action, Decision, Denial, Fate, Tier
from bot.core.facts import DecisionFate, DecisionSeen, OrderChanged
from bot.core.market import Side
from bot.core.orders import Leg, OrderRequest, OrderState, OrderType
from bot.journal.journal import Journal
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch

Cli = Callable[..., tuple[int, str, str]]
AT = 1_700_000_000_000


def _decision(number: int, source: str, symbol: str) -> Decision:
    return Decision(
        f"d{number}", source, Tier.TRADITIONAL, symbol, Action.BUY, 0.7, AT, AT + 60_000, 50_000.0, reasoning="fast above slow"
    )


def _request() -> OrderRequest:
    return OrderRequest(
        "arb1", "BTC/USDT", Side.BUY, OrderType.MARKET, Decimal("0.01"), Leg.ENTRY, "d1", 1, "rules:sma", Tier.TRADITIONAL, 0.7,
        50_000.0, AT, decision_id="d1",
    )  # fmt: skip


@pytest.fixture
async def journal(home: Path) -> Path:
    data = home / "data"
    data.mkdir()
    path = data / "arbiter.db"
    book = Journal.open(f"sqlite:///{path}", data)
    run = RunStart("run-1", BookKey("arbiter", "paper", "binance", "real"), AT, simulated=False, config={}, code_version="1")
    book.begin(run, Watch(lambda _: None, lambda: None))
    book.append(DecisionSeen(AT, _decision(1, "rules:sma", "BTC/USDT")))
    book.append(DecisionFate(AT + 5, "d1", "rules:sma", Tier.TRADITIONAL, "BTC/USDT", Fate.EXECUTED))
    book.append(DecisionSeen(AT + 9, _decision(2, "rules:rsi", "ETH/USDT")))
    denied = DecisionFate(
        AT + 10, "d2", "rules:rsi", Tier.TRADITIONAL, "ETH/USDT", Fate.DENIED, Denial.MAX_EXPOSURE, reason="9 of 9 is used"
    )
    book.append(denied)
    book.append(OrderChanged(AT + 5, _request(), OrderState.FILLED, Decimal("0.01"), Decimal(50_000)))
    await book.flush()
    await book.close(AT + 20)
    return path


async def test_decisions_are_listed_with_their_fate_and_why(journal: Path, cli: Cli) -> None:
    code, out, err = cli("decisions")
    assert (code, err) == (0, "")
    _, first, second = out.splitlines()
    assert "rules:sma" in first
    assert "executed" in first
    assert "denied (max-exposure)" in second
    assert "9 of 9 is used" in second


async def test_decisions_can_be_narrowed_and_read_by_programs(journal: Path, cli: Cli) -> None:
    for options, ids in (
        (("--source", "rules:rsi"), ["d2"]),
        (("--symbol", "btc/usdt"), ["d1"]),
        (("--fate", "executed"), ["d1"]),
        (("--limit", "1"), ["d2"]),
        (("--run", "latest"), ["d2", "d1"]),
    ):
        code, out, _ = cli("decisions", "--json", *options)
        assert code == 0
        assert [row["id"] for row in json.loads(out)] == ids, options
    assert cli("decisions", "--source", "nobody")[1] == "no decision is journaled there\n"


async def test_an_unknown_run_is_named_with_those_there_are(journal: Path, cli: Cli) -> None:
    code, out, err = cli("decisions", "--run", "run-9")
    assert (code, out) == (1, "")
    assert "there is no run 'run-9'" in err
    assert "run-1" in err


async def test_orders_are_listed_as_they_stand(journal: Path, cli: Cli) -> None:
    code, out, _ = cli("orders")
    assert code == 0
    assert "arb1" in out
    assert "filled" in out
    assert json.loads(cli("orders", "--json")[1])[0]["average"] == "50000"


async def test_a_backup_is_a_sound_copy_and_never_overwrites(journal: Path, cli: Cli, home: Path) -> None:
    code, out, err = cli("db", "backup", "copy.db")
    assert (code, err) == (0, "")
    assert "checked" in out
    with sqlite3.connect(home / "copy.db") as copy:
        assert copy.execute("SELECT count(*) FROM decisions").fetchone() == (2,)
    copy.close()
    code, _, err = cli("db", "backup", "copy.db")
    assert code == 1
    assert "exists already" in err
    assert cli("db", "backup")[0] == 0
    assert len(list((home / "data" / "backups").glob("*.db"))) == 1


def test_upgrade_makes_the_journal_and_check_finds_it_sound(cli: Cli, home: Path) -> None:
    assert cli("db", "upgrade")[0] == 0
    assert cli("db", "upgrade")[0] == 0
    assert "is sound" in cli("db", "check")[1]


def test_a_corrupt_database_is_one_line(cli: Cli, home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "arbiter.db").write_bytes(b"not a database" * 1_000)
    for command in (("db", "upgrade"), ("db", "check"), ("decisions",)):
        code, out, err = cli(*command)
        assert (code, out) == (1, ""), command
        assert "arbiter.db" in err
        assert err.count("\n") == 1


def test_doctor_finds_what_is_broken_and_says_the_remedy(cli: Cli, home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "arbiter.db").write_bytes(b"not a database" * 1_000)
    code, out, _ = cli("doctor", "--offline", "--json")
    found = {row["check"]: row for row in json.loads(out)["checks"]}
    assert code == 1
    assert found["database"]["state"] == "broken"
    assert found["database"]["remedy"]
    assert found["python"]["state"] == "ok"


def test_doctor_with_a_broken_configuration_stops_there(cli: Cli, home: Path) -> None:
    (home / "config").mkdir()
    (home / "config" / "bot.yaml").write_text("bot: {nam: x}\n")
    (home / "config" / "risk.yaml").write_text("")
    code, out, _ = cli("doctor")
    assert code == 1
    assert "did you mean 'name'?" in out


def test_doctor_asks_redis_and_venue_within_the_time_given(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        dead = held.getsockname()[1]
        monkeypatch.setenv("ARBITER_REDIS__URL", f"redis://u:CANARY-12345@127.0.0.1:{dead}/0")
        address = f"http://127.0.0.1:{dead}/api/v3"
        monkeypatch.setenv("ARBITER_EXCHANGE__URLS", json.dumps({"public": address, "private": address, "sapi": address}))
        monkeypatch.setenv("ARBITER_EXCHANGE__EMBEDDED", "never")
        code, out, err = cli("doctor", "--json", "--timeout", "3")
    found = {row["check"]: row for row in json.loads(out)["checks"]}
    assert code == 1
    assert found["redis"]["state"] == "broken"
    assert found["venue"]["state"] == "broken"
    assert "CANARY" not in out + err


def test_doctor_knows_what_may_be_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITER_REDIS__URL", "off")
    monkeypatch.setenv("ARBITER_EXCHANGE__EMBEDDED", "always")
    code, out, _ = cli("doctor", "--json")
    found = {row["check"]: row for row in json.loads(out)["checks"]}
    assert code == 0
    assert found["redis"]["detail"] == "off by configuration"
    assert "simulated world" in found["venue"]["detail"]


def test_doctor_names_an_unknown_venue(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITER_REDIS__URL", "off")
    monkeypatch.setenv("ARBITER_EXCHANGE__ID", "binanse")
    code, out, _ = cli("doctor", "--json")
    found = {row["check"]: row for row in json.loads(out)["checks"]}
    assert code == 1
    assert "binanse" in found["venue"]["detail"]
