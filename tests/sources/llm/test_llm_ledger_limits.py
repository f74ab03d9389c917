"""The budget: reserved before a call, settled after, refused where a limit or a doubt says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from sources.llm.asking import Role, Usage
from sources.llm.budget import Advice, Alert, Budget, BudgetRefused, Limit, SourceBudget
from sources.llm.costs import By, Costs
from sources.llm.ledger import Ledger, Payer
from sources.llm.purse import Purse, PurseEmpty
from tests.sources.llm.ledger_world import DAY, HOUR, LUNA, MINUTE, OPUS, OTHER, SOURCE, USAGE, WIDE, ledger_world

CENT = Decimal("0.01")


async def test_a_reservation_counts_until_it_is_settled_at_the_real_cost(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        ledger = await world.ledger()
        ticket = await ledger.reserve(SOURCE, LUNA, Decimal("0.5"))
        assert await world.spent() == Decimal("0.5")
        world.at += 1234
        await ledger.settle(ticket, Decimal("0.00123456789012"), USAGE)  # whole pico-dollars are kept, rounded up
        assert await world.spent() == Decimal("0.001234567891")
        (row,) = await world.costs.calls()
        assert (row.source, row.role, row.provider, row.model) == ("llm:one", "decision", "openai", "gpt-6-luna")
        assert (row.prompt_hash, row.run, row.usage, row.latency_ms) == ("abc", "run-1", USAGE, 1234)
        assert (row.state, row.usd, row.decision) == ("settled", Decimal("0.001234567891"), None)


async def test_a_lost_call_stays_spent_and_a_released_one_costs_nothing(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        ledger = await world.ledger()
        await ledger.lost(await ledger.reserve(SOURCE, LUNA, Decimal("0.3")))
        await ledger.release(await ledger.reserve(SOURCE, LUNA, Decimal("0.2")))
        assert await world.spent() == Decimal("0.3")
        assert [row.state for row in await world.costs.calls()] == ["released", "lost"]


async def test_a_call_is_booked_once_however_often_it_ends(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        ledger = await world.ledger()
        ticket = await ledger.reserve(SOURCE, LUNA, Decimal("0.3"))
        await ledger.settle(ticket, CENT, USAGE)
        await ledger.settle(ticket, Decimal("0.9"), USAGE)
        await ledger.lost(ticket)
        await ledger.release(ticket)
        assert await world.spent() == CENT
        (day, month) = await ledger.standing()
        assert (day.spent, day.held, month.spent, month.held) == (CENT, Decimal(0), CENT, Decimal(0))


async def test_a_real_cost_that_comes_late_replaces_what_was_guessed(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        ledger = await world.ledger()
        ticket = await ledger.reserve(SOURCE, LUNA, Decimal("0.3"))
        await ledger.lost(ticket)
        await ledger.settle(ticket, Decimal("0.4"), USAGE)
        assert await world.spent() == Decimal("0.4")


@pytest.mark.parametrize("cost", [Decimal("NaN"), Decimal("Infinity"), Decimal("-1"), Decimal("1e30")])
async def test_a_cost_that_is_no_money_counts_as_the_reservation(sqlite_url: str, cost: Decimal) -> None:
    async with ledger_world(sqlite_url) as world:
        ledger = await world.ledger()
        await ledger.settle(await ledger.reserve(SOURCE, LUNA, Decimal("0.3")), cost, Usage(input=2**63, output=-5))
        assert await world.spent() == Decimal("0.3")


@pytest.mark.parametrize("amount", [None, Decimal("NaN"), Decimal("-0.1"), Decimal("Infinity"), Decimal("1e12")])
async def test_an_unpriced_call_is_refused(sqlite_url: str, amount: Decimal | None) -> None:
    async with ledger_world(sqlite_url) as world:
        ledger = await world.ledger()
        with pytest.raises(BudgetRefused, match="price") as refused:
            await ledger.reserve(SOURCE, LUNA, amount)
        assert refused.value.limit is Limit.UNPRICED
        assert await world.costs.calls() == []


async def test_a_model_that_is_free_by_its_price_is_asked(sqlite_url: str) -> None:
    async with ledger_world(sqlite_url, Budget(per_call=Decimal(0))) as world:
        ledger = await world.ledger()
        await ledger.settle(await ledger.reserve(SOURCE, LUNA, Decimal(0)), Decimal(0), USAGE)
        assert await ledger.advice("llm:one") is Advice.NORMAL


@pytest.mark.parametrize(
    ("budget", "limit"),
    [
        (replace(WIDE, per_call=Decimal("0.09")), Limit.PER_CALL),
        (replace(WIDE, per_source_day=Decimal("0.25")), Limit.SOURCE_DAY),
        (replace(WIDE, per_day=Decimal("0.25")), Limit.DAY),
        (replace(WIDE, per_month=Decimal("0.25")), Limit.MONTH),
        (replace(WIDE, calls_per_minute=2), Limit.RATE),
    ],
)
async def test_each_limit_refuses_the_call_that_would_pass_it(database_url: str, budget: Budget, limit: Limit) -> None:
    async with ledger_world(database_url, budget) as world:
        ledger = await world.ledger()
        for _ in range(0 if limit is Limit.PER_CALL else 2):
            await ledger.settle(await ledger.reserve(SOURCE, LUNA, Decimal("0.1")), Decimal("0.1"), USAGE)
        with pytest.raises(PurseEmpty) as refused:
            await ledger.reserve(SOURCE, LUNA, Decimal("0.1"))
        assert isinstance(refused.value, BudgetRefused)
        assert refused.value.limit is limit
        assert len(await world.costs.calls()) == (0 if limit is Limit.PER_CALL else 2)
        assert ledger.counters.refused == 1


async def test_a_day_and_a_month_of_utc_begin_anew(database_url: str) -> None:
    budget = replace(WIDE, per_day=CENT, per_month=3 * CENT)
    async with ledger_world(database_url, budget) as world:
        ledger = await world.ledger()
        made = 0
        for _ in range(19):  # from 21 November, noon, to the end of 30 November
            try:
                await ledger.lost(await ledger.reserve(SOURCE, LUNA, CENT))
                made += 1
            except BudgetRefused:
                pass
            world.at += 12 * HOUR
        assert made == 3
        assert [line.key for line in await world.costs.by(By.DAY, 0, world.at)] == ["2026-11-21", "2026-11-22", "2026-11-23"]
        world.at -= 1
        with pytest.raises(BudgetRefused, match="month in 2026-11"):
            await ledger.reserve(SOURCE, LUNA, CENT)
        world.at += 1
        await ledger.reserve(SOURCE, LUNA, CENT)


async def test_a_limit_per_minute_slides_and_forgets_what_was_not_sent(database_url: str) -> None:
    async with ledger_world(database_url, replace(WIDE, calls_per_minute=1)) as world:
        ledger = await world.ledger()
        await ledger.release(await ledger.reserve(SOURCE, LUNA, CENT))
        await ledger.reserve(SOURCE, LUNA, CENT)
        world.at += MINUTE - 1
        with pytest.raises(BudgetRefused, match="minute"):
            await ledger.reserve(SOURCE, LUNA, CENT)
        world.at += 1
        await ledger.reserve(SOURCE, LUNA, CENT)


async def test_a_source_spends_its_own_limit_and_may_only_narrow_the_common_one(database_url: str) -> None:
    budget = replace(WIDE, per_source_day=2 * CENT)
    narrow = replace(SOURCE, limits=SourceBudget(per_call=CENT, per_day=CENT))
    greedy = replace(OTHER, limits=SourceBudget(per_day=Decimal(50), per_call=Decimal(50)))
    async with ledger_world(database_url, budget) as world:
        ledger = await world.ledger()
        one, two = ledger.purse(narrow), ledger.purse(greedy)
        await one.reserve(LUNA, CENT)
        with pytest.raises(BudgetRefused, match="llm:one"):
            await one.reserve(LUNA, CENT)
        await two.reserve(LUNA, 2 * CENT)
        with pytest.raises(BudgetRefused, match="llm:two"):
            await two.reserve(LUNA, CENT)


async def test_reservations_made_at_once_by_two_ledgers_never_pass_the_limit_together(database_url: str) -> None:
    async with ledger_world(database_url, replace(WIDE, per_day=10 * CENT)) as world:
        ledgers = [await world.ledger(), await world.ledger()]
        tried = [ledgers[n % 2].reserve(SOURCE, LUNA, CENT) for n in range(30)]
        made = await asyncio.gather(*tried, return_exceptions=True)
        refused = [each for each in made if isinstance(each, BudgetRefused)]
        assert (len(made) - len(refused), len(refused)) == (10, 20)
        assert await world.spent() == 10 * CENT


async def test_advice_goes_from_normal_to_cheaper_to_off(database_url: str) -> None:
    async with ledger_world(database_url, replace(WIDE, per_source_day=Decimal(1), soft=Decimal("0.8"))) as world:
        ledger = await world.ledger()
        told = []
        for cost in ("0.79", "0.01", "0.19", "0.5"):
            told.append(await ledger.advice("llm:one"))
            await ledger.settle(await ledger.reserve(SOURCE, LUNA, CENT), Decimal(cost), USAGE)
        told.append(await ledger.advice("llm:one"))
        assert told == [Advice.NORMAL, Advice.NORMAL, Advice.CHEAPER, Advice.CHEAPER, Advice.OFF]
        assert await ledger.advice("llm:two") is Advice.NORMAL
        world.at += DAY
        assert await ledger.advice("llm:one") is Advice.NORMAL


async def test_each_share_of_a_limit_alerts_once_per_period_whoever_asks(database_url: str) -> None:
    async with ledger_world(database_url, replace(WIDE, per_day=Decimal(1))) as world:
        ledger = await world.ledger()
        for _ in range(5):
            await ledger.settle(await ledger.reserve(SOURCE, LUNA, CENT), Decimal("0.18"), USAGE)
        assert world.given() == [("day", 50), ("day", 80)]
        again = await world.ledger()
        await again.settle(await again.reserve(SOURCE, LUNA, CENT), Decimal("0.2"), USAGE)
        for _ in range(2):
            with pytest.raises(BudgetRefused):
                await again.reserve(SOURCE, LUNA, CENT)
        assert world.given() == [("day", 50), ("day", 80), ("day", 100)]
        assert str(world.alerts[-1]) == "LLM budget: all sources in 2026-11-21 at 100 % (1.1 of 1 USD)"
        world.at += DAY
        await again.settle(await again.reserve(SOURCE, LUNA, CENT), Decimal("0.6"), USAGE)
        assert world.given()[3:] == [("day", 50)]


async def test_a_limit_that_refuses_before_it_is_full_alerts_as_reached(database_url: str) -> None:
    async with ledger_world(database_url, replace(WIDE, per_source_day=Decimal("0.05"))) as world:
        ledger = await world.ledger()
        for _ in range(2):
            with pytest.raises(BudgetRefused):
                await ledger.reserve(SOURCE, LUNA, Decimal("0.06"))
        assert world.given() == [("source-day", 100)]


async def test_an_alert_that_nobody_can_take_costs_no_account(sqlite_url: str) -> None:
    def broken(alert: Alert) -> None:
        raise RuntimeError(alert.period)

    async with ledger_world(sqlite_url, replace(WIDE, per_day=CENT)) as world:
        ledger = await Ledger.open(world.database, world.budget, now=lambda: world.at, told=broken)
        await ledger.settle(await ledger.reserve(SOURCE, LUNA, CENT), CENT, USAGE)
        assert ledger.counters.alerts_failed == 3
        assert await world.spent() == CENT


async def test_the_purse_of_a_question_charges_every_try_to_its_decision(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        ledger = await world.ledger()
        question = ledger.purse(SOURCE)
        purse: Purse = question
        await purse.lost(await purse.reserve(OPUS, Decimal("0.5")))
        await purse.settle(await purse.reserve(LUNA, Decimal("0.5")), CENT, USAGE)
        await question.decided("d1", "schema")
        rows = await world.costs.of_decision("d1")
        assert [(row.model, row.fallback, row.state, row.outcome) for row in rows] == [
            ("claude-opus-5-5", 0, "lost", "lost"),
            ("gpt-6-luna", 1, "settled", "schema"),
        ]
        assert [each.usd for each in await world.costs.decisions(0, world.at + 1)] == [Decimal("0.51")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_call": Decimal(-1)},
        {"per_day": Decimal("Infinity")},
        {"per_month": Decimal("NaN")},
        {"calls_per_minute": -1},
        {"soft": Decimal(0)},
        {"alerts": (Decimal(2),)},
        {"overdue_ms": 0},
    ],
)
def test_a_budget_that_limits_nothing_is_refused(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(**wrong)  # type: ignore[arg-type]


def test_a_call_must_be_charged_to_somebody() -> None:
    with pytest.raises(ValueError, match="source"):
        Payer("", Role.DECISION)


async def test_what_a_simulated_world_spends_is_nobodys_money(database_url: str) -> None:
    async with ledger_world(database_url, replace(WIDE, per_day=Decimal("0.10"))) as world:
        simulated = await Ledger.open(
            world.database, world.budget, now=lambda: world.at, told=world.alerts.append, simulated=True
        )
        for _ in range(10):
            await simulated.settle(await simulated.reserve(SOURCE, LUNA, CENT), CENT, USAGE)
        with pytest.raises(BudgetRefused):
            await simulated.reserve(SOURCE, LUNA, CENT)
        assert await simulated.advice() is Advice.OFF

        real = await world.ledger()
        assert await real.advice(SOURCE.source) is Advice.NORMAL
        assert [each.spent for each in await real.standing()] == [Decimal(0), Decimal(0)]
        await real.settle(await real.reserve(SOURCE, LUNA, CENT), CENT, USAGE)
        assert (await world.costs.total(0, world.at + 1)).usd == CENT
        apart = Costs(world.database, simulated=True)
        assert (await apart.total(0, world.at + 1)).usd == 10 * CENT
        assert [line.key for line in await apart.by(By.SOURCE, 0, world.at + 1)] == [f"simulated/{SOURCE.source}"]
        assert len(await apart.calls(source=SOURCE.source)) == 10
        assert (await apart.calls())[0].source == simulated.booked_as(SOURCE.source)
        assert len(await world.costs.calls()) == 1


async def test_calls_of_a_simulated_world_take_no_turn_of_the_real_one(database_url: str) -> None:
    async with ledger_world(database_url, replace(WIDE, calls_per_minute=1)) as world:
        simulated = await Ledger.open(
            world.database, world.budget, now=lambda: world.at, told=world.alerts.append, simulated=True
        )
        await simulated.reserve(SOURCE, LUNA, CENT)
        real = await world.ledger()
        await real.reserve(SOURCE, LUNA, CENT)
        for ledger in (simulated, real):
            with pytest.raises(BudgetRefused, match="calls_per_minute"):
                await ledger.reserve(SOURCE, LUNA, CENT)
