"""Requests and answers as a PHP service has them: arguments by query, JSON, form or multipart, and one envelope for all."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from aiohttp import web

INVALID = "Invalid argument"
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_MAX_KEYS = 5_000


class Refused(Exception):  # noqa: N818 - it says what became of the request
    """A business error: HTTP 200, `success: false` and this text, under `field`: errors, messages or Message."""

    def __init__(self, text: str = INVALID, field: str = "errors") -> None:
        super().__init__(text)
        self.field = field

    def body(self) -> dict[str, object]:
        """The envelope."""
        text = str(self)
        return {"success": False, self.field: text if self.field == "Message" else [text]}


class Arguments(Mapping[str, Any]):
    """What a request gave, by name. Numbers may come as texts; what is missing or of the wrong kind is an invalid argument."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def __getitem__(self, name: str) -> Any:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number, required unless there is a default."""
        value = self._given.get(name)
        if value is None or value == "":
            if default is None:
                raise Refused
            return default
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise Refused
        try:
            return int(value)
        except (ValueError, OverflowError):
            raise Refused from None

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number, required unless there is a default."""
        value = self._given.get(name)
        if value is None or value == "":
            if default is None:
                raise Refused
            return default
        try:
            found = float(value)
        except (TypeError, ValueError):
            raise Refused from None
        if not math.isfinite(found):
            raise Refused
        return found

    def text(self, name: str, default: str | None = None) -> str:
        """A text, required and not blank unless there is a default."""
        value = self._given.get(name)
        if value is None:
            if default is None:
                raise Refused
            return default
        if isinstance(value, bool | list | dict):
            raise Refused
        if default is None and not str(value).strip():
            raise Refused
        return str(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value in any of its spellings."""
        value = self._given.get(name, default)
        return str(value).lower() in ("1", "true")

    def mapping(self, name: str) -> dict[str, Any]:
        """A map; PHP's empty list is an empty one."""
        value = self._given.get(name)
        if value is None or value in ([], ""):
            return {}
        if not isinstance(value, dict):
            raise Refused
        return value

    def rows(self, name: str) -> list[Any]:
        """A list; a map with numeric keys is one, too."""
        value = self._given.get(name)
        if value is None or value in ({}, ""):
            return []
        if isinstance(value, dict):
            return [value[key] for key in sorted(value, key=lambda key: int(key) if str(key).isdigit() else 0)]
        if not isinstance(value, list):
            raise Refused
        return value

    def page(self, most: int, start: str = "start", end: str = "end") -> slice:
        """`start` (inclusive) and `end` (exclusive), at most so many rows apart."""
        first, last = self.integer(start), self.integer(end)
        if first < 0 or last <= first or last - first > most:
            raise Refused
        return slice(first, last)


async def arguments_of(request: web.Request) -> tuple[Arguments, dict[str, bytes]]:
    """The arguments of a request, whichever way they came, and the files of a multipart one. `Refused` when unreadable."""
    given: dict[str, Any] = _nested(list(request.query.items()))
    files: dict[str, bytes] = {}
    kind = request.content_type
    if request.method != "POST" or not request.can_read_body:
        return Arguments(given), files
    if kind == "multipart/form-data":
        texts, files = await _multipart(request)
        given |= texts
    elif kind == "application/x-www-form-urlencoded":
        form = await request.post()
        given |= _nested([(key, value) for key, value in form.items() if isinstance(value, str)])
    else:
        given |= _json(await request.read())
    return Arguments(given), files


def _json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused from None
    if found in ([], None):
        return {}
    if not isinstance(found, dict):
        raise Refused
    return found


async def _multipart(request: web.Request) -> tuple[dict[str, str], dict[str, bytes]]:
    texts: dict[str, str] = {}
    files: dict[str, bytes] = {}
    form = await request.post()
    for name, value in form.items():
        if isinstance(value, web.FileField):
            files[name] = value.file.read()
        elif isinstance(value, bytes | bytearray):
            files[name] = bytes(value)
        else:
            texts[name] = value
    return texts, files


def _nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`a[0][key]=x` as `{"a": [{"key": "x"}]}`."""
    if len(pairs) > _MAX_KEYS:
        raise Refused
    tree: dict[str, Any] = {}
    for key, value in pairs:
        name, _, rest = key.partition("[")
        path = [name, *_BRACKETS.findall(f"[{rest}")] if rest else [name]
        node = tree
        for step in path[:-1]:
            child = node.setdefault(step or str(len(node)), {})
            if not isinstance(child, dict):
                raise Refused
            node = child
        last = path[-1] or str(len(node))
        node[last] = value
    return {key: _listed(value) for key, value in tree.items()}


def _listed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    children = {key: _listed(value) for key, value in node.items()}
    if children and set(children) == {str(place) for place in range(len(children))}:
        return [children[str(place)] for place in range(len(children))]
    return children


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer."""
    return web.Response(body=orjson.dumps(body, default=str), status=status, headers=headers, content_type="application/json")
