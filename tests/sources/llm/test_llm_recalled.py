"""A recorded market state becomes the snapshot that it was: the same hash, the same ids, the same prompt."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.llm.prompts.example import TERMS, example_sight, example_snapshot
from sources.llm.prompts.files import shipped
from sources.llm.recalled import NotRecallable, recalled
from sources.llm.snapshot import take

AT = 1_700_000_000_000


def test_a_snapshot_comes_back_as_it_was_and_asks_the_same_question() -> None:
    was = take(example_sight())
    found = recalled(was.canonical.decode(), AT)
    assert (found.snapshot.hash, found.snapshot.ids, found.snapshot.symbol) == (was.hash, was.ids, was.symbol)
    assert (found.snapshot.price, found.snapshot.shortest, found.snapshot.at) == (was.price, was.shortest, AT)
    assert (found.bid, found.ask, found.share) == (49_999.5, 50_000.5, 0.25)
    template = shipped()
    assert template.render(found.snapshot, TERMS) == template.render(was, TERMS)


def test_without_a_quote_the_price_stands_for_both_sides() -> None:
    body = orjson.loads(example_snapshot().canonical)
    body["quote"] = dict.fromkeys(body["quote"])
    found = recalled(orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode(), AT)
    assert found.bid == found.ask == body["price"]


@given(st.sampled_from(["account", "timeframes", "untrusted_news", "format"]))
def test_a_state_of_another_format_is_refused_by_name(part: str) -> None:
    body = orjson.loads(example_snapshot().canonical)
    del body[part]
    with pytest.raises(NotRecallable, match=part):
        recalled(orjson.dumps(body).decode(), AT)


@pytest.mark.parametrize("state", ["", "no json", "[]", "null", '{"format": 1}'])
def test_what_is_no_snapshot_is_refused(state: str) -> None:
    with pytest.raises(NotRecallable):
        recalled(state, AT)
