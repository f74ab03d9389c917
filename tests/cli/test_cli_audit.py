from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from bot.cli.app import app
from bot.journal.upgrade import upgrade
from bot.services.audit.entry import Entry, Outcome
from bot.services.audit.store import AuditStore, Scene

RED = "\x1b[31m"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    url = f"sqlite:///{tmp_path / 'arbiter.db'}"
    upgrade(url)
    lines = [
        Entry(1_000, "cli", "kill", "", {}, {"state": "active"}, {"state": "halted"}, Outcome.OK, "", "nonce-1"),
        Entry(2_000, f"web:{RED}", "pause", "rules:x", {}, None, None, Outcome.REFUSED, f"no {RED}", "nonce-2"),
    ]

    async def keep() -> None:
        store = await AuditStore.open(url)
        await store.keep(Scene("main", "run-1", "demo", simulated=True), lines)
        await store.close()

    asyncio.run(keep())
    return tmp_path


def audit(home: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["audit", "--data-dir", str(home), *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_audit_lists_who_changed_what_the_newest_first(home: Path) -> None:
    told = audit(home)
    head, pause, kill = told.splitlines()
    assert head.split()[:5] == ["NUMBER", "AT", "WHO", "WHAT", "TO"]
    assert "refused" in pause
    assert "kill SIMULATED" in kill
    assert "state active" in kill
    assert "state halted" in kill
    assert RED not in told


def test_the_audit_is_narrowed_and_paged(home: Path) -> None:
    found = orjson.loads(audit(home, "--json", "--command", "kill"))
    assert [line["nonce"] for line in found["lines"]] == ["nonce-1"]
    assert audit(home, "--limit", "1").splitlines()[-1] == "older ones: --before 2"
    assert "kill" in audit(home, "--before", "2")
    assert audit(home, "--actor", "nobody") == "nothing was changed yet\n"
