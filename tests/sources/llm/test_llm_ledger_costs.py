"""What it has cost, told by every dimension, per decision and against what the decisions brought."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sources.llm.budget import BudgetRefused
from sources.llm.costs import MOST_DECISIONS, By, Earned
from sources.llm.ledger import Ledger
from tests.sources.llm.ledger_world import DAY, LUNA, MINUTE, OPUS, OTHER, SOURCE, USAGE, LedgerWorld, ledger_world

CENT = Decimal("0.01")


async def history(world: LedgerWorld) -> Ledger:
    """Twelve days, each with a decision of two models by one source and a chat by another, lost on one day in four."""
    ledger = await world.ledger()
    for day in range(12):
        question = ledger.purse(SOURCE)
        await question.settle(await question.reserve(LUNA, CENT), CENT, USAGE)
        await question.settle(await question.reserve(OPUS, 4 * CENT), 3 * CENT, USAGE)
        await question.decided(f"d{day:02}")
        chat = await ledger.reserve(OTHER, OPUS, 2 * CENT)
        await (ledger.lost(chat) if day % 4 == 0 else ledger.release(chat))
        world.at += DAY
    return ledger


async def test_costs_by_every_dimension_add_up_to_the_same_total(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        await history(world)
        whole = await world.costs.total(0, world.at)
        assert (whole.usd, whole.calls, whole.lost, whole.fallbacks, whole.usage.output) == (Decimal("0.54"), 27, 3, 12, 24 * 800)
        for by in By:
            lines = await world.costs.by(by, 0, world.at)
            assert sum(line.usd for line in lines) == whole.usd
            assert sum(line.usage.reasoning for line in lines) == whole.usage.reasoning
        told = {line.key: line.usd for by in By for line in await world.costs.by(by, 0, world.at)}
        assert told["2026-11"] == Decimal("0.46")
        assert told["2026-12"] == Decimal("0.08")
        assert told["2026-11-21"] == Decimal("0.06")
        assert told["anthropic/claude-opus-5-5"] == Decimal("0.42")
        assert told["openai"] == Decimal("0.12")
        assert told["llm:two"] == told["chat"] == Decimal("0.06")


async def test_costs_of_no_time_are_nothing(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        await history(world)
        whole = await world.costs.total(5, 5)
        assert (whole.usd, whole.calls) == (Decimal(0), 0)
        assert await world.costs.by(By.MODEL, 5, 5) == []


async def test_pages_hold_every_line_once_and_no_page_is_unbounded(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        await history(world)
        days: list[str] = []
        while found := await world.costs.by(By.DAY, 0, world.at, limit=5, after=days[-1] if days else None):
            days += [line.key for line in found]
        assert days == [line.key for line in await world.costs.by(By.DAY, 0, world.at)]
        calls: list[tuple[int, str]] = []
        while page := await world.costs.calls(limit=7, before=calls[-1] if calls else None):
            calls += [(row.ts, row.id) for row in page]
        assert len(calls) == len(set(calls)) == 36
        assert calls == sorted(calls, reverse=True)
        decisions = await world.costs.decisions(0, world.at, limit=4, after="d07")
        assert [(each.decision, each.calls, each.usd) for each in decisions] == [(f"d{n:02}", 2, 4 * CENT) for n in range(8, 12)]
        for limit in (0, -1, 1001):
            with pytest.raises(ValueError, match="limit"):
                await world.costs.calls(limit=limit)


async def test_costs_stand_against_what_the_decisions_brought(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        await history(world)
        pnl = {f"d{day:02}": Decimal(day - 5) for day in range(12)} | {"another's": Decimal(99)}
        assert await world.costs.earned(pnl) == [
            Earned("llm:one", "anthropic/claude-opus-5-5", 12, Decimal(6), Decimal("0.36")),
            Earned("llm:one", "openai/gpt-6-luna", 12, Decimal(6), Decimal("0.12")),
        ]
        assert (await world.costs.earned(pnl))[0].net == Decimal("5.64")
        assert await world.costs.earned({}) == []
        with pytest.raises(ValueError, match=str(MOST_DECISIONS)):
            await world.costs.earned({str(n): Decimal(0) for n in range(MOST_DECISIONS + 1)})


async def test_a_refused_call_leaves_no_row(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        ledger = await world.ledger()
        with pytest.raises(BudgetRefused):
            await ledger.reserve(SOURCE, LUNA, Decimal(50))
        world.at += MINUTE
        assert await world.costs.calls() == []
