"""The gate: what comes in is plain, and what is meant for a machine stays out."""

from __future__ import annotations

import json
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.llm.prompts.placeholders import data
from sources.news.gate import LONGEST_SUMMARY, LONGEST_TITLE, Flag, Gate, clean, flag_of
from sources.news.items import Raw
from sources.news.patterns import shipped
from sources.news.settings import NewsSettings
from tests.sources.news.news_world import a_raw, attacks, headlines

ATTACKS = attacks()
HEADLINES = [row[0] for row in headlines()]
PASSING = [case for case in ATTACKS if case["must"] == "passes"]
_FORBIDDEN = (
    *range(0x20), *range(0x7F, 0xA0), *range(0xE0000, 0xE0080), *range(0xFE00, 0xFE10), *range(0x200B, 0x2010),
    *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF,
)  # fmt: skip
_HARD = st.sampled_from(
    [chr(one) for one in _FORBIDDEN] + list("<>[]()!&;*_`#|\"'{}\\/:=.-\n\t") + ["\U000e0041", "\u0301", "\x1b["]
)
_PIECES = st.sampled_from(
    ["<b>", "</news>", "<script>", "](", "![a](b)", "[x](http://a.b/c)", "https://a.b/c", "&lt;", "&amp;lt;", "&#x200b;", "<!--",
     "-->", "\x1b[31m", "\x1b]8;;", "\x07", "www.a.b", "bitcoin"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(_HARD, _PIECES, st.text(max_size=4)), max_size=60).map("".join)


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case["id"])
def test_every_attack_is_dropped_or_passes_sanitised_as_the_corpus_says(case: dict[str, Any]) -> None:
    gate = Gate()
    found = gate.admit(a_raw(case["title"], case["id"]), "wire")
    if case["must"] == "dropped":
        assert found == Flag(case["flag"])
        assert gate.dropped == {("wire", Flag(case["flag"])): 1}
    else:
        assert isinstance(found, Raw)
        assert found.title == case.get("shown", found.title)
        assert gate.passed == {"wire": 1}


def test_the_corpus_is_as_large_and_as_wide_as_promised() -> None:
    assert len({case["id"] for case in ATTACKS}) == len(ATTACKS) >= 60
    assert len({case["title"] for case in ATTACKS}) == len(ATTACKS)
    assert len({case["class"] for case in ATTACKS}) >= 15
    assert {case["flag"] for case in ATTACKS if case["must"] == "dropped"} == {flag.value for flag in Flag}


@pytest.mark.parametrize("title", HEADLINES)
def test_headlines_of_the_trade_pass_unchanged(title: str) -> None:
    assert Gate().admit(a_raw(title), "wire") == a_raw(title)


@pytest.mark.parametrize(
    "case", [case for case in ATTACKS if case.get("flag") not in {None, "empty"}], ids=lambda case: case["id"]
)
def test_what_is_dropped_in_a_title_is_dropped_in_a_summary_that_is_kept(case: dict[str, Any]) -> None:
    raw = a_raw("Bitcoin calm", summary=case["title"])
    assert isinstance(Gate(summaries=True).admit(raw, "wire"), Flag)


def test_headlines_alone_come_in_by_default() -> None:
    assert NewsSettings().summaries is False
    found = Gate().admit(a_raw("Bitcoin calm", summary="A long text. " * 100), "wire")
    assert isinstance(found, Raw)
    assert found.summary == ""


def test_summaries_where_they_are_wanted_are_bounded() -> None:
    found = Gate(summaries=True).admit(a_raw("Bitcoin calm", summary="A long text. " * 100), "wire")
    assert isinstance(found, Raw)
    assert 250 < len(found.summary) <= LONGEST_SUMMARY


def test_a_word_that_only_roles_have_costs_a_headline_and_that_is_counted() -> None:
    gate = Gate()
    assert gate.admit(a_raw("SEC assistant director leaves for private practice"), "wire") is Flag.ROLE
    assert gate.dropped["wire", Flag.ROLE] == 1


@settings(max_examples=400)
@given(TEXTS)
def test_a_cleaned_text_is_plain_bounded_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text, LONGEST_TITLE)
    assert len(cleaned) <= LONGEST_TITLE
    assert not {ord(one) for one in cleaned} & set(_FORBIDDEN)
    assert all(unicodedata.category(one)[0] != "C" for one in cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert "](" not in cleaned
    assert "://" not in cleaned
    assert clean(cleaned, LONGEST_TITLE) == cleaned


@settings(max_examples=300)
@given(st.lists(st.one_of(_PIECES, st.sampled_from(["ignore ", "pre", "vious ", "instructions", "buy", " now"])), max_size=12))
def test_what_passes_still_passes_when_it_is_plain(pieces: list[str]) -> None:
    found = Gate().admit(a_raw("Bitcoin " + "".join(pieces)), "wire")
    if isinstance(found, Raw):
        assert Gate().admit(found, "wire") == found


@settings(max_examples=300)
@given(TEXTS)
def test_no_title_leaves_its_string_in_the_block(text: str) -> None:
    for title in (text, clean(text, LONGEST_TITLE)):
        rows = {"untrusted_news": [{"id": "n1", "title": title.encode(errors="replace").decode()}]}
        written = data(rows)
        assert json.loads(written) == rows
        assert "\n" not in written
        assert not set("<>&`") & set(written)


@settings(max_examples=200)
@given(st.sampled_from([case for case in ATTACKS if case.get("flag") == "order"]), st.sampled_from(HEADLINES))
def test_a_headline_around_an_order_does_not_hide_it(case: dict[str, Any], headline: str) -> None:
    assert flag_of(f"{headline}. {case['title']}") is not None
    assert flag_of(f"{case['title']}. {headline}") is not None or case["id"] in {"bot-must"}


@pytest.mark.parametrize(
    "text",
    [piece * (100_000 // len(piece)) for piece in (
        "a ", "<", "[", "](", "&amp;", "a-", "\x1b]", "<!--", "{{", '"}', "buy ", "ignore ", "www.", "=", "<script", "0", "i.g.n",
        "\u0301", "\ufdfa", "//a", "!["
    )],
    ids=lambda text: ascii(text[:5]),
)  # fmt: skip
def test_no_text_of_a_hundred_kilobytes_holds_the_gate_up(text: str) -> None:
    begun = time.thread_time()
    Gate(summaries=True).admit(a_raw(text, "x", summary=text), "wire")
    assert time.thread_time() - begun < 2.0


def test_every_pattern_earns_its_place_by_an_attack() -> None:
    groups = shipped().groups
    assert set(groups) == {"encoded", "role", "order", "fields", "advert", "tongues"}
    assert all(pattern.search("") is None for patterns in groups.values() for pattern in patterns)
