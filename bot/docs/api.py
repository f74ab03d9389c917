"""The API's addresses, from its OpenAPI document and from the routes: who may, what is confirmed, which use case it is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, get_args

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from bot.docs import markdown as md
from bot.docs.openapi import document
from bot.services.use_case import UseCaseError, use_case
from bot.web import api
from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import API_ROOT, Offer
from bot.web.security.confirming import require_confirmation
from bot.web.security.gate import SAFE, Admin, Reader, Trader
from bot.web.security.idempotency import IDEMPOTENCY_HEADER, IdempotentRoute
from bot.web.security.principal import Scope
from bot.web.stream import routes as streams

_INTRO = """
Everything that the control room shows and does, for programs; the control room shows the same at its own page `/docs`, without
any help from outside. [How to use the control room](../how-to/control-room.md) has examples. [`openapi.json`](openapi.json) is
the document that the control room serves at `/api/v1/openapi.json`, for generators of clients.

- All addresses begin with `/api/v1`. Send `Authorization: Bearer TOKEN`; a token's **scope** is `read`, `trade` or `admin`, and
  each contains the one before it.
- Times are milliseconds UTC. Money and amounts are text, exactly as the decimal is; statistics are numbers. Lists are newest
  first, and go on with `after` set to the `next` of the page before.
- **Two steps**: the first answer is 428 with a `confirmation`. The same request with the header `Confirmation` and that value,
  within 60 s and by the same principal, does it.
- **Key**: takes an `Idempotency-Key`; the same request under the same key is made once, and answered twice.
- **Tag**: the answer has an `ETag`, and `If-None-Match` is answered by 304 while nothing changed.
- **Job**: may answer 202 with `{"job": ID}`; `GET /jobs/{id}` has its progress and its result, and so has `jobs.changed`.
- A failure is a problem document (`application/problem+json`): `title`, `status`, `detail` with the remedy, and what the kind of
  failure needs. Bodies are at most 256 KiB.
- A **use case** is what the command line and the bot perform by the same name.

