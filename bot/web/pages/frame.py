"""What every page has around it: the trading state, jobs, the API's description, health and metrics of the bot, and problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from bot.web.listener import asked, proxied
from bot.web.pages.render import environment, fragment, page
from bot.web.pages.words import slug
from bot.web.problems import Problem
from bot.web.room import Room
from bot.web.security.gate import Reader, known

router = APIRouter()

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
    return await proxied(room, "/healthz")


@router.get("/readyz")
async def readyz(request: Request, room: Room) -> Response:
    """The bot's own word on whether it is ready; why it is not, which tells of venue and account, is not for strangers."""
    if await known(request) is not None:
        return await proxied(room, "/readyz")
    status, body, kind = await asked(room, "/readyz")
    return Response(without_reasons(body), status, media_type=kind)


@router.get("/metrics")
async def metrics(room: Room, principal: Reader) -> Response:
    """The bot's metrics, for who may read."""
    del principal
    return await proxied(room, "/metrics")


def without_reasons(body: bytes) -> bytes:
    """What the bot says of its readiness, cut to the one word; nothing of what cannot be read."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return b"{}"
    return orjson.dumps({"status": told.get("status") if isinstance(told, dict) else None})


async def shown(request: Request, problem: Problem) -> Response | None:
    """A problem as a page, where a person's browser asked for one; None where a program did."""
    path = request.url.path
    if path.startswith(("/api/", "/ui/", "/static/")) or "text/html" not in request.headers.get("accept", ""):
        return None
    if request.method != "GET" or await known(request) is None:
        return None
    return await page(request, "problem.html", "", {"problem": problem}, status=problem.status)


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
