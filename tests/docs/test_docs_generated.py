"""Pages that the code can write are the pages that are committed."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from bot.core.decision import Denial, Fate
from bot.core.inputs import TradingState
from bot.core.market import Health
from bot.core.orders import OrderState
from bot.docs import commands, vocabulary
from bot.docs.__main__ import ROOT, main
from bot.docs.markdown import shape, table
from bot.docs.pages import pages, stale
from bot.settings import RunMode, RunSummary, Settings


def test_generated_pages_are_fresh() -> None:
    assert stale(ROOT) == [], "say `make docs`"


def test_pages_do_not_depend_on_the_order_of_sets() -> None:
    program = "from bot.docs.pages import pages; print(list(pages().items()))"
    written = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(written) == 1


def test_a_stale_page_fails_the_check_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], root=tmp_path) == 0
    assert main(["--check"], root=tmp_path) == 0
    capsys.readouterr()
    page = tmp_path / "docs" / "reference" / "risk.md"
    page.write_text(page.read_text(encoding="utf-8") + "typed by hand\n", encoding="utf-8")
    (tmp_path / "docs" / "reference" / "cli.md").unlink()

    assert main(["--check"], root=tmp_path) == 1

    told = capsys.readouterr().err
    assert "docs/reference/risk.md" in told
    assert "docs/reference/cli.md" in told
    assert "exit-codes" not in told
    assert "typed by hand" in page.read_text(encoding="utf-8")


def test_a_schema_of_a_message_that_is_gone_is_removed(tmp_path: Path) -> None:
    main([], root=tmp_path)
    gone = tmp_path / "docs" / "reference" / "feed" / "orders.forgotten.schema.json"
    gone.write_text("{}", encoding="utf-8")

    assert main(["--check"], root=tmp_path) == 1
    assert main([], root=tmp_path) == 0

    assert not gone.exists()
    assert main(["--check"], root=tmp_path) == 0


def test_every_word_for_a_state_has_a_sentence() -> None:
    told: list[tuple[type, object]] = [
        (Fate, vocabulary.FATES),
        (Denial, vocabulary.DENIALS),
        (OrderState, vocabulary.ORDER_STATES),
        (TradingState, vocabulary.TRADING_STATES),
        (Health, vocabulary.HEALTHS),
    ]
    for kind, sentences in told:
        assert set(kind) == set(sentences), kind  # type: ignore[call-overload]


def test_every_setting_is_on_the_page_with_its_meaning() -> None:
    text = pages()[Path("docs/reference/configuration.md")]
    for name in Settings.model_fields:
        assert f"\n## {name}\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    assert "| `max_drawdown` | number, > 0, ≤ 1 or `null` | `0.2` |" in text
    assert "| `max_age` | duration | `1m` |" in text
    assert "| `history_depth` | whole number, ≥ 64, ≤ 100000 | `512` |" in text


def test_the_number_of_risk_checks_that_is_told_is_right() -> None:
    checks = [line for line in pages()[Path("docs/reference/risk.md")].splitlines() if line[:3].rstrip()[2:].isdigit()]
    told = (ROOT / "README.md", ROOT / "docs" / "explanation" / "risk.md", ROOT / "CHANGELOG.md")
    words = {15: "fifteen", 16: "sixteen", 17: "seventeen", 18: "eighteen"}
    for file in told:
        assert f"{words[len(checks)]} " in file.read_text(encoding="utf-8").lower(), file


def test_the_summary_that_is_documented_is_the_one_that_is_printed() -> None:
    zero = Decimal(0)
    printed = RunSummary(
        "r", RunMode.DEMO, True, (), "USDT", 0, 0, 0, {}, {}, orders=0, fills=0, fees=zero, equity_start=zero, equity_end=zero,
        pnl={}, shadow_pnl={},
    ).as_json()  # fmt: skip
    assert list(printed) == list(commands.SUMMARY)


def test_every_denial_is_somewhere_in_the_reference_of_fates() -> None:
    text = pages()[Path("docs/reference/fates.md")]
    for denial in Denial:
        assert f"| `{denial.value}` | {'permanent' if denial.permanent else 'transient'} |" in text


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(["a"], [["x | y"]]).splitlines()[-1] == "| x \\| y |"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"type": "integer", "exclusiveMinimum": 0}, "whole number, > 0"),
        ({"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]}, "number, ≥ 0 or `null`"),
        ({"enum": ["keep", "flatten"]}, "`keep` `flatten`"),
        ({"$ref": "#/$defs/Colour"}, "`red`"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "list of text, at least 1"),
        ({"type": "string", "pattern": "^[0-9]+[smhdw]$"}, "duration such as `15m`"),
        (True, "anything"),
    ],
)
def test_a_schema_is_told_in_words(node: object, words: str) -> None:
    assert shape(node, {"Colour": {"const": "red"}}) == words
