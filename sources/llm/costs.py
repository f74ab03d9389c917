"""What LLMs have cost: by day, month, model, provider, source and role, per decision, and against what the decisions brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, TextClause, bindparam, text

from bot.store.database import Database
from sources.llm.asking import Usage
from sources.llm.ledger_rows import SIMULATED, to_usd
from sources.llm.paging import LARGEST_PAGE, page

MOST_DECISIONS = 10_000  # in one comparison with profits
_AT_ONCE = 500


class By(StrEnum):
    """What costs can be told by."""

    DAY = "day"
    MONTH = "month"
    MODEL = "model"
    PROVIDER = "provider"
    SOURCE = "source"
    ROLE = "role"


_EXPRESSION = {
    By.DAY: "day",
    By.MONTH: "substr(day, 1, 7)",
    By.MODEL: "provider || '/' || model",
    By.PROVIDER: "provider",
    By.SOURCE: "source",
    By.ROLE: "role",
}
_SUMS = (
    "count(*) AS calls, sum(pico) AS pico, sum(CASE WHEN state = 'held' THEN pico ELSE 0 END) AS held, "
    "sum(CASE WHEN state = 'lost' THEN 1 ELSE 0 END) AS lost, sum(CASE WHEN fallback > 0 THEN 1 ELSE 0 END) AS fallbacks, "
    "sum(input) AS input, sum(cached) AS cached, sum(cache_write) AS cache_write, sum(output) AS output, "
    "sum(reasoning) AS reasoning"
)


@dataclass(frozen=True, slots=True)
class CostLine:
    """What `calls` calls cost in USD. `held` is the part that is only reserved, `lost` how many of them ended unknown."""

    key: str
    calls: int
    usd: Decimal
    held: Decimal
    lost: int
    fallbacks: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class DecisionCost:
    """What one decision cost, with every try of every model that was asked for it."""

    decision: str
    source: str
    calls: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call. `state` is held, settled, lost or released; `latency_ms` None while it is under way."""

    id: str
    ts: int
    source: str
    role: str
    provider: str
    model: str
    prompt_hash: str
    decision: str | None
    run: str
    state: str
    outcome: str
    fallback: int
    usd: Decimal
    usage: Usage
    latency_ms: int | None


@dataclass(frozen=True, slots=True)
class Earned:
    """What the decisions of a source by a model brought, in the accounting currency, and what they cost, in USD.

    A decision that several models were asked for counts once for each of them, with that model's own part of the cost.
    """

    source: str
    model: str
    decisions: int
    pnl: Decimal
    usd: Decimal

    @property
    def net(self) -> Decimal:
        """Profit after the cost, where a USD is a unit of the accounting currency."""
        return self.pnl - self.usd


