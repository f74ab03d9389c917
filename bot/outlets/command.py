"""What a client may ask of the bot, and what it gets back. The owner of the outlets decides what a name means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Command:
    """One request, such as `kill`, `reduce`, `resume`, `pause` or `status`.

    `args` are plain JSON values, to be checked by the handler; `actor` is who the client says it is (`cli`, `web:anna`), for the
    audit; `nonce` is the request's own name, which no other has.
    """

    name: str
    args: Mapping[str, object] = field(default_factory=dict)
    actor: str = "local"
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The answer: `error` is one clear line when not `ok`; `result` is what a `status` asked for, in JSON values.

    `repeated` says that the command was carried out before, and that this is the answer that it got then; `refused` that it was
    turned down before anything was done; `missing` that what it names does not exist.
    """

    ok: bool
    error: str | None = None
    result: Mapping[str, object] | None = None
    repeated: bool = False
    refused: bool = False
    missing: bool = False


CommandHandler = Callable[[Command], Awaitable[CommandResult]]
