"""What holds for every chart."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator

import orjson
import plotly.graph_objects as go
import pytest

from bot.web.charts.chart import Chart
from bot.web.charts.theme import Theme
from tests.web.charts.cases import EMPTY, FLAWED, FULL, NASTY, Made

_TAG = re.compile(r"<(?!/?(?:br|b|extra)>)")
_HIDDEN = re.compile("[\x00-\x1f\u202e\ud800-\udfff]")


def texts(value: object) -> Iterator[str]:
    """Every text in a figure."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from texts(key)
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def valid(chart: Chart) -> go.Figure:
    """The figure as plotly sees it: it raises for whatever its schema does not know."""
    return go.Figure(orjson.loads(chart.json()))


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("name", FULL)
def test_every_chart_is_a_figure_of_plotly_with_words_and_a_table(name: str, theme: Theme) -> None:
    chart = FULL[name](theme)
    assert valid(chart).data
    assert not chart.empty
    assert chart.title
    assert chart.summary.endswith(".")
    assert chart.table.rows
    assert all(len(row) == len(chart.table.columns) for row in chart.table.rows)
    assert all(isinstance(cell, str) for row in chart.table.rows for cell in row)


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_draw_is_an_empty_chart_that_says_why(name: str) -> None:
    chart = EMPTY[name](Theme.DARK)
    figure = valid(chart)
    assert chart.empty
    assert not figure.data
    assert len(chart.summary) > 10
    assert figure.layout.annotations[0].text.replace("<br>", " ") == html.escape(chart.summary)
    assert not chart.table.rows


@pytest.mark.parametrize("name", FLAWED)
def test_numbers_that_are_none_become_gaps(name: str) -> None:
    chart = FLAWED[name](Theme.LIGHT)
    assert valid(chart)
    assert not re.search(rb"NaN|Infinity", chart.json())
    assert not any(re.search(r"\b(nan|inf|None)\b", cell, re.IGNORECASE) for row in chart.table.rows for cell in row)


@pytest.mark.parametrize("name", NASTY)
def test_foreign_words_are_never_markup(name: str) -> None:
    chart = NASTY[name](Theme.LIGHT)
    assert valid(chart)
    drawn = list(texts(chart.figure))
    assert not [text for text in drawn if _TAG.search(text)]
    assert not [text for text in drawn if _HIDDEN.search(text)]
    assert not set("<>&") & set(chart.script())
    assert orjson.loads(chart.script()) == orjson.loads(chart.json())


@pytest.mark.parametrize("made", [*FULL.values(), *EMPTY.values()])
def test_the_same_input_gives_the_same_bytes(made: Made) -> None:
    assert made(Theme.LIGHT).json() == made(Theme.LIGHT).json()


@pytest.mark.parametrize("made", [*FULL.values(), *EMPTY.values()])
def test_every_layout_is_clear_and_as_wide_as_its_page(made: Made) -> None:
    light, dark = made(Theme.LIGHT).figure["layout"], made(Theme.DARK).figure["layout"]
    assert "width" not in light
    assert light["autosize"]
    assert light["uirevision"] == dark["uirevision"]
    assert light["paper_bgcolor"] == light["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert light["font"]["color"] != dark["font"]["color"]


@pytest.mark.parametrize("made", FULL.values())
def test_times_are_shown_in_utc(made: Made) -> None:
    layout = made(Theme.LIGHT).figure["layout"]
    dates = [axis for key, axis in layout.items() if key.startswith("xaxis") and axis.get("type") == "date"]
    assert all("UTC" in axis["hoverformat"] for axis in dates)


@pytest.mark.parametrize("made", FULL.values())
def test_a_chart_is_made_within_a_frame(made: Made) -> None:
    made(Theme.LIGHT)
    took = []
    for _ in range(5):
        began = time.process_time()
        made(Theme.LIGHT)
        took.append(time.process_time() - began)
    assert min(took) < 0.015
