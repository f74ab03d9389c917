"""Projects, their files, compiles and nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from sources.quantconnect.calls import Calls, given, pick
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_project import Compile, CompileState, File, Nodes, Project, ProjectNodes
from sources.quantconnect.transport import Call, Manner

T = TypeVar("T")

_COMPILE_POLL_S = 2.0
_COMPILE_POLLS = 60


class Projects:
    """`projects/*`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(self, name: str, *, language: Literal["Py", "C#"] = "Py", organization_id: str | None = None) -> Project:
        """A new project. Read its name: one that is taken gets a number behind it."""
        body = given(name=name, language=language, organizationId=organization_id)
        answer = await self._calls.transport.call(Call("projects/create", body, Manner.WRITE))
        return _first("projects/create", self._calls.page("projects/create", answer, "projects", Project).rows)

    async def read(self, project_id: int) -> Project:
        """One project; `NOT_FOUND` if there is none."""
        rows = await self._calls.rows("projects/read", {"projectId": project_id}, "projects", Project)
        return _first("projects/read", rows)

    async def list(
        self, *, start: int | None = None, end: int | None = None, organization_id: str | None = None
    ) -> Sequence[Project]:
        """All projects, or those from `start` (from 0) to before `end`."""
        body = given(start=start, end=end, organizationId=organization_id)
        return await self._calls.rows("projects/read", body, "projects", Project)

    async def update(
        self,
        project_id: int,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, str | float] | None = None,
        files: Mapping[str, str] | None = None,
        libraries: Sequence[int] | None = None,
        version_id: int | None = None,
    ) -> None:
        """Change what is given: `parameters` takes the place of all there were, `files` are contents by name; -1 is master."""
        rows = None if parameters is None else [{"key": key, "value": str(value)} for key, value in parameters.items()]
        contents = None if files is None else [{"name": file, "content": content} for file, content in files.items()]
        numbers = None if libraries is None else list(libraries)
        body = given(name=name, description=description, files=contents, libraries=numbers, versionId=version_id)
        if rows is not None:
            body["parameters"] = rows or ""  # an empty text is how they are cleared
        await self._calls.done("projects/update", {"projectId": project_id, **body})

    async def delete(self, project_id: int) -> None:
        """Delete a project with all there is of it."""
        await self._calls.done("projects/delete", {"projectId": project_id})

    async def nodes(self, project_id: int) -> ProjectNodes:
        """The machines that the project may use."""
        answer = await self._calls.ask("projects/nodes/read", {"projectId": project_id})
        return self._calls.shaped("projects/nodes/read", ProjectNodes, answer)

    async def set_nodes(self, project_id: int, node_ids: Sequence[str]) -> ProjectNodes:
        """Choose the machines; none at all leaves the choice to the service."""
        body = {"projectId": project_id, "nodes": list(node_ids)}
        answer = await self._calls.transport.call(Call("projects/nodes/update", body, Manner.WRITE))
        return self._calls.shaped("projects/nodes/update", ProjectNodes, answer)

    async def add_library(self, project_id: int, library_id: int) -> None:
        """Let a project use another."""
        await self._calls.done("projects/library/create", {"projectId": project_id, "libraryId": library_id})

    async def remove_library(self, project_id: int, library_id: int) -> None:
        """Let a project use another no more."""
        await self._calls.done("projects/library/delete", {"projectId": project_id, "libraryId": library_id})

    async def organization_nodes(self, organization_id: str | None = None) -> Nodes:
        """The machines of an organization."""
        answer = await self._calls.ask("nodes/read", given(organizationId=organization_id))
        return self._calls.shaped("nodes/read", Nodes, pick(answer, "nodes") or answer)


class Files:
    """`files/*`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(self, project_id: int, name: str, content: str = "") -> None:
        """A new file; `BAD_REQUEST` where there is one of that name."""
        await self._calls.done("files/create", {"projectId": project_id, "name": name, "content": content})

    async def read(self, project_id: int, name: str) -> File:
        """One file; `NOT_FOUND` if there is none."""
        rows = await self._calls.rows("files/read", {"projectId": project_id, "name": name}, "files", File)
        return _first("files/read", rows)

    async def list(self, project_id: int) -> Sequence[File]:
        """All files of a project, with their contents."""
        return await self._calls.rows("files/read", {"projectId": project_id}, "files", File)

    async def update(self, project_id: int, name: str, content: str) -> None:
        """New content for a file; refused where there is none of that name."""
        await self._calls.done("files/update", {"projectId": project_id, "name": name, "content": content})

    async def rename(self, project_id: int, name: str, new_name: str) -> None:
        """Another name for a file."""
        await self._calls.done("files/update", {"projectId": project_id, "name": name, "newName": new_name})

    async def write(self, project_id: int, name: str, content: str) -> None:
        """Content for a file, which is made where there is none."""
        try:
            await self.update(project_id, name, content)
        except QcError as refused:
            if refused.may_have_happened or refused.kind not in {Kind.BAD_REQUEST, Kind.NOT_FOUND} or refused.status == 413:
                raise
            try:
                await self.create(project_id, name, content)
            except QcError as error:
                if "exist" in error.reason.lower():  # it is there: then the first refusal was about something else
                    raise refused from error
                raise

    async def patch(self, project_id: int, patch: str) -> None:
        """Apply a unified git diff."""
        await self._calls.done("files/patch", {"projectId": project_id, "patch": patch})

    async def delete(self, project_id: int, name: str) -> None:
        """Delete a file."""
        await self._calls.done("files/delete", {"projectId": project_id, "name": name})


class Compiles:
    """`compile/*`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(self, project_id: int) -> Compile:
        """Begin to compile the project as it is."""
        answer = await self._calls.transport.call(Call("compile/create", {"projectId": project_id}, Manner.WRITE))
        return self._calls.shaped("compile/create", Compile, answer)

    async def read(self, project_id: int, compile_id: str) -> Compile:
        """How far it is."""
        answer = await self._calls.ask("compile/read", {"projectId": project_id, "compileId": compile_id})
        return self._calls.shaped("compile/read", Compile, {"compileId": compile_id, **answer})

    async def finished(self, project_id: int) -> Compile:
        """Compile and wait for the end, which may be a build error. One that hangs for two minutes is begun anew, once."""
        for _ in range(2):
            build = await self.create(project_id)
            for _ in range(_COMPILE_POLLS):
                if not build.finished:
                    await self._calls.transport.sleep(_COMPILE_POLL_S)
                    build = await self.read(project_id, build.compile_id)
            if build.finished:
                # The answer to the creation may say that it failed, and not why.
                told = build.state is CompileState.BUILD_SUCCESS or build.logs
                return build if told else await self.read(project_id, build.compile_id)
        reason = f"a compile does not end within {_COMPILE_POLL_S * _COMPILE_POLLS:g} s, twice"
        raise QcError(Kind.SERVER, "compile/read", reason)


def _first(endpoint: str, rows: Sequence[T]) -> T:
    if not rows:
        raise QcError(Kind.NOT_FOUND, endpoint, "there is none of that id or name")
    return rows[0]
