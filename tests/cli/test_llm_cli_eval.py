"""`llm eval` as a person sees it: an estimate, a question, a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.settings import load
from tests.cli.llm_world import a_shell
from tests.services.llm_ground import MODELS, Clock
from tests.services.llm_run import RUN, YAML, record_run
from tests.services.memory_life import configured

Cli = Callable[..., tuple[int, str, str]]


async def test_models_are_asked_after_a_yes_and_compared(cli: Cli, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    sources = configured(home) / "sources"
    sources.mkdir()
    (sources / "llm.yaml").write_text(YAML)
    monkeypatch.setenv("ARBITER_LLM__BUDGET", orjson.dumps({"calls_per_minute": 10_000}).decode())
    async with a_shell(cli, monkeypatch) as shell:
        clock = Clock()
        secrets = Secrets(home / "data", {f"{name.upper()}_API_KEY": shell.simulator.key for name in MODELS})
        async with own_ground(load(home / "config"), secrets, clock) as ground:
            run = await record_run(ground, clock)
        words = ("llm", "eval", "--recorded", RUN, "--models", "gpt-6-luna, anthropic/claude-haiku-5-5", "--most", "6")
        asked = len(shell.simulator.requests())
        code, out, err = await shell(*words)
        assert (code, out) == (1, "")
        assert "6 calls may cost up to" in err
        assert "not confirmed" in err
        assert len(shell.simulator.requests()) == asked
        code, out, err = await shell(*words, "--yes")
        assert code == 0, err
        assert "6 snapshots" in out
        assert "buy and hold" in out
        assert "openai/gpt-6-luna" in out
        code, out, _ = await shell("llm", "eval", "--models", "gpt-6-luna", "--json")
        assert code == 0
        assert json.loads(out)["trials"][0]["pnl"] == pytest.approx(run.shadow_pnl), "recorded answers ask nobody a question"
