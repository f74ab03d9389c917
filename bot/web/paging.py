"""Pages of lists: newest first, each with the cursor of the next. A cursor is opaque, and only what was given out is taken."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from bot.web.problems import Problem

T = TypeVar("T")

MOST = 500
Limit = Annotated[int, Query(ge=1, le=MOST, description="entries on a page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before; none: the first page")]


class Page(BaseModel, Generic[T]):
    """One page: its entries, and the cursor of the next, null on the last."""

    items: list[T]
    next: str | None = None


def encoded(key: str | int) -> str:
    """The cursor for a key of the last entry shown."""
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def decoded(cursor: str | None) -> str | None:
    """The key in a cursor; `Problem` 400 if it is none of ours."""
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise _foreign() from error


def row_of(cursor: str | None) -> int | None:
    """The row number in a cursor; `Problem` 400 if there is none in it."""
    key = decoded(cursor)
    if key is None:
        return None
    if not key.isascii() or not key.isdigit() or len(key) > 18:
        raise _foreign()
    return int(key)


def page_of(found: Sequence[T], limit: int, key: Callable[[T], str | int]) -> Page[T]:
    """A page of what was asked for with one entry more than `limit`, which tells whether there is another page."""
    shown = list(found[:limit])
    return Page(items=shown, next=encoded(key(shown[-1])) if len(found) > limit else None)


def _foreign() -> Problem:
    return Problem(400, "Not a cursor", "`after` must be the `next` of a page before, unchanged; leave it out for the first page")
