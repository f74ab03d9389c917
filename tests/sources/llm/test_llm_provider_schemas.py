"""A schema is made so that every provider takes it, and answers are held to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from sources.llm.schemas import SchemaError, check_portable, fault_of, portable
from tests.sources.llm.llm_asks import SCHEMA


class Side(StrEnum):
    """An enum, which pydantic writes as a reference."""

    BUY = "buy"
    SELL = "sell"


class Level(BaseModel):
    """A part."""

    price: Annotated[float, Field(gt=0, description="in USDT")]


class Plan(BaseModel):
    """With all that providers differ about."""

    side: Side
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    stop: float | None = None
    levels: Annotated[list[Level], Field(max_length=3)]
    kind: Literal["a"] = "a"
    note: Annotated[str, Field(max_length=200)]


class Endless(BaseModel):
    """Contains itself."""

    inner: Endless | None


def test_a_schema_of_pydantic_becomes_portable() -> None:
    made = portable(Plan.model_json_schema())
    assert made["required"] == list(Plan.model_fields)
    assert made["additionalProperties"] is False
    assert "$defs" not in made
    assert made["properties"]["side"]["enum"] == ["buy", "sell"]
    assert made["properties"]["confidence"]["description"] == "at least 0; at most 1"
    assert made["properties"]["levels"]["items"]["properties"]["price"]["description"] == "in USDT; above 0"
    assert made["properties"]["stop"]["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert "maxLength" not in str(made)
    assert portable(made) == made


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string"}, "outermost"),
        ({"type": "object", "properties": {}, "additionalProperties": False}, "names its properties"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": []}, "required"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, "additionalProperties"),
    ],
)
def test_a_schema_that_some_provider_refuses_is_named(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        check_portable(schema)


def a_schema(part: dict[str, Any], names: int = 1) -> dict[str, Any]:
    """A schema with such properties."""
    properties = {f"f{place}": part for place in range(names)}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def test_recursion_bounds_and_too_many_nullables_are_refused() -> None:
    with pytest.raises(SchemaError, match="itself"):
        portable(Endless.model_json_schema())
    with pytest.raises(SchemaError, match="minimum"):
        check_portable(a_schema({"type": "number", "minimum": 0}))
    with pytest.raises(SchemaError, match="nullable"):
        check_portable(a_schema({"anyOf": [{"type": "number"}, {"type": "null"}]}, 11))
    with pytest.raises(SchemaError, match="items"):
        check_portable(a_schema({"type": "array"}))
    with pytest.raises(SchemaError, match="not defined"):
        portable(a_schema({"$ref": "#/$defs/Gone"}))
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(11):
        deep = {"type": "array", "items": deep}
    with pytest.raises(SchemaError, match="deeper"):
        check_portable(a_schema(deep))


def test_answers_are_held_to_the_schema() -> None:
    schema = portable(Plan.model_json_schema())
    good = {"side": "buy", "confidence": 1, "stop": None, "levels": [{"price": 1.5}], "kind": "a", "note": ""}
    assert fault_of(good, schema) == ""
    for change, said in (
        ({"side": "up"}, r"\$.side"),
        ({"confidence": "1"}, r"\$.confidence"),
        ({"confidence": True}, r"\$.confidence"),
        ({"confidence": float("nan")}, r"\$.confidence"),
        ({"confidence": float("inf")}, r"\$.confidence"),
        ({"stop": "none"}, r"\$.stop"),
        ({"levels": [{"price": 1}, {}]}, r"\$.levels[1]"),
        ({"levels": {}}, r"\$.levels"),
        ({"extra": 1}, "besides"),
        ({"note": 5}, r"\$.note"),
    ):
        assert said.replace("\\", "") in fault_of(good | change, schema)
    assert "lacks side" in fault_of({}, schema)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["side", "size", "\n"]), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_no_value_makes_the_check_fail_and_its_fault_is_one_short_line(value: object) -> None:
    fault = fault_of(value, SCHEMA.body)
    assert "\n" not in fault
    assert len(fault) < 500
    if not fault:
        assert isinstance(value, dict)
        assert set(value) == {"side", "size"}
