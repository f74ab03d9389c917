"""The table of the audit in the journal's database."""

from __future__ import annotations

from bot.store.schema import Schema

_FIRST = (
    "CREATE TABLE IF NOT EXISTS audit ("
    "number BIGINT NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE, at BIGINT NOT NULL, "
    "bot TEXT NOT NULL, run TEXT NOT NULL, mode TEXT NOT NULL, "
    "simulated INTEGER NOT NULL, actor TEXT NOT NULL, command TEXT NOT NULL, target TEXT NOT NULL, args TEXT NOT NULL, "
    "before TEXT NOT NULL, after TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL, nonce TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS ix_audit_at ON audit (at, number)",
    "CREATE INDEX IF NOT EXISTS ix_audit_actor ON audit (actor, number)",
    "CREATE INDEX IF NOT EXISTS ix_audit_command ON audit (command, number)",
)

SCHEMA = Schema("audit", {1: _FIRST})
