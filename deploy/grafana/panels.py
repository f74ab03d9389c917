"""Boards, rows and panels as plain values, and the JSON that Grafana reads of them.

Panels flow from left to right in a grid of 24 columns, so that none overlaps another; ids count from 1 and uids are the boards'
names, so that a board that did not change is the same file. Each expression is about the instances chosen at the top.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

COLUMNS = 24
_ROW_HEIGHT = 1
_METRIC = re.compile(r"\b((?:bot|process)_[a-z_]+)(\{)?")
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA = 39  # Grafana 10 and later


class Kind(StrEnum):
    """How a panel shows its numbers."""

    STAT = "stat"
    TIMES = "timeseries"
    BARS = "bargauge"
    TABLE = "table"


class Unit(StrEnum):
    """Grafana's names of units."""

    NUMBER = "short"
    MONEY = "locale"
    USD = "currencyUSD"
    RATIO = "percentunit"
    SECONDS = "s"
    BYTES = "bytes"
    PER_SECOND = "cps"
    YES_NO = "bool_yes_no"
    ON_OFF = "bool_on_off"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and what its series are called; `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""

    @property
    def filtered(self) -> str:
        """The expression about the chosen instances alone."""
        return _METRIC.sub(lambda found: f'{found[1]}{{instance=~"$instance"' + (", " if found[2] else "}"), self.expr)


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `quiet` says why a healthy bot may give it no data: Grafana shows that in its place. Sizes are grid units."""

    title: str
    about: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Kind = Kind.TIMES
    width: int = 8
    height: int = 7
    quiet: str = ""
    alarm: float | None = None
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; `uid` is its address and its file's name."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> Iterator[Panel]:
        """All of them, in order."""
        for row in self.rows:
            yield from row.panels


def stat(title: str, about: str, unit: Unit, expr: str, *, alarm: float | None = None, quiet: str = "") -> Panel:
    """One number, as it is now; red from `alarm` on."""
    return Panel(title, about, unit, (Query(expr),), Kind.STAT, 3, 4, quiet, alarm)


def quantiles(title: str, about: str, metric: str, by: str = "") -> Panel:
    """The median and the 99th percentile of a histogram of seconds; `by` tells one label's values apart."""
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    queries = (
        Query(f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))", f"{legend}{name}")
        for share, name in (("0.5", "p50"), ("0.99", "p99"))
    )
    return Panel(title, about, Unit.SECONDS, tuple(queries))


def as_json(board: Board) -> dict[str, Any]:
    """What Grafana reads."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["arbiter"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["arbiter"], "title": "Arbiter", "asDropdown": False, "keepTime": True}],
        "templating": {"list": _variables()},
        "panels": list(_placed(board.rows)),
    }


def _variables() -> list[dict[str, Any]]:
    query = "label_values(bot_build_info, instance)"
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1},
        {
            "name": "instance",
            "label": "Bot",
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": query, "refId": "instance"},
            "definition": query,
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for row in rows:
        number += 1
        grid = {"x": 0, "y": y, "w": COLUMNS, "h": _ROW_HEIGHT}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": grid, "panels": []}
        y, x, tallest = y + _ROW_HEIGHT, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    at_once = panel.kind is not Kind.TIMES
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": _DATASOURCE,
            "expr": query.filtered,
            "legendFormat": query.legend or "__auto",
            "instant": at_once,
            "range": not at_once,
            **({"format": "table"} if panel.kind is Kind.TABLE else {}),
        }
        for place, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": grid,
        "targets": targets,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
        **({"transformations": _COLUMNS_OF_A_TABLE} if panel.kind is Kind.TABLE else {}),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green" if panel.alarm is not None else "blue", "value": None}]
    if panel.alarm is not None:
        steps.append({"color": "red", "value": panel.alarm})
    defaults: dict[str, Any] = {"unit": panel.unit.value, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.quiet:
        defaults["noValue"] = panel.quiet
    if panel.kind is Kind.TIMES:
        stacking = {"mode": "normal" if panel.stacked else "none"}
        fill = 20 if panel.stacked else 5
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": fill,
            "showPoints": "never",
            "stacking": stacking,
        }
    return defaults


def _options(kind: Kind) -> dict[str, Any]:
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match kind:
        case Kind.STAT:
            return {"reduceOptions": reduced, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
        case Kind.BARS:
            return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic", "showUnfilled": True}
        case Kind.TABLE:
            return {"showHeader": True, "cellHeight": "sm"}
        case Kind.TIMES:
            legend = {"showLegend": True, "displayMode": "list", "placement": "bottom"}
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


_COLUMNS_OF_A_TABLE = [{"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True, "job": True}}}]
