"""`report` and `backtest --report` as a shell sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backtest.candle_data import walk, write_csv
from tests.services.tear_sheets import a_run, an_empty_run, start_of

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
async def journal(home: Path) -> Path:
    await a_run(home / "data", start_of())
    return home


async def test_the_newest_run_is_reported_and_the_page_is_named(journal: Path, cli: Cli) -> None:
    code, out, err = cli("report")
    assert (code, err) == (0, "")
    page = journal / "report-run-1.html"
    assert "PAPER" in out
    assert out.splitlines()[-1] == f"tear sheet: {page}"
    assert page.read_text("utf-8").startswith("<!doctype html>")


async def test_figures_are_for_programs_and_the_page_only_where_it_is_asked_for(journal: Path, cli: Cli) -> None:
    code, out, _ = cli("report", "--run", "run-1", "--json")
    figures = json.loads(out)
    assert code == 0
    assert (figures["world"], figures["trades"], figures["page"]) == ("PAPER", 1, None)
    assert figures["overrides"]["cost"] == 3.0
    assert list(journal.glob("*.html")) == []
    code, out, _ = cli("report", "--json", "--out", "x.html")
    assert json.loads(out)["page"] == str(journal / "x.html")


async def test_an_empty_run_is_no_error(home: Path, cli: Cli) -> None:
    await an_empty_run(home / "data", start_of("demo", "simulated"))
    code, out, err = cli("report", "--out", "empty.html")
    assert (code, err) == (0, "")
    assert "SIMULATED" in out
    assert "No equity was sampled" in (home / "empty.html").read_text("utf-8")


async def test_what_cannot_be_reported_is_one_line_with_its_remedy(journal: Path, cli: Cli) -> None:
    code, out, err = cli("report", "--run", "nine")
    assert (code, out) == (1, "")
    assert err == f"error: --run: there is no run 'nine' in {journal / 'data' / 'arbiter.db'}; the newest are: run-1\n"
    code, _, err = cli("report", "--out", "nowhere/x.html")
    assert code == 1
    assert "cannot be written" in err
    assert len(err.splitlines()) == 1


def test_a_backtest_writes_its_tear_sheet_too(home: Path, cli: Cli) -> None:
    assert cli("config", "init", "config")[0] == 0
    data = write_csv(home / "made.csv", walk(bars=600, timeframe="1h"))
    code, out, _ = cli(
        "backtest",
        "--data",
        str(data),
        "--config",
        "config",
        "--timeframe",
        "1h",
        "--source",
        "rules:sma-cross",
        "--report",
        "b.html",
    )
    assert code == 0
    assert f"tear sheet: {home / 'b.html'}" in out
    assert "BACKTEST" in (home / "b.html").read_text("utf-8")
    for option in (("--report", "b.html"), ("--analyse",)):
        code, _, err = cli("backtest", "--data", str(data), *option, "--lookahead-check")
        assert code == 2
        assert "leave one of them out" in " ".join(err.split())


def test_a_backtest_is_learnt_from_where_that_is_wanted(home: Path, cli: Cli) -> None:
    assert cli("config", "init", "config")[0] == 0
    data = write_csv(home / "made.csv", walk(bars=600, timeframe="1h"))
    words = ("backtest", "--data", str(data), "--config", "config", "--timeframe", "1h", "--source", "rules:sma-cross")
    assert cli(*words)[0] == 0
    assert not (home / "data").exists()
    code, out, err = cli(*words, "--analyse")
    assert code == 0, err
    assert "BTC/USDT rules:sma-cross 1h (backtest, local backtest on " in out
    assert "  rating " in out
    code, out, _ = cli(*words, "--analyse", "--data-dir", "elsewhere", "--json")
    [lesson] = json.loads(out)["lessons"]
    assert (lesson["strategy"], lesson["timeframe"], json.loads(out)["kept"]) == ("rules:sma-cross", "1h", True)
    code, out, _ = cli("memory", "subjects", "--data-dir", "elsewhere", "--json")
    assert [row["strategy"] for row in json.loads(out)["subjects"]] == ["rules:sma-cross"]
