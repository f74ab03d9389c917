"""Versions of templates: never changed, told apart, and judged by what came of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from sources.llm.prompt_store import LONGEST_TEMPLATE, PromptError, PromptStore
from sources.llm.records import DECIDED, Records
from tests.sources.llm.ledger_world import DAY, LUNA, OPUS, SOURCE, START, USAGE, LedgerWorld, ledger_world
from tests.sources.llm.test_llm_records import ASKED

CENT = Decimal("0.01")


def store_of(world: LedgerWorld) -> PromptStore:
    """By the world's clock."""
    return PromptStore(world.database, lambda: world.at)


async def test_versions_count_up_and_stay_as_they_were(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        prompts = store_of(world)
        first = await prompts.save("decide", "Price: {{ price }}\n", author="ann", note="the first")
        world.at += DAY
        second = await prompts.save("decide", "The price: {{ price }}\n", author="bob")
        assert (first.version, first.created, first.author, first.note) == (1, START, "ann", "the first")
        assert (second.version, second.created) == (2, START + DAY)
        assert await prompts.get("decide", 1) == first
        assert [each.version for each in await prompts.history("decide")] == [2, 1]
        assert await prompts.history("decide", before=2, limit=1) == [first]
        assert await prompts.save("decide", second.body, author="cat") == second, "nothing is new about it"


async def test_saving_at_once_gives_every_version_a_number_of_its_own(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        saved = await asyncio.gather(*(store_of(world).save("decide", f"body {n}", author="ann") for n in range(6)))
        assert sorted(each.version for each in saved) == [1, 2, 3, 4, 5, 6]


async def test_a_version_is_used_only_when_it_is_activated_and_so_is_an_older_one_again(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        prompts = store_of(world)
        for n in range(3):
            await prompts.save("decide", f"body {n}", author="ann")
        with pytest.raises(PromptError, match="activate one"):
            await prompts.get("decide")
        for version in (3, 1, 1):
            world.at += DAY
            await prompts.activate("decide", version, author="bob")
        assert (await prompts.get("decide")).version == 1
        assert [(each.version, each.at, each.author) for each in await prompts.activations("decide")] == [
            (1, START + 2 * DAY, "bob"),
            (3, START + DAY, "bob"),
        ]
        with pytest.raises(PromptError, match="no version 9"):
            await prompts.activate("decide", 9, author="bob")
        await prompts.save("chat", "Hello", author="ann")
        lines = await prompts.names()
        assert [(line.name, line.newest, line.active) for line in lines] == [("chat", 1, None), ("decide", 3, 1)]
        assert await prompts.names(after="chat", limit=1) == [lines[1]]


async def test_a_diff_names_both_versions_and_what_changed(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        prompts = store_of(world)
        await prompts.save("decide", "You trade.\nBe brief.\n", author="ann")
        await prompts.save("decide", "You trade.\nBe careful.\n", author="ann")
        assert await prompts.diff("decide", 1, 2) == (
            "--- decide@1\n+++ decide@2\n@@ -1,2 +1,2 @@\n You trade.\n-Be brief.\n+Be careful.\n"
        )
        assert await prompts.diff("decide", 2, 2) == ""
        with pytest.raises(PromptError, match="no version 3"):
            await prompts.diff("decide", 1, 3)


@pytest.mark.parametrize(
    ("name", "body", "note"),
    [
        ("Bad name", "x", ""),
        ("../etc", "x", ""),
        ("decide", "", ""),
        ("decide", "x" * (LONGEST_TEMPLATE + 1), ""),
        ("decide", "a \x00", ""),
        ("decide", "\ud800", ""),
        ("decide", "x", "n" * 3000),
    ],
)
async def test_what_is_no_template_is_not_saved(sqlite_url: str, name: str, body: str, note: str) -> None:
    async with ledger_world(sqlite_url) as world:
        with pytest.raises(PromptError, match="template"):
            await store_of(world).save(name, body, author="ann", note=note)
        assert await store_of(world).names() == []


async def question(world: LedgerWorld, n: int, version: int, outcome: str) -> None:
    """Ask with a version of the template: a try that is lost, one that is answered."""
    purse = (await world.ledger()).purse(replace(SOURCE, prompt_hash=f"p{n}"))
    await purse.lost(await purse.reserve(OPUS, 2 * CENT))
    await purse.settle(await purse.reserve(LUNA, CENT), CENT, USAGE)
    record = replace(
        ASKED,
        ts=world.at,
        outcome=outcome,
        prompt_hash=f"p{n}",
        template_version=version,
        decision=f"d{n}" if outcome == DECIDED else None,
        calls=tuple(purse.calls),
        clamps=ASKED.clamps if n == 0 else (),
    )
    await Records(world.database, str).add(record)


async def test_the_results_of_each_version_stand_beside_it(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        for n, (version, outcome) in enumerate([(1, DECIDED), (1, "schema"), (2, DECIDED), (2, DECIDED), (2, DECIDED)]):
            await question(world, n, version, outcome)
        pnl = {"d0": Decimal(5), "d2": Decimal(-1), "d3": Decimal(4), "unknown": Decimal(1000)}
        newest, oldest = await store_of(world).results("decide", 0, world.at + 1, pnl=pnl)
        assert (newest.version, newest.asked, newest.decided, newest.usd) == (2, 3, 3, 9 * CENT)
        assert (newest.closed, newest.wins, newest.pnl) == (2, 1, Decimal(3))
        assert (oldest.version, oldest.asked, oldest.decided, oldest.usd, oldest.clamped) == (1, 2, 1, 6 * CENT, 1)
        assert oldest.outcomes == {DECIDED: 1, "schema": 1}
        assert (oldest.closed, oldest.wins, oldest.pnl) == (1, 1, Decimal(5))
        assert [each.version for each in await store_of(world).results("decide", 0, world.at + 1, limit=1)] == [2]
        assert await store_of(world).results("decide", 0, world.at) == []
        with pytest.raises(ValueError, match="10001"):
            await store_of(world).results("decide", 0, 1, pnl={str(n): CENT for n in range(10_001)})
