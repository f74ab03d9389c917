"""The page in a real browser, where there is one: every figure is drawn, under the page's own content security policy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.services.reporting import report, write_page
from bot.settings import load
from tests.services.tear_sheets import Page, a_run, start_of

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
async def test_every_figure_is_drawn_and_no_script_from_outside_runs(tmp_path: Path) -> None:
    await a_run(tmp_path / "data", start_of())
    settings = load(overrides={"bot.data_dir": tmp_path / "data"}).settings
    written = write_page(report(settings, "latest", lambda done, total: None), tmp_path / "page.html")
    assert CHROMIUM is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    seen = subprocess.run(
        [CHROMIUM, *options, "--virtual-time-budget=10000", "--dump-dom", written.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    shown = Page(seen.stdout)
    assert dict(shown.elements)["html"].get("data-drawn") == "yes"
    hosts = [attrs for tag, attrs in shown.elements if tag == "div" and "js-plotly-plot" in str(attrs.get("class"))]
    assert [attrs["id"] for attrs in hosts] == ["equity", "sources", "overrides", "trades-0", "slippage"]
    assert len(shown.scripts) == 3, "nothing added one"
