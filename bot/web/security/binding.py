"""Where the control room may listen."""

from __future__ import annotations

import ipaddress

from bot.secrets import Secrets

PASSWORD = "WEB_PASSWORD"  # noqa: S105 - the name, not the value
SHORTEST_PASSWORD = 8


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host.lower() == "localhost":
        return True
    try:
        parsed = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def refusal(host: str, secrets: Secrets) -> str | None:
    """Why the control room must not listen there, in one line; None if it may. `SecretError` if the secrets cannot be read."""
    if is_loopback(host):
        return None
    password = secrets.get(PASSWORD)
    remedy = f"say `python -m bot secrets set {PASSWORD}`, or set web.host to 127.0.0.1"
    if password is None:
        return f"web.host {host!r} can be reached from other machines, but no password is set: {remedy}"
    if len(password.value) < SHORTEST_PASSWORD:
        return (
            f"web.host {host!r} can be reached from other machines, but {PASSWORD} is shorter than {SHORTEST_PASSWORD}: {remedy}"
        )
    return None
