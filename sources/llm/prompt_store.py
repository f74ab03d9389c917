"""The versions of prompt templates in the database: who wrote which and why, which one is used, and how each has done.

A version never changes. Which one is used is a history of its own, so that it can be told which was used when.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, bindparam, text

from bot.store.database import Database
from sources.llm.ledger_rows import to_usd
from sources.llm.paging import page
from sources.llm.records import DECIDED, storable

LONGEST_TEMPLATE = 200_000  # characters
MOST_DECISIONS = 10_000  # in one comparison with profits
_LONGEST_NOTE = 2_000
_AT_ONCE = 500
_LOCK = "llm-prompts"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class PromptError(ValueError):
    """A template or a version that cannot be; the message names it."""


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """One version of a template; `created` is ms UTC, `hash` the SHA-256 of the body."""

    name: str
    version: int
    created: int
    author: str
    note: str
    hash: str
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PromptLine:
    """A template without its body: how many versions there are and which is used (None: none yet)."""

    name: str
    newest: int
    active: int | None


@dataclass(frozen=True, slots=True)
class Activation:
    """Since when a version was used, and who said so."""

    version: int
    at: int
    author: str


@dataclass(frozen=True, slots=True)
class VersionResults:
    """How a version has done.

    `outcomes` counts its questions by their outcome, `usd` is what every try of them cost. `closed` counts its decisions whose
    profit is known, `wins` those with one, `pnl` sums them in the accounting currency.
    """

    version: int
    asked: int
    decided: int
    outcomes: Mapping[str, int]
    clamped: int
    usd: Decimal
    closed: int
    wins: int
    pnl: Decimal


class PromptStore:
    """Saves, activates and compares. `now` gives ms UTC. Everything raises `StoreUnavailable` where the database is away."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    async def save(self, name: str, body: str, *, author: str, note: str = "") -> PromptVersion:
        """The next version of a template; saving the newest one again brings that one. It is not used before `activate`."""
        if not _NAME.fullmatch(name):
            message = f"template name {name!r}: use lower-case letters, digits, dashes and underscores, at most 64"
            raise PromptError(message)
        if not 0 < len(body) <= LONGEST_TEMPLATE or len(note) > _LONGEST_NOTE or storable(body) != body:
            message = (
                f"template {name}: {len(body)} characters and a note of {len(note)}: "
                f"give 1 to {LONGEST_TEMPLATE} of printable text and at most {_LONGEST_NOTE}"
            )
            raise PromptError(message)
        values = {
            "name": name,
            "ts": self._now(),
            "author": storable(author),
            "note": storable(note),
            "hash": hashlib.sha256(body.encode()).hexdigest(),
            "body": body,
        }
        return await self._database.alone(_LOCK, lambda connection: _save(connection, values))

    async def get(self, name: str, version: int | None = None) -> PromptVersion:
        """A version, or the one that is used; `PromptError` if there is none."""

        def work(connection: Connection) -> PromptVersion:
            wanted = _active(connection, name) if version is None else version
            found = None if wanted is None else _version(connection, name, wanted)
            if found is None:
                which = "is not used in any version: activate one" if version is None else f"has no version {version}"
                message = f"template {name!r} {which}"
                raise PromptError(message)
            return found

        return await self._database.run(work)

    async def names(self, *, limit: int = 100, after: str = "") -> list[PromptLine]:
        """Templates in the order of their names; the next page begins after the last name of this one."""
        asked = text(
            "SELECT p.name AS name, max(p.version) AS newest, (SELECT a.version FROM llm_prompt_activations a "
            "WHERE a.name = p.name ORDER BY a.number DESC LIMIT 1) AS active "
            "FROM llm_prompts p WHERE p.name > :after GROUP BY p.name ORDER BY p.name LIMIT :limit"
        )
        found = await self._rows(asked, {"after": after, "limit": page(limit)})
        return [PromptLine(str(row.name), int(row.newest), row.active) for row in found]

    async def history(self, name: str, *, limit: int = 100, before: int | None = None) -> list[PromptVersion]:
        """Versions, newest first; the next page is that before the last version here."""
        asked = text("SELECT * FROM llm_prompts WHERE name = :name AND version < :before ORDER BY version DESC LIMIT :limit")
        values = {"name": name, "before": before or 2**31 - 1, "limit": page(limit)}
        return [_prompt(row) for row in await self._rows(asked, values)]

    async def activate(self, name: str, version: int, *, author: str) -> None:
        """Use a version from now on; `PromptError` if there is no such version."""
        at = self._now()

        def work(connection: Connection) -> None:
            if _version(connection, name, version) is None:
                message = f"template {name!r} has no version {version}"
                raise PromptError(message)
            if _active(connection, name) == version:
                return
            connection.execute(
                text(
                    "INSERT INTO llm_prompt_activations (name, number, version, ts, author) SELECT :name, "
                    "coalesce(max(number), 0) + 1, :version, :at, :author FROM llm_prompt_activations WHERE name = :of"
                ),
                {"name": name, "of": name, "version": version, "at": at, "author": storable(author)},
            )

        await self._database.alone(_LOCK, work)

    async def activations(self, name: str, *, limit: int = 100) -> list[Activation]:
        """Which version was used since when, newest first."""
        asked = text(
            "SELECT version, ts, author FROM llm_prompt_activations WHERE name = :name ORDER BY number DESC LIMIT :limit"
        )
        found = await self._rows(asked, {"name": name, "limit": page(limit)})
        return [Activation(int(row.version), int(row.ts), str(row.author)) for row in found]

    async def diff(self, name: str, old: int, new: int) -> str:
        """What changed from one version to another, as a unified diff; empty if nothing did. `PromptError` if one is missing."""
        before, after = await self.get(name, old), await self.get(name, new)
        lines = difflib.unified_diff(
            before.body.splitlines(), after.body.splitlines(), f"{name}@{old}", f"{name}@{new}", lineterm=""
        )
        return "".join(f"{line}\n" for line in lines)

    async def results(
        self, name: str, since: int, until: int, *, pnl: Mapping[str, Decimal] | None = None, limit: int = 20
    ) -> list[VersionResults]:
        """How the newest versions have done from `since` to before `until`, newest first, beside the profits of decisions.

        At most `MOST_DECISIONS` profits, `ValueError` for more.
        """
        profits = pnl or {}
        if len(profits) > MOST_DECISIONS:
            message = f"profits of {len(profits)} decisions were given: give at most {MOST_DECISIONS} at once"
            raise ValueError(message)
        values = {"name": name, "since": since, "until": until, "limit": page(limit)}
        return await self._database.run(lambda connection: _results(connection, values, profits))

    async def _rows(self, asked: Any, values: Mapping[str, Any]) -> list[Row[Any]]:
        return await self._database.run(lambda connection: list(connection.execute(asked, values)))


