"""Answers survive how the service writes them: lists for maps, maps for lists, texts for numbers, any case, nulls anywhere."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sources.quantconnect.models_account import Account, LeanVersion, ObjectEntry, ObjectProperties, Organization
from sources.quantconnect.models_backtest import Backtest, BacktestSummary, Chart, SeriesType, Stage
from sources.quantconnect.models_live import Holding, LiveAlgorithm, LiveStatus, LiveSummary, Portfolio
from sources.quantconnect.models_optimization import Optimization
from sources.quantconnect.models_project import Compile, CompileState, File, Node, Project
from sources.quantconnect.models_trade import (
    Insight,
    InsightDirection,
    InsightType,
    Order,
    OrderDirection,
    OrderEvent,
    OrderStatus,
    OrderType,
    SecurityType,
)
from sources.quantconnect.shapes import Shape
from tests.sources.quantconnect.qc_answers import (
    FAILED,
    FINISHED,
    HOLDING,
    INSIGHT,
    LIVE,
    NODE,
    OPTIMIZATION,
    ORDER,
    PROJECT,
    QUEUED,
    SUMMARY,
)

SAMPLES: list[tuple[type[Shape], dict[str, Any]]] = [
    (Project, PROJECT),
    (Node, NODE),
    (Backtest, FINISHED),
    (BacktestSummary, SUMMARY),
    (Optimization, OPTIMIZATION),
    (LiveAlgorithm, LIVE),
    (Holding, HOLDING),
    (Insight, INSIGHT),
    (Order, ORDER),
]
each_shape = pytest.mark.parametrize(("model", "sample"), SAMPLES, ids=lambda entry: getattr(entry, "__name__", ""))


def capitals(key: str) -> str:
    return key[:1].upper() + key[1:]


def kebab(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", key).lower()


def snake(key: str) -> str:
    return kebab(key).replace("-", "_")


def respelt(value: Any, spell: Any) -> Any:
    if isinstance(value, dict):
        return {spell(key) if key.isidentifier() else key: respelt(entry, spell) for key, entry in value.items()}
    return [respelt(entry, spell) for entry in value] if isinstance(value, list) else value


def as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_texts(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [as_texts(entry) for entry in value]
    return f"{value}" if isinstance(value, int | float) and not isinstance(value, bool) else value


@each_shape
@pytest.mark.parametrize("spell", [capitals, kebab, snake, str.upper])
def test_the_case_of_keys_does_not_matter(model: type[Shape], sample: dict[str, Any], spell: Any) -> None:
    own = ("parameterSet", "charts", "rollingWindow", "backtests")  # whose keys are names that others gave
    sample = {**sample, **{key: [] for key in own if key in sample}}
    assert model.model_validate(respelt(sample, spell)) == model.model_validate(sample)


@each_shape
def test_numbers_may_be_texts(model: type[Shape], sample: dict[str, Any]) -> None:
    assert model.model_validate(as_texts(sample)) == model.model_validate(sample)


@each_shape
def test_any_field_may_be_null_but_the_id(model: type[Shape], sample: dict[str, Any]) -> None:
    required = {name for name, info in model.model_fields.items() if info.is_required()}
    for key in sample:
        raw = {**sample, key: None}
        if snake(key) in required:
            with pytest.raises(ValidationError):
                model.model_validate(raw)
        else:
            model.model_validate(raw)


@each_shape
def test_unknown_fields_are_ignored(model: type[Shape], sample: dict[str, Any]) -> None:
    assert model.model_validate({**sample, "brandNew": {"a": [1, None]}, "other": None}) == model.model_validate(sample)


@each_shape
def test_maps_that_are_empty_come_as_lists(model: type[Shape], sample: dict[str, Any]) -> None:
    maps = [key for key, value in sample.items() if isinstance(value, dict) and key not in {"symbol", "price"}]
    model.model_validate({**sample, **{key: [] for key in maps}})


@pytest.mark.parametrize("empty", [[], {}, None])
def test_no_parameters_no_backtests_no_libraries(empty: object) -> None:
    assert Backtest.model_validate({**QUEUED, "parameterSet": empty}).parameter_set == {}
    assert Optimization.model_validate({**OPTIMIZATION, "backtests": empty}).backtests == {}
    found = Project.model_validate({**PROJECT, "parameters": empty, "libraries": empty, "collaborators": empty})
    assert (found.parameters, found.libraries, found.collaborators) == ((), (), ())


@pytest.mark.parametrize(
    "written",
    [
        [{"key": "fast", "value": "10"}, {"key": "slow", "value": 30}],
        {"1": {"key": "slow", "value": "30"}, "0": {"key": "fast", "value": 10}},
        {"fast": "10", "slow": 30},
        {"a": {"key": "fast", "value": "10"}, "b": {"key": "slow", "value": "30"}},
    ],
)
def test_the_parameters_of_a_project_come_as_list_or_map(written: object) -> None:
    found = Project.model_validate({**PROJECT, "parameters": written}).parameters
    assert {row.key: row.value for row in found} == {"fast": "10", "slow": "30"}


def test_a_list_of_more_than_ten_keeps_its_order_as_a_map() -> None:
    rows = {str(index): {"orderId": 1, "orderEventId": index} for index in (10, 2, 0, 1, 9, 3, 8, 4, 7, 5, 6)}
    assert [event.order_event_id for event in Order.model_validate({**ORDER, "events": rows}).events] == list(range(11))


def test_both_kinds_of_dates_are_utc() -> None:
    one, other = ({**PROJECT, "modified": text} for text in ("2026-03-02 10:15:00", "2026-03-02T10:15:00Z"))
    assert Project.model_validate(one).modified == Project.model_validate(other).modified == 1_772_446_500_000


def test_the_folder_slash_before_a_project_is_stripped() -> None:
    assert Project.model_validate(PROJECT).name == "bots/sma-rsi"


def test_content_keeps_its_letters_and_line_breaks() -> None:
    content = "# 策略\r\nx = 1\n\n"
    assert File.model_validate({"name": "main.py", "content": content, "id": None}).content == content


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({}, Stage.DONE),
        ({"completed": False}, Stage.RUNNING),
        ({"status": "Running: _%", "completed": "false", "statistics": []}, Stage.RUNNING),
        ({"statistics": []}, Stage.UNSETTLED),
        ({"statistics": None}, Stage.UNSETTLED),
        ({"runtimeStatistics": []}, Stage.UNSETTLED),
        ({"runtimeStatistics": None}, Stage.UNSETTLED),
        ({"totalPerformance": None}, Stage.UNSETTLED),
        ({"totalPerformance": []}, Stage.UNSETTLED),
        ({"totalPerformance": {}}, Stage.UNSETTLED),
        ({"status": "In Progress..."}, Stage.DONE),
        ({"error": "boom"}, Stage.FAILED),
        ({"stacktrace": "line 5", "completed": False}, Stage.FAILED),
        ({"statistics": {}}, Stage.DONE),
    ],
)
def test_a_backtest_is_done_by_what_it_brings_and_never_by_its_status(changes: dict[str, Any], stage: Stage) -> None:
    assert Backtest.model_validate({**FINISHED, **changes}).stage is stage


def test_a_backtest_that_raised_says_where() -> None:
    found = Backtest.model_validate(FAILED)
    assert (found.stage, found.has_initialize_error, found.progress) == (Stage.FAILED, True, 0.12)
    assert "boom" in found.error


def test_a_finished_backtest_is_read_whole() -> None:
    found = Backtest.model_validate(FINISHED)
    assert found.chart_names == ("Strategy Equity", "Benchmark")
    assert found.parameter_set == {"fast": "10", "slow": "30"}
    assert found.statistics is not None
    assert found.statistics.net_profit == pytest.approx(0.12346)
    assert found.rolling_window["M1_20240131"].trade_statistics is not None
    assert found.backtest_start == 1_704_067_200_000


def test_the_list_of_backtests_prints_percent() -> None:
    found = BacktestSummary.model_validate(SUMMARY)
    assert [found.drawdown, found.win_rate, found.psr] == pytest.approx([0.098, 0.48, 0.41203])
    assert (found.sharpe_ratio, found.security_types) == (0.91, "7")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1704067200, 1.5], [1704153600, None]], [(1_704_067_200_000, (1.5,)), (1_704_153_600_000, (None,))]),
        ([[1704067200, 1, 4, 0.5, "2"]], [(1_704_067_200_000, (1.0, 4.0, 0.5, 2.0))]),
        ([{"x": 1704067200, "y": "1.5"}], [(1_704_067_200_000, (1.5,))]),
        ({"0": {"x": 1704067200, "y": None}}, [(1_704_067_200_000, (None,))]),
        ([None, [], [None, 1]], []),
        ([], []),
    ],
)
def test_points_of_a_chart_in_every_form(values: object, expected: list[tuple[int, tuple[float | None, ...]]]) -> None:
    chart = {"name": "Strategy Equity", "chartType": 0, "series": {"Equity": {"unit": "$", "seriesType": 2, "values": values}}}
    series = Chart.model_validate(chart).series["Equity"]
    assert [(point.at, point.values) for point in series.values] == expected
    assert series.series_type is SeriesType.CANDLE


def test_a_chart_without_series_is_empty() -> None:
    assert Chart.model_validate({"name": "Benchmark", "series": []}).series == {}


@pytest.mark.parametrize("places", [21, 22, 25])
@pytest.mark.parametrize("as_map", [False, True])
def test_an_optimization_gives_statistics_by_place(places: int, as_map: bool) -> None:
    numbers: list[float] = list(range(places))
    written: object = {str(place): value for place, value in enumerate(numbers)} if as_map else numbers
    entry = {**OPTIMIZATION["backtests"]["a1b2"], "statistics": written}
    found = Optimization.model_validate({**OPTIMIZATION, "backtests": {"a1b2": entry}}).backtests["a1b2"].statistics
    assert found is not None
    assert (found.sharpe_ratio, found.drawdown, found.total_orders, found.win_rate) == (15.0, 0.07, 17, 0.2)
    assert found.drawdown_recovery == (24 if places == 25 else None)


def test_an_optimization_is_read_whole() -> None:
    found = Optimization.model_validate(OPTIMIZATION)
    assert found.runtime_statistics is not None
    assert found.runtime_statistics.fraction == 0.5
    assert (found.runtime_statistics.in_queue, found.runtime_statistics.total_runtime) == (4, 90.0)
    assert found.backtests["a1b2"].parameter_set == {"fast": "5"}
    assert found.backtests["a1b2"].equity[0][0] == 1_704_067_200


@pytest.mark.parametrize(
    ("word", "finished"),
    [("new", False), ("running", False), ("active", False), ("Completed", True), ("aborted", True), ("who knows", True)],
)
def test_a_new_optimization_has_not_finished(word: str, finished: bool) -> None:
    assert Optimization.model_validate({**OPTIMIZATION, "status": word}).status.finished is finished


@pytest.mark.parametrize("raw", ["InQueue", "inqueue", "In Queue"])
def test_states_are_read_in_any_case(raw: str) -> None:
    assert Compile.model_validate({"compileId": "a-b", "state": raw}).state is CompileState.IN_QUEUE
    assert LiveStatus.IN_QUEUE is LiveAlgorithm.model_validate({**LIVE, "status": raw}).status


@pytest.mark.parametrize(
    ("status", "stopped", "active"),
    [
        ("Running", None, True),
        ("History", None, True),
        ("LoggingIn", None, True),
        ("Running", "2026-03-02 12:00:00", False),
        ("Stopped", None, False),
        ("Undefined", None, False),
        ("Hibernating", None, False),
    ],
)
def test_a_live_algorithm_is_active_by_status_and_end(status: str, stopped: str | None, active: bool) -> None:
    raw = {**LIVE, "status": status, "stopped": stopped}
    assert LiveAlgorithm.model_validate(raw).active is active
    assert LiveSummary.model_validate(raw).active is active


@pytest.mark.parametrize("written", [[], {}])
def test_no_holdings_are_none(written: object) -> None:
    assert Portfolio.model_validate({"holdings": written, "cash": []}).holdings == {}


@pytest.mark.parametrize("written", [{"holdings": None}, {}, {"holdings": {"BTCUSDT 18N": None}}, {"holdings": "busy"}])
def test_holdings_that_are_missing_are_not_none(written: object) -> None:
    with pytest.raises(ValidationError):
        Portfolio.model_validate(written)


@pytest.mark.parametrize("key", ["holdings", "Holdings"])
def test_what_a_holding_leaves_out_is_zero_dollars_and_one(key: str) -> None:
    found = Portfolio.model_validate({key: {"BTCUSDT 18N": HOLDING, "ETHUSDT 18N": {"a": "1.5", "c": "₮", "r": "0.5"}}}).holdings
    full, part = found["BTCUSDT 18N"], found["ETHUSDT 18N"]
    assert (full.quantity, full.average_price, full.currency_symbol, full.conversion_rate) == (0.1, 64_000.5, "$", 1.0)
    assert full.unrealized_fraction == pytest.approx(0.0078)
    assert (part.quantity, part.average_price, part.currency_symbol, part.conversion_rate) == (0.0, 1.5, "₮", 0.5)
    long = {"averagePrice": 1.5, "quantity": 2, "marketPrice": 3, "marketValue": 6, "unrealizedPnl": 3}
    assert Holding.model_validate(long) == Holding.model_validate({"a": 1.5, "q": 2, "p": 3, "v": 6, "u": 3})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({}, 1_772_449_200_000),
        ({"generatedTime": None, "createdTime": 1772449100}, 1_772_449_100_000),
        ({"createdTime": 1772449100}, 1_772_449_200_000),
        ({"generatedTime": None, "generated-time": "1772449200"}, 1_772_449_200_000),
        ({"generatedTime": "2026-03-02T11:00:00Z"}, 1_772_449_200_000),
    ],
)
def test_the_time_of_an_insight_under_all_its_names(names: dict[str, Any], expected: int) -> None:
    assert Insight.model_validate({**INSIGHT, **names}).generated_time == expected


def test_an_insight_as_the_engine_the_export_and_the_old_interface_write_it() -> None:
    engine = {**INSIGHT, "referenceValueFinal": 2.5, "scoreIsFinal": True, "referenceFinal": None, "scoreFinal": None}
    assert (Insight.model_validate(engine).reference_final, Insight.model_validate(engine).score_final) == (2.5, True)
    export = {
        "project_id": 7,
        "deploy_id": 12,
        "insight_id": "x",
        "source_model": "m",
        "symbol_id": "BTCUSDT 18N",
        "ticker": "BTCUSDT",
    }
    found = Insight.model_validate(export)
    assert (found.id, found.symbol, found.source_model, found.project_id, found.deploy_id) == ("x", "BTCUSDT 18N", "m", 7, "12")
    old = {
        "id": "x",
        "group-id": "g",
        "source-model": "m",
        "close-time": 1772535600.5,
        "reference-final": "1.5",
        "estimated-value": "2",
    }
    found = Insight.model_validate(old)
    assert (found.group_id, found.close_time, found.reference_final, found.estimated_value) == ("g", 1_772_535_600_500, 1.5, 2.0)


@pytest.mark.parametrize("written", ["up", "Up", 1, "1", 1.0])
def test_the_direction_of_an_insight_is_a_word_or_a_number(written: object) -> None:
    assert Insight.model_validate({**INSIGHT, "direction": written}).direction is InsightDirection.UP


@pytest.mark.parametrize(
    ("written", "expected"), [("flat", 0), (0, 0), ("down", -1), (-1, -1), ("sideways", -9), (None, -9), ([], -9)]
)
def test_a_direction_that_nobody_knows_is_not_taken_for_one(written: object, expected: int) -> None:
    assert Insight.model_validate({**INSIGHT, "direction": written}).direction == expected


@pytest.mark.parametrize("nothing", [0, "0", "0.0000", None])
def test_an_insight_without_a_price_yet_has_none(nothing: object) -> None:
    found = Insight.model_validate({**INSIGHT, "reference": nothing, "confidence": None, "type": 1})
    assert (found.reference, found.confidence, found.type) == (None, None, InsightType.VOLATILITY)


ORDER_CODES: list[tuple[str, Any, Any]] = [
    ("type", member.value, member) for member in OrderType if member is not OrderType.UNKNOWN
] + [("type", "trailingStop", OrderType.TRAILING_STOP), ("type", 42, OrderType.UNKNOWN)]
ORDER_CODES += [("status", member.value, member) for member in OrderStatus if member is not OrderStatus.UNKNOWN]
ORDER_CODES += [
    ("status", "partiallyFilled", OrderStatus.PARTIALLY_FILLED),
    ("status", "3", OrderStatus.FILLED),
    ("status", None, OrderStatus.CANCELED),
    ("status", 4, OrderStatus.UNKNOWN),
]
ORDER_CODES += [("direction", member.value, member) for member in OrderDirection if member is not OrderDirection.UNKNOWN]
ORDER_CODES += [("securityType", member.value, member) for member in SecurityType if member is not SecurityType.UNKNOWN]
ORDER_CODES += [("securityType", "CryptoFuture", SecurityType.CRYPTO_FUTURE)]


@pytest.mark.parametrize(("key", "written", "member"), ORDER_CODES)
def test_the_codes_of_an_order(key: str, written: object, member: object) -> None:
    assert getattr(Order.model_validate({**ORDER, key: written}), snake(key)) is member


def test_an_order_is_read_whole() -> None:
    found = Order.model_validate(ORDER)
    assert (found.symbol.id, found.symbol.value, found.price, found.quantity, found.broker_id) == (
        "BTCUSDT 18N",
        "BTCUSDT",
        64_000.5,
        0.1,
        ("1",),
    )
    (event,) = found.events
    assert (event.status, event.direction, event.time) == (OrderStatus.PARTIALLY_FILLED, OrderDirection.BUY, 1_772_449_205_000)
    assert found.last_fill_time == 1_772_449_205_000
    assert (found.canceled_time, found.limit_price) == (None, None)
    assert Order.model_validate({"id": 2, "symbol": "ETHUSDT 18N", "quantity": "-1.5"}).symbol.value == "ETHUSDT"


def test_an_event_of_an_old_file_has_dashes() -> None:
    raw = {"order-id": 1, "order-event-id": "2", "fill-price": "64000.5", "fill-quantity": -0.1, "is-assignment": False}
    found = OrderEvent.model_validate(raw)
    assert (found.order_id, found.order_event_id, found.fill_price, found.fill_quantity) == (1, 2, 64_000.5, -0.1)


@pytest.mark.parametrize(
    ("line", "file", "at"),
    [
        ("main.py: invalid syntax on line 12", "main.py", 12),
        ("File: lib/rules.py Line: 7 Column: 2 - no such name", "lib/rules.py", 7),
        ("Something went wrong", None, None),
    ],
)
def test_the_complaints_of_a_build_have_files_and_lines(line: str, file: str | None, at: int | None) -> None:
    build = Compile.model_validate({"compileId": "aa-bb", "state": "BuildError", "logs": {"0": line}})
    assert [(error.file, error.line, error.text) for error in build.errors] == [(file, at, line)]
    assert build.signature == "bb"
    assert Compile.model_validate({"compileId": "aa-bb", "state": "BuildSuccess", "logs": [line]}).errors == ()


def test_the_account_its_versions_and_the_object_store() -> None:
    assert Account.model_validate({"organizationId": "0f", "creditBalance": "12.5", "card": None}).credit_balance == 12.5
    version = {"id": "17900", "created": "2026-03-01 09:00:00", "name": "master", "leanHash": "abc", "public": 1}
    assert LeanVersion.model_validate(version).id == 17_900
    assert Organization.model_validate({"id": "0f", "name": "Mine", "preferred": "true"}).preferred
    for key in ("folder", "isFolder"):
        assert ObjectEntry.model_validate({"key": "/a", "mime": "directory", key: True, "size": None}).folder
    assert ObjectProperties.model_validate({"key": "k", "size": 4, "preview": "5 €"[:2]}).whole_preview is False
    assert ObjectProperties.model_validate({"key": "k", "size": "5", "preview": "5 €"}).whole_preview


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_whatever_comes_is_a_model_or_a_validation_error(data: st.DataObject) -> None:
    model, sample = data.draw(st.sampled_from(SAMPLES))
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(sample)), json_values, max_size=4))
    with contextlib.suppress(ValidationError):
        model.model_validate({**sample, **changes})
