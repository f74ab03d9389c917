"""How much one query may bring."""

from __future__ import annotations

LARGEST_PAGE = 1000  # rows


def page(limit: int) -> int:
    """The limit, if it is one; `ValueError` names the bounds."""
    if not 1 <= limit <= LARGEST_PAGE:
        message = f"limit is {limit}: give 1 to {LARGEST_PAGE} rows a page"
        raise ValueError(message)
    return limit
