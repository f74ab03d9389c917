"""The API's OpenAPI document as it is committed: what `/api/v1/openapi.json` says, what many addresses share said once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, cast

from bot.settings import Settings
from bot.web.app import create_app
from bot.web.problems import MEDIA_TYPE, RESPONSES
from bot.web.room import ControlRoom
from bot.web.security.idempotency import IDEMPOTENCY_HEADER

Document = dict[str, Any]

_WIDTH = 130


@cache
def document() -> Mapping[str, Any]:
    """What the control room serves: nothing of a room is asked but its version, its settings and the time."""
    room = SimpleNamespace(version=version("arbiter-desk"), loaded=SimpleNamespace(settings=Settings()), now=lambda: 0)
    return create_app(cast("ControlRoom", room)).openapi()


def folded(served: Mapping[str, Any]) -> Document:
    """The same with each problem and the idempotency key in `components`, to which addresses refer; it is half as long."""
    made: Document = json.loads(json.dumps(served))
    responses = {_problem(status): _response(status) for status in RESPONSES}
    parameters: Document = {}
    for operations in made["paths"].values():
        for operation in operations.values():
            _fold_responses(operation["responses"], responses)
            _fold_key(operation.get("parameters", []), parameters)
    made["components"] |= {"responses": responses, "parameters": parameters}
    return made


def page() -> str:
    """The document as a file: sorted, so that a change of the API is a change of few lines."""
    return "\n".join(_lines(folded(document()), "")) + "\n"


def _problem(status: int | str) -> str:
    return f"Problem{status}"


def _response(status: int | str) -> Document:
    """The answer of a status, as the framework describes it at nearly every address."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {
        "description": RESPONSES[status]["description"],
        "content": {MEDIA_TYPE: {}, "application/json": {"schema": schema}},
    }


def _fold_responses(answers: Document, common: Mapping[str, Document]) -> None:
    for status, answer in answers.items():
        if common.get(_problem(status)) == answer:
            answers[status] = {"$ref": f"#/components/responses/{_problem(status)}"}


def _fold_key(parameters: list[Document], common: Document) -> None:
    for place, parameter in enumerate(parameters):
        if parameter["name"] == IDEMPOTENCY_HEADER and common.setdefault("IdempotencyKey", parameter) == parameter:
            parameters[place] = {"$ref": "#/components/parameters/IdempotencyKey"}


def _lines(value: object, margin: str) -> Iterator[str]:
    """JSON, sorted; what fits into a line stands in one."""
    short = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(margin) + len(short) <= _WIDTH:
        yield margin + short
        return
    members = sorted(value.items()) if isinstance(value, dict) else [("", each) for each in value]
    yield margin + ("{" if isinstance(value, dict) else "[")
    for place, (name, each) in enumerate(members):
        first, *rest = _lines(each, margin + " ")
        lines = [f"{margin} {json.dumps(name)}: {first.lstrip()}" if isinstance(value, dict) else first, *rest]
        lines[-1] += "," if place < len(members) - 1 else ""
        yield from lines
    yield margin + ("}" if isinstance(value, dict) else "]")
