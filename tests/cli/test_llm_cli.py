"""`llm` and `analyse` as a person and a program see them, over the real SDKs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from sources.llm.prompts.files import shipped
from tests.cli.llm_world import a_shell
from tests.sources.llm.llm_source_world import NOW, candles

Cli = Callable[..., tuple[int, str, str]]


async def test_the_keys_are_tried_and_the_cost_of_calls_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_shell(cli, monkeypatch) as shell:
        code, out, err = await shell("llm", "test")
        assert code == 0, err
        assert out.count("good") == 4
        code, out, _ = await shell("llm", "test", "openai", "--call", "--json")
        assert code == 0
        (one,) = json.loads(out)["providers"]
        assert one["calls"][0]["good"]
        code, out, _ = await shell("llm", "cost", "--by", "model")
        assert code == 0
        assert "openai/gpt-6-luna" in out
        assert "total" in out
        code, out, _ = await shell("llm", "cost", "--json")
        assert json.loads(out)["total"]["calls"] == 1
        monkeypatch.setenv("XAI_API_KEY", "wrong-key-0123456789abcdef")
        code, out, err = await shell("llm", "test")
        assert code == 1
        assert "BROKEN" in out
        assert "wrong-key" not in out + err


async def test_models_prices_and_status_show_text_and_json(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_shell(cli, monkeypatch) as shell:
        for words, text, key in (
            (("models",), "available", "roles"),
            (("prices", "claude"), "claude-haiku-5-5", "prices"),
            (("status",), "asks as configured", "limits"),
            (("decisions",), "nobody was asked", "questions"),
            (("cost",), "nobody was asked", "lines"),
        ):
            code, out, err = await shell("llm", *words)
            assert (code, err) == (0, ""), words
            assert text in out
            code, out, _ = await shell("llm", *words, "--json")
            assert (code, key in json.loads(out)) == (0, True)


async def test_a_prompt_is_set_shown_compared_activated_and_judged(cli: Cli, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    body = shipped().body.replace("You trade one", "You trade a single")
    (home / "mine.md").write_text(body)
    async with a_shell(cli, monkeypatch) as shell:
        code, out, _ = await shell("llm", "prompt", "set", "decide", "mine.md", "--note", "try")
        assert code == 0
        assert "saved decide version 1" in out
        assert "USD AT MOST" in out
        code, out, _ = await shell("llm", "prompt", "diff", "decide", "0", "1")
        assert (code, "+You trade a single" in out) == (0, True)
        assert (await shell("llm", "prompt", "activate", "decide", "1"))[0] == 0
        code, out, _ = await shell("llm", "prompt", "list")
        assert "version 1" in out
        code, out, _ = await shell("llm", "prompt", "show", "decide")
        assert "You trade a single" in out
        code, out, _ = await shell("llm", "prompt", "preview", "decide", "--json")
        assert (code, json.loads(out)["version"]) == (0, 1)
        code, out, _ = await shell("llm", "prompt", "results", "decide")
        assert "nothing was asked" in out


async def test_a_prompt_that_cannot_be_used_fails_with_its_faults(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_shell(cli, monkeypatch) as shell:
        code, out, _ = await shell("llm", "prompt", "set", "decide", "-", stdin="nothing of use")
        assert code == 1
        assert "not saved" in out
        code, _, err = await shell("llm", "prompt", "set", "decide", "never.md")
        assert code == 1
        assert len(err.splitlines()) == 1


async def test_nothing_is_sent_without_a_yes_or_without_a_bot(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_shell(cli, monkeypatch) as shell:
        code, _, err = await shell("llm", "decide", "BTC/USDT", "--send")
        assert code == 1
        assert "not confirmed" in err
        code, _, err = await shell("llm", "decide", "BTC/USDT", "--send", "--yes")
        assert code == 1
        assert "no bot is running" in err
        assert shell.simulator.requests() == []


def test_calibration_is_that_of_learning(cli: Cli) -> None:
    code, out, _ = cli("llm", "calibration", "--help")
    assert code == 0
    assert out.replace("llm calibration", "calibration") == cli("calibration", "--help")[1]


def test_recorded_candles_are_analysed_without_network_or_model(cli: Cli, home: Path) -> None:
    names = ("symbol", "ts", "open", "high", "low", "close", "volume")
    rows = [{name: getattr(row, name) for name in names} for row in candles("BTC/USDT", "5m", NOW, 0.001, 400)]
    pl.DataFrame(rows).write_parquet(home / "btc.parquet")
    code, out, err = cli("analyse", "BTC/USDT", "--data", "btc.parquet", "-t", "5m", "-t", "1h")
    assert code == 0, err
    assert "bullish" in out
    assert "missing news" in out
    code, out, _ = cli("analyse", "--data", "btc.parquet", "-t", "5m", "--json")
    assert list(json.loads(out)["analyses"]) == ["BTC/USDT"]
    code, _, err = cli("analyse")
    assert code == 2
    assert "name a symbol" in err
