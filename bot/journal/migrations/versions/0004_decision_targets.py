"""The share of its capital that a decision wants to hold, where it names one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("decisions", sa.Column("target", sa.Double(), nullable=True))


def downgrade() -> None:
    """Drop it again."""
    op.drop_column("decisions", "target")
