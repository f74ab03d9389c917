"""Whatever comes over the wire is an answer or a named failure, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.llm.asking import Trouble
from sources.llm.models import Dialect
from sources.llm.providers.calling import judged
from sources.llm.providers.events import Event, events
from sources.llm.providers.failures import in_stream, told, trouble_of
from sources.llm.providers.reading import Answer, Failed, Unreadable
from sources.llm.providers.speech import Speech
from tests.sources.llm.llm_asks import SPEECHES, an_ask
from tests.sources.llm.llm_service import COMPLETION, MESSAGE, RESPONSE

GOOD = {Dialect.RESPONSES: RESPONSE, Dialect.MESSAGES: MESSAGE, Dialect.CHAT: COMPLETION}
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
WORDS = """type status output content text usage input_tokens choices message finish_reason delta tool_calls function arguments
error stop_reason index response message_start content_block content_block_delta message_stop response.completed name id"""
NAMES = st.sampled_from(WORDS.split())
ANY = st.recursive(
    LEAVES | NAMES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
EVERY = pytest.mark.parametrize("dialect", list(Dialect))


def read(speech: Speech, body: Any) -> None:
    """Read a body; only the named failures may come."""
    try:
        answer = speech.read(body)
    except Unreadable:
        return
    except Failed as failed:
        in_stream(failed.body, "p", "m", ())
        return
    assert isinstance(answer, Answer)
    if answer.usage is not None:
        usage = answer.usage
        assert 0 <= usage.cached + usage.cache_write <= usage.input
        assert 0 <= usage.reasoning <= usage.output
    judged(an_ask(), answer)


@EVERY
@given(changes=st.dictionaries(NAMES, ANY, max_size=4))
def test_no_body_escapes_the_reading(dialect: Dialect, changes: dict[str, Any]) -> None:
    speech: Speech = SPEECHES[dialect]()
    read(speech, changes)
    read(speech, orjson.loads(orjson.dumps(GOOD[dialect])) | changes)


@EVERY
@given(bodies=st.lists(st.dictionaries(NAMES, ANY, max_size=4), max_size=6))
def test_no_events_escape_the_gathering(dialect: Dialect, bodies: list[dict[str, Any]]) -> None:
    speech: Speech = SPEECHES[dialect]()
    gathering = speech.gathering()
    try:
        for body in bodies:
            assert isinstance(gathering.take(body), str)
    except Failed:
        return
    whole = gathering.whole()
    if whole is not None:
        read(speech, whole)


@given(ANY, st.integers(100, 599))
def test_every_error_body_has_a_trouble(body: Any, status: int) -> None:
    kind, said = told(body)
    assert isinstance(trouble_of(status, kind, said), Trouble)


async def pieces(stream: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    """A stream in pieces."""
    places = sorted({cut % (len(stream) + 1) for cut in cuts})
    for begin, end in zip([0, *places], [*places, len(stream)], strict=True):
        yield stream[begin:end]


@given(st.lists(st.integers(0, 10_000), max_size=20), st.booleans())
async def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int], returns: bool) -> None:
    text = 'event: a\ndata: {"x":1}\n\n: comment\n\ndata: one\ndata:two\nid: 7\n\nevent: b\n\ndata: last\n\ndata: cut off'
    stream = (text.replace("\n", "\r\n") if returns else text).encode()
    found = [event async for event in events(pieces(stream, cuts))]
    assert found == [Event("a", b'{"x":1}'), Event("", b"one\ntwo"), Event("", b"last")]
