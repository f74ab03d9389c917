"""Who is asked, in which order, for how long, and who pays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from sources.llm.asking import Ask, LlmError, Reply, Role, Stop, Trouble, Usage
from sources.llm.breaker import BreakerLimits, BreakerState
from sources.llm.checking import try_model
from sources.llm.health import Change, ChangeKind, RestLimits
from sources.llm.models import Candidate, Effort, Model, Price, Rate
from sources.llm.purse import FreePurse, PurseEmpty, Ticket
from sources.llm.router import Deadline, Router
from tests.sources.llm.llm_asks import an_ask

Act = Reply | LlmError | Callable[[], Any]


def a_reply(**changes: Any) -> Reply:
    """An answer."""
    usage = Usage(input=100, output=50)
    return replace(
        Reply("{}", {}, usage, Decimal("0.001"), 10, "r", Stop.DONE, "a", "m", "h"),
        **changes,
    )


def trouble(kind: Trouble, **options: Any) -> LlmError:
    """A failure."""
    return LlmError(kind, "it is so", provider="a", model="m", **options)


@dataclass
class Script:
    """A provider that does as it is told, the last thing for ever."""

    name: str
    acts: list[Act] = field(default_factory=lambda: [a_reply()])
    asked: list[tuple[Ask, Model, float]] = field(default_factory=list)

    async def open(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to close."""

    async def models(self, deadline_s: float) -> tuple[str, ...]:
        """None."""
        del deadline_s
        return ()

    async def ask(self, ask: Ask, model: Model, deadline_s: float) -> Reply:
        """The next act."""
        self.asked.append((ask, model, deadline_s))
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if isinstance(act, LlmError):
            raise act
        return act if isinstance(act, Reply) else await act()

    async def stream(self, ask: Ask, model: Model, deadline_s: float) -> AsyncIterator[str | Reply]:
        """The text in two pieces; a failure with `status` 200 comes after the first."""
        act = self.acts[0] if len(self.acts) == 1 else self.acts.pop(0)
        self.asked.append((ask, model, deadline_s))
        if isinstance(act, LlmError):
            if act.status == 200:
                yield "half"
            raise act
        assert isinstance(act, Reply)
        yield "ha"
        yield "lf"
        yield act


class Wallet(FreePurse):
    """Remembers what it was told; refuses amounts above `room`."""

    def __init__(self, room: Decimal = Decimal(100)) -> None:
        super().__init__()
        self.room = room
        self.told: list[tuple[str, str]] = []

    async def reserve(self, candidate: Candidate, amount: Decimal) -> Ticket:
        """A ticket, or no room."""
        if amount > self.room:
            message = "the limit of the day leaves no room"
            raise PurseEmpty(message)
        self.told.append(("reserve", str(candidate)))
        return await super().reserve(candidate, amount)

    async def settle(self, ticket: Ticket, cost: Decimal, usage: Usage) -> None:
        """Remember."""
        self.told.append(("settle", str(cost)))
        await super().settle(ticket, cost, usage)

    async def lost(self, ticket: Ticket) -> None:
        """Remember."""
        self.told.append(("lost", str(ticket.candidate)))
        await super().lost(ticket)

    async def release(self, ticket: Ticket) -> None:
        """Remember."""
        self.told.append(("release", str(ticket.candidate)))
        await super().release(ticket)


class Clock:
    """Ms UTC that a test moves."""

    def __init__(self) -> None:
        self.at = 1_795_000_000_000

    def __call__(self) -> int:
        return self.at


def a_candidate(provider: str, dollars: int = 1, **options: Any) -> Candidate:
    """A candidate whose tokens cost so many dollars a million."""
    price = Price(Rate(Decimal(dollars), Decimal(dollars)))
    return Candidate(Model(provider, "m", price), **options)


@dataclass
class World:
    """A router over scripted providers."""

    providers: dict[str, Script]
    clock: Clock
    changes: list[Change]
    router: Router
    purse: Wallet

    def made(self) -> list[str]:
        """Which providers were asked how often."""
        return [f"{name}:{len(one.asked)}" for name, one in self.providers.items()]


def a_world(*candidates: Candidate, purse: Wallet | None = None, **options: Any) -> World:
    """Candidates for decisions, each at a provider of its own."""
    clock, changes = Clock(), list[Change]()
    providers = {one.model.provider: Script(one.model.provider) for one in candidates}
    options.setdefault("breaker", BreakerLimits(failures=2, open_ms=30_000, longest_ms=600_000))
    options.setdefault("rest", RestLimits(failures=100))
    router = Router(providers, {Role.DECISION: candidates}, now=clock, on_change=changes.append, **options)
    return World(providers, clock, changes, router, purse or Wallet())


