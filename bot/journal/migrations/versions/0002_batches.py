"""How far the batches of a run are stored, so that a commit whose answer was lost is not written twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "batches",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", name="pk_batches"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_batches_run_runs"),
    )


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("batches")
