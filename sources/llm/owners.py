"""Who holds a reservation: a process, and whether it is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_UNKNOWN = "?"


def this_process() -> str:
    """A name that no other process has, not even a later one with the same number."""
    return f"{socket.gethostname()}|{os.getpid()}|{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether that process of this machine has surely ended; what follows a third | is ignored. What cannot be told lives."""
    host, number, started = [*owner.split("|"), "", ""][:3]
    if host != socket.gethostname() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and another user's
        return False
    now = _started(int(number))
    return _UNKNOWN not in (started, now) and started != now


def _started(number: int) -> str:
    """When a process began, in ticks since the machine did, where the system tells."""
    try:
        # The name in brackets may hold anything, so count from its end: the start is the 22nd field.
        return Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return _UNKNOWN
