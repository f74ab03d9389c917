"""The alert rules: of metrics that exist, each tried on what it is for."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.core.inputs import TradingState
from bot.core.orders import OrderState
from bot.outlets.metric_catalogue import CATALOGUE, metric_names, sample_names
from tests.prometheus import promtool

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = PROMETHEUS / "arbiter-rules.yml"
TESTS = PROMETHEUS / "arbiter-rules-test.yml"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_the_alerts_ask_only_for_metrics_that_exist() -> None:
    asked = {name for rule in rules() for name in re.findall(r"\b(?:bot|process)_\w+", rule["expr"])}
    assert asked
    assert asked <= metric_names()
    states = {state for rule in rules() for state in re.findall(r'state="(\w+)"', rule["expr"])}
    assert states <= {*(state.value for state in TradingState), *(state.value for state in OrderState)}


def test_the_alerts_ask_only_for_labels_that_the_metrics_have() -> None:
    labels = {sample: set(metric.labels) for name, metric in CATALOGUE.items() for sample in sample_names(name)}
    of_prometheus = {"job", "instance", "le"}
    for rule in rules():
        for name, inside in re.findall(r"\b(bot_\w+)\{([^}]*)\}", rule["expr"]):
            assert set(re.findall(r"(\w+)\s*!?=", inside)) <= labels[name] | of_prometheus, rule["alert"]
        told = {label for text in rule["annotations"].values() for label in re.findall(r"\$labels\.(\w+)", text)}
        asked = [labels[name] for name in re.findall(r"\bbot_\w+", rule["expr"])]
        assert told <= set().union(*asked) | of_prometheus, rule["alert"]


def test_each_alert_says_how_bad_it_is_and_what_to_make_of_it() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 30
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_each_alert_is_tried_on_what_it_is_for_and_on_a_healthy_bot() -> None:
    healthy, *ill = yaml.safe_load(TESTS.read_text())["tests"]
    names = [rule["alert"] for rule in rules()]
    assert [each["alertname"] for each in healthy["alert_rule_test"]] == names
    assert not any(each.get("exp_alerts") for each in healthy["alert_rule_test"])
    fired = [each["alertname"] for test in ill for each in test["alert_rule_test"] if each["exp_alerts"]]
    assert fired == names


def test_promtool_finds_no_fault_with_the_rules() -> None:
    found = promtool("check", "rules", "--lint-fatal", str(RULES))
    assert found.returncode == 0, found.stdout + found.stderr


def test_promtool_sees_each_alert_fire_when_it_should() -> None:
    found = promtool("test", "rules", str(TESTS))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("bot_drawdown_ratio > 0.1", "bot_drawdown_ratio > 0.5"),
        ("max_over_time(bot_redis_up[6h]) == 1", "max_over_time(bot_redis_up[6h]) >= 0"),
        ('or bot_outlet_messages_total{outlet="redis"} > 0', ""),
        ("max_over_time(bot_tasks_failing[90s])", "bot_tasks_failing"),
        ('outcome=~"(.+:)?(failed|dropped)"', 'outcome="failed"'),
        ('outcome!="answered"', 'outcome="refused"'),
    ],
)
def test_the_rules_tests_can_fail(tmp_path: Path, was: str, becomes: str) -> None:
    text = RULES.read_text()
    assert was in text
    (tmp_path / RULES.name).write_text(text.replace(was, becomes))
    shutil.copy(TESTS, tmp_path)
    assert promtool("test", "rules", str(tmp_path / TESTS.name)).returncode != 0
