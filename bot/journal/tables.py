"""The schema of the journal, once, for SQLite and PostgreSQL.

Money owed is text, exactly as the `Decimal` prints; statistics are doubles and may be null, because a database holds no NaN;
times are milliseconds UTC. Facts are rows of their own with a surrogate key: a journal must not refuse a fact because another one
looks like it. For the same reason a fill has no foreign key to its order: it may belong to an order that another bot or a person
made. Every fact names its book, so that history is one across restarts, and its run.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=CONVENTION)


def _key() -> Column[int]:
    """A surrogate key: SQLite numbers rows only in a column that is exactly INTEGER."""
    return Column("row", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _maybe_text(name: str) -> Column[str]:
    return Column(name, Text, nullable=True)


def _money(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _maybe_money(name: str) -> Column[str]:
    return Column(name, Text, nullable=True)


def _float(name: str) -> Column[float]:
    return Column(name, Double, nullable=True)


def _time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _maybe_time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=True)


def _tier(name: str = "tier") -> Column[int]:
    return Column(name, SmallInteger, nullable=False)


def _facts(name: str, *columns: Column[int] | Column[str] | Column[float] | Column[bool], by: tuple[str, ...] = ()) -> Table:
    """A table of facts: key, book, run and time, then its own columns; indexed for each column named in `by` within a book."""
    table = Table(
        name,
        metadata,
        _key(),
        Column("book", Integer, ForeignKey("books.id"), nullable=False),
        Column("run", Text, ForeignKey("runs.id"), nullable=False),
        _time("at"),
        *columns,
    )
    Index(None, table.c.run, table.c.at)
    Index(None, table.c.book, table.c.row)
    for column in by:
        Index(None, table.c.book, table.c[column], table.c.row)
    return table


books = Table(
    "books",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _text("bot"),
    _text("mode"),
    _text("venue"),
    _text("world"),
    UniqueConstraint("bot", "mode", "venue", "world"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("book", Integer, ForeignKey("books.id"), nullable=False, index=True),
    _time("started"),
    _maybe_time("ended"),
    Column("simulated", Boolean, nullable=False),
    _text("config_hash"),
    _text("config"),
    _text("code_version"),
    Column("seed", BigInteger, nullable=True),
    _maybe_text("initial_snapshot"),
    _maybe_text("final_snapshot"),
    Column("closed_cleanly", Boolean, nullable=False),
)

# How far the batches of a run are in the database, for engines whose answer to a commit can be lost on its way. SQLite's cannot.
batches = Table(
    "batches",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _time("at"),
    _text("state"),
)

segments = Table(
    "segments",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _text("path"),
    _time("first_input"),
    _time("last_input"),
    _time("bytes"),
    _maybe_text("sha256"),
    Column("closed", Boolean, nullable=False),
    _time("at"),
)

decisions = _facts(
    "decisions",
    _text("id"),
    _text("source"),
    _tier(),
    _text("symbol"),
    _text("action"),
    _float("confidence"),
    _float("raw_confidence"),
    _float("calibrated_confidence"),
    _time("created"),
    _time("expires"),
    _float("price"),
    _float("stop_loss"),
    _float("take_profit"),
    _float("trailing"),
    _float("size_fraction"),
    _text("reasoning"),
    _text("evidence"),
    _money("cost"),
    _maybe_text("external_id"),
    _float("target"),
    by=("id", "symbol", "source"),
)

fates = _facts(
    "fates",
    _text("decision_id"),
    _text("source"),
    _tier(),
    _text("symbol"),
    _text("fate"),
    _maybe_text("denial"),
    _maybe_text("verdict_id"),
    _maybe_text("winner"),
    _text("reason"),
    by=("decision_id", "fate"),
)

decision_fills = _facts("decision_fills", _text("decision_id"), _float("filled_fraction"), by=("decision_id",))

verdicts = _facts(
    "verdicts",
    _text("id"),
    _text("symbol"),
    _text("policy"),
    _text("winner"),
    _text("source"),
    _tier(),
    _text("action"),
    _float("confidence"),
    _text("outranked"),
    _text("reason"),
    _money("target"),
    _money("position"),
    by=("id", "symbol"),
)

claims = _facts("claims", _text("source"), _tier(), _text("symbol"), _time("until"))

abstentions = _facts("abstentions", _text("source"), _tier(), _text("symbol"), _text("reason"), _text("detail"), by=("source",))

orders = Table(
    "orders",
    metadata,
    Column("book", Integer, ForeignKey("books.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("run", Text, ForeignKey("runs.id"), nullable=False),
    _time("at"),
    _text("symbol"),
    _text("side"),
    _text("type"),
    _money("amount"),
    _text("leg"),
    _text("cause"),
    Column("attempt", Integer, nullable=False),
    _text("source"),
    _tier(),
    _float("confidence"),
    _float("reference"),
    _time("created"),
    _maybe_money("price"),
    _maybe_money("trigger_price"),
    _text("time_in_force"),
    Column("post_only", Boolean, nullable=False),
    Column("reduce_only", Boolean, nullable=False),
    _maybe_text("decision_id"),
    _text("state"),
    _money("filled"),
    _maybe_money("average"),
    _maybe_text("venue_id"),
    _text("reason"),
)
Index(None, orders.c.run, orders.c.at)
Index(None, orders.c.book, orders.c.created)
Index(None, orders.c.book, orders.c.state)
Index(None, orders.c.book, orders.c.symbol, orders.c.created)
Index(None, orders.c.book, orders.c.decision_id)

order_events = _facts(
    "order_events",
    _text("order_id"),
    _text("state"),
    _money("filled"),
    _maybe_money("average"),
    _maybe_text("venue_id"),
    _text("reason"),
    by=("order_id",),
)
order_events.append_constraint(ForeignKeyConstraint([order_events.c.book, order_events.c.order_id], [orders.c.book, orders.c.id]))

fills = _facts(
    "fills",
    _text("id"),
    _text("order_id"),
    _text("symbol"),
    _text("side"),
    _money("amount"),
    _money("price"),
    _money("fee"),
    _text("fee_currency"),
    _time("ts"),
    Column("maker", Boolean, nullable=False),
    _text("evidence"),
    _text("source"),
    _tier(),
    _float("confidence"),
    _maybe_text("decision_id"),
    _money("realised"),
    _money("fee_value"),
    _float("slippage"),
    by=("order_id", "symbol", "decision_id"),
)

positions = _facts(
    "positions",
    _text("symbol"),
    _money("amount"),
    _maybe_money("average"),
    _float("price"),
    _money("realised"),
    _float("unrealised"),
    _maybe_text("opener"),
    _float("stop_loss"),
    _float("take_profit"),
    _float("trailing_stop"),
    by=("symbol",),
)

lots_closed = _facts(
    "lots_closed",
    _text("symbol"),
    _text("side"),
    _money("amount"),
    _money("entry"),
    _money("exit"),
    _time("opened"),
    _text("opener"),
    _tier("opener_tier"),
    _maybe_text("opening_decision"),
    _text("closer"),
    _text("closing_leg"),
    _money("fees"),
    _money("pnl"),
    by=("symbol", "opener"),
)

equity = _facts(
    "equity",
    _money("cash"),
    _float("equity"),
    _float("unrealised"),
    _money("realised"),
    _money("fees"),
    _float("peak"),
    _float("drawdown"),
    _float("exposure"),
)

shadow_samples = _facts(
    "shadow_samples",
    _text("source"),
    _tier(),
    _float("equity"),
    _money("realised"),
    _float("unrealised"),
    _money("fees"),
    Column("trades", Integer, nullable=False),
    Column("wins", Integer, nullable=False),
    by=("source",),
)

shadow_trades = _facts(
    "shadow_trades",
    _text("source"),
    _text("symbol"),
    _text("decision_id"),
    _time("opened"),
    _money("entry"),
    _money("exit"),
    _money("amount"),
    _money("pnl"),
    _text("leg"),
    by=("source", "decision_id"),
)

overrides = _facts(
    "overrides",
    _text("symbol"),
    _text("loser"),
    _text("winner"),
    _text("decision_id"),
    _text("verdict_id"),
    _time("since"),
    _float("shadow_pnl"),
    _float("book_pnl"),
    _float("cost"),
    by=("decision_id",),
)

risk_states = _facts("risk_states", _text("state"), _text("actor"), _text("reason"))

reconciliations = _facts(
    "reconciliations",
    Column("complete", Boolean, nullable=False),
    Column("orders", Integer, nullable=False),
    Column("fills", Integer, nullable=False),
    _text("notes"),
    _text("unexplained"),
)

market_health = _facts("market_health", _text("symbol"), _text("health"), _text("detail"), by=("symbol",))

commands = _facts("commands", _text("actor"), _text("command"), _text("detail"))

# One row per key, of which the newest state is kept; every other table only grows.
CURRENT = frozenset({"runs", "snapshots", "segments", "orders"})