class Costs:
    """Queries over the ledger. Times are ms UTC, `since` inclusive, `until` exclusive; an answer has at most `limit` lines.

    They tell of real money, or of what `simulated` worlds spent.
    """

    def __init__(self, database: Database, *, simulated: bool = False) -> None:
        self._database = database
        self._apart = SIMULATED if simulated else ""
        self._of_world = f"source {'LIKE' if simulated else 'NOT LIKE'} '{SIMULATED}%'"

    async def by(self, by: By, since: int, until: int, *, limit: int = 100, after: str | None = None) -> list[CostLine]:
        """Lines in the order of their keys; the next page begins after the last key of this one."""
        key = _EXPRESSION[by]
        asked = text(
            f"SELECT {key} AS named, {_SUMS} FROM llm_calls "  # noqa: S608 - both are constants of this module
            f"WHERE {self._of_world} AND ts >= :since AND ts < :until AND state <> 'released' AND {key} > :after "
            f"GROUP BY {key} ORDER BY named LIMIT :limit"
        )
        values = {"since": since, "until": until, "after": after or "", "limit": page(limit)}
        return [_line(row) for row in await self._rows(asked, values)]

    async def total(self, since: int, until: int) -> CostLine:
        """All of it in one line."""
        asked = text(
            f"SELECT 'total' AS named, {_SUMS} FROM llm_calls "  # noqa: S608 - constants of this module
            f"WHERE {self._of_world} AND ts >= :since AND ts < :until AND state <> 'released'"
        )
        (row,) = await self._rows(asked, {"since": since, "until": until})
        return _line(row)

    async def decisions(self, since: int, until: int, *, limit: int = 100, after: str | None = None) -> list[DecisionCost]:
        """What each decision cost, in the order of their ids; the next page begins after the last id of this one."""
        asked = text(
            "SELECT decision, min(source) AS source, count(*) AS calls, sum(pico) AS pico FROM llm_calls "  # noqa: S608
            f"WHERE {self._of_world} AND decision > :after AND ts >= :since AND ts < :until "
            "GROUP BY decision ORDER BY decision LIMIT :limit"
        )
        found = await self._rows(asked, {"since": since, "until": until, "after": after or "", "limit": page(limit)})
        return [DecisionCost(str(row.decision), str(row.source), int(row.calls), to_usd(int(row.pico))) for row in found]

    async def of_decision(self, decision: str) -> list[CallRow]:
        """The calls that led to a decision, oldest first, at most a page of them."""
        asked = text("SELECT * FROM llm_calls WHERE decision = :decision ORDER BY ts, id LIMIT :limit")
        return [_call(row) for row in await self._rows(asked, {"decision": decision, "limit": LARGEST_PAGE})]

    async def calls(self, *, source: str | None = None, limit: int = 100, before: tuple[int, str] | None = None) -> list[CallRow]:
        """Calls, newest first, of one source or of all; the next page is that before (ts, id) of the last one here."""
        ts, id_ = before or (2**62, "")
        of_source = f"{self._of_world} AND " if source is None else "source = :source AND "
        asked = text(
            f"SELECT * FROM llm_calls WHERE {of_source}"  # noqa: S608 - a constant of this function
            "(ts < :ts OR (ts = :ts AND id < :id)) ORDER BY ts DESC, id DESC LIMIT :limit"
        )
        values = {"ts": ts, "id": id_, "limit": page(limit), **({} if source is None else {"source": self._apart + source})}
        return [_call(row) for row in await self._rows(asked, values)]

    async def earned(self, pnl: Mapping[str, Decimal]) -> list[Earned]:
        """Realised profit and loss of decisions, as the journal tells it, against what they cost, by source and model.

        At most `MOST_DECISIONS` of them, `ValueError` for more; decisions that no call led to are left out.
        """
        if len(pnl) > MOST_DECISIONS:
            message = f"profits of {len(pnl)} decisions were given: give at most {MOST_DECISIONS} at once"
            raise ValueError(message)
        ids = sorted(pnl)
        parts = [ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE)]
        found = await self._database.run(lambda connection: [row for part in parts for row in _by_decision(connection, part)])
        sums: dict[tuple[str, str], Earned] = {}
        for row in found:
            key = str(row.source), str(row.model)
            old = sums.get(key, Earned(*key, 0, Decimal(0), Decimal(0)))
            sums[key] = Earned(*key, old.decisions + 1, old.pnl + pnl[str(row.decision)], old.usd + to_usd(int(row.pico)))
        return [sums[key] for key in sorted(sums)]

    async def _rows(self, asked: TextClause, values: Mapping[str, object]) -> Sequence[Row[Any]]:
        return await self._database.run(lambda connection: connection.execute(asked, values).all())


def _by_decision(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    asked = text(
        "SELECT decision, source, provider || '/' || model AS model, sum(pico) AS pico FROM llm_calls "
        "WHERE decision IN :ids GROUP BY decision, source, provider, model ORDER BY decision, source, provider, model"
    ).bindparams(bindparam("ids", expanding=True))
    return connection.execute(asked, {"ids": list(ids)}).all()


def _line(row: Row[Any]) -> CostLine:
    return CostLine(
        key=str(row.named),
        calls=int(row.calls),
        usd=to_usd(int(row.pico or 0)),
        held=to_usd(int(row.held or 0)),
        lost=int(row.lost or 0),
        fallbacks=int(row.fallbacks or 0),
        usage=_usage(row),
    )


def _call(row: Row[Any]) -> CallRow:
    return CallRow(
        id=str(row.id),
        ts=int(row.ts),
        source=str(row.source),
        role=str(row.role),
        provider=str(row.provider),
        model=str(row.model),
        prompt_hash=str(row.prompt_hash),
        decision=None if row.decision is None else str(row.decision),
        run=str(row.run),
        state=str(row.state),
        outcome=str(row.outcome),
        fallback=int(row.fallback),
        usd=Decimal(row.usd),
        usage=_usage(row),
        latency_ms=None if row.latency_ms is None else int(row.latency_ms),
    )


def _usage(row: Row[Any]) -> Usage:
    """Sums over no rows are NULL, and PostgreSQL's are of its numeric type."""
    return Usage(
        input=int(row.input or 0),
        cached=int(row.cached or 0),
        cache_write=int(row.cache_write or 0),
        output=int(row.output or 0),
        reasoning=int(row.reasoning or 0),
    )