Beside these there is the WebSocket `/api/v1/ws`, which carries the envelopes of `/stream` (see
[streams](../how-to/control-room.md#follow-it-live)), and without a login nothing but `/healthz`: `/readyz` and `/metrics`
are the bot's own, passed on.
"""
_SCOPES: Mapping[Scope, Any] = {Scope.READ: Reader, Scope.TRADE: Trader, Scope.ADMIN: Admin}
_SUBJECTS = {"quantconnect": "QuantConnect"}


@dataclass(frozen=True, slots=True)
class Address:
    """One method at one address: its operation in the document, and what only the route knows."""

    method: str
    path: str
    operation: Mapping[str, Any]
    scope: Scope
    cases: tuple[str, ...]
    confirmed: bool
    keyed: bool
    tagged: bool
    fixed: Mapping[str, object] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The subject that it belongs to, as a heading."""
        tag = str(self.operation["tags"][0])
        return _SUBJECTS.get(tag) or (f"AI{tag[2:]}" if tag.startswith("ai:") else tag.capitalize())

    @property
    def short(self) -> str:
        """The address below `/api/v1`."""
        return self.path.removeprefix(API_ROOT)

    @property
    def does(self) -> str:
        """What it does: a use case's sentence and what the address implies, or the route's own words."""
        said = md.paragraph(str(self.operation.get("description", "")))
        if said.startswith("The use case"):
            implied = " and ".join(f"`{name}` = `{_said(value)}`" for name, value in self.fixed.items())
            said = str(self.operation["summary"]).rstrip(".") + (f", with {implied}" if implied else "") + "."
        return said[:1].upper() + said[1:]

    @property
    def begins_a_job(self) -> bool:
        """Whether it may answer with a job."""
        return "202" in self.operation["responses"]


def addresses(served: Mapping[str, Any]) -> list[Address]:
    """Every operation of the document with its route; `LookupError` for one that no router has."""
    routes = {(method, route.path_format): route for route in _routes() for method in route.methods or ()}
    offers = {(offer.method, API_ROOT + offer.path.replace(":path", "")): offer for offer in _offers()}
    found = []
    for path, operations in served["paths"].items():
        for word, operation in operations.items():
            method = word.upper()
            route = routes.get((method, path.removeprefix(API_ROOT))) or routes[method, path]
            found.append(_address(method, path, operation, route, offers.get((method, path))))
    return found


def page() -> str:
    """The reference of the API."""
    served = document()
    definitions = {f"#/components/schemas/{name}": schema for name, schema in served["components"]["schemas"].items()}
    found = addresses(served)
    subjects = list(dict.fromkeys(each.subject for each in found))
    index = [part for subject in subjects for part in _index(subject, found)]
    details = [part for subject in subjects for part in _details(subject, found, definitions)]
    return md.page("API", _INTRO, "## All addresses", *index, *details, *_models(found, definitions))


def _routes() -> Iterator[APIRoute]:
    for router in (*api.ROUTERS, streams.router):
        yield from (route for route in router.routes if isinstance(route, APIRoute))


def _offers() -> Iterator[Offer]:
    """The offers of every module of the API: in tables, whatever these are called."""
    for module in pkgutil.iter_modules(api.__path__, f"{api.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, tuple):
                yield from (each for each in value if isinstance(each, Offer))


def _address(method: str, path: str, operation: Mapping[str, Any], route: APIRoute, offer: Offer | None) -> Address:
    keyed = isinstance(route, IdempotentRoute) and method not in SAFE
    tagged = isinstance(route, TaggedRoute) and method == "GET"
    scope = _scope(route.dependant)
    if offer is not None:
        return Address(method, path, operation, scope, (offer.use_case,), bool(offer.confirm), keyed, tagged, offer.fixed)
    functions = list(_reached(route.endpoint))
    confirmed = any(require_confirmation.__name__ in each.__code__.co_names for each in functions)
    cases = next((found for each in functions if (found := _use_cases(each))), ())
    return Address(method, path, operation, scope, cases, confirmed, keyed, tagged)


def _scope(dependant: Dependant) -> Scope:
    """The least that passes the gates in front of a route; `LookupError` where there is none."""
    calls = {each.call for each in _flat(dependant)}
    return max(scope for scope, gate in _SCOPES.items() if get_args(gate)[1].dependency in calls)


def _flat(dependant: Dependant) -> Iterator[Dependant]:
    for each in dependant.dependencies:
        yield each
        yield from _flat(each)


def _reached(function: Callable[..., Any]) -> Iterator[FunctionType]:
    """A function and those of the API's own that it calls, each once, the nearest first."""
    waiting, seen = [function], {function}
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, FunctionType):
            yield each
            called = [each.__globals__.get(name) for name in each.__code__.co_names]
            near = [one for one in called if isinstance(one, FunctionType) and one.__module__.startswith(f"{api.__name__}.")]
            waiting.extend(one for one in dict.fromkeys(near) if one not in seen)
            seen.update(near)


def _use_cases(function: FunctionType) -> tuple[str, ...]:
    """The use cases that a function names."""
    return tuple(dict.fromkeys(text for text in function.__code__.co_consts if isinstance(text, str) and _is_use_case(text)))


def _is_use_case(text: str) -> bool:
    if not text.replace("-", "").replace(".", "", 1).isalpha() or "." not in text:
        return False
    try:
        use_case(text)
    except UseCaseError:
        return False
    return True


def _index(subject: str, found: list[Address]) -> Iterator[str]:
    yield f"### {subject}"
    rows = [
        [
            each.method,
            f"[`{each.short}`](#{_anchor(each)})",
            each.does,
            each.scope.label,
            ", ".join(md.code(case) for case in each.cases),
            ", ".join(_marks(each)),
        ]
        for each in found
        if each.subject == subject
    ]
    yield md.table(["method", "address", "does", "scope", "use case", ""], rows)


def _marks(each: Address) -> Iterator[str]:
    if each.confirmed:
        yield "two steps"
    if each.keyed:
        yield "key"
    if each.tagged:
        yield "tag"
    if each.begins_a_job:
        yield "job"


def _anchor(each: Address) -> str:
    kept = [letter for letter in f"{each.method} {each.short}".lower() if letter.isalnum() or letter in "-_ "]
    return "".join(kept).replace(" ", "-")


def _details(subject: str, found: list[Address], definitions: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {subject}: what goes in and what comes out"
    for each in (address for address in found if address.subject == subject):
        yield f"### `{each.method} {each.short}`"
        yield each.does
        yield f"Scope `{each.scope.label}`" + "".join(f" · {mark}" for mark in _marks(each)) + f" · answers {_answer(each)}."
        rows = [*_parameters(each, definitions), *_body(each, definitions)]
        if rows:
            yield md.table(["given", "in", "kind", "meaning"], rows)


def _parameters(each: Address, definitions: Mapping[str, Any]) -> Iterator[list[str]]:
    for parameter in each.operation.get("parameters", ()):
        if parameter["name"] != IDEMPOTENCY_HEADER:
            yield _given(parameter["name"], parameter["in"], parameter["schema"], definitions, needed=parameter["required"])


def _body(each: Address, definitions: Mapping[str, Any]) -> Iterator[list[str]]:
    for media in each.operation.get("requestBody", {}).get("content", {}).values():
        for model in _objects(media["schema"], definitions):
            needed = model.get("required", ())
            for name, schema in model.get("properties", {}).items():
                yield _given(name, "body", schema, definitions, needed=name in needed)


def _objects(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects that a body may be."""
    if "$ref" in schema:
        yield from _objects(definitions[schema["$ref"]], definitions)
    elif "properties" in schema:
        yield schema
    for branch in schema.get("anyOf", ()):
        yield from _objects(branch, definitions)


def _given(name: str, place: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], *, needed: bool) -> list[str]:
    default = schema.get("default")
    note = "needed" if needed else "" if default in (None, "", {}, []) else f"else {md.code(_said(default))}"
    kind = md.shape(schema, definitions)
    about = str(schema.get("description", ""))
    return [md.code(name), f"{place}, {note}" if note else place, kind, about]


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _answer(each: Address) -> str:
    told = []
    for status, answer in each.operation["responses"].items():
        if int(status) < 300:
            kinds = [_named(media.get("schema", {}), kind) for kind, media in answer.get("content", {}).items()]
            told.append(f"{status} {' or '.join(dict.fromkeys(kinds))}".rstrip())
    return ", ".join(told)


def _named(schema: Mapping[str, Any], kind: str) -> str:
    """What comes back, in a few words."""
    if kind != "application/json":
        return md.code(kind)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if schema.get("type") == "array":
        return f"a list of {_named(schema.get('items', {}), kind)}"
    return "a mapping" if schema.get("type") == "object" else "JSON"


def _models(found: list[Address], definitions: Mapping[str, Any]) -> Iterator[str]:
    """What answers are made of, each model once."""
    wanted: dict[str, None] = {}
    for each in found:
        for status, answer in each.operation["responses"].items():
            if int(status) < 300:
                _collect(answer, definitions, wanted)
    _collect({"$ref": "#/components/schemas/ProblemDocument"}, definitions, wanted)
    yield "## What answers are made of"
    for reference in sorted(wanted):
        schema = definitions[reference]
        rows = [
            [md.code(name), _linked(member, definitions), str(member.get("description", ""))]
            for name, member in schema.get("properties", {}).items()
        ]
        if rows:
            yield f"### `{reference.rpartition('/')[2]}`"
            yield md.paragraph(schema.get("description"))
            yield md.table(["member", "kind", "meaning"], rows)


def _collect(node: object, definitions: Mapping[str, Any], wanted: dict[str, None]) -> None:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference not in wanted and "properties" in definitions[reference]:
            wanted[reference] = None
            _collect(definitions[reference], definitions, wanted)
        for value in node.values():
            _collect(value, definitions, wanted)
    elif isinstance(node, list):
        for value in node:
            _collect(value, definitions, wanted)


def _linked(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The kind of a member; an object is named, and described under its name."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and "properties" in definitions[reference]:
        name = reference.rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_linked(schema['items'], definitions)}"
    if isinstance(branches := schema.get("anyOf"), list):
        return " or ".join(dict.fromkeys(_linked(branch, definitions) for branch in branches))
    return md.shape(schema, definitions)
