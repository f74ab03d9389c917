"""The statements of the ledger: one row per call, and running totals per limit and period that always equal the rows' sums.

A row is HELD when it is reserved, then SETTLED with the real cost, LOST at the reserved one, or RELEASED at none. SETTLED is
final; whoever learns the real cost of a call that was given up for lost corrects it. All amounts are whole pico-dollars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from enum import StrEnum

from sqlalchemy import Connection, RowMapping, text

from sources.llm.asking import Usage
from sources.llm.budget import LARGEST, PICO, Limit, utc_day

MINUTE_MS = 60_000
TOTAL = ""  # the scope of all sources together
SIMULATED = "simulated/"  # what the names of sources in a simulated world begin with, and the scope of all of them together
_INTEGER = 2**31 - 1  # what a column of counts holds


class State(StrEnum):
    """What became of a reservation."""

    HELD = "held"
    SETTLED = "settled"
    LOST = "lost"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call that is about to be made, by whom and for what. `owner` names the process; `fallback` counts earlier tries."""

    id: str
    ts: int
    source: str
    role: str
    provider: str
    model: str
    prompt_hash: str
    run: str
    owner: str
    fallback: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call ended: the cost in pico-dollars (None: what was reserved) and what is known of it besides."""

    id: str
    state: State
    pico: int | None
    at: int
    outcome: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Cap:
    """One limit in one period, in pico-dollars. `scope` is the source, or empty."""

    kind: Limit
    scope: str
    period: str
    limit: int


@dataclass(frozen=True, slots=True)
class Total:
    """What a limit has seen in a period."""

    held: int
    spent: int


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation that nobody has ended: since when (ms), and which process has it."""

    id: str
    ts: int
    owner: str


def to_pico(amount: Decimal) -> int | None:
    """USD in whole pico-dollars, rounded up; None for what is no amount of money."""
    if not isinstance(amount, Decimal) or not amount.is_finite() or not 0 <= amount <= LARGEST:
        return None
    return int((amount / PICO).to_integral_value(rounding=ROUND_UP))


def to_usd(pico: int) -> Decimal:
    """Pico-dollars in USD, exactly, without trailing zeros."""
    usd = (Decimal(pico) * PICO).normalize()
    return usd.quantize(Decimal(1)) if usd == usd.to_integral_value() else usd


def recent(connection: Connection, since: int, source: str) -> int:
    """How many calls of the source's world were sent, or may be about to be, after that moment."""
    of_world = "LIKE" if source.startswith(SIMULATED) else "NOT LIKE"
    asked = text(
        f"SELECT count(*) FROM llm_calls WHERE ts > :since AND state <> :released "  # noqa: S608 - constants of this function
        f"AND source {of_world} '{SIMULATED}%'"
    )
    return int(connection.execute(asked, {"since": since, "released": State.RELEASED.value}).scalar_one())


def totals(connection: Connection, caps: Sequence[Cap]) -> list[Total]:
    """What limits have seen, in their order."""
    where = " OR ".join(f"(scope = :scope{n} AND period = :period{n})" for n in range(len(caps)))
    asked = text(f"SELECT scope, period, held, spent FROM llm_totals WHERE {where}")  # noqa: S608 - names that are counted here
    values = {name: value for n, cap in enumerate(caps) for name, value in ((f"scope{n}", cap.scope), (f"period{n}", cap.period))}
    found = {(row.scope, row.period): Total(int(row.held), int(row.spent)) for row in connection.execute(asked, values)}
    return [found.get((cap.scope, cap.period), Total(0, 0)) for cap in caps]


def hold(connection: Connection, call: NewCall, reserved: int) -> None:
    """Write the row of a reservation."""
    connection.execute(
        text(
            "INSERT INTO llm_calls (id, ts, day, source, role, provider, model, prompt_hash, decision, run, owner, state, "
            "outcome, fallback, reserved, pico, usd, input, cached, cache_write, output, reasoning, latency_ms) "
            "VALUES (:id, :ts, :day, :source, :role, :provider, :model, :prompt_hash, NULL, :run, :owner, 'held', '', "
            ":fallback, :reserved, :reserved, :usd, 0, 0, 0, 0, 0, NULL)"
        ),
        {
            "id": call.id,
            "ts": call.ts,
            "day": utc_day(call.ts),
            "source": call.source,
            "role": call.role,
            "provider": call.provider,
            "model": call.model,
            "prompt_hash": call.prompt_hash,
            "run": call.run,
            "owner": call.owner,
            "fallback": call.fallback,
            "reserved": reserved,
            "usd": str(to_usd(reserved)),
        },
    )
    _add(connection, call.source, utc_day(call.ts), held=reserved, spent=0)


