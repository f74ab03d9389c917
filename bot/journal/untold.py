"""What a crash kept out of the tables, found again by replaying the recorded inputs.

Inputs reach their file before the facts they gave are committed, and facts are committed in their order. So the facts of a
replay that are missing from the tables are its last ones: from the first whose row is not there.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from sqlalchemy import ColumnElement, Connection, func, select

from bot.core.facts import DecisionFate, DecisionSeen, Fact, FillBooked, OrderChanged, Verdict
from bot.core.orders import OrderState
from bot.journal import tables as t
from bot.journal.queries import Queries

Key = tuple[str, ...]

_COMMITTED = (t.decisions, t.fates, t.verdicts, t.fills, t.order_events, t.positions, t.commands)


def untold(queries: Queries, run: str, replayed: Sequence[Fact]) -> list[Fact]:
    """The facts of the replay, in their order, that the run's tables lack."""
    return lacking(*queries.read(lambda connection: _committed(connection, run)), replayed)


def lacking(newest: int, keys: Set[Key], replayed: Sequence[Fact]) -> list[Fact]:
    """The same from `newest`, when the newest committed fact happened, and the `keys` of those committed then or later."""
    late = [fact for fact in replayed if fact.at >= newest]
    for place, fact in enumerate(late):
        key = key_of(fact)
        if key is not None and key not in keys:
            return late[place:]
    return [fact for fact in late if fact.at > newest]


def _committed(connection: Connection, run: str) -> tuple[int, set[Key]]:
    """When the newest committed fact happened, and the keys of those that happened then or later."""
    newest = 0
    for table in _COMMITTED:
        asked = select(func.max(table.c.at)).where(table.c.run == run, *_in_their_turn(table is t.order_events))
        newest = max(newest, connection.execute(asked).scalar() or 0)
    keys: set[Key] = set()
    for name, columns in _KEYS.items():
        rows = connection.execute(select(*columns).where(columns[0].table.c.run == run, columns[0].table.c.at >= newest))
        keys |= {(name, *map(str, row)) for row in rows}
    return newest, keys


def _in_their_turn(of_orders: bool) -> list[ColumnElement[bool]]:
    """Intents overtake the facts before them, so they say nothing of those."""
    return [t.order_events.c.state != OrderState.INTENT.value] if of_orders else []


_KEYS = {
    "decision": (t.decisions.c.id,),
    "fate": (t.fates.c.decision_id,),
    "verdict": (t.verdicts.c.id,),
    "fill": (t.fills.c.order_id, t.fills.c.id),
    "order": (t.order_events.c.order_id, t.order_events.c.state, t.order_events.c.filled),
}


def key_of(fact: Fact) -> Key | None:
    """What makes a fact's row its own, None for facts that have nothing of the kind."""
    match fact:
        case DecisionSeen():
            return ("decision", fact.decision.id)
        case DecisionFate():
            return ("fate", fact.decision_id)
        case Verdict():
            return ("verdict", fact.id)
        case FillBooked():
            # A venue's trade ids are its own per symbol.
            return ("fill", fact.fill.order_id, fact.fill.id)
        case OrderChanged():
            return ("order", fact.request.id, fact.state.value, str(fact.filled))
        case _:
            return None
