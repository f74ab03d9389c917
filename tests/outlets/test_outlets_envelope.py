from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bot.core.facts import DecisionSeen, Fact
from bot.core.market import Candle, Quote
from bot.core.orders import OrderState
from bot.outlets.envelope import KINDS, Channel, Encoder, Heartbeat, Identity, JobChanged, masking
from bot.outlets.schema import asyncapi, feed_docs, message_schemas, write_feed_docs
from tests.outlets.feed_facts import AT, decision, equity, every_event, order, quote

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "feed"


def read(encoder: Encoder, event: Any) -> dict[str, Any]:
    parsed = orjson.loads(encoder.encode(event).payload)
    assert isinstance(parsed, dict)
    return parsed


def test_every_fact_quote_and_candle_has_a_channel_and_a_name_of_its_own() -> None:
    assert set(KINDS) == {*get_args(Fact), Quote, Candle, Heartbeat, JobChanged}
    assert len({kind.name for kind in KINDS.values()}) == len(KINDS)
    assert all(kind.name.startswith(f"{kind.channel}.") for kind in KINDS.values())
    assert {type(event) for event in every_event()} == set(KINDS)


def test_the_envelope_has_its_ten_fields_in_order(identity: Identity) -> None:
    message = read(Encoder(identity), order())
    assert list(message) == ["schema", "bot", "run", "mode", "simulated", "seq", "ts", "type", "corr", "data"]
    assert message["schema"] == "arbiter.v1"
    assert (message["bot"], message["run"], message["mode"], message["simulated"]) == ("main", "run-1", "paper", True)
    assert message["ts"] == "2025-12-31T23:59:59.123Z"
    assert (message["type"], message["corr"]) == ("orders.changed", "arb1order")


def test_real_messages_of_every_type_fit_the_published_schema_with_no_field_left_over(identity: Identity) -> None:
    schemas, encoder = message_schemas(), Encoder(identity)
    for event in every_event():
        message = read(encoder, event)
        schema = schemas[message["type"]]
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(message)
        assert set(message) == set(schema["properties"])
        assert set(message["data"]) == set(schema["properties"]["data"]["properties"])


@pytest.mark.parametrize("field", ["seq", "ts", "corr", "data"])
def test_a_message_that_lacks_a_field_does_not_fit(identity: Identity, field: str) -> None:
    message = read(Encoder(identity), order())
    del message[field]
    assert not Draft202012Validator(message_schemas()["orders.changed"]).is_valid(message)


def test_a_number_where_money_belongs_does_not_fit(identity: Identity) -> None:
    message = read(Encoder(identity), order())
    message["data"]["filled"] = 0.1
    assert not Draft202012Validator(message_schemas()["orders.changed"]).is_valid(message)


def test_money_is_plain_digits_never_an_exponent(identity: Identity) -> None:
    request = read(Encoder(identity), order())["data"]["request"]
    assert (request["price"], request["amount"]) == ("100", "0.010")
    assert read(Encoder(identity), DecisionSeen(AT, decision()))["data"]["decision"]["cost"] == "0.0000001"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_money_survives_the_journey_to_the_last_digit(amount: Decimal) -> None:
    event = dataclasses.replace(equity(), cash=amount)
    text = read(Encoder(Identity("b", "r", "paper", simulated=True)), event)["data"]["cash"]
    assert Decimal(text) == amount
    assert re.fullmatch(r"-?\d+(\.\d+)?", text)


def test_seq_counts_each_channel_without_a_gap_whatever_is_skipped(identity: Identity) -> None:
    encoder = Encoder(identity)
    assert [read(encoder, quote())["seq"] for _ in range(3)] == [1, 2, 3]
    assert read(encoder, order())["seq"] == 1
    encoder.skip(quote())
    assert read(encoder, quote())["seq"] == 5
    assert encoder.last == {channel.value: {"quotes": 5, "orders": 1}.get(channel, 0) for channel in Channel}


def test_the_same_events_give_the_same_bytes(identity: Identity) -> None:
    first, second = Encoder(identity), Encoder(identity)
    assert [first.encode(event) for event in every_event()] == [second.encode(event) for event in every_event()]


@pytest.mark.parametrize("text", ["half a pair \ud83d", "line\nbreak", 'quote " and \\', "\x00", "emoji 🚀"])
def test_whatever_text_a_model_wrote_the_message_is_valid_json_on_one_line(identity: Identity, text: str) -> None:
    payload = Encoder(identity).encode(DecisionSeen(AT, decision(text))).payload
    assert b"\n" not in payload
    message = orjson.loads(payload)
    Draft202012Validator(message_schemas()["decisions.seen"]).validate(message)
    assert message["data"]["decision"]["reasoning"] == text.encode("utf-8", "replace").decode()


def test_what_json_cannot_carry_is_an_error_and_its_number_is_spent(identity: Identity) -> None:
    encoder = Encoder(identity)
    broken = dataclasses.replace(decision(), evidence={"x": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        encoder.encode(DecisionSeen(AT, broken))
    assert read(encoder, DecisionSeen(AT, decision()))["seq"] == 2


def test_known_secrets_are_masked_in_every_message(identity: Identity) -> None:
    secret = 'sk-"quoted"-secret'
    encoder = Encoder(identity, masking([secret, "abc", "1767225599123"]))
    message = encoder.encode(DecisionSeen(AT, decision(f"the key {secret} leaked")))
    told = orjson.loads(message.payload)
    assert b"quoted" not in message.payload
    assert told["data"]["decision"]["reasoning"] == "the key *** leaked"
    assert told["data"]["at"] == AT


def test_the_committed_documents_are_fresh() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in DOCS.iterdir()}
    assert committed == feed_docs(), "run `make docs`"


def test_writing_the_documents_removes_schemas_of_types_that_are_gone(tmp_path: Path) -> None:
    (tmp_path / "orders.gone.schema.json").write_text("{}")
    (tmp_path / "note.txt").write_text("kept")
    written = write_feed_docs(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written} | {"note.txt"}


def test_the_asyncapi_document_names_every_channel_and_leaves_no_reference_open() -> None:
    document = asyncapi()
    assert [channel["address"] for channel in document["channels"].values()] == [f"arbiter.v1.{name}" for name in Channel]
    references = set(re.findall(r'"\$ref": ?"([^"]+)"', orjson.dumps(document).decode()))
    assert references
    for reference in references:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    assert set(document["components"]["messages"]) == {kind.name for kind in KINDS.values()}


def test_states_travel_by_their_value(identity: Identity) -> None:
    assert read(Encoder(identity), order(OrderState.CANCELLED))["data"]["state"] == "cancelled"
