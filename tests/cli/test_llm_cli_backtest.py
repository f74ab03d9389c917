"""`backtest` with language models, as a person sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backtest.candle_data import BTC, walk, write_csv
from tests.cli.llm_world import a_shell
from tests.services.llm_run import YAML
from tests.services.memory_life import configured

Cli = Callable[..., tuple[int, str, str]]


async def test_a_leak_says_so_and_its_answers_serve_again(cli: Cli, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    sources = configured(home) / "sources"
    sources.mkdir()
    (sources / "llm.yaml").write_text(YAML.replace("expiry: 4h", "expiry: 4h\nenabled: true") + "  cool_down: 1h\n")
    write_csv(home / "made.csv", walk(BTC, 400))
    async with a_shell(cli, monkeypatch) as shell:
        words = ("backtest", "--data", "made.csv")
        code, _, err = await shell(*words)
        assert code == 4
        assert "--llm-replies any" in err
        code, out, err = await shell(*words, "--allow-leak", "--from", "2023-01-01")
        assert code == 0, err
        assert "LEAK RISK" in out
        asked = len(shell.simulator.requests())
        assert asked > 10
        code, out, err = await shell(*words, "--llm-replies", "any", "--json")
        assert code == 0, err
        assert json.loads(out)["leak_risk"]
        code, out, err = await shell(*words, "--llm-replies", "any", "--llm-cutoff", "2022-12-31", "--json")
        assert not json.loads(out)["leak_risk"]
        assert len(shell.simulator.requests()) == asked


@pytest.mark.parametrize("other", ["--analyse", "--lookahead-check"])
def test_a_leak_teaches_nothing_and_is_not_paid_for_again_and_again(cli: Cli, home: Path, other: str) -> None:
    write_csv(home / "made.csv", walk(BTC, 50))
    code, _, err = cli("backtest", "--data", "made.csv", "--allow-leak", other)
    assert code == 2
    assert "leave one of them out" in err
