"""What a language model says, as HTML: emphasis, lists, tables and code. No HTML of its own, no links, no images, no headings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_LONGEST = 20_000


@cache
def _reader() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - not before somebody says something

    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True}).enable("table")
    return made.disable(["link", "image", "autolink", "html_block", "html_inline", "heading", "lheading", "reference"])


def markdown(text: object) -> Markup:
    """The text of somebody else's as HTML that can do nothing; cut at 20,000 characters."""
    said = str(text or "")
    shown = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}\n\n…"
    return Markup(_reader().render(shown))  # noqa: S704 - the reader escapes every sign of HTML
