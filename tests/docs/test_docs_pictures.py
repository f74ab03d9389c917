"""Pictures: those that are shown are there, those that are there are shown, and none is heavy."""

from __future__ import annotations

import re
from pathlib import Path

from tests.browser.pictures import LARGEST_BYTES, PICTURES
from tests.docs.markdown_files import ROOT, markdown_files

IMAGES = ROOT / "docs" / "images"
_SHOWN = re.compile(r"!\[[^\]]+\]\(([^)\s]+\.png)\)|(?:src|srcset)=\"([^\"]+\.png)\"")


def shown() -> set[Path]:
    """Every picture that a page shows."""
    return {
        (file.parent / (found[1] or found[2])).resolve()
        for file in markdown_files()
        for found in _SHOWN.finditer(file.read_text(encoding="utf-8"))
    }


def test_every_picture_that_is_shown_is_taken_and_the_other_way_round() -> None:
    taken = {IMAGES / f"{picture.name}.png" for picture in PICTURES}
    assert set(IMAGES.glob("*.png")) == taken
    assert shown() == taken


def test_pictures_are_few_and_light() -> None:
    assert len(PICTURES) <= 8
    for picture in IMAGES.glob("*.png"):
        body = picture.read_bytes()
        assert body.startswith(b"\x89PNG"), picture
        assert len(body) <= LARGEST_BYTES, picture


def test_the_first_picture_of_the_readme_fits_the_reader_s_light() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r'<source media="\(prefers-color-scheme: dark\)" srcset="docs/images/overview-dark\.png">', text)
    assert re.search(r'<img alt="[^"]{20,}" src="docs/images/overview-light\.png"', text)
