"""The documentation as tests see it: files, links, headings and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = "<!-- runs -->"
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block; `runs` says that the tests run it."""

    file: Path
    language: str
    text: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}: {self.text.strip().splitlines()[0][:60]}"


def markdown_files() -> list[Path]:
    """Every Markdown file of the repository's documentation."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(file: Path) -> Iterator[Block]:
    """The code blocks of a file, in order."""
    text = file.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        before = text[: found.start()].rstrip()
        yield Block(file, found["language"], found["text"], before.endswith(RUNS))


def links(file: Path) -> list[str]:
    """What a file links to, code blocks left out."""
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    return [found["target"] for found in _LINK.finditer(re.sub(r"`[^`\n]*`", "code", text))]


def anchors(file: Path) -> set[str]:
    """The anchors of a file's headings, as code hosts make them."""
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
