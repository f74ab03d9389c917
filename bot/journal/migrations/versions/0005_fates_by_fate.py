"""Decisions by what became of them: a rare fate is found without reading every decision."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INDEX = "ix_fates_book_fate_row"


def upgrade() -> None:
    """Add the index."""
    op.create_index(_INDEX, "fates", ["book", "fate", "row"])


def downgrade() -> None:
    """Drop it again."""
    op.drop_index(_INDEX, "fates")