async def test_the_first_answers_and_nobody_else_is_asked() -> None:
    world = a_world(a_candidate("a", effort=Effort.HIGH), a_candidate("b", rank=1))
    reply = await world.router.ask(an_ask(effort=Effort.LOW), world.purse)
    assert reply.fallback == 0
    assert world.made() == ["a:1", "b:0"]
    assert world.providers["a"].asked[0][0].effort is Effort.HIGH
    assert world.purse.told == [("reserve", "a/m"), ("settle", "0.001")]


@pytest.mark.parametrize(
    "kind", [Trouble.AUTHENTICATION, Trouble.CREDIT, Trouble.RATE_LIMIT, Trouble.OVERLOAD, Trouble.SERVER, Trouble.BAD_REQUEST]
)
async def test_a_failure_that_was_not_billed_is_released_and_the_next_one_answers(kind: Trouble) -> None:
    world = a_world(a_candidate("a"), a_candidate("b", rank=1))
    world.providers["a"].acts = [trouble(kind)]
    reply = await world.router.ask(an_ask(), world.purse)
    assert reply.fallback == 1
    assert world.purse.told == [("reserve", "a/m"), ("release", "a/m"), ("reserve", "b/m"), ("settle", "0.001")]
    assert world.purse.open == {}


async def test_what_may_have_been_billed_stays_spent() -> None:
    world = a_world(a_candidate("a"))
    world.providers["a"].acts = [trouble(Trouble.TIMEOUT, may_have_been_billed=True)]
    with pytest.raises(LlmError) as caught:
        await world.router.ask(an_ask(), world.purse)
    assert (caught.value.trouble, caught.value.may_have_been_billed) == (Trouble.TIMEOUT, True)
    assert world.purse.told == [("reserve", "a/m"), ("lost", "a/m")]
    assert world.purse.spent == world.router.reservation(an_ask(), a_candidate("a").model)


@pytest.mark.parametrize("fault", [Trouble.REFUSAL, Trouble.TRUNCATED, Trouble.SCHEMA])
async def test_an_answer_of_no_use_is_paid_for_and_nobody_else_is_asked(fault: Trouble) -> None:
    world = a_world(a_candidate("a"), a_candidate("b", rank=1))
    world.providers["a"].acts = [a_reply(fault=fault, parsed=None)]
    reply = await world.router.ask(an_ask(), world.purse)
    assert reply.fault is fault
    assert world.made() == ["a:1", "b:0"]
    assert world.purse.spent == Decimal("0.001")


async def test_a_cancelled_call_is_booked_as_spent_once() -> None:
    world = a_world(a_candidate("a"))
    reached = asyncio.Event()

    async def wait() -> None:
        reached.set()
        await asyncio.sleep(60)

    world.providers["a"].acts = [wait, a_reply()]
    call = asyncio.create_task(world.router.ask(an_ask(), world.purse))
    await asyncio.wait_for(reached.wait(), 20)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert world.purse.told == [("reserve", "a/m"), ("lost", "a/m")]
    assert (await world.router.ask(an_ask(), world.purse)).fault is None


async def test_an_empty_purse_sends_nothing_and_says_budget() -> None:
    world = a_world(a_candidate("a"), purse=Wallet(Decimal(0)))
    with pytest.raises(LlmError, match="the limit of the day") as caught:
        await world.router.ask(an_ask(), world.purse)
    assert caught.value.trouble is Trouble.BUDGET
    assert world.made() == ["a:0"]
    assert world.router.view().roles[Role.DECISION][0].standing.calls == 0


async def test_the_cheaper_one_is_asked_when_the_reserve_of_the_first_does_not_fit() -> None:
    world = a_world(a_candidate("a", 1000), a_candidate("b", 1, rank=1), purse=Wallet(Decimal("0.1")))
    reply = await world.router.ask(an_ask(), world.purse)
    assert reply.fallback == 1
    assert world.made() == ["a:0", "b:1"]


async def test_a_ledger_that_does_not_answer_stops_the_call() -> None:
    class Stuck(Wallet):
        async def reserve(self, candidate: Candidate, amount: Decimal) -> Ticket:
            await asyncio.sleep(60)
            return await super().reserve(candidate, amount)

    world = a_world(a_candidate("a"), purse=Stuck())
    with pytest.raises(LlmError) as caught:
        await world.router.ask(an_ask(), world.purse, deadline_s=0.3)
    assert caught.value.trouble is Trouble.BUDGET
    assert world.made() == ["a:0"]