def settle(connection: Connection, how: Settlement) -> RowMapping | None:
    """Book the end of a call: its source and day, or None if there is nothing to book (again)."""
    asked = text("SELECT source, day, ts, state, reserved, pico FROM llm_calls WHERE id = :id")
    row = connection.execute(asked, {"id": how.id}).mappings().one_or_none()
    if row is None or not _may_become(State(row["state"]), how.state):
        return None
    pico = int(row["reserved"]) if how.pico is None else how.pico
    connection.execute(
        text(
            "UPDATE llm_calls SET state = :state, outcome = :outcome, pico = :pico, usd = :usd, input = :input, "
            "cached = :cached, cache_write = :cache_write, output = :output, reasoning = :reasoning, latency_ms = :latency "
            "WHERE id = :id"
        ),
        {
            "id": how.id,
            "state": how.state.value,
            "outcome": how.outcome,
            "pico": pico,
            "usd": str(to_usd(pico)),
            "input": _count(how.usage.input),
            "cached": _count(how.usage.cached),
            "cache_write": _count(how.usage.cache_write),
            "output": _count(how.usage.output),
            "reasoning": _count(how.usage.reasoning),
            "latency": max(0, how.at - int(row["ts"])),
        },
    )
    held = int(row["reserved"]) if row["state"] == State.HELD else 0
    before = 0 if row["state"] == State.HELD else int(row["pico"])
    _add(connection, str(row["source"]), str(row["day"]), held=-held, spent=pico - before)
    return row


def _may_become(now: State, then: State) -> bool:
    # A real cost is better than a guess, whoever guessed; a guess never replaces what is known.
    return now is State.HELD or (then is State.SETTLED and now is not State.SETTLED)


def held(connection: Connection, limit: int) -> list[Held]:
    """Reservations that nobody has ended, oldest first."""
    asked = text("SELECT id, ts, owner FROM llm_calls WHERE state = 'held' ORDER BY ts, id LIMIT :limit")
    return [Held(str(row.id), int(row.ts), str(row.owner)) for row in connection.execute(asked, {"limit": limit})]


def give_up(connection: Connection, calls: Iterable[str], at: int, outcome: str) -> list[RowMapping]:
    """Book calls as spent at what was reserved."""
    ends = (settle(connection, Settlement(each, State.LOST, None, at, outcome, Usage())) for each in calls)
    return [end for end in ends if end is not None]


def attribute(connection: Connection, calls: Iterable[str], decision: str, outcome: str | None) -> None:
    """Say which decision calls led to; an outcome replaces that of the answer."""
    for each in calls:
        connection.execute(
            text("UPDATE llm_calls SET decision = :decision WHERE id = :id"), {"id": each, "decision": decision or None}
        )
        if outcome is not None:
            connection.execute(
                text("UPDATE llm_calls SET outcome = :outcome WHERE id = :id AND state = 'settled'"),
                {"id": each, "outcome": outcome},
            )


def first_alert(connection: Connection, cap: Cap, percent: int, at: int) -> bool:
    """Note that an alert is given; whether it is the first of its period."""
    noted = text(
        "INSERT INTO llm_alerts (scope, period, percent, ts) VALUES (:scope, :period, :percent, :at) "
        "ON CONFLICT (scope, period, percent) DO NOTHING RETURNING percent"
    )
    values = {"scope": cap.scope, "period": cap.period, "percent": percent, "at": at}
    return connection.execute(noted, values).one_or_none() is not None


def _count(tokens: int) -> int:
    return min(max(tokens, 0), _INTEGER)


def total_of(source: str) -> str:
    """The scope that a source is summed up in: what a simulated world spends is nobody's money."""
    return SIMULATED if source.startswith(SIMULATED) else TOTAL


def _add(connection: Connection, source: str, day: str, *, held: int, spent: int) -> None:
    connection.execute(
        text(
            "INSERT INTO llm_totals (scope, period, held, spent) VALUES (:source, :day, :held, :spent), "
            "(:all, :day, :held, :spent), (:all, :month, :held, :spent) ON CONFLICT (scope, period) DO UPDATE "
            "SET held = llm_totals.held + excluded.held, spent = llm_totals.spent + excluded.spent"
        ),
        {"source": source, "all": total_of(source), "day": day, "month": day[:7], "held": held, "spent": spent},
    )
