"""The API's reference: complete, right about who may, and the committed document is the one that is served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.docs.api import Address, addresses
from bot.docs.markdown import NOTE
from bot.docs.openapi import document, folded
from bot.docs.pages import pages
from bot.web.api.offers import API_ROOT
from tests.docs.markdown_files import ROOT, anchors

COMMITTED = ROOT / "docs" / "reference" / "openapi.json"
PAGE = ROOT / "docs" / "reference" / "api.md"
MOST_BYTES = 400_000


@pytest.fixture(scope="module")
def served() -> Mapping[str, Any]:
    return document()


@pytest.fixture(scope="module")
def found(served: Mapping[str, Any]) -> dict[str, Address]:
    return {f"{each.method} {each.short}": each for each in addresses(served)}


def unfolded(node: Any, whole: Mapping[str, Any]) -> Any:
    """The document with what stands in `components` put back where it is meant; schemas stay where they are."""
    if isinstance(node, dict):
        reference = str(node.get("$ref", ""))
        if reference.startswith(("#/components/responses/", "#/components/parameters/")):
            _, _, kind, name = reference.split("/")
            return whole["components"][kind][name]
        return {key: unfolded(value, whole) for key, value in node.items()}
    return [unfolded(each, whole) for each in node] if isinstance(node, list) else node


def test_the_committed_document_says_what_is_served(served: Mapping[str, Any]) -> None:
    committed = json.loads(COMMITTED.read_text(encoding="utf-8"))
    whole = unfolded(committed, committed)
    assert whole["paths"] == json.loads(json.dumps(served))["paths"], "say `make docs`"
    assert whole["components"]["schemas"] == json.loads(json.dumps(served))["components"]["schemas"]


def test_the_committed_document_is_small_and_sorted() -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    names = list(json.loads(text)["paths"])
    assert names == sorted(names)


def test_what_is_folded_is_only_what_is_the_same() -> None:
    other = {"description": "Conflict", "content": {}}
    served = {"paths": {"/x": {"get": {"responses": {"409": other, "200": {}}}}}, "components": {"schemas": {}}}
    assert folded(served)["paths"] == served["paths"]


def test_every_address_is_on_the_page_with_a_place_of_its_own(found: Mapping[str, Address]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(NOTE) == 1
    for name in found:
        assert f"\n### `{name}`\n" in text
    places = [line for line in text.splitlines() if line.startswith("| [`") or "](#" in line]
    linked = {part.partition(")")[0] for line in places for part in line.split("](#")[1:]}
    assert linked <= anchors(PAGE)
    assert len(found) == sum(len(operations) for operations in document()["paths"].values())


@pytest.mark.parametrize(
    ("name", "scope", "cases", "marks"),
    [
        ("GET /decisions", "read", (), {"tag"}),
        ("POST /risk/kill", "trade", (), {"two steps", "key"}),
        ("PUT /sources/{source}/threshold", "trade", ("desk.set-threshold",), {"key"}),
        ("GET /risk/state", "read", ("risk.state",), set()),
        ("POST /quantconnect/algorithms/{project}/stop", "trade", ("qc.stop",), {"two steps", "key"}),
        ("PUT /settings", "admin", ("config.set",), {"key"}),
        ("GET /secrets", "admin", ("config.secrets",), set()),
        ("PUT /secrets/{name}", "admin", ("config.secret-set",), set()),
    ],
)
def test_the_page_knows_who_may_and_how(
    name: str, scope: str, cases: tuple[str, ...], marks: set[str], found: Mapping[str, Address]
) -> None:
    each = found[name]
    told = {"two steps": each.confirmed, "key": each.keyed, "tag": each.tagged}
    assert (each.scope.label, each.cases, {mark for mark, is_so in told.items() if is_so}) == (scope, cases, marks)


def test_nothing_is_changed_by_who_may_only_read(found: Mapping[str, Address]) -> None:
    """What-if questions and previews are POST because of their bodies; they change nothing and spend nothing."""
    harmless = ("/risk/validate", "/risk/size", "/preview", "/quantconnect/export")
    for name, each in found.items():
        if each.method != "GET" and not each.short.endswith(harmless):
            assert each.scope.label != "read", name


def test_no_address_is_left_without_words(found: Mapping[str, Address]) -> None:
    assert [name for name, each in found.items() if not each.does.endswith((".", "?"))] == []


def test_every_generated_page_is_known_by_the_generator() -> None:
    wanted = set(pages())
    assert {PAGE.relative_to(ROOT), COMMITTED.relative_to(ROOT)} <= wanted
    assert Path("docs/reference/cli.md") in wanted
    assert API_ROOT == "/api/v1"
