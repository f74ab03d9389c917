"""Projects, their files, compiles and the nodes they run on. Times are ms UTC."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from sources.quantconnect.shapes import Also, Amount, Flag, Id, Many, Moment, Number, Shape, Text, Whole, Word, one_of

_LINE = re.compile(r"\bline:?\s+(\d+)", re.IGNORECASE)
_FILE = re.compile(r"([\w./-]+\.(?:py|cs))\b")


class Collaborator(Shape):
    """Who else may work on a project."""

    uid: Id | None = None
    public_id: Text = ""
    name: Text = ""
    email: Text = ""
    permission: Text = ""
    live_control: Flag = False
    owner: Flag = False


class Parameter(Shape):
    """A parameter of a project; `value` as it was written."""

    key: Annotated[Text, Also.of("name")]
    value: Text = ""
    min: Number = None
    max: Number = None
    step: Number = None
    type: Text = ""


class Library(Shape):
    """A project used by another."""

    project_id: Id
    library_name: Text = ""
    owner_name: Text = ""
    access: Flag = False


def _parameters(raw: object) -> object:
    """Rows, where the keys may also be those of a map; a map by number is a list in that order."""
    if isinstance(raw, dict) and not all(key.isdecimal() and isinstance(entry, dict) for key, entry in raw.items()):
        return [entry if isinstance(entry, dict) else {"key": key, "value": entry} for key, entry in raw.items()]
    return raw


def _without_slash(raw: object) -> object:
    return raw.lstrip("/") if isinstance(raw, str) else raw


class Project(Shape):
    """A project. Its name may be another than was asked for: the service counts up names that are taken."""

    project_id: Id
    organization_id: Text = ""
    name: Annotated[Text, BeforeValidator(_without_slash)] = ""
    description: Text = ""
    modified: Moment = None
    created: Moment = None
    owner_id: Id | None = None
    language: Text = ""
    collaborators: Many[Collaborator] = ()
    lean_version_id: Whole = None
    lean_pinned_to_master: Flag = False
    owner: Flag = False
    parameters: Annotated[Many[Parameter], BeforeValidator(_parameters)] = ()
    libraries: Many[Library] = ()
    last_live_deployment: Text = ""
    encrypted: Flag = False
    code_running: Flag = False
    lean_environment: Whole = None


class File(Shape):
    """A file of a project; folders are part of the name. Line breaks of `content` are as the service keeps them."""

    name: Text
    content: Text = ""
    id: Id | None = None
    project_id: Id | None = None
    modified: Moment = None
    open: Flag = False
    is_library: Flag = False


class CompileState(Word):
    """How far a compile is."""

    UNKNOWN = "Unknown"
    IN_QUEUE = "InQueue"
    BUILD_SUCCESS = "BuildSuccess"
    BUILD_ERROR = "BuildError"


class BuildError(Shape):
    """One complaint of a build. `line` counts from 1; file and line are missing where it names none."""

    text: str
    file: str | None = None
    line: int | None = None


class Compile(Shape):
    """A compile. A build that failed is an answer like any other: see `state` and `errors`."""

    compile_id: Text
    state: Annotated[CompileState, one_of(CompileState)] = CompileState.UNKNOWN
    project_id: Id | None = None
    logs: Many[Text] = ()
    signature_order: Many[Text] = ()

    @property
    def finished(self) -> bool:
        """Whether it will change no more."""
        return self.state in {CompileState.BUILD_SUCCESS, CompileState.BUILD_ERROR}

    @property
    def signature(self) -> str:
        """The part of the id that a deployment is signed with."""
        return self.compile_id.partition("-")[2]

    @property
    def errors(self) -> tuple[BuildError, ...]:
        """What a failed build complains of, one per line of its log."""
        if self.state is not CompileState.BUILD_ERROR:
            return ()
        return tuple(_complaint(text) for text in self.logs if text.strip())


def _complaint(text: str) -> BuildError:
    line, file = _LINE.search(text), _FILE.search(text)
    return BuildError(text=text, file=file and file.group(1), line=line and int(line.group(1)))


class Price(Shape):
    """What a node costs, in US dollars."""

    monthly: Amount = 0.0
    yearly: Amount = 0.0


class Node(Shape):
    """A machine. `speed` is in GHz, `ram` in GB, `cpu` in cores."""

    id: Text
    name: Text = ""
    sku: Text = ""
    description: Text = ""
    speed: Number = None
    cpu: Whole = None
    ram: Number = None
    has_gpu: Flag = False
    assets: Whole = None
    busy: Flag = False
    active: Flag = False
    used_by: Text = ""
    user_profile: Text = ""
    project_name: Text = ""
    project_id: Id | None = None
    host: Text = ""
    price: Price = Field(default_factory=Price)


class Nodes(Shape):
    """Machines by what they are for."""

    backtest: Many[Node] = ()
    research: Many[Node] = ()
    live: Many[Node] = ()


class ProjectNodes(Shape):
    """The machines a project may use; `auto_select_node` leaves the choice to the service."""

    nodes: Nodes
    auto_select_node: Flag = False
