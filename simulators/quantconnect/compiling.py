"""Compiles: a job per request that reads the files as they are, says InQueue for a while, and finds what does not parse."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from simulators.quantconnect.faults import NO_COMPILE, CompileError, CompileLag, CompileStuck
from simulators.quantconnect.sandbox import Forbidden, inspect
from simulators.quantconnect.transport import Arguments, Refused
from simulators.quantconnect.world import LEAN_VERSION, Compile, Endpoint, Project, Row, World

_MAX_COMPILES = 500


class Compiling:
    """Everything under `/compile`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> dict[str, Endpoint]:
        """By path."""
        return {"/compile/create": self._create, "/compile/read": self._read}

    def _create(self, given: Arguments) -> Row:
        project = self._world.project(given)
        made = self.compile(project)
        return self._row(project, made) | {"parameters": made.parameters}

    def compile(self, project: Project) -> Compile:
        """A new compile of the project as it is."""
        world = self._world
        files = world.texts_of(project)
        broken = world.faults.of_job(CompileError)
        python = project.language == "Py"
        problems = [f"main.py: {broken.message} on line {broken.line}"] if broken else problems_of(files, python)
        id_ = f"{world.hex()}-{world.hex()}"
        good = (
            f"Build Request Successful for Project ID: {project.id}, with CompileID: {id_}, Lean Version: 2.5.0.0.{LEAN_VERSION}"
        )
        made = Compile(
            id_, files, "BuildError" if problems else "BuildSuccess", problems or [good], parameters_of(files),
            world.terms.compile_reads, world.faults.of_job(CompileStuck) is not None, world.terms.compile_lag, python,
        )  # fmt: skip
        project.compiles[id_] = made
        if len(project.compiles) > _MAX_COMPILES:
            del project.compiles[next(iter(project.compiles))]
        return made

    def _read(self, given: Arguments) -> Row:
        project = self._world.project(given)
        found = project.compiles.get(given.text("compileId"))
        if found is None:
            raise Refused(NO_COMPILE)
        row = self._row(project, found)
        return row | {"logs": [] if row["state"] == "InQueue" else found.logs}

    def _row(self, project: Project, one: Compile) -> Row:
        return {
            "compileId": one.id,
            "state": one.shown(),
            "projectId": project.id,
            "signature": one.signature,
            "signatureOrder": list(one.files),
        }


def built(world: World, project: Project, given: Arguments) -> Compile:
    """The successful compile that a job names; `Refused` when it is not known (perhaps: not yet) or did not succeed."""
    found = project.compiles.get(given.text("compileId"))
    if found is None or world.faults.of_job(CompileLag) is not None:
        raise Refused(NO_COMPILE)
    if found.unknown_left > 0:
        found.unknown_left -= 1
        raise Refused(NO_COMPILE)
    if found.state != "BuildSuccess" or found.stuck:
        raise Refused("Compile was not successful")
    return found


def problems_of(files: Mapping[str, str], python: bool) -> list[str]:
    """What keeps the files from being built, a line each."""
    if not python:
        text = files.get("Main.cs", "")
        return [] if text.count("{") == text.count("}") else ["Main.cs(1,1): error CS1513: } expected"]
    if "main.py" not in files:
        return ["main.py was not found"]
    return [problem for name, text in files.items() if name.endswith(".py") and (problem := _problem(name, text))]


def _problem(name: str, text: str) -> str:
    try:
        inspect(ast.parse(text, name))
    except SyntaxError as problem:
        return f"{name}: {problem.msg} on line {problem.lineno or 1}"
    except ValueError as problem:
        return f"{name}: {problem} on line 1"
    except Forbidden as problem:
        return f"{name}: {problem} on line {problem.line}"
    return ""


def parameters_of(files: Mapping[str, str]) -> list[Row]:
    """Where each file asks for parameters."""
    found = []
    for name, text in files.items():
        lines = [
            number for number, line in enumerate(text.splitlines(), 1) if "get_parameter(" in line or "GetParameter(" in line
        ]
        if lines:
            found.append({"file": name, "parameters": [{"line": lines[0], "type": f"{len(lines)} LEAN API parameters detected"}]})
    return found
