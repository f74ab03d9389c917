"""The bot's own projects at QuantConnect: found by name, made where there is none, and written to only where they differ.

A project is the bot's own if its name is in its folder and its description says so. Any other is never changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog

from bot.runtime.jobs import Progress, Report
from sources.quantconnect.errors import QcError

if TYPE_CHECKING:
    from sources.quantconnect.client import Client
    from sources.quantconnect.models_project import Project

log = structlog.get_logger(__name__)

FOLDER = "arbiter/"
MARK = "Written by Arbiter, which overwrites its files."
UPLOADING = "uploading"
UNDO_S = 4.0
_SOURCES = (".py", ".cs")


@dataclass(frozen=True, slots=True)
class OwnProject:
    """A project of ours; `fresh` if it was made just now."""

    id: int
    name: str
    fresh: bool


def is_ours(project: Project) -> bool:
    """Whether the bot made it."""
    return project.name.startswith(FOLDER) and project.description.startswith(MARK)


def project_name(name: str) -> str:
    """The name in the cloud of what is called `name` here: letters, digits and a few signs, in the bot's folder."""
    kept = "".join(letter if letter.isalnum() or letter in "-_. " else "-" for letter in name).strip("-. ")
    return f"{FOLDER}{kept[:80] or 'backtest'}"


async def own_projects(client: Client, organization: str = "") -> Sequence[Project]:
    """All of ours."""
    return [each for each in await client.projects.list(organization_id=organization or None) if is_ours(each)]


async def opened(client: Client, name: str, organization: str = "", language: str = "Py") -> OwnProject:
    """The project of ours of this name (see `project_name`), made if there is none.

    Where somebody else's has the name, the service counts ours up: it is found again all the same.
    """
    for project in await own_projects(client, organization):
        if project.language in {"", language} and _same(project.name, name):
            return OwnProject(project.project_id, project.name, False)
    return await _made(client, name, organization, language)


async def _made(client: Client, name: str, organization: str, language: str) -> OwnProject:
    """A new project; whoever is cancelled meanwhile waits a moment for it to come about, and deletes it."""
    making = asyncio.create_task(_marked(client, name, organization, language), name="quantconnect-project")
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await _undo(client, making)
        raise


async def _marked(client: Client, name: str, organization: str, language: str) -> OwnProject:
    spoken: Literal["Py", "C#"] = "C#" if language == "C#" else "Py"
    made = await client.projects.create(name, language=spoken, organization_id=organization or None)
    marked = False
    try:
        await client.projects.update(made.project_id, description=f"{MARK} {name}")
        marked = True
    finally:
        if not marked:  # nobody would know that it is ours
            await client.projects.delete(made.project_id)
    return OwnProject(made.project_id, made.name or name, True)


async def _undo(client: Client, making: asyncio.Task[OwnProject]) -> None:
    try:
        async with asyncio.timeout(UNDO_S):
            await client.projects.delete((await making).id)
    except (QcError, TimeoutError) as error:
        log.warning("quantconnect_project_left", reason=str(error) or "no answer in time")


def _same(found: str, name: str) -> bool:
    if found == name:
        return True
    tail = found.removeprefix(f"{name} ")
    return tail != found and tail.isdecimal()


async def upload(client: Client, project: OwnProject, files: Mapping[str, str], report: Report) -> int:
    """Make the project's files these; gives how many had to be written. Sources that are not among them are deleted."""
    there = {file.name: file.content for file in await client.files.list(project.id)}
    differing = [name for name, text in files.items() if _plain(there.get(name)) != _plain(text)]
    stale = [name for name in there if name.endswith(_SOURCES) and name not in files]
    total = len(differing) + len(stale)
    for done, name in enumerate(differing):
        report(Progress(UPLOADING, done, total, name))
        await client.files.write(project.id, name, files[name])
    for done, name in enumerate(stale, len(differing)):
        report(Progress(UPLOADING, done, total, f"deleting {name}"))
        await client.files.delete(project.id, name)
    report(Progress(UPLOADING, total, total, "nothing had changed" if not total else f"{total} files"))
    return total


def _plain(text: str | None) -> str | None:
    """A text whose line breaks are the same however the service keeps them."""
    return None if text is None else text.replace("\r\n", "\n").rstrip("\n")
