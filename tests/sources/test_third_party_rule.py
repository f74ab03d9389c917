"""A rule of somebody else is one small Python file and one YAML file, and the documentation shows the very files."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from bot.core.decision import Action
from sources.config import SourceConfigError
from sources.loading import LoadedSource, load_source, load_sources
from tests.sources.source_factories import ROOT, candle, decisions

EXAMPLE = ROOT / "examples/rules"
PLUGIN = "source: rules:plugin\nkind: three-greens\n"


def colours(loaded: LoadedSource) -> list[tuple[int, Action]]:
    step = loaded.step(["BTC/USDT"])
    assert step is not None
    rows = [candle(at, 100.0 + at % 2, 100.5) for at in range(30)]
    rows += [candle(30 + at, 101.0, 100.0) for at in range(4)] + [candle(34 + at, 99.0, 100.0) for at in range(4)]
    for row in rows:
        row.timeframe = loaded.config.timeframe
    made = decisions(step, rows)
    return [(next(at for at, row in enumerate(rows) if row.at == decision.created), decision.action) for decision in made]


def test_the_example_loads_from_its_path_and_speaks_once_for_each_row() -> None:
    (loaded,) = load_sources(EXAMPLE)
    assert loaded.spec.name == "rules:three-greens"
    assert colours(loaded) == [(31, Action.BUY), (36, Action.SELL)]


@pytest.mark.parametrize(("language", "file"), [("python", "three_greens.py"), ("yaml", "three-greens.yaml")])
def test_the_documentation_shows_the_very_file(language: str, file: str) -> None:
    page = (ROOT / "docs/how-to/write-a-rule.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)
    assert (EXAMPLE / file).read_text(encoding="utf-8") in blocks


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example as an installed distribution with an entry point."""
    site = tmp_path / "site"
    described = site / "greens-1.0.dist-info"
    described.mkdir(parents=True)
    shutil.copy(EXAMPLE / "three_greens.py", site / "plugged_greens.py")
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: greens\nVersion: 1.0\n", encoding="utf-8")
    (described / "entry_points.txt").write_text("[arbiter.rules]\nthree-greens = plugged_greens:ThreeGreens\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    file = tmp_path / "mine.yaml"
    file.write_text(PLUGIN, encoding="utf-8")
    return file


def test_an_entry_point_is_a_kind(plugin: Path) -> None:
    assert len(colours(load_source(plugin))) == 2
    sys.modules.pop("plugged_greens")


def test_an_unknown_kind_is_told_of_the_entry_points(plugin: Path) -> None:
    plugin.write_text(PLUGIN.replace("three-greens", "four-greens"), encoding="utf-8")
    with pytest.raises(SourceConfigError, match="three-greens, or give path and class"):
        load_source(plugin)


BROKEN = [
    ("raise RuntimeError('no luck')", "path = 'rule.py': cannot be imported: RuntimeError: no luck"),
    ("def broken(:", "path = 'rule.py': cannot be imported: SyntaxError"),
    ("x = 1", "class = 'Mine': rule.py has no such class"),
    ("class Mine: pass", "Mine is not a Rule with a step; derive it from Rule"),
    ("from sources.base import Rule\nclass Mine(Rule): pass", "Mine is not a Rule with a step"),
]


@pytest.mark.parametrize(("code", "expected"), BROKEN)
def test_a_broken_rule_file_is_one_line(tmp_path: Path, code: str, expected: str) -> None:
    (tmp_path / "rule.py").write_text(code, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("source: rules:mine\npath: rule.py\nclass: Mine\n", encoding="utf-8")
    with pytest.raises(SourceConfigError) as caught:
        load_source(tmp_path / "mine.yaml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
