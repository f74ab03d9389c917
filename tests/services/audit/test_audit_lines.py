from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.outlets.envelope import masking
from bot.services.audit.entry import LONGEST_DETAIL, STARS, Scribe, target_of
from bot.services.audit.use_cases import USE_CASES
from bot.services.audit.views import LOOKS, looks, told
from bot.services.use_case import use_case

CANARY = "canary-4f9a1c77-secret"
SCRIBE = Scribe(masking([CANARY]))


@pytest.mark.parametrize(
    "name",
    [
        "value",
        "key",
        "secret",
        "api_key",
        "apiKey",
        "token",
        "access_token",
        "password",
        "passphrase",
        "url",
        "dsn",
        "webhook_url",
    ],
)
def test_what_stands_under_a_name_that_may_hide_a_secret_is_not_kept(name: str) -> None:
    assert SCRIBE.shown({"inner": [{name: "hunter2hunter2"}]}) == {"inner": [{name: STARS}]}
    assert SCRIBE.shown({name: {"deeper": "hunter2hunter2"}}) == {name: STARS}


def test_a_known_secret_is_starred_out_wherever_it_stands() -> None:
    shown = SCRIBE.shown({"reason": f"because {CANARY}!", CANARY: 1, "x" * 190 + CANARY: f"{'y' * 190}{CANARY}"})
    assert "canary" not in orjson.dumps(shown).decode()
    assert "canary" not in SCRIBE.text(f"{'y' * (LONGEST_DETAIL - 10)}{CANARY}", LONGEST_DETAIL)
    assert SCRIBE.text(f"no: {CANARY}", 100) == "no: ***"


def test_a_line_is_one_line_and_holds_no_mark_that_a_database_refuses() -> None:
    assert SCRIBE.text("two\nlines\x00 \x1b[31mred", 100) == "two lines [31mred"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=60) | st.dictionaries(st.text(max_size=200), inner, max_size=60),
        max_leaves=200,
    )
)
def test_whatever_was_asked_what_is_kept_is_json_and_bounded(asked: object) -> None:
    assert len(orjson.dumps(SCRIBE.shown({"asked": asked}))) <= 8_300


def test_what_is_no_json_is_said_so() -> None:
    assert SCRIBE.shown({"x": {1: 2}}) == f"{STARS} (not JSON)"


def test_the_target_is_what_the_arguments_name_first() -> None:
    assert target_of({"paused": True, "source": "rules:demo", "id": 7}) == "rules:demo"
    assert target_of({"id": 7}) == "7"
    assert target_of({"flatten": True}) == ""


def test_use_cases_that_only_look_are_use_cases_and_the_others_are_kept() -> None:
    assert {name for name in LOOKS if use_case(name).name != name} == set()
    assert looks("learning.feedback", {"decision": "x"})
    assert not looks("learning.feedback", {"decision": "x", "opined": "wrong"})
    assert not looks("qc.deploy", {})
    assert [(case.name, case.reads, case.quick) for case in USE_CASES] == [("audit.list", True, True)]


def test_an_answer_may_say_itself_what_was_before_and_after() -> None:
    assert told({"before": 0.5, "after": 0.6}) == (0.5, 0.6)
    assert told({"changes": [{"key": "a.b", "before": 1, "after": 2}, {"key": "c.d", "before": None, "after": 3}]}) == (
        {"a.b": 1, "c.d": None},
        {"a.b": 2, "c.d": 3},
    )
    assert told({"changes": []}) == (None, None)
    assert told(None) == (None, None)