async def test_a_model_without_a_price_is_never_asked() -> None:
    world = a_world(Candidate(Model("a", "m")), a_candidate("b", rank=1))
    assert (await world.router.ask(an_ask(), world.purse)).fallback == 1
    assert world.made() == ["a:0", "b:1"]
    with pytest.raises(LlmError) as caught:
        world.router.reservation(an_ask(), Model("a", "m"))
    assert caught.value.trouble is Trouble.UNPRICED


async def test_the_cheapest_that_does_well_is_asked_among_equals() -> None:
    world = a_world(a_candidate("a", 3), a_candidate("b", 1), a_candidate("c", 2), breaker=BreakerLimits(failures=1000))
    for _ in range(3):
        await world.router.ask(an_ask(), world.purse)
    assert world.made() == ["a:0", "b:3", "c:0"]
    world.providers["b"].acts = [trouble(Trouble.SERVER)]
    for _ in range(2):
        await world.router.ask(an_ask(), world.purse)
    world.providers["b"].acts = [a_reply()]
    before = len(world.providers["b"].asked)
    await world.router.ask(an_ask(), world.purse)
    assert len(world.providers["b"].asked) == before, "60 % success is not doing well"
    assert len(world.providers["c"].asked) == 3


async def test_weights_share_the_calls_out_without_bursts() -> None:
    world = a_world(a_candidate("a", 9, weight=3.0), a_candidate("b", 1, weight=1.0))
    for _ in range(8):
        await world.router.ask(an_ask(), world.purse)
    assert world.made() == ["a:6", "b:2"]


async def test_one_deadline_is_shared_by_the_whole_chain() -> None:
    async def slow() -> None:
        await asyncio.sleep(0.2)
        raise trouble(Trouble.SERVER)

    deadlines = {Role.DECISION: Deadline(total_s=5.0, first_s=2.0)}
    world = a_world(a_candidate("a"), a_candidate("b", rank=1), a_candidate("c", rank=2), deadlines=deadlines)
    world.providers["a"].acts = [slow]
    world.providers["b"].acts = [trouble(Trouble.SERVER)]
    await world.router.ask(an_ask(), world.purse)
    first, second, last = (one.asked[0][2] for one in world.providers.values())
    assert 1.5 < first <= 2.0
    assert 1.5 < second <= 2.0
    assert 4.0 < last < 4.85
    await world.router.ask(an_ask(), world.purse, deadline_s=1.0)
    assert world.providers["c"].asked[-1][2] < 1.0


async def test_nobody_is_asked_when_no_time_is_left() -> None:
    world = a_world(a_candidate("a"))
    with pytest.raises(LlmError) as caught:
        await world.router.ask(an_ask(), world.purse, deadline_s=0.01)
    assert caught.value.trouble is Trouble.TIMEOUT
    assert not caught.value.may_have_been_billed
    assert world.made() == ["a:0"]


async def test_a_bad_key_disables_its_provider_visibly_until_it_is_enabled() -> None:
    world = a_world(a_candidate("a"))
    world.providers["a"].acts = [trouble(Trouble.AUTHENTICATION), a_reply()]
    for expected in (Trouble.AUTHENTICATION, Trouble.DISABLED):
        with pytest.raises(LlmError) as caught:
            await world.router.ask(an_ask(), world.purse)
        assert caught.value.trouble is expected
    assert [change.kind for change in world.changes] == [ChangeKind.PROVIDER_DISABLED]
    assert "authentication" in world.router.view().roles[Role.DECISION][0].disabled
    assert world.made() == ["a:1"]
    world.router.enable("a")
    assert (await world.router.ask(an_ask(), world.purse)).fault is None
    assert world.router.view().roles[Role.DECISION][0].disabled == ""


async def test_a_model_that_is_not_known_is_disabled_and_a_single_bad_request_disables_nothing() -> None:
    world = a_world(a_candidate("a"), a_candidate("b", rank=1))
    world.providers["a"].acts = [trouble(Trouble.BAD_REQUEST, status=400), trouble(Trouble.BAD_REQUEST, status=404)]
    await world.router.ask(an_ask(), world.purse)
    assert world.changes == []
    await world.router.ask(an_ask(), world.purse)
    assert [change.kind for change in world.changes] == [ChangeKind.MODEL_DISABLED]
    await world.router.ask(an_ask(), world.purse)
    assert world.made() == ["a:2", "b:3"]
    world.router.enable("a")
    await world.router.ask(an_ask(), world.purse)
    assert world.made() == ["a:3", "b:4"]


