"""The versions of a room's tables: plain statements per version, and a row that says which version is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, select, text
from sqlalchemy.schema import CreateTable

from bot.store.errors import StoreUnavailable

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables that belong together, by name.

    `versions` holds the statements that lead to each version, counted from 1, for both engines; each may be said again after an
    interruption (`IF NOT EXISTS`). The table NAME_schema says which version is there. `ValueError` for another name or a gap.
    """

    name: str
    versions: Mapping[int, tuple[str, ...]]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            message = f"schema name {self.name!r}: use lower-case letters, digits and underscores, at most 31"
            raise ValueError(message)
        if sorted(self.versions) != list(range(1, len(self.versions) + 1)):
            message = f"schema {self.name!r} has the versions {sorted(self.versions)}: count from 1, without a gap"
            raise ValueError(message)

    @property
    def version(self) -> int:
        """The version that this bot knows."""
        return len(self.versions)

    def prepare(self, connection: Connection) -> None:
        """Bring the tables to this version; `StoreUnavailable` if they are of a newer bot."""
        kept = Table(f"{self.name}_schema", MetaData(), Column("version", Integer, nullable=False))
        connection.execute(CreateTable(kept, if_not_exists=True))
        there = connection.execute(select(func.max(kept.c.version))).scalar_one_or_none() or 0
        if there > self.version:
            message = f"the tables of {self.name} are of version {there}, this bot knows {self.version}: use the newer bot"
            raise StoreUnavailable(message)
        for version in range(there + 1, self.version + 1):
            for statement in self.versions[version]:
                connection.execute(text(statement))
            connection.execute(kept.insert().values(version=version))
