"""Where a request comes from, as the browser says: a change is accepted from our own pages only."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

_OURS = frozenset({"same-origin", "none"})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def same_origin(connection: HTTPConnection) -> bool:
    """Whether `Origin`, else `Referer`, names the host that was asked, and `Sec-Fetch-Site`, if sent, agrees.

    Neither of the first two is a refusal: every browser sends one with a change.
    """
    site = connection.headers.get("sec-fetch-site")
    if site is not None and site.lower() not in _OURS:
        return False
    named = connection.headers.get("origin") or connection.headers.get("referer")
    return named is not None and _place(named) == _asked(connection)


def _asked(connection: HTTPConnection) -> tuple[str, str, int] | None:
    scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
    return _place(f"{scheme}://{connection.headers.get('host', '')}")


def _place(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None for what has none, such as the origin `null`."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and port else None
