"""One run at the terminal: what goes to which stream, and the code it ends with."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
from decimal import Decimal

import pytest

from bot.cli.exits import ExitCode
from bot.cli.session import trade, unheard
from bot.secrets import Secrets
from bot.settings import Loaded, RunMode, RunOptions, RunSummary, RunWatcher

AT = 1_700_000_000_000


def _stand_in(monkeypatch: pytest.MonkeyPatch, halted: bool) -> list[Loaded]:
    """A run that ends at once: only its ending matters here."""
    seen: list[Loaded] = []

    async def run(options: RunOptions, loaded: Loaded, secrets: Secrets, watcher: RunWatcher) -> RunSummary:
        seen.append(loaded)
        watcher.noticed("Redis is off")
        return RunSummary(
            "r1", RunMode.PAPER, True, ("BTC/USDT",), "USDT", AT, AT, 0, {}, {}, 0, 0, Decimal("0E-8"), Decimal(1), Decimal(1),
            {}, {}, halted=halted, reason="drawdown" if halted else "",
        )  # fmt: skip

    monkeypatch.setattr("bot.app.run", run)
    return seen


def test_with_json_stdout_gets_one_object_and_stderr_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _stand_in(monkeypatch, halted=False)
    out, err = io.StringIO(), io.StringIO()
    assert trade(RunOptions(json=True, redis=False), out, err) is ExitCode.OK
    assert json.loads(out.getvalue())["fees"] == "0.00000000"
    assert out.getvalue().count("\n") == 1
    assert "Redis is off" in err.getvalue()
    assert "ended after" in err.getvalue()
    assert seen[0].settings.redis.url == "off"


def test_without_json_a_person_reads_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(monkeypatch, halted=False)
    out, err = io.StringIO(), io.StringIO()
    assert trade(RunOptions(), out, err) is ExitCode.OK
    assert "Redis is off" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert err.getvalue() == ""


def test_a_run_halted_by_risk_ends_with_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(monkeypatch, halted=True)
    out = io.StringIO()
    assert trade(RunOptions(), out, io.StringIO()) is ExitCode.HALTED
    assert "halted by risk: drawdown" in out.getvalue()


@pytest.mark.parametrize(("error", "defect"), [(errno.EBADF, False), (errno.ENOTCONN, False), (errno.ENOSPC, True), (None, True)])
def test_a_connection_that_was_gone_before_it_was_made_is_no_defect_and_all_else_is(
    error: int | None, defect: bool, caplog: pytest.LogCaptureFixture
) -> None:
    raised = ValueError("a defect") if error is None else OSError(error, os.strerror(error))
    loop = asyncio.new_event_loop()
    try:
        unheard(loop, {"message": "Exception in callback", "exception": raised})
    finally:
        loop.close()
    assert ("Exception in callback" in caplog.text) is defect
    assert any(record.exc_info for record in caplog.records) is defect
