"""The tables of the chat assistant in the journal's database."""

from __future__ import annotations

from bot.store.schema import Schema

_FIRST = (
    "CREATE TABLE IF NOT EXISTS chat_sessions ("
    "id TEXT NOT NULL PRIMARY KEY, ts BIGINT NOT NULL, at BIGINT NOT NULL, title TEXT NOT NULL, run TEXT NOT NULL, "
    "thread INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS ix_chat_sessions_at ON chat_sessions (at, id)",
    "CREATE TABLE IF NOT EXISTS chat_messages ("
    "session TEXT NOT NULL, number INTEGER NOT NULL, thread INTEGER NOT NULL, ts BIGINT NOT NULL, role TEXT NOT NULL, "
    "text TEXT NOT NULL, folded TEXT NOT NULL, tools TEXT NOT NULL, model TEXT NOT NULL, cost TEXT NOT NULL, "
    "fault TEXT NOT NULL, PRIMARY KEY (session, number))",
    "CREATE INDEX IF NOT EXISTS ix_chat_messages_ts ON chat_messages (ts, session, number)",
    "CREATE TABLE IF NOT EXISTS chat_proposals ("
    "id TEXT NOT NULL PRIMARY KEY, session TEXT NOT NULL, ts BIGINT NOT NULL, kind TEXT NOT NULL, parameters TEXT NOT NULL, "
    "rendered TEXT NOT NULL, hash TEXT NOT NULL, nonce TEXT NOT NULL, expires BIGINT NOT NULL, state TEXT NOT NULL, "
    "at BIGINT NOT NULL, outcome TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS ix_chat_proposals_session ON chat_proposals (session, ts, id)",
)

SCHEMA = Schema("chat", {1: _FIRST})
