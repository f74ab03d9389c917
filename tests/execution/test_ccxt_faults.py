"""The fault matrix, row by row: what is known of an order after the venue, the network or the answer failed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bot.core.market import Side
from execution.account import AccountError, NotFound, NotSent, ReadFailed, Refused, Unknown
from execution.budget import BudgetSpent, BudgetStats, Lane
from execution.ccxt_account import AccountConfig
from simulators.exchange.answer_faults import Coded, Dropped, Garbage, Garbled, Hung, Maintenance, When
from simulators.exchange.faults import Clear, ClockSkew, Latency, Status
from tests.execution.ccxt_rig import CREATE, DIALECTS, QUICK, SYMBOL, Rig, ordered, rig
from tests.idling import idle_seconds

BRIEF = AccountConfig(0.3, 0.3, QUICK)  # where no answer is to come; where one is, the product's own time
dialects = pytest.mark.parametrize("dialect", DIALECTS)


async def outcome(one: Rig, order_id: str = "mine") -> AccountError | None:
    """How the attempt to place an order ended."""
    try:
        await one.account.create(one.resting(order_id))
    except AccountError as error:
        return error
    return None


def struck(dialect: str, fault: type, *args: Any) -> Any:
    """A fault of the answers to orders, in that dialect's paths."""
    path, method = CREATE[dialect]
    return fault(*args, path=path, method=method)


@dialects
@pytest.mark.parametrize("when", list(When))
@pytest.mark.parametrize("fault", [Dropped, Hung])
async def test_a_lost_answer_leaves_the_order_unknown_whether_it_lives_or_not(dialect: str, fault: type, when: When) -> None:
    async with rig(dialect, config=BRIEF) as one:
        one.venue.inject(struck(dialect, fault, when))
        assert isinstance(await outcome(one), Unknown)
        one.venue.inject(Clear())
        assert await one.live_ids() == (["mine"] if when is When.AFTER else [])


@dialects
@pytest.mark.parametrize("body", list(Garbage))
async def test_an_unreadable_answer_leaves_the_order_unknown(dialect: str, body: Garbage) -> None:
    async with rig(dialect) as one:
        one.venue.inject(struck(dialect, Garbled, body))
        assert isinstance(await outcome(one), Unknown)
        assert await one.live_ids() == ["mine"]


@dialects
@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_failing_server_leaves_the_order_unknown(dialect: str, code: int) -> None:
    async with rig(dialect) as one:
        one.venue.inject(struck(dialect, Status, code))
        assert isinstance(await outcome(one), Unknown)


@pytest.mark.parametrize(
    ("code", "status"), [(-1007, 504), (-1006, 400), (-1001, 400), (-1000, 400), (-1008, 503), (-1008, 429), (-9999, 500)]
)
async def test_codes_that_say_nothing_leave_the_order_unknown(code: int, status: int) -> None:
    async with rig("binance") as one:
        one.venue.inject(struck("binance", Coded, code, "simulated", status, When.AFTER))
        error = await outcome(one)
        assert isinstance(error, NotSent if status == 429 else Unknown)


@dialects
@pytest.mark.parametrize("code", [400, 403, 404])
async def test_a_page_of_a_firewall_leaves_the_order_unknown(dialect: str, code: int) -> None:
    async with rig(dialect) as one:
        one.account.exchange.handle_errors = page_instead(one.account.exchange)
        one.venue.inject(struck(dialect, Status, code))
        assert isinstance(await outcome(one), Unknown)


def page_instead(exchange: Any) -> Any:
    """What ccxt makes of an answer that is no JSON."""
    real = exchange.handle_errors

    def handle(
        code: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, response: object, *rest: Any
    ) -> Any:
        page = "<html>Forbidden</html>"
        return real(code, reason, url, method, headers, page, None, *rest) if code >= 400 else real(
            code, reason, url, method, headers, body, response, *rest
        )  # fmt: skip

    return handle