def _save(connection: Connection, values: Mapping[str, Any]) -> PromptVersion:
    newest = connection.execute(
        text("SELECT * FROM llm_prompts WHERE name = :name ORDER BY version DESC LIMIT 1"), {"name": values["name"]}
    ).one_or_none()
    if newest is not None and newest.body == values["body"]:
        return _prompt(newest)
    row = connection.execute(
        text(
            "INSERT INTO llm_prompts (name, version, ts, author, note, hash, body) "
            "VALUES (:name, :version, :ts, :author, :note, :hash, :body) RETURNING *"
        ),
        {**values, "version": 1 if newest is None else int(newest.version) + 1},
    ).one()
    return _prompt(row)


def _version(connection: Connection, name: str, version: int) -> PromptVersion | None:
    asked = text("SELECT * FROM llm_prompts WHERE name = :name AND version = :version")
    row = connection.execute(asked, {"name": name, "version": version}).one_or_none()
    return None if row is None else _prompt(row)


def _active(connection: Connection, name: str) -> int | None:
    asked = text("SELECT version FROM llm_prompt_activations WHERE name = :name ORDER BY number DESC LIMIT 1")
    return connection.execute(asked, {"name": name}).scalar_one_or_none()


def _prompt(row: Row[Any]) -> PromptVersion:
    return PromptVersion(
        str(row.name), int(row.version), int(row.ts), str(row.author), str(row.note), str(row.hash), str(row.body)
    )


def _results(connection: Connection, values: Mapping[str, Any], pnl: Mapping[str, Decimal]) -> list[VersionResults]:
    versions = connection.execute(
        text(
            "SELECT DISTINCT template_version AS v FROM llm_records "
            "WHERE template = :name AND ts >= :since AND ts < :until ORDER BY v DESC LIMIT :limit"
        ),
        values,
    ).scalars()
    outcomes = connection.execute(
        text(
            "SELECT template_version AS v, outcome, count(*) AS asked, "
            "sum(CASE WHEN clamps <> '[]' THEN 1 ELSE 0 END) AS clamped FROM llm_records "
            "WHERE template = :name AND ts >= :since AND ts < :until GROUP BY template_version, outcome ORDER BY outcome"
        ),
        values,
    ).all()
    # By the hash of the prompt, so that a try that failed is charged to the template as well.
    costs = connection.execute(
        text(
            "SELECT r.v AS v, sum(c.pico) AS pico FROM (SELECT DISTINCT template_version AS v, prompt_hash FROM llm_records "
            "WHERE template = :name AND ts >= :since AND ts < :until AND prompt_hash <> '') r "
            "JOIN llm_calls c ON c.prompt_hash = r.prompt_hash GROUP BY r.v"
        ),
        values,
    ).all()
    spent = {int(row.v): to_usd(int(row.pico)) for row in costs}
    earned = _earned(connection, values, pnl)
    found = []
    for version in versions:
        counts = {str(row.outcome): int(row.asked) for row in outcomes if row.v == version}
        profits = earned.get(version, [])
        found.append(
            VersionResults(
                version=version,
                asked=sum(counts.values()),
                decided=counts.get(DECIDED, 0),
                outcomes=counts,
                clamped=sum(int(row.clamped) for row in outcomes if row.v == version),
                usd=spent.get(version, Decimal(0)),
                closed=len(profits),
                wins=sum(profit > 0 for profit in profits),
                pnl=sum(profits, Decimal(0)),
            )
        )
    return found


def _earned(connection: Connection, values: Mapping[str, Any], pnl: Mapping[str, Decimal]) -> dict[int, list[Decimal]]:
    """The known profits of each version's decisions."""
    # By the decisions alone, which have an index: with the template in the question, both engines would walk through all of it.
    asked = text(
        "SELECT DISTINCT template, template_version AS v, decision, ts FROM llm_records WHERE decision IN :ids"
    ).bindparams(bindparam("ids", expanding=True))
    ids, found = sorted(pnl), set[tuple[int, str]]()
    for first in range(0, len(ids), _AT_ONCE):
        for row in connection.execute(asked, {"ids": ids[first : first + _AT_ONCE]}):
            if row.template == values["name"] and values["since"] <= row.ts < values["until"]:
                found.add((int(row.v), str(row.decision)))
    profits: dict[int, list[Decimal]] = {}
    for version, decision in sorted(found):
        profits.setdefault(version, []).append(pnl[decision])
    return profits
