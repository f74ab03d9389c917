"""Charts for the script of a page: the figure, its words, its table."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Query, Response

from bot.web.charts.chart import Chart
from bot.web.charts.theme import Theme

ThemeWanted = Annotated[Theme, Query(description="the ground that it is drawn on")]


def drawn(chart: Chart) -> Response:
    """A chart as the script of a page takes it."""
    table: dict[str, object] = {"columns": chart.table.columns, "rows": chart.table.rows}
    table |= {"numeric": sorted(chart.table.numeric), "note": chart.table.note}
    told = {"figure": chart.figure, "title": chart.title, "summary": chart.summary, "table": table, "empty": chart.empty}
    return Response(orjson.dumps(told), media_type="application/json")