@dialects
@pytest.mark.parametrize("code", [429, 418])
async def test_a_rate_limit_says_that_nothing_was_taken_and_when_to_come_back(dialect: str, code: int) -> None:
    async with rig(dialect) as one:
        path, method = CREATE[dialect]
        one.venue.inject(Status(code, path, method, retry_after=7))
        error = await outcome(one)
        assert isinstance(error, NotSent)
        assert error.retry_after_ms == 7_000
        assert await one.live_ids() == []


async def test_too_many_orders_are_a_rate_limit_too() -> None:
    async with rig("binance", order_limit=1) as one:
        first, *others = [await outcome(one, name) for name in ("one", "two", "three")]
        assert first is None
        refused = [error for error in others if error is not None]
        assert refused  # one of the two may be the first of the next ten seconds
        assert all(isinstance(error, NotSent) and error.retry_after_ms > 0 for error in refused)


@dialects
async def test_maintenance_leaves_the_order_unknown(dialect: str) -> None:
    async with rig(dialect) as one:
        one.venue.inject(Maintenance())
        assert isinstance(await outcome(one), Unknown)


@pytest.mark.parametrize(("dialect", "skew"), [("binance", 20_000), ("binance", -20_000), ("okx", 90_000), ("okx", -90_000)])
async def test_a_wrong_clock_is_set_and_the_order_goes_once_more_under_its_id(dialect: str, skew: int) -> None:
    async with rig(dialect) as one:
        one.venue.inject(ClockSkew(skew))
        assert await outcome(one) is None
        assert await one.live_ids() == ["mine"]
        assert one.account.counts["clock.adjusted"] == 1
        assert await outcome(one, "next") is None
        assert one.account.counts["clock.adjusted"] == 1


async def test_a_clock_that_cannot_be_set_sends_nothing_and_asks_for_patience() -> None:
    async with rig("binance") as one:
        one.venue.inject(ClockSkew(20_000))
        one.venue.inject(Status(503, "/api/v3/time", "GET", 5))
        error = await outcome(one)
        assert isinstance(error, NotSent)
        assert error.retry_after_ms > 0
        assert await one.live_ids() == []


async def test_a_key_that_turned_bad_is_a_refusal_and_no_rate_limit() -> None:
    """ccxt calls code -2015 a DDoSProtection once a private call has succeeded."""
    async with rig("binance") as one:
        assert await outcome(one, "good") is None
        one.account.exchange.options["hasAlreadyAuthenticatedSuccessfully"] = True
        one.account.exchange.apiKey = "unknown"
        error = await outcome(one)
        assert isinstance(error, Refused)
        assert "-2015" in error.reason


@dialects
async def test_a_second_order_under_one_id_is_not_called_refused_because_the_first_one_lives(dialect: str) -> None:
    async with rig(dialect) as one:
        assert await outcome(one) is None
        assert isinstance(await outcome(one), Unknown)
        assert await one.live_ids() == ["mine"]


@dialects
async def test_an_answer_of_an_unexpected_shape_leaves_the_order_unknown(dialect: str) -> None:
    async with rig(dialect) as one:

        def broken(order: object, market: object = None) -> object:
            raise KeyError(order)

        one.account.exchange.parse_order = broken
        assert isinstance(await outcome(one), Unknown)
        assert await one.live_ids() == ["mine"]


@dialects
async def test_where_nobody_listens_nothing_was_sent(dialect: str) -> None:
    async with rig(dialect) as one:
        request = one.resting("mine")
        await one.venue.__aexit__(None, None, None)
        try:
            with pytest.raises(ReadFailed):  # finds the connections dead that were kept
                await one.account.balances()
            with pytest.raises(NotSent) as problem:
                await one.account.create(request)
            assert problem.value.retry_after_ms > 0
        finally:
            await one.venue.__aenter__()


@dialects
async def test_every_call_ends_in_time(dialect: str) -> None:
    async with rig(dialect, config=BRIEF) as one:
        one.venue.inject(Latency(30.0))
        async with asyncio.timeout(3):
            assert isinstance(await outcome(one), Unknown)
            with pytest.raises(ReadFailed) as problem:
                await one.account.balances()
            assert problem.value.transient
            with pytest.raises(Unknown):
                await one.account.cancel(SYMBOL, "mine", None)
        one.venue.inject(Clear())


