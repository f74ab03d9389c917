"""What comparisons of the venue's account with the books found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "reconciliations",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("book", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("fills", sa.Integer(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("unexplained", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("row", name="pk_reconciliations"),
        sa.ForeignKeyConstraint(["book"], ["books.id"], name="fk_reconciliations_book_books"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_reconciliations_run_runs"),
    )
    for columns in (("run", "at"), ("book", "row")):
        op.create_index(f"ix_reconciliations_{'_'.join(columns)}", "reconciliations", list(columns))


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("reconciliations")
