"""The Grafana boards as files: what can be said of them without Grafana."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.outlets.metric_catalogue import CATALOGUE, metric_names, sample_names
from deploy.grafana.boards import BOARDS, DASHBOARDS, files
from deploy.grafana.panels import COLUMNS, Board, Query
from tests.prometheus import promtool

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"


def boards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))]


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for board in boards() for panel in panels(board) for target in panel["targets"]]


def substituted(expr: str) -> str:
    """As Grafana sends it."""
    return expr.replace("$instance", ".*").replace("$__rate_interval", "1m")


def test_the_files_are_those_that_the_boards_in_python_give() -> None:
    stale = [path.name for path, text in files().items() if path.read_text() != text]
    assert stale == [], "run python -m deploy.grafana"
    assert set(files()) == set(DASHBOARDS.glob("*.json"))


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_each_panel_says_what_it_shows_and_in_which_unit(board: Board) -> None:
    found = json.loads((DASHBOARDS / f"{board.uid}.json").read_text())
    assert found["uid"] == board.uid
    assert found["title"]
    for panel in panels(found):
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"]), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_ids_are_unique_and_no_panel_lies_on_another() -> None:
    for board in boards():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
        places = [panel["gridPos"] for panel in board["panels"]]
        assert all(place["x"] >= 0 and place["w"] > 0 and place["x"] + place["w"] <= COLUMNS for place in places)
        for one, other in itertools.combinations(places, 2):
            apart = (
                one["x"] + one["w"] <= other["x"]
                or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"]
                or other["y"] + other["h"] <= one["y"]
            )
            assert apart, (board["uid"], one, other)
    uids = [board["uid"] for board in boards()]
    assert len(uids) == len(set(uids)) == 3


def test_the_data_source_and_the_bot_can_be_chosen() -> None:
    for board in boards():
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        assert variables["datasource"]["type"] == "datasource"
        assert variables["datasource"]["query"] == "prometheus"
        assert variables["instance"]["datasource"]["uid"] == "${datasource}"
        used = {name for expr in expressions() for name in re.findall(r"\$(\w+)", expr)}
        assert used <= {*variables, "__rate_interval"}


def test_every_metric_on_a_board_exists_and_is_of_the_chosen_bots_alone() -> None:
    for expr in expressions():
        asked = set(re.findall(r"\b(?:bot|process)_\w+", expr))
        assert asked, expr
        assert asked <= metric_names(), expr
        assert len(re.findall(r'\{instance=~"\$instance"', expr)) == len(re.findall(r"\b(?:bot|process)_\w+", expr)), expr


def test_labels_on_a_board_are_those_of_the_metric() -> None:
    labels = {sample: set(metric.labels) for name, metric in CATALOGUE.items() for sample in sample_names(name)}
    for board in BOARDS:
        for panel in board.panels:
            for query in panel.queries:
                have = set().union(*(labels.get(name, set()) for name in re.findall(r"\b(?:bot|process)_\w+", query.expr)))
                have |= {"instance", "job", "le"}
                grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query.expr) for label in group.split(",")}
                assert grouped <= have, (panel.title, query)
                assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= have, (panel.title, query)


def test_a_selector_joins_those_that_an_expression_has() -> None:
    query = Query('rate(bot_fills_total[1m]) / bot_orders_total{state="sent"}')
    assert query.filtered == (
        'rate(bot_fills_total{instance=~"$instance"}[1m]) / bot_orders_total{instance=~"$instance", state="sent"}'
    )


def test_promtool_can_read_every_expression(tmp_path: Path) -> None:
    found = [{"record": f"board:{place}", "expr": substituted(expr)} for place, expr in enumerate(expressions())]
    rules = tmp_path / "boards.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": found}]}))
    checked = promtool("check", "rules", str(rules))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(found)} rules found" in checked.stdout.decode()


def test_what_is_shown_covers_most_of_what_is_served() -> None:
    shown = {name for expr in expressions() for name in re.findall(r"\b(?:bot|process)_\w+", expr)}
    unseen = [name for name in CATALOGUE if not shown & set(sample_names(name))]
    assert len(unseen) <= len(CATALOGUE) // 4, unseen


def test_grafana_is_told_where_the_boards_and_the_data_are() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "arbiter.yml").read_text())["providers"]
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert provider["type"] == "file"
    assert source["type"] == "prometheus"
    grafana = yaml.safe_load((GRAFANA / "compose.yaml").read_text())["services"]["grafana"]
    mounted = dict(reversed(volume.removesuffix(":ro").split(":")) for volume in grafana["volumes"] if volume.startswith("./"))
    assert (ROOT / mounted[provider["options"]["path"]]).resolve() == DASHBOARDS
    assert (ROOT / mounted["/etc/grafana/provisioning"]).resolve() == GRAFANA / "provisioning"
    assert source["url"] == "${PROMETHEUS_URL}"
    assert grafana["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
    assert set(grafana["depends_on"]) <= set(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])
    assert all(port.startswith("127.0.0.1:") for port in grafana["ports"])