@dialects
@pytest.mark.parametrize("body", list(Garbage))
async def test_an_unreadable_answer_is_never_an_empty_one(dialect: str, body: Garbage) -> None:
    async with rig(dialect) as one:
        await one.account.create(one.resting("mine"))
        for ask in (
            lambda: one.account.open_orders([SYMBOL]),
            lambda: one.account.trades(SYMBOL, 0),
            one.account.balances,
            lambda: one.account.order(SYMBOL, "mine"),
            one.account.permissions,
        ):
            one.venue.inject(Garbled(body, method="GET"))
            with pytest.raises(ReadFailed) as problem:
                await ask()
            assert problem.value.transient
        if dialect == "binance":
            one.venue.inject(Garbled(body, method="GET"))
            with pytest.raises(ReadFailed):
                await one.account.transfers(0)


@dialects
@pytest.mark.parametrize(
    ("fault", "transient", "retry_ms"),
    [
        (Status(503, method="GET"), True, 0),
        (Status(429, method="GET", retry_after=3), True, 3_000),
        (Hung(method="GET"), True, 0),
        (Maintenance(retry_after=5), True, 5_000),
    ],
)
async def test_a_failed_question_says_whether_and_when_to_ask_again(
    dialect: str, fault: Any, transient: bool, retry_ms: int
) -> None:
    async with rig(dialect, config=BRIEF if isinstance(fault, Hung) else None) as one:
        one.venue.inject(fault)
        with pytest.raises(ReadFailed) as problem:
            await one.account.open_orders([SYMBOL])
        assert (problem.value.transient, problem.value.retry_after_ms) == (transient, retry_ms)
        one.venue.inject(Clear())


@dialects
async def test_a_bad_key_is_no_passing_failure(dialect: str) -> None:
    async with rig(dialect) as one:
        one.account.exchange.apiKey = "unknown"
        with pytest.raises(ReadFailed) as problem:
            await one.account.balances()
        assert not problem.value.transient
        assert isinstance(await outcome(one), Refused)


async def test_a_cancel_whose_answer_was_lost_reads_as_not_found_because_aiohttp_asked_again() -> None:
    async with rig("binance") as one:
        await one.account.create(one.resting("mine"))
        one.venue.inject(Dropped(When.AFTER, "/api/v3/order", "DELETE"))
        with pytest.raises(NotFound):
            await one.account.cancel(SYMBOL, "mine", None)
        assert await one.live_ids() == []


@pytest.mark.parametrize(("dialect", "path"), [("binance", "/api/v3/order"), ("okx", "/api/v5/trade/cancel-order")])
@pytest.mark.parametrize("fault", [Hung, Garbled])
async def test_a_cancel_that_nobody_confirmed_is_unknown(dialect: str, path: str, fault: Any) -> None:
    async with rig(dialect) as one:
        await one.account.create(one.resting("mine"))
        one.account.config = BRIEF
        method = "DELETE" if dialect == "binance" else "POST"
        one.venue.inject(fault(path=path, method=method))
        with pytest.raises(Unknown):
            await one.account.cancel(SYMBOL, "mine", None)
        assert await one.live_ids() == []
        one.venue.inject(Clear())


@dialects
async def test_a_cancel_stamped_by_a_wrong_clock_goes_once_more(dialect: str) -> None:
    async with rig(dialect) as one:
        await one.account.create(one.resting("mine"))
        one.venue.inject(ClockSkew(90_000))
        await one.account.cancel(SYMBOL, "mine", None)
        assert await one.live_ids() == []


