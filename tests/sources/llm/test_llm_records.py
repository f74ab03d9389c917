"""Every question leaves its record: redacted, bounded, found again, and pruned when it is old."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from decimal import Decimal

import pytest

from sources.llm.asking import Role
from sources.llm.ledger import Payer
from sources.llm.records import DECIDED, Clamp, Record, Records
from sources.llm.retention import Pruned, Retention, prune
from tests.journal.journal_databases import rows
from tests.sources.llm.ledger_world import DAY, LUNA, SOURCE, START, ledger_world

SECRET = "sk-very-secret-0123456789"
ASKED = Record(
    ts=START,
    source="llm:one",
    role=Role.DECISION,
    outcome=DECIDED,
    provider="openai",
    model="gpt-6-luna",
    prompt="what now?",
    prompt_hash="p1",
    reply=b'{"action":"buy"}',
    symbol="BTC/USDT",
    run="run-1",
    decision="d1",
    calls=("c1", "c2"),
    template="decide",
    template_version=3,
    state_hash="s1",
    cache_key="k1",
    validation="ok",
    clamps=({"field": "size_fraction", "before": 1.5, "after": 1.0},),
)


def redacted(told: str) -> str:
    """As the logs are."""
    return told.replace(SECRET, "***")


async def test_a_record_comes_back_whole(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        records = Records(world.database, redacted)
        id_ = await records.add(ASKED)
        (line,) = await records.lines()
        assert (line.id, line.decision, line.call, line.template, line.template_version) == (id_, "d1", "c2", "decide", 3)
        assert (line.role, line.outcome, line.symbol, line.run) == (Role.DECISION, DECIDED, "BTC/USDT", "run-1")
        assert line.reply_hash == hashlib.sha256(b'{"action":"buy"}').hexdigest()
        texts = await records.texts(id_)
        assert texts is not None
        assert (texts.prompt, texts.reply, texts.validation) == ("what now?", '{"action":"buy"}', "ok")
        assert texts.clamps == ASKED.clamps
        assert await records.texts("another") is None


async def test_no_secret_reaches_the_database_not_even_half_of_one(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        records = Records(world.database, redacted, Retention(prompt_chars=20, reply_chars=20))
        leaky = "0123456789" + SECRET
        await records.add(replace(ASKED, prompt=leaky, reply=leaky, validation=leaky, clamps=({"was": SECRET},)))
        assert "sk-very" not in str(rows(database_url, "SELECT * FROM llm_records"))


async def test_what_is_too_long_is_cut_and_says_how_long_it_was(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        records = Records(world.database, redacted, Retention(reply_chars=100))
        id_ = await records.add(replace(ASKED, reply=b"x" * 1_000_000))
        (line,) = await records.lines()
        texts = await records.texts(id_)
        assert texts is not None
        assert (len(texts.reply), line.reply_size) == (100, 1_000_000)


@pytest.mark.parametrize("reply", [b"\x00\xff\xfe", "half \ud800 a pair", "nul \x00", b""])
async def test_a_reply_that_no_database_takes_is_recorded_all_the_same(database_url: str, reply: str | bytes) -> None:
    async with ledger_world(database_url) as world:
        records = Records(world.database, redacted)
        clamp: Clamp = {"was": "\ud800\x00", "n": float("nan")}
        assert (
            await records.texts(
                await records.add(replace(ASKED, reply=reply, outcome="\ud800", validation="\x00", clamps=(clamp,)))
            )
            is not None
        )


async def test_records_are_found_by_what_they_belong_to_page_by_page(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        records = Records(world.database, redacted)
        for n in range(25):
            of_other = n % 5 == 0
            await records.add(
                replace(
                    ASKED, ts=START + n // 2, source="llm:two" if of_other else "llm:one", decision=f"d{n}", run=f"run-{n % 2}"
                )
            )
        assert len(await records.lines(source="llm:two")) == 5
        assert len(await records.lines(source="llm:one", run="run-0")) == 10
        assert [line.decision for line in await records.lines(decision="d7")] == ["d7"]
        assert await records.lines(template="another") == []
        seen: list[tuple[int, str]] = []
        while found := await records.lines(limit=4, before=seen[-1] if seen else None):
            seen += [(line.ts, line.id) for line in found]
        assert len(set(seen)) == 25
        assert seen == sorted(seen, reverse=True)
        with pytest.raises(ValueError, match="limit"):
            await records.lines(limit=100_000)


async def test_what_is_too_old_or_too_much_goes_and_the_totals_stay(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        keeping = Retention(record_days=10, records=3, call_days=10)
        records, ledger = Records(world.database, redacted, keeping), await world.ledger()
        for n in range(8):
            await records.add(replace(ASKED, ts=START + n * DAY, decision=f"d{n}"))
        await ledger.lost(await ledger.reserve(SOURCE, LUNA, Decimal("0.1")))
        held = await ledger.reserve(Payer("llm:held", Role.CHAT), LUNA, Decimal("0.1"))
        assert await prune(world.database, keeping, START + 12 * DAY) == Pruned(5, 1)
        assert [line.decision for line in await records.lines()] == ["d7", "d6", "d5"]
        assert [row.id for row in await world.costs.calls()] == [held.id]
        assert (await ledger.standing())[0].spent == Decimal("0.1")
        assert await prune(world.database, keeping, START + 12 * DAY) == Pruned(0, 0)


async def test_records_keep_their_bound_without_being_told(sqlite_url: str) -> None:
    async with ledger_world(sqlite_url) as world:
        records = Records(world.database, redacted, Retention(records=10))
        for n in range(500):
            await records.add(replace(ASKED, ts=START + n))
        assert len(await records.lines()) == 10


@pytest.mark.parametrize("wrong", ["record_days", "records", "call_days", "prompt_chars", "reply_chars"])
def test_a_retention_that_keeps_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Retention(**{wrong: 0})
