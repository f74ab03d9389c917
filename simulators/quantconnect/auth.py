"""Who may ask: the header pair of the REST API, or the same as a signed link."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from simulators.quantconnect.terms import Terms


class Unauthorized(Exception):  # noqa: N818 - the name of the answer
    """Credentials are missing or stale: 401."""


class Mismatch(Exception):  # noqa: N818 - the name of the case
    """Credentials are wrong: 200 with this text."""


def hash_of(token: str, timestamp: str) -> str:
    """Lower-case hex of SHA-256 over `token:timestamp`."""
    return hashlib.sha256(f"{token}:{timestamp}".encode()).hexdigest()


def check(headers: Mapping[str, str], query: Mapping[str, str], terms: Terms, now: float) -> None:
    """Raise `Unauthorized` or `Mismatch` unless the request is the user's. `now` is Unix seconds."""
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    timestamp = headers.get("Timestamp", "")
    if not encoded and "authorization" in query:
        scheme, encoded, timestamp = "Basic", query["authorization"], query.get("timestamp", "")
    if scheme.lower() != "basic" or not timestamp:
        message = "credentials are missing"
        raise Unauthorized(message)
    try:
        user, _, given = base64.b64decode(encoded, validate=True).decode().partition(":")
        moment = int(timestamp)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        message = "credentials cannot be read"
        raise Unauthorized(message) from None
    if not now - terms.stale_after <= moment <= now + terms.ahead_at_most:
        message = "the timestamp is stale"
        raise Unauthorized(message)
    if user != terms.user:
        message = f"UserID not valid: {user}"
        raise Mismatch(message)
    if not hmac.compare_digest(hash_of(terms.token, timestamp).encode(), given.encode()):
        message = f"Hash doesn't match. UID: {user} Hash: {given} Timestamp: {timestamp}"
        raise Mismatch(message)
