"""Links lead somewhere, and the navigation knows every page."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from tests.docs.markdown_files import ROOT, anchors, links, markdown_files

OUTSIDE = ("https://", "http://", "mailto:")


@pytest.mark.parametrize("file", markdown_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_relative_link_resolves(file: Path) -> None:
    broken = []
    for target in links(file):
        if target.startswith(OUTSIDE):
            continue
        path, _, anchor = unquote(target).partition("#")
        place = (file.parent / path).resolve() if path else file
        found = place.exists() and place.is_relative_to(ROOT)
        if not found or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


def test_the_navigation_names_every_page_once() -> None:
    content = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def leaves(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        assert isinstance(node, (list, dict))
        return [leaf for part in (node.values() if isinstance(node, dict) else node) for leaf in leaves(part)]

    named = leaves(content["nav"])
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(named) == sorted(pages), "name each page in mkdocs.yml"


def test_the_readme_opens_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = text.split("```bash\n", 1)[1].split("```", 1)[0]
    assert commands.split("\n")[:2] == ["make paper", "make test"]
    assert text.index("make paper") < 200
