"""The charts as a real browser draws them."""

from __future__ import annotations

import shutil
from pathlib import Path

import plotly
import pytest
from playwright.sync_api import sync_playwright

from bot.web.charts.theme import Theme
from tests.web.charts.cases import EMPTY, FULL, NASTY

CHROMIUM = shutil.which("chromium")
_DRAW = """
() => Promise.all([...document.querySelectorAll("script[type='application/json']")].map(async (script) => {
  const host = document.body.appendChild(document.createElement("div"));
  const figure = JSON.parse(script.textContent);
  await Plotly.newPlot(host, figure.data, figure.layout);
  const marks = figure.data.findIndex((trace) => trace.text && trace.mode === "markers");
  if (marks >= 0) Plotly.Fx.hover(host, [{ curveNumber: marks, pointNumber: 0 }], `x${figure.data[marks].yaxis || "y"}`);
  return host.querySelectorAll("svg.main-svg").length;
}))
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_draws_every_chart_and_runs_none_of_their_words(tmp_path: Path) -> None:
    charts = [made(Theme.DARK) for made in (*FULL.values(), EMPTY["wins"], *NASTY.values())]
    figures = "".join(f'<script type="application/json">{chart.script()}</script>' for chart in charts)
    page_file = tmp_path / "charts.html"
    page_file.write_text(f"<!doctype html><meta charset=utf-8><body>{figures}", encoding="utf-8")
    faults: list[str] = []
    with sync_playwright() as driver, driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser:
        page = browser.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.add_init_script("window.alert = () => console.error('a text was run as script')")
        page.goto(page_file.as_uri())
        page.add_script_tag(path=Path(plotly.__file__).parent / "package_data" / "plotly.min.js")
        drawn = page.evaluate(_DRAW)
        words = page.evaluate("[...document.querySelectorAll('svg text')].map((each) => each.textContent).join(' ')")
        images = page.evaluate("document.querySelectorAll('img').length")
    assert "<img src=x onerror=alert(1)></script><b>&amp;" in words
    assert len(drawn) == len(charts)
    assert all(drawn)
    assert not images
    assert not faults
