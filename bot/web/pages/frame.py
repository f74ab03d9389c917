"""What every page has around it: the trading state, jobs, the API's description, health and metrics of the bot, and problems."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

import aiohttp
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from bot.web.pages.render import environment, fragment, page
from bot.web.pages.words import slug
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader, known

router = APIRouter()

_PROXY_SECONDS = 5.0
_PROXY_BYTES = 4 * 1024 * 1024
JobId = Annotated[str, Path(max_length=64, pattern=r"^job-[0-9]+-[0-9]+$")]
View = Annotated[str, Query(max_length=40, pattern=r"^[a-z-]*$")]


@router.get("/ui/state")
async def state(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """The trading state, for the head of every page."""
    del principal
    try:
        found: Mapping[str, Any] | None = await room.status()
    except Problem:
        found = None
    return fragment(request, "frame/state.html", {"status": found})


@router.get("/ui/jobs/{id}")
async def job(request: Request, room: Room, principal: Reader, id: JobId, view: View = "") -> HTMLResponse:  # noqa: A002
    """A job: how far it is, and its result by the template `results/VIEW.html`, or as it is."""
    found = await room.command("job", {"id": id}, principal)
    template = f"results/{view}.html" if view else "results/plain.html"
    if f"results/{view}.html" not in environment().list_templates(filter_func=lambda name: name == template):
        template = "results/plain.html"
    return fragment(request, "frame/job.html", {"job": found, "result_template": template})


@router.get("/docs")
async def api_reference(request: Request, principal: Reader) -> HTMLResponse:
    """The API's description, readable without any other page's script."""
    del principal
    document = request.app.openapi()
    return await page(request, "frame/docs.html", "docs", {"groups": _groups(document), "about": document["info"]["description"]})


@router.get("/healthz")
async def healthz(room: Room) -> Response:
    """The bot's own word on whether it lives; 503 while none runs."""
    return await _proxied(room, "/healthz")


@router.get("/readyz")
async def readyz(room: Room) -> Response:
    """The bot's own word on whether it is ready."""
    return await _proxied(room, "/readyz")


@router.get("/metrics")
async def metrics(room: Room, principal: Reader) -> Response:
    """The bot's metrics, for who may read."""
    del principal
    return await _proxied(room, "/metrics")


async def shown(request: Request, problem: Problem) -> Response | None:
    """A problem as a page, where a person's browser asked for one; None where a program did."""
    path = request.url.path
    if path.startswith(("/api/", "/ui/", "/static/")) or "text/html" not in request.headers.get("accept", ""):
        return None
    if request.method != "GET" or await known(request) is None:
        return None
    return await page(request, "problem.html", "", {"problem": problem}, status=problem.status)


async def _proxied(room: ControlRoom, path: str) -> Response:
    """What the bot's own listener answers."""
    settings = room.loaded.settings.metrics
    port = await _port_of(room)
    if not settings.enabled or not port:
        raise Problem(503, "Not served", "the bot does not run, or metrics.enabled is false")
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - recognised, not bound
    try:
        timeout = aiohttp.ClientTimeout(total=_PROXY_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"http://{host}:{port}{path}") as answer:
            body = await answer.content.read(_PROXY_BYTES)
            return Response(body, answer.status, media_type=answer.headers.get("content-type", "text/plain"))
    except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "No bot answers", "its listener for health and metrics is not there"
        ) from error


async def _port_of(room: ControlRoom) -> int:
    """Where the bot's listener is: as configured, or as the bot says where it took any free port."""
    configured = room.loaded.settings.metrics.port
    if configured:
        return configured
    told = (await room.status()).get("metrics_port", 0)
    return told if isinstance(told, int) else 0


def _groups(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations of the document by subject, each with its parameters and what it answers."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            told = {
                "method": method.upper(),
                "path": path,
                "summary": operation.get("summary", ""),
                "description": operation.get("description", ""),
                "parameters": operation.get("parameters", []),
                "body": _body_of(operation, document),
                "answers": {code: answer["description"] for code, answer in operation["responses"].items() if code < "4"},
            }
            groups.setdefault((operation.get("tags") or ["stream"])[0], []).append(told)
    return [{"name": name, "id": slug(name), "operations": operations} for name, operations in groups.items()]


def _body_of(operation: Mapping[str, Any], document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The members of a request's body."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    named = [each for each in (schema, *schema.get("anyOf", [])) if "$ref" in each]
    if not named:
        return []
    model = document["components"]["schemas"][named[0]["$ref"].rpartition("/")[2]]
    needed = set(model.get("required", ()))
    return [
        {"name": name, "type": _type_of(field), "required": name in needed, "about": field.get("description", "")}
        for name, field in model.get("properties", {}).items()
    ]


def _type_of(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type_of(each) for each in schema["anyOf"])
    return str(schema.get("type", "any"))
