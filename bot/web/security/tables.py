"""The tables of the control room's own file."""

from __future__ import annotations

from bot.store.schema import Schema

_FIRST = (
    "CREATE TABLE IF NOT EXISTS web_links (hash TEXT NOT NULL PRIMARY KEY, created BIGINT NOT NULL, expires BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS web_sessions ("
    "hash TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE, created BIGINT NOT NULL, seen BIGINT NOT NULL, "
    "expires BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS web_tokens ("
    "id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, scope INTEGER NOT NULL, "
    "created BIGINT NOT NULL, expires BIGINT NOT NULL, used BIGINT, revoked BIGINT)",
    "CREATE TABLE IF NOT EXISTS web_once ("
    "principal TEXT NOT NULL, name TEXT NOT NULL, request TEXT NOT NULL, process TEXT NOT NULL, created BIGINT NOT NULL, "
    "status INTEGER, headers TEXT, body BLOB, PRIMARY KEY (principal, name))",
    "CREATE INDEX IF NOT EXISTS ix_web_once_created ON web_once (created)",
)

SCHEMA = Schema("web", {1: _FIRST})
