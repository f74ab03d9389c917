"""Random keys, and what is kept of them.

A key is 256 bits of chance, so its plain SHA-256 is all that has to be kept: there is nothing to guess from a dictionary and
nothing for salt or scrypt to slow down. Only a password would need those, and the control room stores none: `WEB_PASSWORD` stays
among the secrets. A copy of the database opens no door.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping

TOKEN_PREFIX = "arb_"  # noqa: S105 - by which people and scanners recognise one
_BYTES = 32
_LONGEST = 128


def new_key() -> str:
    """256 random bits, safe in URLs, headers and cookies."""
    return secrets.token_urlsafe(_BYTES)


def new_id() -> str:
    """A public name for a session or a token."""
    return secrets.token_hex(4)


def digest(key: str) -> str:
    """What is kept of a key."""
    return _hashed(key).hex()


def plausible(key: str) -> bool:
    """Whether it is worth a look into the database."""
    return 0 < len(key) <= _LONGEST and key.isascii()


def bound(key: bytes, *parts: str) -> str:
    """An HMAC-SHA256 over parts whose borders cannot be moved."""
    return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def canonical(params: Mapping[str, object]) -> str:
    """Parameters as text that does not depend on their order. Any number will do, however long: the fast library's would not."""
    return json.dumps(dict(params), default=str, sort_keys=True)


def same(one: str, other: str) -> bool:
    """Equality that takes as long for a near miss as for a far one."""
    return hmac.compare_digest(_hashed(one), _hashed(other))


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
