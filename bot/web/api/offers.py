"""Use cases as addresses: a table says which use case answers at which address, and routes are made of it.

A request model is the use case's own without what the address or the session already says. What takes a while is a job: a change
answers 202 with its id at once, a question waits for it, at most as long as a person would.
"""

from __future__ import annotations

import inspect
import string
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel, ConfigDict, create_model

from bot.services.use_case import UseCase, use_case
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.confirming import require_confirmation
from bot.web.security.gate import Admin, Reader, Trader
from bot.web.security.idempotency import IdempotentRoute, nonce_of
from bot.web.security.principal import Principal, Scope

API_ROOT = "/api/v1"
WAIT_SECONDS = 20.0
AUTHORS = frozenset({"author"})
"""Arguments that say who asks: the session knows, the request does not."""

_GATES: Mapping[Scope, Any] = {Scope.READ: Reader, Scope.TRADE: Trader, Scope.ADMIN: Admin}
_REAL = "This is LIVE: real orders, real money."
_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Offer:
    """One address. `fixed` are arguments that it implies; `renamed` says which argument a part of the path is.

    With `confirm`, a text in which arguments may stand in braces, it is done in two steps; with `live`, another such text, only
    where real orders are sent.
    """

    method: str
    path: str
    use_case: str
    scope: Scope = Scope.READ
    confirm: str = ""
    live: str = ""
    fixed: Mapping[str, object] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    @property
    def parts(self) -> tuple[str, ...]:
        """The variable parts of the path."""
        return tuple(name.partition(":")[0] for _, name, _, _ in string.Formatter().parse(self.path) if name)

    @property
    def name(self) -> str:
        """What the operation is called in the document: unique, made of method and path."""
        words = self.path.replace("{", "").replace("}", "").replace(":path", "")
        return "_".join([self.method.lower(), *words.strip("/").replace("-", "_").split("/")])


def router_of(offers: Sequence[Offer], tag: str) -> APIRouter:
    """The routes of these addresses."""
    router = APIRouter(tags=[tag], route_class=IdempotentRoute)
    for offer in offers:
        _add(router, offer, use_case(offer.use_case))
    return router


def _add(router: APIRouter, offer: Offer, case: UseCase[Any]) -> None:
    responses: dict[int | str, dict[str, Any]] = {}
    if not case.quick and not case.reads:
        responses[202] = {"description": "A job does it; `Location` tells how far it is.", "model": JobBegun}
    router.add_api_route(
        offer.path,
        _endpoint(offer, case),
        methods=[offer.method],
        name=offer.name,
        operation_id=offer.name,
        summary=case.about,
        description=f"The use case `{case.name}`, with the scope `{offer.scope.label}`.",
        response_model=dict[str, Any],
        responses=responses,
    )


class JobBegun(BaseModel):
    """A job was begun."""

    job: str


def _endpoint(offer: Offer, case: UseCase[Any]) -> Callable[..., Awaitable[Any]]:
    """The function behind an address, with the signature that the framework reads: room, principal, path, arguments."""
    parts = {part: offer.renamed.get(part, part) for part in offer.parts}
    model = _request_model(offer, case, {*parts.values(), *offer.fixed, *AUTHORS, *offer.hidden})
    author = AUTHORS & case.args.model_fields.keys()

    async def endpoint(room: ControlRoom, principal: Principal, request: Request, given: BaseModel | None, **path: str) -> Any:
        args = {**({} if given is None else plain(given)), **offer.fixed}
        args |= {parts[part]: value for part, value in path.items()}
        args |= dict.fromkeys(author, principal.actor)
        if offer.confirm:
            await require_confirmation(request, principal, case.name, args, offer.confirm.format_map(_Lenient(args)))
        if offer.live:
            await confirmed_where_live(room, request, principal, case.name, args, offer.live.format_map(_Lenient(args)))
        answer = await room.ask(case.name, args, principal, nonce=nonce_of(request))
        return await _answered(room, principal, offer, answer)

    where = Query() if offer.method in {"GET", "DELETE"} else Body()
    parameters = [
        _parameter("room", Room),
        _parameter("principal", _GATES[offer.scope]),
        _parameter("request", Request),
        *(_parameter(part, Annotated[_kind(case, name), Path()]) for part, name in parts.items()),
    ]
    if model is not None:
        default = _EMPTY if any(each.is_required() for each in model.model_fields.values()) or offer.method == "GET" else None
        kind = Annotated[model, where] if default is _EMPTY else Annotated[model | None, where]
        parameters.append(inspect.Parameter("given", inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default))

    async def called(**values: Any) -> Any:
        return await endpoint(
            values.pop("room"), values.pop("principal"), values.pop("request"), values.pop("given", None), **values
        )

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__name__ = offer.name
    return called


async def confirmed_where_live(
    room: ControlRoom, request: Request, principal: Principal, action: str, args: Mapping[str, object], text: str
) -> None:
    """Return at once where no real order is sent, else when it was confirmed; `Problem` 428 before that."""
    told = await with_stakes(room, text)
    if told != text:
        await require_confirmation(request, principal, action, args, told)


async def with_stakes(room: ControlRoom, text: str) -> str:
    """A question, and whether it is about real money."""
    return f"{text} {_REAL}" if (await room.world()).badge == "LIVE" else text


def plain(given: BaseModel) -> dict[str, Any]:
    """What was said in a request, as JSON; `Problem` 422 for what is nested without end."""
    try:
        return given.model_dump(mode="json", exclude_unset=True)
    except (ValueError, RecursionError) as error:
        raise Problem(422, "Not acceptable as it is", "body: it is nested too deep, or holds what JSON cannot say") from error


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def _kind(case: UseCase[Any], name: str) -> Any:
    """A path part's type: a number where the argument is one, else a text of bounded length."""
    declared = case.args.model_fields[name].annotation
    return int if declared is int else Annotated[str, Path(max_length=200)]


def _request_model(offer: Offer, case: UseCase[Any], known: set[str]) -> type[BaseModel] | None:
    """The use case's arguments without those that are known; None if none are left. The use case itself checks the whole."""
    left = {name: (each.annotation, each) for name, each in case.args.model_fields.items() if name not in known}
    if not left:
        return None
    made: type[BaseModel] = create_model(  # type: ignore[call-overload]
        f"{offer.name.title().replace('_', '')}Request",
        __config__=ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False),
        __doc__=case.args.__doc__,
        **left,
    )
    return made


async def _answered(room: ControlRoom, principal: Principal, offer: Offer, answer: Mapping[str, Any]) -> Any:
    """The answer; of a job its result, if it is a question and soon done, else where to ask for it."""
    job = answer.get("job")
    if not isinstance(job, str) or set(answer) != {"job"}:
        return dict(answer)
    if offer.method == "GET":
        done = await room.finished(job, principal, WAIT_SECONDS)
        if done is not None:
            return dict(done)
    return ORJSONResponse({"job": job}, 202, {"Location": f"{API_ROOT}/jobs/{job}"})


class _Lenient(dict[str, object]):
    """For texts: an argument that was not given is its name."""

    def __missing__(self, key: str) -> str:
        return key
