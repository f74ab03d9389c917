"""A template is looked at before it is saved: its faults, its cost, its looks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sources.llm.leaks import Guard
from sources.llm.models import Model
from sources.llm.prices import shipped as prices
from sources.llm.prompt_store import PromptStore
from sources.llm.prompts.example import TERMS, example_snapshot
from sources.llm.prompts.files import load, names, shipped, shipped_names
from sources.llm.prompts.review import Bench, review, save
from sources.llm.prompts.template import TemplateError, diff, parse
from sources.llm.tokens import TokenScale
from tests.sources.llm.ledger_world import ledger_world
from tests.sources.llm.llm_asks import NOW, SCHEMA

_BODY = "--- system ---\n{{ schema }}{{ limits }}\n--- user ---\n{{ symbol }}{{ snapshot }}\n{{ untrusted }}\n"


def _bench(**changes: Any) -> Bench:
    return replace(Bench(example_snapshot(), TERMS, SCHEMA, NOW), **changes)


def test_every_shipped_template_is_sound() -> None:
    assert "decide" in shipped_names()
    for name in shipped_names():
        found = review(name, shipped(name).body, _bench())
        assert (found.faults, found.remarks) == ((), ())
        assert found.preview is not None
        assert found.tokens < 6_000


def test_a_review_tells_tokens_and_the_most_that_a_call_may_cost() -> None:
    model = prices().model("anthropic", "claude-haiku-5-5")
    found = review("mine", _BODY, _bench(models=(model, Model("local", "nobody")), max_output_tokens=1_000))
    known, unknown = found.estimates
    assert known.prompt_tokens == TokenScale().stretched(found.tokens, model)
    # By the price table: input at the dearer of writing it for an hour (0.2), output at 0.5 for a million.
    assert known.usd == Decimal(known.prompt_tokens) * Decimal("0.0000002") + Decimal("0.0005")
    assert unknown.usd is None
    assert any("nobody has no price" in remark for remark in found.remarks)
    assert 0 < found.stable_tokens < found.tokens


def test_a_learnt_scale_changes_the_estimate() -> None:
    model, scale = prices().model("anthropic", "claude-haiku-5-5"), TokenScale({"anthropic/claude-haiku-5-5": 2.0})
    [plain], [scaled] = (review("mine", _BODY, _bench(models=(model,), scale=one)).estimates for one in (None, scale))
    assert plain.usd is not None
    assert scaled.usd is not None
    assert scaled.usd > plain.usd


def test_a_prompt_that_does_not_fit_is_remarked() -> None:
    model = prices().model("anthropic", "claude-haiku-5-5")
    small = replace(model, capabilities=replace(model.capabilities, context=500))
    assert any("has room for 500" in remark for remark in review("mine", _BODY, _bench(models=(small,))).remarks)


def test_a_configured_secret_in_a_template_is_a_fault_that_does_not_tell_it() -> None:
    found = review("mine", _BODY.replace("{{ limits }}", "{{ limits }} hunter2hunter2"), _bench(guard=Guard(["hunter2hunter2"])))
    assert "configured secret" in found.faults[0]
    assert "hunter2" not in found.faults[0]


def test_a_template_that_compares_nonsense_is_found_in_its_review() -> None:
    found = review("mine", _BODY.replace("{{ symbol }}", "{% if symbol > 1 %}{% endif %}{{ symbol }}"), _bench())
    assert "cannot be rendered" in found.faults[0]
    assert found.preview is None


def test_a_template_that_needs_a_price_is_remarked() -> None:
    needs = _BODY.replace("{{ symbol }}", "{% if price > 1 %}dear{% endif %}{{ symbol }}")
    asks = needs.replace("price > 1", "price is not none and price > 1")
    assert [len(review("mine", one, _bench()).remarks) for one in (needs, asks)] == [1, 0]


def test_a_symbol_in_the_system_part_is_remarked() -> None:
    found = review("mine", _BODY.replace("{{ schema }}", "{{ schema }} {{ symbol }}"), _bench())
    assert "one symbol alone" in found.remarks[0]


async def test_only_what_was_found_sound_is_saved(sqlite_url: str) -> None:
    async with ledger_world(sqlite_url) as world:
        store = PromptStore(world.database, lambda: NOW)
        kept = await save(store, review("mine", _BODY, _bench()), author="me", note="first")
        assert (kept.name, kept.version) == ("mine", 1)
        assert (await store.get("mine", 1)).body == _BODY
        with pytest.raises(TemplateError, match="not a placeholder"):
            await save(store, review("mine", "{{ gold }}".join(_BODY.split("{{ symbol }}")), _bench()), author="me")
        assert len(await store.history("mine")) == 1


def test_versions_are_compared_line_by_line() -> None:
    old, new = parse("mine", _BODY, 1), parse("mine", _BODY.replace("{{ schema }}", "Calm.\n{{ schema }}"), 2)
    told = diff(old, new)
    assert told.startswith("--- mine@1\n+++ mine@2\n")
    assert "+Calm.\n" in told
    assert diff(old, old) == ""


def test_a_person_s_file_goes_before_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "decide.md").write_text(_BODY, encoding="utf-8")
    (tmp_path / "mine.md").write_text(_BODY, encoding="utf-8")
    (tmp_path / "No Name.md").write_text(_BODY, encoding="utf-8")
    assert load("decide", tmp_path).body == _BODY
    assert load("decide").body == load("decide", tmp_path / "absent").body != _BODY
    assert names(tmp_path) == ["decide", "mine"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 300_000, b"nothing"])
def test_a_file_that_is_no_template_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.md").write_bytes(content)
    with pytest.raises(TemplateError, match="template mine"):
        load("mine", tmp_path)


@pytest.mark.parametrize("name", ["../secrets", "decide.md", "/etc/passwd", "absent"])
def test_a_name_reaches_no_other_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(TemplateError):
        load(name, tmp_path)
