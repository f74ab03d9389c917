"""Who is asking: API keys, HMAC-SHA256 signatures and the time a request may be old."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from simulators.exchange.accounts import Account, Accounts
from simulators.exchange.query import Rejected

_DEFAULT_WINDOW = 5_000
_MAX_WINDOW = 60_000
_AHEAD = 1_000


def owner(accounts: Accounts, key: str | None) -> Account:
    """The account of an API key; `Rejected` without one or for an unknown one."""
    if not key:
        raise Rejected(-2014, "API-key format invalid.", 401)
    account = accounts.get(key)
    if account is None:
        raise Rejected(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return account


def check(account: Account, payload: str, given: Mapping[str, str], now: int) -> None:
    """`Rejected` unless `given` is fresh by the venue's clock `now` (ms) and its signature is that of `payload`."""
    signature, stamp = given.get("signature", ""), given.get("timestamp", "")
    for name, value in (("signature", signature), ("timestamp", stamp)):
        if not value:
            raise Rejected(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    window = given.get("recvWindow", str(_DEFAULT_WINDOW))
    if not (stamp.isdigit() and window.isdigit() and len(stamp) < 20 and len(window) < 10):
        raise Rejected(-1100, "Illegal characters found in parameter 'timestamp'; legal range is '^[0-9]{1,20}$'.")
    if int(window) > _MAX_WINDOW:
        raise Rejected(-1131, "recvWindow must be less than 60000.")
    if int(stamp) > now + _AHEAD:
        raise Rejected(-1021, f"Timestamp for this request was {_AHEAD}ms ahead of the server's time.")
    if now - int(stamp) > int(window):
        raise Rejected(-1021, "Timestamp for this request is outside of the recvWindow.")
    expected = hmac.new(account.terms.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise Rejected(-1022, "Signature for this request is not valid.")


def without_signature(payload: str) -> str:
    """What was signed: everything but the signature itself, wherever it stands."""
    return "&".join(part for part in payload.split("&") if not part.startswith("signature="))
