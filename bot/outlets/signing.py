"""Commands and answers that travel where others can read and write: signed with a secret that both sides know.

The signature is HMAC-SHA256, in hexadecimal digits, over the message without its `mac` in one canonical form: JSON with its keys
sorted, without spaces, in UTF-8 without escapes that JSON does not demand. What is signed begins with the name of its direction,
so that no answer can be taken for a command.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from bot.outlets.admission import wall_ms

VERSION = 1
COMMANDS = "commands"
ANSWERS = "answers"
LEAST_SECRET = 32
"""Characters. Whoever reads one message may try secrets at leisure."""


def canonical(message: Mapping[str, object]) -> bytes:
    """The one form that is signed; `ValueError` for what JSON cannot carry."""
    try:
        text = json.dumps(message, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def signature(secret: str, direction: str, message: Mapping[str, object]) -> str:
    """The `mac` of a message, whatever it holds under that name."""
    bare = {name: value for name, value in message.items() if name != "mac"}
    return hmac.new(secret.encode(), f"arbiter.{direction}.v{VERSION}\n".encode() + canonical(bare), hashlib.sha256).hexdigest()


def signed(secret: str, direction: str, message: Mapping[str, object]) -> bytes:
    """The message with its `mac`, as it is sent."""
    return canonical({**message, "mac": signature(secret, direction, message)})


def opened(secret: str, direction: str, payload: bytes) -> dict[str, Any] | None:
    """The message, None if it is none or its `mac` is not that of the secret."""
    try:
        message = json.loads(payload, parse_constant=_no_number)
        mac = message.get("mac") if isinstance(message, dict) else None
        if not isinstance(mac, str) or not hmac.compare_digest(mac.encode(), signature(secret, direction, message).encode()):
            return None
    except (ValueError, RecursionError):
        return None
    return dict(message)


def signed_command(
    secret: str,
    bot: str,
    command: str,
    args: Mapping[str, object] | None = None,
    *,
    actor: str = "sender",
    run: str | None = None,
    seconds: float = 30.0,
    nonce: str | None = None,
) -> bytes:
    """A command for `bot` (and only for this `run`, where one is named) that expires in so many seconds, as it is published."""
    message: dict[str, object] = {
        "v": VERSION,
        "bot": bot,
        "command": command,
        "args": dict(args or {}),
        "actor": actor,
        "nonce": nonce or secrets.token_urlsafe(18),
        "expires": wall_ms() + int(seconds * 1_000),
    }
    return signed(secret, COMMANDS, message if run is None else {**message, "run": run})


def _no_number(name: str) -> object:
    raise ValueError(name)