class Ledger:
    """A budget that writes down who asked, and is spent when it is told to be."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, Lane]] = []
        self.penalties: list[int] = []
        self.used: list[float] = []
        self.spent = False

    async def take(self, weight: float, lane: Lane) -> None:
        if self.spent:
            raise BudgetSpent("spent", 1_234)
        self.taken.append((weight, lane))

    def penalise(self, retry_after_ms: int) -> None:
        self.penalties.append(retry_after_ms)

    def observe(self, used: float) -> None:
        self.used.append(used)

    @property
    def stats(self) -> BudgetStats:
        """Nothing of interest."""
        return BudgetStats(0.0, 0.0, {}, {}, {}, {}, 0, 0, 0)


async def test_the_budget_is_asked_in_the_venues_weights_by_lane_and_told_what_the_venue_counts() -> None:
    ledger = Ledger()
    async with rig("binance", ledger) as one:
        while one.venue.venue.now() % 60_000 > 50_000:  # the venue counts by the minute
            await asyncio.sleep(0.1)
        await one.account.create(one.resting("mine"))
        await one.account.order(SYMBOL, "mine")
        await one.account.open_orders([SYMBOL])
        await one.account.cancel(SYMBOL, "mine", None)
        assert ledger.taken == [(1, Lane.ORDERS), (4, Lane.READS), (6, Lane.READS), (1, Lane.ORDERS)]
        assert ledger.used == sorted(ledger.used)
        assert len(ledger.used) == 4


async def test_many_symbols_are_asked_for_at_once_where_that_weighs_less() -> None:
    ledger = Ledger()
    async with rig("binance", ledger) as one:
        await one.account.create(one.resting("mine"))
        found = await one.account.open_orders([SYMBOL, *(f"X{number}/USDT" for number in range(14))])
        assert [report.client_id for report in found] == ["mine"]
        assert ledger.taken[-1] == (80, Lane.READS)


async def test_a_spent_budget_sends_nothing_and_says_when() -> None:
    ledger = Ledger()
    async with rig("binance", ledger) as one:
        ledger.spent = True
        before = dict(one.venue.counts()["rest"])
        error = await outcome(one)
        assert isinstance(error, NotSent)
        assert error.retry_after_ms == 1_234
        with pytest.raises(ReadFailed) as problem:
            await one.account.balances()
        assert (problem.value.transient, problem.value.retry_after_ms) == (True, 1_234)
        assert dict(one.venue.counts()["rest"]) == before


@dialects
async def test_a_rate_limit_penalises_the_budget(dialect: str) -> None:
    ledger = Ledger()
    async with rig(dialect, ledger) as one:
        path, method = CREATE[dialect]
        one.venue.inject(Status(429, path, method, retry_after=7))
        one.venue.inject(Status(418, path, method))
        await outcome(one)
        await outcome(one)
        assert ledger.penalties == [7_000, 1_000]


async def test_waiting_for_a_turn_is_not_counted_as_the_venues_time() -> None:
    class Slow(Ledger):
        async def take(self, weight: float, lane: Lane) -> None:
            await asyncio.sleep(2.5)

    async with rig("binance", Slow(), config=AccountConfig(2.0, 2.0, QUICK)) as one:
        assert await outcome(one) is None


async def test_without_a_budget_nothing_is_held_back() -> None:
    """ccxt's own throttle would let so many questions wait for 24 seconds."""
    async with rig("binance") as one:
        assert await idle_seconds(lambda: asyncio.gather(*(one.account.balances() for _ in range(120)))) < 1.0
        assert one.account.exchange.enableRateLimit is False


@dialects
async def test_no_reason_holds_a_key_or_a_signature(dialect: str) -> None:
    async with rig(dialect, config=BRIEF) as one:
        reasons = []
        for fault in (Dropped(method="GET", count=3), Hung(method="GET"), Status(503, method="GET")):
            one.venue.inject(fault)
            with pytest.raises(ReadFailed) as problem:
                await one.account.order(SYMBOL, "mine" + "x" * 20)
            reasons.append(problem.value.reason)
            one.venue.inject(Clear())
        one.venue.inject(Clear())
        assert all(len(reason) <= 160 and "\n" not in reason for reason in reasons)
        assert not any("signature=" in reason and "signature=***" not in reason for reason in reasons)


async def test_an_order_sold_short_of_funds_says_so() -> None:
    async with rig("binance") as one:
        with pytest.raises(Refused, match="InsufficientFunds"):
            await one.account.create(ordered("poor", Side.SELL, amount="50"))