async def test_a_breaker_opens_lets_one_probe_through_and_closes_again() -> None:
    world = a_world(a_candidate("a"))
    script = world.providers["a"]
    script.acts = [trouble(Trouble.OVERLOAD)]
    for _ in range(3):
        with pytest.raises(LlmError) as caught:
            await world.router.ask(an_ask(), world.purse)
    assert (caught.value.trouble, caught.value.retry_after_s) == (Trouble.BREAKER, 30.0)
    assert len(script.asked) == 2
    world.clock.at += 30_000
    reached, go = asyncio.Event(), asyncio.Event()

    async def probe() -> Reply:
        reached.set()
        await go.wait()
        return a_reply()

    script.acts = [probe, a_reply()]
    probing = asyncio.create_task(world.router.ask(an_ask(), world.purse))
    await asyncio.wait_for(reached.wait(), 20)
    with pytest.raises(LlmError, match="a probe is out"):
        await world.router.ask(an_ask(), world.purse)
    assert world.router.view().roles[Role.DECISION][0].breaker is BreakerState.HALF_OPEN
    go.set()
    await probing
    assert world.router.view().roles[Role.DECISION][0].breaker is BreakerState.CLOSED
    assert [change.kind for change in world.changes] == [ChangeKind.BREAKER_OPENED, ChangeKind.BREAKER_CLOSED]


async def test_a_provider_that_asks_for_an_hour_is_left_alone_for_as_long_as_allowed() -> None:
    world = a_world(a_candidate("a"))
    world.providers["a"].acts = [trouble(Trouble.RATE_LIMIT, retry_after_s=3600.0)]
    with pytest.raises(LlmError):
        await world.router.ask(an_ask(), world.purse)
    assert world.router.view().roles[Role.DECISION][0].until == world.clock.at + 600_000


async def test_a_role_rests_visibly_after_failures_and_longer_each_time() -> None:
    world = a_world(a_candidate("a"), rest=RestLimits(2, 60_000, 90_000), breaker=BreakerLimits(failures=1000))
    world.providers["a"].acts = [trouble(Trouble.SERVER)]
    for _ in range(2):
        with pytest.raises(LlmError):
            await world.router.ask(an_ask(), world.purse)
    rest = world.router.resting(Role.DECISION)
    assert rest is not None
    assert (rest.until, rest.failures) == (world.clock.at + 60_000, 2)
    assert world.router.view().resting == {Role.DECISION: rest}
    with pytest.raises(LlmError) as caught:
        await world.router.ask(an_ask(), world.purse)
    assert (caught.value.trouble, caught.value.retry_after_s) == (Trouble.RESTING, 60.0)
    assert world.made() == ["a:2"]
    world.clock.at += 60_000
    with pytest.raises(LlmError):
        await world.router.ask(an_ask(), world.purse)
    rest = world.router.resting(Role.DECISION)
    assert rest is not None
    assert rest.until == world.clock.at + 90_000
    world.clock.at += 90_000
    world.providers["a"].acts = [a_reply()]
    await world.router.ask(an_ask(), world.purse)
    kinds = [change.kind for change in world.changes]
    assert kinds == [ChangeKind.RESTS, ChangeKind.RESTS, ChangeKind.RESTED]


async def test_a_clock_that_is_set_back_keeps_nobody_resting_for_ever() -> None:
    world = a_world(a_candidate("a"), rest=RestLimits(1, 60_000, 90_000), breaker=BreakerLimits(1, 30_000, 60_000))
    world.providers["a"].acts = [trouble(Trouble.SERVER), a_reply()]
    with pytest.raises(LlmError):
        await world.router.ask(an_ask(), world.purse)
    world.clock.at -= 86_400_000
    assert world.router.resting(Role.DECISION) is None
    assert (await world.router.ask(an_ask(), world.purse)).fault is None


async def test_an_empty_purse_is_no_reason_to_rest() -> None:
    world = a_world(a_candidate("a"), purse=Wallet(Decimal(0)), rest=RestLimits(failures=1))
    with pytest.raises(LlmError):
        await world.router.ask(an_ask(), world.purse)
    assert world.router.resting(Role.DECISION) is None


