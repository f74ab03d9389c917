"""Where a journal is: the URL of its database, and what a message may show of it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bot.journal.errors import JournalError

SQLITE_PREFIX = "sqlite:///"
_POSTGRES = ("postgresql", "postgresql+asyncpg")
# libpq takes these in the query too, where whoever prints a URL overlooks them.
_SECRET_PARAMETERS = frozenset({"password", "passfile", "sslpassword"})


def shown(url: str) -> str:
    """The URL as a message may show it: without user, password and parameters, except a socket's folder."""
    if url.startswith(SQLITE_PREFIX):
        return url
    scheme, mark, rest = url.partition("://")
    place, _, query = rest.rpartition("@")[2].partition("?")
    folder = parse_qs(query).get("host", [""])[0] if place.startswith("/") else ""
    return f"{scheme}{mark}{place}{f' at {folder}' if folder else ''}"


def is_postgres(url: str) -> bool:
    """Whether the URL names a PostgreSQL database."""
    return url.partition("://")[0] in _POSTGRES


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite:///` URL; `JournalError` for any other URL."""
    if not url.startswith(SQLITE_PREFIX) or url == SQLITE_PREFIX:
        message = f"journal url {shown(url)!r} is not served: use sqlite:///FILE or postgresql://USER@HOST/NAME"
        raise JournalError(message)
    return Path(url.removeprefix(SQLITE_PREFIX))


def postgres_dsn(url: str) -> str:
    """The URL as the driver takes it. `JournalError` if it is not of PostgreSQL, names no database or hides a secret."""
    try:
        parts = urlsplit(url)
        named = parts.scheme in _POSTGRES and len(parts.path) > 1 and (parts.port is None or parts.port > 0)
        secret = _SECRET_PARAMETERS.intersection(parse_qs(parts.query))
    except ValueError:
        named, secret = False, frozenset()
    if not named:
        message = f"journal url {shown(url)!r} cannot be used: write postgresql://USER@HOST:PORT/NAME"
        raise JournalError(message)
    if secret:
        message = (
            f"journal url {shown(url)!r} has {', '.join(sorted(secret))} among its parameters, where it may be printed: "
            "write it before the @, or set PGPASSWORD or PGPASSFILE"
        )
        raise JournalError(message)
    return "postgresql" + url[len(parts.scheme) :]


def database_name(url: str) -> str:
    """The name of a PostgreSQL database, as a file name may hold it."""
    name = urlsplit(url).path.removeprefix("/")
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
