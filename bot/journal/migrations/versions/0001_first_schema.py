"""The first schema, frozen: tables.py may move on, this may not.

Columns are written `name:type`, with a question mark where null is allowed.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "text": sa.Text,
    "float": sa.Double,
    "big": sa.BigInteger,
    "int": sa.Integer,
    "small": sa.SmallInteger,
    "flag": sa.Boolean,
}

# table: (columns beside row, book, run and at; columns with an index of their own within a book)
FACTS: dict[str, tuple[str, str]] = {
    "abstentions": (
        "source:text tier:small symbol:text reason:text detail:text",
        "source",
    ),
    "claims": (
        "source:text tier:small symbol:text until:big",
        "",
    ),
    "commands": (
        "actor:text command:text detail:text",
        "",
    ),
    "decision_fills": (
        "decision_id:text filled_fraction:float?",
        "decision_id",
    ),
    "decisions": (
        "id:text source:text tier:small symbol:text action:text confidence:float? raw_confidence:float? "
        "calibrated_confidence:float? created:big expires:big price:float? stop_loss:float? take_profit:float? "
        "trailing:float? size_fraction:float? reasoning:text evidence:text cost:text external_id:text?",
        "id source symbol",
    ),
    "equity": (
        "cash:text equity:float? unrealised:float? realised:text fees:text peak:float? drawdown:float? exposure:float?",
        "",
    ),
    "fates": (
        "decision_id:text source:text tier:small symbol:text fate:text denial:text? verdict_id:text? winner:text? reason:text",
        "decision_id",
    ),
    "fills": (
        "id:text order_id:text symbol:text side:text amount:text price:text fee:text fee_currency:text ts:big maker:flag "
        "evidence:text source:text tier:small confidence:float? decision_id:text? realised:text fee_value:text "
        "slippage:float?",
        "order_id symbol decision_id",
    ),
    "lots_closed": (
        "symbol:text side:text amount:text entry:text exit:text opened:big opener:text opener_tier:small "
        "opening_decision:text? closer:text closing_leg:text fees:text pnl:text",
        "symbol opener",
    ),
    "market_health": (
        "symbol:text health:text detail:text",
        "symbol",
    ),
    "order_events": (
        "order_id:text state:text filled:text average:text? venue_id:text? reason:text",
        "order_id",
    ),
    "overrides": (
        "symbol:text loser:text winner:text decision_id:text verdict_id:text since:big shadow_pnl:float? book_pnl:float? "
        "cost:float?",
        "decision_id",
    ),
    "positions": (
        "symbol:text amount:text average:text? price:float? realised:text unrealised:float? opener:text? stop_loss:float? "
        "take_profit:float? trailing_stop:float?",
        "symbol",
    ),
    "risk_states": (
        "state:text actor:text reason:text",
        "",
    ),
    "shadow_samples": (
        "source:text tier:small equity:float? realised:text unrealised:float? fees:text trades:int wins:int",
        "source",
    ),
    "shadow_trades": (
        "source:text symbol:text decision_id:text opened:big entry:text exit:text amount:text pnl:text leg:text",
        "source decision_id",
    ),
    "verdicts": (
        "id:text symbol:text policy:text winner:text source:text tier:small action:text confidence:float? outranked:text "
        "reason:text target:text position:text",
        "id symbol",
    ),
}

RUNS = (
    "id:text book:int started:big ended:big? simulated:flag config_hash:text config:text code_version:text seed:big? "
    "initial_snapshot:text? final_snapshot:text? closed_cleanly:flag"
)
SNAPSHOTS = "run:text seq:big at:big state:text"
SEGMENTS = "run:text number:int path:text first_input:big last_input:big bytes:big sha256:text? closed:flag at:big"
ORDERS = (
    "book:int id:text run:text at:big symbol:text side:text type:text amount:text leg:text cause:text attempt:int source:text "
    "tier:small confidence:float? reference:float? created:big price:text? trigger_price:text? time_in_force:text "
    "post_only:flag reduce_only:flag decision_id:text? state:text filled:text average:text? venue_id:text? reason:text"
)


def _columns(spec: str) -> list[sa.Column[Any]]:
    pairs = [word.split(":") for word in spec.split()]
    return [sa.Column(name, TYPES[kind.rstrip("?")](), nullable=kind.endswith("?")) for name, kind in pairs]


def _foreign(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=f"fk_{table}_{column}_{other}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _keyed(table: str, spec: str, key: tuple[str, ...], *foreign: tuple[str, str]) -> None:
    constraints = [_foreign(table, column, other) for column, other in foreign]
    op.create_table(table, *_columns(spec), sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"), *constraints)


def _facts(table: str, spec: str, by: str) -> None:
    constraints = [_foreign(table, "book", "books"), _foreign(table, "run", "runs")]
    if table == "order_events":
        name = "fk_order_events_book_order_id_orders"
        constraints.append(sa.ForeignKeyConstraint(["book", "order_id"], ["orders.book", "orders.id"], name=name))
    op.create_table(
        table,
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        *_columns("book:int run:text at:big " + spec),
        sa.PrimaryKeyConstraint("row", name=f"pk_{table}"),
        *constraints,
    )
    _index(table, "run", "at")
    _index(table, "book", "row")
    for column in by.split():
        _index(table, "book", column, "row")


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "books",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        *_columns("bot:text mode:text venue:text world:text"),
        sa.PrimaryKeyConstraint("id", name="pk_books"),
        sa.UniqueConstraint("bot", "mode", "venue", "world", name="uq_books_bot_mode_venue_world"),
    )
    _keyed("runs", RUNS, ("id",), ("book", "books"))
    _index("runs", "book")
    _keyed("snapshots", SNAPSHOTS, ("run", "seq"), ("run", "runs"))
    _keyed("segments", SEGMENTS, ("run", "number"), ("run", "runs"))
    _keyed("orders", ORDERS, ("book", "id"), ("book", "books"), ("run", "runs"))
    for columns in (
        ("run", "at"),
        ("book", "created"),
        ("book", "state"),
        ("book", "symbol", "created"),
        ("book", "decision_id"),
    ):
        _index("orders", *columns)
    for table, (spec, by) in FACTS.items():
        _facts(table, spec, by)


def downgrade() -> None:
    """Drop everything."""
    for table in [*FACTS, "orders", "segments", "snapshots", "runs", "books"]:
        op.drop_table(table)
