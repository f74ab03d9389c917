"""What a backtest in the cloud is evidence of, and the files it becomes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bot.services.quantconnect.conversion import CloudResult, converted
from bot.services.quantconnect.evidence import evidence_of
from bot.services.quantconnect.exporting import sheet_of_cloud, trades_csv, write_files, write_result
from bot.services.tearsheet.page import page
from bot.services.use_case import UseCaseError
from research.memory.evidence import BacktestEvidence, Subject
from sources.quantconnect.models_backtest import Backtest
from sources.quantconnect.models_trade import Order
from tests.services.cloud_service import config
from tests.services.tear_sheets import Page
from tests.services.test_cloud_conversion import BEGAN_S, DAY_S, curve, trade
from tests.sources.quantconnect.qc_answers import FINISHED, ORDER, QUEUED

SUBJECT = Subject("BTC/USDT", "quantconnect:sma-rsi", "1h")
LATER = (BEGAN_S + 400 * DAY_S) * 1_000


@pytest.fixture
def result() -> CloudResult:
    found = converted(
        Backtest.model_validate(FINISHED),
        project=7,
        trades=[trade(), trade(profitLoss=-9.5)],
        charts={"Strategy Equity": curve(10_100.0, 9_900.0, 10_300.0)},
        orders=[Order.model_validate(ORDER)],
        config=config(),
    )
    return found.completed({"fast": "10", "note": "two\nlines"}, {"main.py": "pass\n"})


def test_evidence_says_what_the_figures_say(result: CloudResult) -> None:
    found = evidence_of(result, SUBJECT, LATER)
    figures = result.statistics
    assert figures is not None
    assert isinstance(found, BacktestEvidence)
    assert (found.subject, found.known_at, found.trades) == (SUBJECT, LATER, 2)
    assert (found.sharpe, found.max_drawdown, found.win_rate) == (figures.sharpe, figures.max_drawdown, 0.5)
    assert found.total_return == pytest.approx(0.03)
    assert found.returns == pytest.approx((19.5 / 200, -10.0 / 200))
    assert found.parameters == {"fast": 10, "note": "two lines"}
    assert result.reference in found.reference


def test_the_same_result_is_the_same_evidence(result: CloudResult) -> None:
    assert evidence_of(result, SUBJECT, LATER).id == evidence_of(result, SUBJECT, LATER).id


def test_nothing_is_known_before_its_data_end(result: CloudResult) -> None:
    early = (BEGAN_S + DAY_S) * 1_000
    found = evidence_of(result, SUBJECT, early)
    assert found.began <= found.until <= found.known_at == early


def test_a_result_without_figures_teaches_nothing() -> None:
    empty = converted(Backtest.model_validate(QUEUED), project=7, trades=[], charts={})
    with pytest.raises(UseCaseError, match=r"no figures.*again later"):
        evidence_of(empty, SUBJECT, LATER)


def test_a_result_becomes_files(result: CloudResult, tmp_path: Path) -> None:
    written = write_result(result, tmp_path / "new" / "run")
    names = [path.relative_to(tmp_path / "new" / "run").as_posix() for path in written]
    assert names == ["result.json", "trades.csv", "equity.csv", "algorithm/main.py", "tear-sheet.html"]
    assert not list(tmp_path.rglob("*.partial"))
    body = orjson.loads(written[0].read_bytes())
    assert (body["reference"], body["trades"], len(body["trade_list"])) == (result.reference, 2, 2)
    rows = list(csv.DictReader(written[2].read_text().splitlines()))
    assert [float(row["equity"]) for row in rows] == [10_100.0, 9_900.0, 10_300.0]
    assert rows[0]["time"] == "2024-01-02T00:00:00Z"


def test_the_tear_sheet_has_the_curve_and_the_trades(result: CloudResult) -> None:
    sheet = sheet_of_cloud(result)
    assert sheet is not None
    shown = Page(page(sheet))
    assert "BACKTEST" in shown.text
    assert "QuantConnect" in shown.text
    assert "equity" in shown.figures
    assert [(mark.side, mark.price) for mark in sheet.marks] == [("buy", 64_000.5)]


def test_no_cell_is_a_formula(result: CloudResult) -> None:
    bad = replace(result.trades[0], symbol='=HYPERLINK("x")')
    (row,) = csv.DictReader(io.StringIO(trades_csv([bad])))
    assert row["symbol"].startswith("'=")
    assert float(row["mae"]) == -3.0, "numbers stay numbers"


@pytest.mark.parametrize("name", ["../main.py", "/etc/main.py", "a/../../b.py", "a\\b.py", "", "a\0b"])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(UseCaseError, match="no name of a file below"):
        write_files(tmp_path / "out", {"main.py": "pass\n", name: "x"})
    assert not (tmp_path / "out").exists()


def test_a_directory_that_cannot_be_written_is_named(result: CloudResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UseCaseError, match=r"cannot be written .*: name a directory"):
        write_result(result, tmp_path / "file")