async def test_members_of_an_ensemble_neither_heed_nor_move_the_rest_of_their_role() -> None:
    member = a_candidate("a")
    world = a_world(member, rest=RestLimits(failures=1))
    world.providers["a"].acts = [trouble(Trouble.SERVER), a_reply()]
    with pytest.raises(LlmError):
        await world.router.ask(an_ask(), world.purse, among=(member,))
    assert world.router.resting(Role.DECISION) is None
    assert (await world.router.ask(an_ask(), world.purse, among=(member,))).fault is None


async def test_a_role_without_candidates_and_a_provider_that_is_missing_are_said() -> None:
    world = a_world(a_candidate("a"))
    with pytest.raises(LlmError, match="no candidate for chat"):
        await world.router.ask(an_ask(role=Role.CHAT), world.purse)
    router = Router({}, {Role.DECISION: (a_candidate("gone"),)}, now=world.clock)
    with pytest.raises(LlmError, match="not configured") as caught:
        await router.ask(an_ask(), world.purse)
    assert caught.value.trouble is Trouble.DISABLED
    with pytest.raises(LlmError, match="not configured"):
        await router.ask(an_ask(), world.purse, among=(a_candidate("elsewhere"),))


async def test_a_stream_falls_back_only_before_its_first_piece() -> None:
    world = a_world(a_candidate("a"), a_candidate("b", rank=1))
    world.providers["a"].acts = [trouble(Trouble.SERVER), trouble(Trouble.OVERLOAD, status=200, may_have_been_billed=True)]
    *pieces, reply = [piece async for piece in world.router.stream(an_ask(), world.purse)]
    assert pieces == ["ha", "lf"]
    assert isinstance(reply, Reply)
    assert reply.fallback == 1
    stream: Any = world.router.stream(an_ask(), world.purse)
    heard = [await anext(stream)]
    with pytest.raises(LlmError) as caught:
        await anext(stream)
    assert heard == ["half"]
    assert caught.value.trouble is Trouble.OVERLOAD
    assert world.purse.told[-1] == ("lost", "a/m")
    assert world.purse.open == {}


async def test_a_stream_that_nobody_reads_on_is_booked_as_spent() -> None:
    world = a_world(a_candidate("a"))
    stream: Any = world.router.stream(an_ask(), world.purse)
    async with aclosing(stream):
        assert await anext(stream) == "ha"
    assert world.purse.told == [("reserve", "a/m"), ("lost", "a/m")]


async def test_the_standing_of_a_candidate_is_plain_to_see() -> None:
    world = a_world(a_candidate("a"))
    world.providers["a"].acts = [
        *(a_reply(latency_ms=ms) for ms in (10, 20, 30, 400)),
        a_reply(fault=Trouble.SCHEMA, fault_detail="$ lacks side"),
        trouble(Trouble.SERVER),
    ]
    for _ in range(5):
        await world.router.ask(an_ask(), world.purse)
    with pytest.raises(LlmError):
        await world.router.ask(an_ask(), world.purse)
    standing = world.router.view().roles[Role.DECISION][0].standing
    assert (standing.calls, standing.answers, standing.cost) == (6, 5, Decimal("0.005"))
    assert (standing.p50_ms, standing.p95_ms) == (20, 400)
    assert standing.recent_success == pytest.approx(4 / 6)
    assert standing.troubles == {Trouble.SCHEMA: 1, Trouble.SERVER: 1}
    assert standing.last_trouble == "server: it is so"


async def test_reports_of_usage_teach_how_prompts_are_counted() -> None:
    candidate = a_candidate("a")
    world = a_world(candidate)
    before = world.router.reservation(an_ask(), candidate.model)
    world.providers["a"].acts = [a_reply(usage=Usage(input=120, output=1))]
    for _ in range(30):
        await world.router.ask(an_ask(), world.purse)
    assert world.router.reservation(an_ask(), candidate.model) != before
    learnt = world.router.scale.state()
    world.providers["a"].acts = [a_reply(usage=Usage(input=400, output=1), usage_estimated=True)]
    await world.router.ask(an_ask(), world.purse)
    assert world.router.scale.state() == learnt


async def test_a_model_is_tested_with_a_paid_question_and_says_what_went_wrong() -> None:
    candidate = a_candidate("a")
    world = a_world(candidate)
    world.providers["a"].acts = [a_reply(), trouble(Trouble.CREDIT)]
    good = await try_model(world.router, candidate, world.purse)
    assert (good.good, good.cost, good.trouble) == (True, Decimal("0.001"), None)
    bad = await try_model(world.router, candidate, world.purse)
    assert (bad.good, bad.trouble) == (False, Trouble.CREDIT)
    assert world.purse.open == {}
