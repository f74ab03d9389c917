"""Form fields of a request. Forms here are plain (`application/x-www-form-urlencoded`); files are never uploaded."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from bot.web.problems import Problem

FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 200


def is_form(request: Request) -> bool:
    """Whether the body is a form."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a form, the last of a name; empty for a body of another kind. `Problem` 400 for one that cannot be read."""
    if not is_form(request):
        return {}
    try:
        text = (await request.body()).decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise Problem(400, "Not a form", f"the fields must be UTF-8 and at most {_MOST_FIELDS}") from error
