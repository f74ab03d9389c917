"""How Alembic reaches the journal: by the connection `upgrade` hands it, or by URL when a developer runs it."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from bot.journal.tables import metadata


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _main() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _run(connection)
        return
    engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "sqlite://")
    with engine.connect() as opened:
        _run(opened)
    engine.dispose()


_main()
