"""A run out of the journal becomes a page: the right figures, nothing fetched, no text from outside that does anything."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bot.core import facts as f
from bot.core.desk import DeskConfig, TradingDesk
from bot.journal.reading import segment_paths
from bot.services.reporting import ReportError, report, write_page
from bot.services.tearsheet.page import page
from bot.services.tearsheet.sheet import TearSheet
from bot.settings import Settings, load
from tests.services.tear_sheets import AT, BTC, EVIL, MINUTE, Page, a_run, an_empty_run, start_of


def settings_of(tmp_path: Path) -> Settings:
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "bot.yaml").write_text("paper: {currency: USDT}\n")
    (tmp_path / "config" / "risk.yaml").write_text("max_drawdown: 0.2\n")
    return load(tmp_path / "config", overrides={"bot.data_dir": tmp_path / "data"}).settings


def reported(tmp_path: Path, run: str = "latest") -> TearSheet:
    return report(settings_of(tmp_path), run, lambda done, total: None)


async def test_a_run_is_told_in_its_own_figures(tmp_path: Path) -> None:
    await a_run(tmp_path / "data", start_of())
    sheet = reported(tmp_path)
    figures = sheet.statistics
    assert (sheet.world.word, sheet.run, sheet.currency) == ("PAPER", "run-1", "USDT")
    assert (figures.trades, figures.win_rate, figures.profit_factor) == (1, 1.0, None)
    assert figures.fees == pytest.approx(0.2)
    assert figures.total_return == pytest.approx(0.00088)
    assert figures.max_drawdown == pytest.approx(0.01)
    assert sheet.drawdown.tolist() == pytest.approx([0.0, 0.01, 0.0])
    (source,) = sheet.sources
    assert (source.name, source.tier, source.decisions, source.executed, source.trades, source.won) == (EVIL, "llm", 1, 1, 1, 1)
    assert [source.pnl, source.shadow] == pytest.approx([8.8, 12.0])
    (override,) = sheet.overrides
    assert (override.loser, override.cost, override.reason) == ("rules:loser", 3.0, "<b>outranks</b>")
    assert [(mark.leg, mark.side, mark.price) for mark in sheet.marks] == [("entry", "buy", 101.0), ("stop-loss", "sell", 110.0)]
    assert [stop.level for stop in sheet.stops] == [97.0, None]
    assert len(sheet.candles[BTC]) == 1


async def test_a_deposit_is_no_gain(tmp_path: Path) -> None:
    deposit = f.CommandDone(AT + 30 * MINUTE, "venue", "cash-moved", "-100.5 USDT: transfer 7")
    await a_run(tmp_path / "data", start_of("live"), more=[deposit])
    sheet = reported(tmp_path)
    assert sheet.equity.tolist() == pytest.approx([10_000.0, 10_000.5, 10_109.3])
    assert sheet.statistics.total_return == pytest.approx(0.01093)
    assert any("(-100.50 together) are left out" in notice for notice in sheet.notices)


async def test_a_live_bots_shadows_begin_where_its_books_did(tmp_path: Path) -> None:
    """Its books began with its share of the account, whatever paper would begin with."""
    config = DeskConfig("USDT", Decimal(1_000))
    start = replace(start_of("live"), initial={"config": config, "desk": TradingDesk(config).state})
    await a_run(tmp_path / "data", start)
    sheet = reported(tmp_path)
    assert sheet.statistics.equity_start == 1_000.0
    assert [source.shadow for source in sheet.sources] == [pytest.approx(9_012.0)]


async def test_fills_are_held_against_what_the_paper_model_would_have_made_of_them(tmp_path: Path) -> None:
    await a_run(tmp_path / "data", start_of("live"))
    sheet = reported(tmp_path)
    assert sheet.world.word == "LIVE"
    entry, stop = sheet.slippage
    assert (entry.leg, entry.fills, entry.compared) == ("entry", 1, 1)
    assert entry.actual == pytest.approx(0.01)
    # 50 ms after the order the ask of 100.5 still stood; the run's slippage setting makes it 0.1 % worse.
    assert entry.paper == pytest.approx(100.5 * 1.001 / 100 - 1)
    assert entry.beyond == pytest.approx(101 / (100.5 * 1.001) - 1)
    assert entry.cost == pytest.approx(1.01)
    assert stop.leg == "stop-loss"
    assert stop.paper == pytest.approx(-(110 * 0.999 / 100 - 1))
    assert "live against paper" in Page(page(sheet)).text


async def test_a_run_whose_inputs_are_gone_is_reported_without_candles_and_says_so(tmp_path: Path) -> None:
    await a_run(tmp_path / "data", start_of())
    for path in segment_paths(tmp_path / "data", "run-1"):
        path.unlink()
    sheet = reported(tmp_path)
    assert sheet.candles == {}
    assert [row.compared for row in sheet.slippage] == [0, 0]
    assert any("recorded inputs are gone" in notice for notice in sheet.notices)
    shown = Page(page(sheet))
    assert "its candles are not recorded" in shown.text
    assert "trades-0" in shown.figures


async def test_damaged_inputs_are_named_and_do_not_hide_the_rest(tmp_path: Path) -> None:
    await a_run(tmp_path / "data", start_of())
    (path,) = segment_paths(tmp_path / "data", "run-1")
    path.unlink()
    path.with_name(path.name.removesuffix(".gz")).write_bytes(b'{"n":1,"in":"nonsense"}\n')
    sheet = reported(tmp_path)
    assert any("only in part" in notice for notice in sheet.notices)
    assert sheet.statistics.trades == 1


@pytest.mark.parametrize(
    ("mode", "world", "word"),
    [
        ("paper", "real", "PAPER"),
        ("live", "real", "LIVE"),
        ("demo", "simulated", "SIMULATED"),
        ("paper", "simulated", "SIMULATED"),
    ],
)
async def test_an_empty_run_gives_an_honest_page(tmp_path: Path, mode: str, world: str, word: str) -> None:
    await an_empty_run(tmp_path / "data", start_of(mode, world))
    shown = Page(page(reported(tmp_path)))
    assert shown.figures == {}
    assert f"{word}: arbiter on binance, {mode}" in shown.text
    for said in ("No equity was sampled", "Nothing was bought or sold", "No source proposed anything", "No override"):
        assert said in shown.text
    assert "+0.00%" in shown.text
    assert "nan" not in shown.text.lower().split()


async def test_the_page_needs_nothing_else_and_runs_no_script_but_its_own(tmp_path: Path) -> None:
    await a_run(tmp_path / "data", start_of())
    html = page(reported(tmp_path))
    shown = Page(html)
    assert len(shown.scripts) == 3, "the figures, plotly, and the page's own"
    fetched = [attrs for _, attrs in shown.elements if {"src", "href", "srcset", "data", "action"} & attrs.keys()]
    assert fetched == []
    (policy,) = [str(attrs["content"]) for tag, attrs in shown.elements if tag == "meta" and attrs.get("http-equiv")]
    assert policy.startswith("default-src 'none'")
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in shown.scripts[1:]]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert html.count("plotly.js v") <= 1, "the library is there once"


async def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    await a_run(tmp_path / "data", start_of())
    shown = Page(page(reported(tmp_path)))
    assert EVIL in shown.text
    assert "</script><script>alert(2)</script> & more" in shown.text
    assert "<b>outranks</b>" in shown.text
    tags = {tag for tag, _ in shown.elements}
    assert "b" not in tags
    assert "<" not in shown.scripts[0], "nothing in the figures can end their element"
    assert not any("alert" in script for script in shown.scripts[1:])
    names = [str(trace.get("name")) for trace in shown.figures["trades-0"]["data"]]
    assert "rules:&lt;script&gt;alert(1)&lt;/script&gt;" in names, "plotly reads a little HTML: it must be given none"


async def test_an_unknown_run_names_those_that_are_there(tmp_path: Path) -> None:
    await an_empty_run(tmp_path / "data", start_of(run="run-7"))
    with pytest.raises(ReportError, match=r"no run 'nine'.*run-7"):
        reported(tmp_path, "nine")


async def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    await an_empty_run(tmp_path / "data", start_of())
    sheet = reported(tmp_path)
    written = write_page(sheet, tmp_path / "page.html")
    assert written.read_text("utf-8") == page(sheet)
    with pytest.raises(ReportError, match="cannot be written"):
        write_page(sheet, tmp_path / "nowhere" / "page.html")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".partial"] == []


async def test_what_sources_earned_adds_up_to_what_the_book_did(tmp_path: Path) -> None:
    await a_run(tmp_path / "data", start_of())
    sheet = reported(tmp_path)
    assert (sheet.start, sheet.end) == (AT, AT + 90 * MINUTE)
    assert sum(source.pnl for source in sheet.sources) == pytest.approx(sheet.statistics.equity_end - 10_000)
