"""What reconciliation remembers from one pass to the next, as plain JSON values: a restart goes on where the last pass ended.

Money is written as text; nothing is rounded. A state that does not fit raises `ReconcileStateError`, before anything of it is
believed. An older state than the newest is no harm: what was counted since is counted again, from the older totals.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from bot.core.market import Side
from execution.account import TradeReport, TransferReport
from execution.comparison import Ledger, Window

VERSION = 1

Json = dict[str, Any]
"""One JSON object at the edge where it is parsed."""

OrderKey = tuple[str, str]
"""A symbol and the venue's order id on it."""


class ReconcileStateError(ValueError):
    """A snapshot is not one of a reconciler."""


@dataclass(slots=True)
class Pending:
    """A trade whose order nobody could name yet, and how often the venue said that it has no such order."""

    trade: TradeReport
    denied: int = 0


@dataclass(slots=True)
class Memory:
    """From pass to pass.

    `owners` tells the client id (None: it has none) of orders that were asked for by venue id. `pending` waits for such an
    answer, by symbol and trade id. `transfers` are counted, and no whole pass has told of them yet. `strays` are sentences about
    trades under our prefix that nobody here knows, by client id. `restless` counts the passes in which a currency's difference
    was another at every look, `dropped` what was forgotten for want of room.
    """

    ledger: Ledger | None = None
    owners: dict[OrderKey, str | None] = field(default_factory=dict)
    pending: dict[OrderKey, Pending] = field(default_factory=dict)
    transfers: list[TransferReport] = field(default_factory=list)
    strays: dict[str, str] = field(default_factory=dict)
    restless: dict[str, int] = field(default_factory=dict)
    dropped: int = 0

    def bound(self, keep: int) -> None:
        """Forget the oldest of what may be forgotten."""
        for held in (self.owners, self.strays, self.pending):
            while len(held) > keep:
                del held[next(iter(held))]  # type: ignore[arg-type]  # each is asked for a key of its own
                self.dropped += 1


def memory_to_json(memory: Memory) -> Json:
    """Everything as JSON has it."""
    return {
        "version": VERSION,
        "ledger": None if memory.ledger is None else _ledger_to_json(memory.ledger),
        "owners": [[*key, client_id] for key, client_id in memory.owners.items()],
        "pending": [[_trade_to_json(one.trade), one.denied] for one in memory.pending.values()],
        "transfers": [_transfer_to_json(one) for one in memory.transfers],
        "strays": dict(memory.strays),
        "restless": dict(memory.restless),
        "dropped": memory.dropped,
    }


def memory_from_json(state: object) -> Memory:
    """The memory again; `ReconcileStateError` if it is none."""
    if not isinstance(state, dict) or state.get("version") != VERSION:
        message = f"version: this is not the memory of a reconciler of version {VERSION}; begin without it"
        raise ReconcileStateError(message)
    try:
        pending = [Pending(_trade_from_json(trade), int(denied)) for trade, denied in state["pending"]]
        return Memory(
            ledger=None if state["ledger"] is None else _ledger_from_json(state["ledger"]),
            owners={(symbol, venue_id): client_id for symbol, venue_id, client_id in state["owners"]},
            pending={(one.trade.symbol, one.trade.id): one for one in pending},
            transfers=[_transfer_from_json(one) for one in state.get("transfers", ())],
            strays=dict(state["strays"]),
            restless={currency: int(times) for currency, times in state["restless"].items()},
            dropped=int(state["dropped"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as problem:
        message = f"the memory of the reconciler cannot be read ({problem!r}); begin without it"
        raise ReconcileStateError(message) from problem


def _ledger_to_json(ledger: Ledger) -> Json:
    return {
        "began": ledger.began,
        "explained": ledger.explained,
        "totals": {currency: str(total) for currency, total in ledger.totals.items()},
        "trades": {symbol: _window_to_json(window) for symbol, window in ledger.trades.items()},
        "transfers": _window_to_json(ledger.transfers),
    }


def _ledger_from_json(state: Json) -> Ledger:
    return Ledger(
        began=int(state["began"]),
        explained=int(state["explained"]),
        totals={currency: Decimal(total) for currency, total in state["totals"].items()},
        trades={symbol: _window_from_json(window) for symbol, window in state["trades"].items()},
        transfers=_window_from_json(state["transfers"]),
    )


def _window_to_json(window: Window) -> Json:
    return {"since": window.since, "ids": dict(window.ids)}


def _window_from_json(state: Json) -> Window:
    return Window(int(state["since"]), {entry: int(ts) for entry, ts in state["ids"].items()})


def _trade_to_json(trade: TradeReport) -> Json:
    row = {each.name: getattr(trade, each.name) for each in fields(trade)}
    return {**row, "side": trade.side.value, **{name: str(row[name]) for name in ("amount", "price", "fee")}}


def _trade_from_json(state: Json) -> TradeReport:
    money = {name: Decimal(state[name]) for name in ("amount", "price", "fee")}
    return TradeReport(**{**state, **money, "side": Side(state["side"])})


def _transfer_to_json(transfer: TransferReport) -> Json:
    row = {each.name: getattr(transfer, each.name) for each in fields(transfer)}
    return {**row, "amount": str(transfer.amount)}


def _transfer_from_json(state: Json) -> TransferReport:
    return TransferReport(**{**state, "amount": Decimal(state["amount"])})
