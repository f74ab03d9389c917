"""What a client of the local feed may ask, and what it gets back. The owner of the feed decides what a name means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Command:
    """One request, such as `kill`, `reduce`, `resume`, `pause` or `status`.

    `args` are plain JSON values, to be checked by the handler; `actor` is who the client says it is (`cli`, `control-room`), for
    the audit.
    """

    name: str
    args: Mapping[str, object] = field(default_factory=dict)
    actor: str = "local"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The answer: `error` is one clear line when not `ok`; `result` is what a `status` asked for, in JSON values."""

    ok: bool
    error: str | None = None
    result: Mapping[str, object] | None = None


CommandHandler = Callable[[Command], Awaitable[CommandResult]]
