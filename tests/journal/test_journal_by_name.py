"""Decisions by their names and results by tier: many at once, each as it would be found alone."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from bot.core.decision import Fate, Tier
from bot.core.facts import DecisionSeen, LotClosed
from bot.core.market import Side
from bot.journal.queries import Queries
from tests.journal.journal_facts import NOW, Watcher, decision, fate, journal_of, run_of


def closed(opening: str | None, pnl: str, at: int = NOW, tier: Tier = Tier.LLM) -> LotClosed:
    one = Decimal(1)
    return LotClosed(
        at, "BTC/USDT", Side.BUY, one, one, one, NOW, "llm:a", tier, opening, "llm:a", "exit", Decimal(0), Decimal(pnl)
    )


async def test_decisions_by_name_are_the_newest_of_each(tmp_path: Path, database_url: str) -> None:
    for number, became in enumerate((Fate.EXECUTED, Fate.EXPIRED)):
        journal = journal_of(database_url, tmp_path)
        journal.begin(run_of(f"r{number}"), Watcher().watch)
        journal.append(DecisionSeen(NOW + number * 100, decision(1)))
        journal.append(DecisionSeen(NOW + number * 100, decision(2 + number)))
        journal.append(fate(1, became, NOW + number * 100 + 5))
        await journal.close(NOW + number)
    with Queries(database_url) as q:
        found = q.decisions_named(["d1", "d2", "d3", "nobody"])
        assert {name: (one.run, one.fate) for name, one in found.items()} == {
            "d1": ("r1", Fate.EXPIRED),
            "d2": ("r0", None),
            "d3": ("r1", None),
        }
        assert found == {one.id: one for name in found for one in q.decisions(id=name, limit=1)}
        assert q.decisions_named([]) == {}


async def test_results_are_those_of_a_tier_within_a_time_newest_first(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    lots = [closed("d1", "1.10", NOW), closed("d2", "-2", NOW + 5), closed(None, "3", NOW + 6), closed("d1", "4", NOW + 10)]
    for lot in (*lots, closed("d9", "5", NOW + 5, Tier.TRADITIONAL)):
        journal.append(lot)
    await journal.close(NOW + 20)
    with Queries(database_url) as q:
        assert q.results(Tier.LLM, 0, 2**53, 10) == [("d1", Decimal(4)), ("d2", Decimal(-2)), ("d1", Decimal("1.10"))]
        assert q.results(Tier.LLM, NOW + 5, NOW + 10, 10) == [("d2", Decimal(-2))]
        assert q.results(Tier.LLM, 0, 2**53, 1) == [("d1", Decimal(4))]
