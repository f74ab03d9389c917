"""Projects, their files, and who works on them."""

from __future__ import annotations

import re

from simulators.quantconnect.transport import Arguments, Refused
from simulators.quantconnect.world import LEAN_VERSION, MAX_PROJECTS, Endpoint, Project, Row, SourceFile, World, blank

_NEW_PY = """from AlgorithmImports import *


class Algorithm(QCAlgorithm):

    def initialize(self):
        self.set_start_date(2025, 1, 1)
        self.set_cash(100000)
        self.add_equity("SPY", Resolution.DAILY)

    def on_data(self, data: Slice):
        if not self.portfolio.invested:
            self.set_holdings("SPY", 0.9)
"""
_NEW_CS = (
    "namespace QuantConnect.Algorithm.CSharp { public class Algorithm : QCAlgorithm { public override void Initialize() { } } }\n"
)
_NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 2}\n'
_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_MAX_NAME = 200


class Projects:
    """Everything under `/projects` and `/files`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> dict[str, Endpoint]:
        """By path."""
        return {
            "/projects/create": self.create,
            "/projects/read": self._read,
            "/projects/update": self._update,
            "/projects/delete": self._delete,
            "/projects/library/create": self._add_library,
            "/projects/library/delete": self._drop_library,
            "/projects/collaboration/create": self._collaborators,
            "/projects/collaboration/read": self._collaborators,
            "/projects/collaboration/update": self._collaborators,
            "/projects/collaboration/delete": self._collaborators,
            "/projects/collaboration/lock/acquire": self._lock,
            "/files/create": self._create_file,
            "/files/read": self._read_files,
            "/files/update": self._update_file,
            "/files/patch": self._patch,
            "/files/delete": self._delete_file,
        }

    def create(self, given: Arguments) -> Row:
        """A new project; a name that is taken gets a number."""
        name, language = given.text("name").strip("/"), given.text("language")
        self._check_organization(given)
        if language not in ("Py", "C#") or len(name) > _MAX_NAME or len(self._world.projects) >= MAX_PROJECTS:
            raise Refused
        taken = {one.name for one in self._world.projects.values()}
        free = next(found for number in range(MAX_PROJECTS + 1) if (found := f"{name} {number}" if number else name) not in taken)
        now = self._world.now()
        project = Project(self._world.next_project(), free, language, now, now)
        main, notebook = ("main.py", "research.ipynb") if language == "Py" else ("Main.cs", "Research.ipynb")
        for file, content in ((main, _NEW_PY if language == "Py" else _NEW_CS), (notebook, _NOTEBOOK)):
            self.put(project, file, content)
        self._world.projects[project.id] = project
        return {"projects": [self.row(project)], "versions": []}

    def row(self, project: Project) -> Row:
        """A project as answers have it."""
        world = self._world
        owner = int(world.terms.user) if world.terms.user.isdigit() else 0
        me = {
            "uid": owner, "liveControl": True, "permission": "write", "publicId": "a1", "profileImage": "https://example.org/p.png",
            "email": "me@example.org", "name": "Me", "bio": None, "owner": True,
        }  # fmt: skip
        settings = [
            {"key": key, "value": value, "min": None, "max": None, "step": None, "type": "number"}
            for key, value in project.parameters.items()
        ]
        libraries = [
            {"projectId": one, "libraryName": world.projects[one].name, "ownerName": "Me", "access": True}
            for one in project.libraries if one in world.projects
        ]  # fmt: skip
        return {
            "projectId": project.id,
            "organizationId": world.terms.organization,
            "name": project.name,
            "description": project.description,
            "modified": blank(project.modified),
            "created": blank(project.created),
            "ownerId": owner,
            "language": project.language,
            "collaborators": [me],
            "leanVersionId": LEAN_VERSION if project.lean_version == -1 else project.lean_version,
            "leanPinnedToMaster": project.lean_version == -1,
            "owner": True,
            "channelId": f"P{project.id}-ff",
            "parameters": settings,
            "libraries": libraries,
            "grid": None,
            "liveGrid": None,
            "paperEquity": None,
            "lastLiveDeployment": None if project.live is None else project.live.id,
            "liveForm": None,
            "encrypted": False,
            "codeRunning": any(one.is_busy for one in project.backtests.values()),
            "leanEnvironment": project.environment,
            "encryptionKey": None,
        }

    def _read(self, given: Arguments) -> Row:
        self._check_organization(given)
        if given.get("projectId") not in (None, ""):
            return {"projects": [self.row(self._world.project(given))], "versions": []}
        found = list(self._world.projects.values())
        if given.get("start") not in (None, "") or given.get("end") not in (None, ""):
            found = found[given.page(1 << 31)]
        return {"projects": [self.row(one) for one in found], "versions": []}

    def _update(self, given: Arguments) -> Row:
        project = self._world.project(given)
        files = [(str(row["name"]), str(row.get("content", ""))) for row in given.rows("files") if isinstance(row, dict)]
        for _, content in files:
            self._check_size(content)
        if given.get("name"):
            project.name = given.text("name").strip("/")[:_MAX_NAME]
        project.description = given.text("description", project.description)
        if "parameters" in given:
            rows = [row for row in given.rows("parameters") if isinstance(row, dict)]
            project.parameters = {str(row["key"]): str(row.get("value", "")) for row in rows if "key" in row}
        if "libraries" in given:
            project.libraries = [int(one) for one in given.rows("libraries") if str(one).isdigit()]
        project.lean_version = given.integer("versionId", project.lean_version)
        project.environment = given.integer("leanEnvironment", project.environment)
        for name, content in files:
            self.put(project, name, content)
        project.modified = self._world.now()
        return {}

    def _delete(self, given: Arguments) -> Row:
        self.remove(self._world.project(given))
        return {}

    def remove(self, project: Project) -> None:
        """Delete a project and stop what runs in it."""
        for backtest in project.backtests.values():
            backtest.cancel()
        for deployment in project.deployments:
            deployment.abandon()
        del self._world.projects[project.id]

    def _add_library(self, given: Arguments) -> Row:
        project, library = self._world.project(given), given.integer("libraryId")
        if library not in self._world.projects:
            raise Refused
        if library not in project.libraries:
            project.libraries.append(library)
        return {}

    def _drop_library(self, given: Arguments) -> Row:
        project, library = self._world.project(given), given.integer("libraryId")
        if library not in project.libraries:
            raise Refused
        project.libraries.remove(library)
        return {}

    def _collaborators(self, given: Arguments) -> Row:
        row = self.row(self._world.project(given))
        return {"collaborators": row["collaborators"], "userLiveControl": True, "userPermissions": "write"}

    def _lock(self, given: Arguments) -> Row:
        self._world.project(given)
        given.text("codeSourceId")
        return {}

    def _create_file(self, given: Arguments) -> Row:
        project, name = self._world.project(given), given.text("name")
        if name in project.files:
            raise Refused("File already exist")
        file = self.put(project, name, given.text("content", ""))
        return {"files": [_file_row(project, file)]}

    def _read_files(self, given: Arguments) -> Row:
        project = self._world.project(given)
        if not given.get("name"):
            return {"files": [_file_row(project, file) for file in project.files.values()]}
        return {"files": [_file_row(project, self._file(project, given))]}

    def _update_file(self, given: Arguments) -> Row:
        project = self._world.project(given)
        file = self._file(project, given)
        if "newName" in given:
            renamed = given.text("newName")
            if renamed in project.files:
                raise Refused("File already exist")
            del project.files[file.name]
            file.name = renamed
            project.files[renamed] = file
        elif "content" in given:
            self.put(project, file.name, given.text("content", ""))
        else:
            raise Refused
        project.modified = self._world.now()
        return {}

    def _patch(self, given: Arguments) -> Row:
        project, patch = self._world.project(given), given.text("patch")
        found = re.findall(r"^diff --git a/(\S+) b/\S+\n(.*?)(?=^diff --git |\Z)", patch, re.MULTILINE | re.DOTALL)
        if not found:
            raise Refused("The patch is not in git format: diff --git a/file b/file")
        changed = {}
        for name, body in found:
            if name not in project.files:
                raise Refused(f"File not found: {name}")
            changed[name] = patched(project.files[name].content, body)
        for name, content in changed.items():
            self.put(project, name, content)
        return {}

    def _delete_file(self, given: Arguments) -> Row:
        project = self._world.project(given)
        del project.files[self._file(project, given).name]
        project.modified = self._world.now()
        return {}

    def _file(self, project: Project, given: Arguments) -> SourceFile:
        found = project.files.get(given.text("name"))
        if found is None:
            raise Refused("File not found")
        return found

    def put(self, project: Project, name: str, content: str) -> SourceFile:
        """Write a file; `Refused` when it is too large or one too many."""
        self._check_size(content)
        now = self._world.now()
        old = project.files.get(name)
        if old is None and len(project.files) >= self._world.terms.max_files:
            raise Refused(f"Project exceeds the maximum of {self._world.terms.max_files} files.")
        file = SourceFile(self._world.next_file() if old is None else old.id, name, content, now)
        project.files[name] = file
        project.modified = now
        return file

    def _check_size(self, content: str) -> None:
        most = self._world.terms.max_characters
        if len(content) > most:
            raise Refused(f"File exceeds the maximum size of {most:,} characters.")

    def _check_organization(self, given: Arguments) -> None:
        if given.get("organizationId") not in (None, "", self._world.terms.organization):
            raise Refused


def _file_row(project: Project, file: SourceFile) -> Row:
    return {
        "id": file.id,
        "projectId": project.id,
        "name": file.name,
        "content": file.content,
        "modified": blank(file.modified),
        "open": file.name.lower().startswith("main."),
        "isLibrary": False,
    }


def patched(content: str, body: str) -> str:
    """A text after the hunks of a unified diff; `Refused` when they do not fit."""
    old, made, at = content.splitlines(), [], 0
    for line in body.splitlines():
        hunk = _HUNK.match(line)
        if hunk is not None:
            start = max(0, int(hunk[1]) - 1)
            made += old[at:start]
            at = start
        elif line.startswith("+") and not line.startswith("+++"):
            made.append(line[1:])
        elif line.startswith((" ", "-")) and not line.startswith("---"):
            if at >= len(old) or old[at] != line[1:]:
                raise Refused("The patch does not apply")
            made += old[at : at + 1] if line[0] == " " else []
            at += 1
    return "\n".join([*made, *old[at:]]) + "\n"
