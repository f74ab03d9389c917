"""A long history, made up: decisions and all that comes of them, in the journal's own tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from sqlalchemy import Connection, Table, create_engine, insert

from bot.journal import tables as t

_SOURCES = (("quantconnect:momentum", 0), ("llm:claude", 1), ("rules:sma-cross", 2), ("rules:donchian", 2), ("rules:rsi", 2))
_SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "ADA/USDT")
_FATES = ("executed", "agreed", "outranked", "held", "expired", "denied")
_BEGAN = 1_700_000_000_000
_STEP = 15_000
_BATCH = 5_000
_RUN = "20231114-221320-made"


def fill(url: str, decisions: int, seed: int = 1) -> None:
    """Write it into an empty journal; one decision in five is executed, and sampled every fifth decision."""
    engine = create_engine(url)
    with engine.begin() as connection:
        _begin(connection)
        for first in range(0, decisions, _BATCH):
            rows = list(_rows(range(first, min(first + _BATCH, decisions)), Random(seed + first)))
            for table in (
                t.decisions,
                t.verdicts,
                t.fates,
                t.orders,
                t.order_events,
                t.fills,
                t.lots_closed,
                t.overrides,
                t.equity,
                t.shadow_samples,
            ):
                found = [row for kind, row in rows if kind is table]
                if found:
                    connection.execute(insert(table), found)
    engine.dispose()


def _begin(connection: Connection) -> None:
    connection.execute(insert(t.books), [{"id": 1, "bot": "arbiter", "mode": "paper", "venue": "binance", "world": "real"}])
    run = {"id": _RUN, "book": 1, "started": _BEGAN, "ended": None, "simulated": False, "config_hash": "0", "config": "{}"}
    connection.execute(insert(t.runs), [{**run, "code_version": "0", "seed": None, "closed_cleanly": False}])


def _rows(numbers: range, chance: Random) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    for number in numbers:
        at = _BEGAN + number * _STEP
        yield from _decision(number, at, chance)
        if number % 5 == 0:
            yield from _trade(number, at, chance)
            yield from _samples(number, at, chance)


def _decision(number: int, at: int, chance: Random) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    source, tier = _SOURCES[number % len(_SOURCES)]
    symbol, fate = _SYMBOLS[number % len(_SYMBOLS)], "executed" if number % 5 == 0 else _FATES[number % len(_FATES)]
    base = {"book": 1, "run": _RUN, "at": at, "source": source, "tier": tier, "symbol": symbol}
    price, confidence = 100 + chance.random(), chance.random()
    said = {
        "id": f"d{number}", "action": ("buy", "sell", "hold")[number % 3], "confidence": confidence, "raw_confidence": confidence,
        "calibrated_confidence": confidence, "created": at, "expires": at + 60_000, "price": price, "stop_loss": price * 0.98,
        "take_profit": None, "trailing": None, "size_fraction": None, "reasoning": "because of the trend, and of the news " * 5,
        "evidence": '{"rsi": 44.2, "trend": "up"}', "cost": "0.0012", "external_id": None, "target": None,
    }  # fmt: skip
    yield t.decisions, {**base, **said}
    verdict = f"v{number}"
    told = {
        "decision_id": f"d{number}",
        "fate": fate,
        "denial": None,
        "verdict_id": verdict,
        "winner": None,
        "reason": "the reason",
    }
    yield t.fates, {**base, "at": at + 5, **told}
    outranked = f'["d{number - 1}"]' if number % 4 == 0 and number else "[]"
    given = {
        "policy": "priority",
        "winner": f"d{number}",
        "action": said["action"],
        "confidence": confidence,
        "reason": "it outranks",
    }
    yield t.verdicts, {**base, "at": at + 4, "id": verdict, "outranked": outranked, "target": "1", "position": "0", **given}


def _trade(number: int, at: int, chance: Random) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    source, tier = _SOURCES[number % len(_SOURCES)]
    symbol, pnl = _SYMBOLS[number % len(_SYMBOLS)], f"{chance.gauss(0, 1):.4f}"
    base = {"book": 1, "run": _RUN, "at": at}
    order = {
        "id": f"o{number}", "symbol": symbol, "side": "buy", "type": "market", "amount": "1", "leg": "entry",
        "cause": f"d{number}", "attempt": 0, "source": source, "tier": tier, "confidence": 0.6, "reference": 100.0, "created": at,
        "price": None, "trigger_price": None, "time_in_force": "gtc", "post_only": False, "reduce_only": False,
        "decision_id": f"d{number}", "state": "filled", "filled": "1", "average": "100.1", "venue_id": str(number), "reason": "",
    }  # fmt: skip
    yield t.orders, {**base, **order}
    state = {
        "order_id": f"o{number}",
        "state": "filled",
        "filled": "1",
        "average": "100.1",
        "venue_id": str(number),
        "reason": "",
    }
    yield t.order_events, {**base, **state}
    fill_of = {
        "id": f"f{number}", "order_id": f"o{number}", "symbol": symbol, "side": "buy", "amount": "1", "price": "100.1",
        "fee": "0.1", "fee_currency": "USDT", "ts": at, "maker": False, "evidence": "quote 1", "source": source, "tier": tier,
        "confidence": 0.6, "decision_id": f"d{number}", "realised": "0", "fee_value": "0.1", "slippage": 0.0,
    }  # fmt: skip
    yield t.fills, {**base, **fill_of}
    lot = {
        "symbol": symbol, "side": "buy", "amount": "1", "entry": "100", "exit": "101", "opened": at - 1_000, "opener": source,
        "opener_tier": tier, "opening_decision": f"d{number}", "closer": source, "closing_leg": "exit", "fees": "0.2", "pnl": pnl,
    }  # fmt: skip
    yield t.lots_closed, {**base, **lot}
    cost = {"symbol": symbol, "loser": "rules:rsi", "winner": source, "decision_id": f"d{number}", "verdict_id": f"v{number}"}
    yield t.overrides, {**base, **cost, "since": at - 500, "shadow_pnl": 0.1, "book_pnl": 0.2, "cost": -0.1}


def _samples(number: int, at: int, chance: Random) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    base = {"book": 1, "run": _RUN, "at": at}
    worth = {"equity": 10_000 + chance.random(), "unrealised": 0.0, "realised": "1", "fees": "2"}
    yield t.equity, {**base, "cash": "10000", "peak": 10_001.0, "drawdown": 0.001, "exposure": 0.0, **worth}
    source, tier = _SOURCES[(number // 5) % len(_SOURCES)]
    yield t.shadow_samples, {**base, "source": source, "tier": tier, "trades": 1, "wins": 1, **worth}
