"""Alembic's environment and revisions, inside the package so that an installed bot can upgrade its own journal."""

HEAD = "0005"
