"""The tables of the LLM desk in the journal's database, and how they are opened."""

from __future__ import annotations

from bot.store.database import Database, open_prepared
from bot.store.schema import Schema

_CALLS = (
    "CREATE TABLE IF NOT EXISTS llm_calls ("
    "id TEXT NOT NULL PRIMARY KEY, ts BIGINT NOT NULL, day TEXT NOT NULL, source TEXT NOT NULL, role TEXT NOT NULL, "
    "provider TEXT NOT NULL, model TEXT NOT NULL, prompt_hash TEXT NOT NULL, decision TEXT, run TEXT NOT NULL, "
    "owner TEXT NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL, fallback INTEGER NOT NULL, "
    "reserved BIGINT NOT NULL, pico BIGINT NOT NULL, usd TEXT NOT NULL, "
    "input INTEGER NOT NULL, cached INTEGER NOT NULL, cache_write INTEGER NOT NULL, output INTEGER NOT NULL, "
    "reasoning INTEGER NOT NULL, latency_ms BIGINT)",
    "CREATE INDEX IF NOT EXISTS ix_llm_calls_ts ON llm_calls (ts, id)",
    "CREATE INDEX IF NOT EXISTS ix_llm_calls_source ON llm_calls (source, ts, id)",
    "CREATE INDEX IF NOT EXISTS ix_llm_calls_decision ON llm_calls (decision, id) WHERE decision IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS ix_llm_calls_prompt ON llm_calls (prompt_hash)",
    "CREATE INDEX IF NOT EXISTS ix_llm_calls_held ON llm_calls (ts, id, owner) WHERE state = 'held'",
    # What was spent and is reserved, per limit and period, so that a reservation costs the same in a book of any size.
    "CREATE TABLE IF NOT EXISTS llm_totals ("
    "scope TEXT NOT NULL, period TEXT NOT NULL, held BIGINT NOT NULL, spent BIGINT NOT NULL, PRIMARY KEY (scope, period))",
    "CREATE TABLE IF NOT EXISTS llm_alerts ("
    "scope TEXT NOT NULL, period TEXT NOT NULL, percent INTEGER NOT NULL, ts BIGINT NOT NULL, "
    "PRIMARY KEY (scope, period, percent))",
)
_RECORDS = (
    "CREATE TABLE IF NOT EXISTS llm_records ("
    "id TEXT NOT NULL PRIMARY KEY, call TEXT NOT NULL, ts BIGINT NOT NULL, source TEXT NOT NULL, role TEXT NOT NULL, "
    "symbol TEXT NOT NULL, run TEXT NOT NULL, decision TEXT, provider TEXT NOT NULL, model TEXT NOT NULL, "
    "template TEXT NOT NULL, template_version INTEGER NOT NULL, prompt_hash TEXT NOT NULL, state_hash TEXT NOT NULL, "
    "cache_key TEXT NOT NULL, outcome TEXT NOT NULL, validation TEXT NOT NULL, clamps TEXT NOT NULL, "
    "prompt TEXT NOT NULL, prompt_size INTEGER NOT NULL, reply TEXT NOT NULL, reply_size INTEGER NOT NULL, "
    "reply_hash TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS ix_llm_records_ts ON llm_records (ts, id)",
    "CREATE INDEX IF NOT EXISTS ix_llm_records_source ON llm_records (source, ts, id)",
    "CREATE INDEX IF NOT EXISTS ix_llm_records_run ON llm_records (run, ts, id)",
    "CREATE INDEX IF NOT EXISTS ix_llm_records_template ON llm_records (template, ts, id)",
    "CREATE INDEX IF NOT EXISTS ix_llm_records_decision ON llm_records (decision) WHERE decision IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS ix_llm_records_call ON llm_records (call)",
)
_REPLIES = (
    # Snapshots are kept once, however many models are asked about them.
    "CREATE TABLE IF NOT EXISTS llm_states (hash TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS llm_replies ("
    "cache_key TEXT NOT NULL, number INTEGER NOT NULL, ts BIGINT NOT NULL, run TEXT NOT NULL, source TEXT NOT NULL, "
    "provider TEXT NOT NULL, model TEXT NOT NULL, effort TEXT NOT NULL, schema_version TEXT NOT NULL, "
    "template_version TEXT NOT NULL, state_hash TEXT NOT NULL, prompt_hash TEXT NOT NULL, body TEXT NOT NULL, "
    "PRIMARY KEY (cache_key, number))",
    "CREATE INDEX IF NOT EXISTS ix_llm_replies_run ON llm_replies (run, ts, cache_key, number)",
    "CREATE INDEX IF NOT EXISTS ix_llm_replies_prompt ON llm_replies (prompt_hash, provider, model, ts, number)",
)
_PROMPTS = (
    "CREATE TABLE IF NOT EXISTS llm_prompts ("
    "name TEXT NOT NULL, version INTEGER NOT NULL, ts BIGINT NOT NULL, author TEXT NOT NULL, note TEXT NOT NULL, "
    "hash TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, version))",
    "CREATE TABLE IF NOT EXISTS llm_prompt_activations ("
    "name TEXT NOT NULL, number INTEGER NOT NULL, version INTEGER NOT NULL, ts BIGINT NOT NULL, author TEXT NOT NULL, "
    "PRIMARY KEY (name, number))",
)

SCHEMA = Schema("llm", {1: (*_CALLS, *_RECORDS, *_REPLIES, *_PROMPTS)})


async def open_tables(url: str, seconds: float = 10.0) -> Database:
    """The database with the tables in it: open once, share among ledger, records, replies and prompts, and close.

    Raises `StoreUnavailable` if it cannot be reached or its tables are of a newer bot.
    """
    return await open_prepared(url, SCHEMA, seconds)
