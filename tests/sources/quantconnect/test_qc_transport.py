"""Calls are repeated where that is safe and nowhere else; they wait their turn, and never longer than was agreed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from sources.quantconnect.client import Client
from sources.quantconnect.client_live import Plan, paper
from sources.quantconnect.client_optimizations import Search
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.limits import Limits
from sources.quantconnect.models_optimization import Range
from sources.quantconnect.transport import Wait
from sources.quantconnect.wire import checked_url
from tests.sources.quantconnect.qc_answers import INSIGHT, QUEUED
from tests.sources.quantconnect.qc_service import QUICK, Page, Service, client_of, no, serving

BUSY = no("There are no spare nodes available in your cluster. To launch a new backtest please stop an existing running backtest")
SLOW = no("Too many backtest requests; please slow down.")
UNKNOWN_COMPILE = no("Compile id not found")
DROP = Page(drop=True)
HTML = Page(b"<html><title>502</title></html>", 200)
Act = Callable[[Client], Awaitable[object]]

PLAN = Plan(7, "aa-bb", "LN-1", paper({"USDT": 10_000}))
SEARCH = Search(7, "grid", "aa-bb", [Range(name="fast", min=5, max=20, step=5)])
ONCE: dict[str, Act] = {
    "live/create": lambda client: client.live.deploy(PLAN),
    "live/update/stop": lambda client: client.live.stop(7),
    "live/update/liquidate": lambda client: client.live.liquidate(7),
    "live/commands/create": lambda client: client.live.command(7, {"$type": "OrderCommand"}),
    "live/commands/broadcast": lambda client: client.live.broadcast("0f", {"x": 1}),
    "optimizations/create": lambda client: client.optimizations.create(SEARCH, estimated_cost=0.01),
}
WRITES: dict[str, Act] = {
    "projects/create": lambda client: client.projects.create("a"),
    "projects/delete": lambda client: client.projects.delete(7),
    "files/update": lambda client: client.files.update(7, "main.py", "x"),
    "compile/create": lambda client: client.compiles.create(7),
    "backtests/create": lambda client: client.backtests.create(7, "aa-bb", "run"),
    "backtests/delete": lambda client: client.backtests.delete(7, "x"),
    "object/set": lambda client: client.objects.put("0f", "k", b"v"),
}


def endpoint(name: str, script: Any) -> dict[str, Any]:
    return {name.replace("/", "__"): script}


@pytest.mark.parametrize("trouble", [Page(b"", 500), Page(b"", 503), Page(b"<html></html>", 502), HTML, Page(b""), DROP])
async def test_a_read_is_tried_again_until_there_is_an_answer(trouble: Page) -> None:
    async with serving(authenticate=[trouble, trouble, {}]) as service, client_of(service) as client:
        await client.authenticate()
        assert len(service.asked) == 3
        assert (client.stats.retries, client.stats.requests, client.stats.failures) == (2, 3, {})


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [(Page(b"", 500), Kind.SERVER), (HTML, Kind.UNREADABLE), (DROP, Kind.TRANSPORT), (Page(b"", 429), Kind.RATE_LIMIT)],
)
async def test_a_read_is_given_up_after_its_tries(trouble: Page, kind: Kind) -> None:
    async with serving(authenticate=trouble) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.authenticate()
        assert caught.value.kind is kind
        assert len(service.asked) == QUICK.tries
        assert client.stats.failures == {kind: 1}


@pytest.mark.parametrize(
    "refusal", [no("Invalid argument"), no("UserID not valid"), Page(b"", 401), Page(b"", 404), no("No live deployment found")]
)
async def test_what_would_be_refused_again_is_asked_once(refusal: Any) -> None:
    async with serving(authenticate=refusal) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.authenticate()
        assert not caught.value.transient
        assert len(service.asked) == 1


@pytest.mark.parametrize("trouble", [Page(b"", 500), Page(b"", 504), HTML, Page(b""), DROP])
@pytest.mark.parametrize("name", [*ONCE, *WRITES])
async def test_a_change_whose_end_nobody_knows_is_never_sent_twice(name: str, trouble: Page) -> None:
    async with serving(**endpoint(name, trouble)) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await {**ONCE, **WRITES}[name](client)
        assert caught.value.may_have_happened
        assert len(service.asked) == 1


@pytest.mark.parametrize("trouble", [SLOW, BUSY, UNKNOWN_COMPILE, Page(b"", 429), Page(b"", 429, {"Retry-After": "0"})])
@pytest.mark.parametrize("name", ONCE)
async def test_what_spends_money_or_moves_a_position_is_sent_once_whatever_the_answer(name: str, trouble: Any) -> None:
    async with serving(**endpoint(name, trouble)) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await ONCE[name](client)
        assert not caught.value.may_have_happened
        assert len(service.asked) == 1


async def test_a_change_that_timed_out_is_never_sent_twice_and_says_so() -> None:
    released = asyncio.Event()

    async def hang(_: dict[str, Any]) -> dict[str, Any]:
        await released.wait()
        return {"backtest": QUEUED}

    limits = replace(QUICK, attempt_s=0.1)
    async with serving(backtests__create=hang) as service, client_of(service, limits) as client:
        with pytest.raises(QcError, match=r"no answer within 0\.1 s") as caught:
            await client.backtests.create(7, "aa-bb", "run")
        assert (caught.value.kind, caught.value.may_have_happened) == (Kind.TRANSPORT, True)
        assert len(service.asked) == 1
        released.set()


async def test_a_read_that_hangs_is_given_up_within_the_call() -> None:
    released = asyncio.Event()

    async def hang(_: dict[str, Any]) -> dict[str, Any]:
        await released.wait()
        return {}

    limits = replace(QUICK, attempt_s=10, call_s=0.2)
    async with serving(authenticate=hang) as service, client_of(service, limits) as client:
        began = asyncio.get_running_loop().time()
        with pytest.raises(QcError, match=r"no answer within 0\.2 s"):
            await client.authenticate()
        assert asyncio.get_running_loop().time() - began < 2
        released.set()


async def test_a_compile_that_is_not_known_yet_is_asked_for_again() -> None:
    waits: list[Wait] = []
    script: list[Any] = [UNKNOWN_COMPILE, UNKNOWN_COMPILE, {"backtest": QUEUED}]
    async with serving(backtests__create=script) as service, client_of(service, on_wait=waits.append) as client:
        assert (await client.backtests.create(7, "aa-bb", "run")).name == "sma 10/30"
        assert len(service.asked) == 3
    assert [(wait.endpoint, wait.reason, wait.seconds) for wait in waits] == [
        ("backtests/create", "Compile id not found", QUICK.compile_pause_s)
    ] * 2


async def test_a_compile_that_is_never_known_is_a_bad_request() -> None:
    async with serving(compile__read=UNKNOWN_COMPILE) as service, client_of(service) as client:
        with pytest.raises(QcError, match="Compile id not found") as caught:
            await client.compiles.read(7, "aa-bb")
        assert caught.value.kind is Kind.BAD_REQUEST
        assert len(service.asked) == QUICK.compile_tries


async def test_no_free_node_is_told_at_once_unless_one_is_waited_for() -> None:
    waits: list[Wait] = []
    async with (
        serving(backtests__create=[BUSY, BUSY, BUSY, {"backtest": QUEUED}]) as service,
        client_of(service, on_wait=waits.append) as client,
    ):
        with pytest.raises(QcError, match="delete a running backtest") as caught:
            await client.backtests.create(7, "aa-bb", "run")
        assert (caught.value.kind, len(service.asked), waits) == (Kind.CAPACITY, 1, [])
        await client.backtests.create(7, "aa-bb", "run", wait_for_node_s=5)
        assert [wait.kind for wait in waits] == [Kind.CAPACITY] * 2


async def test_the_wait_for_a_node_is_bounded_and_doubles() -> None:
    waits: list[Wait] = []
    limits = replace(QUICK, call_s=0.1, busy_pause_s=0.05)
    async with serving(backtests__create=BUSY) as service, client_of(service, limits, on_wait=waits.append) as client:
        with pytest.raises(QcError) as caught:
            await client.backtests.create(7, "aa-bb", "run", wait_for_node_s=0.2)
    assert [wait.seconds for wait in waits] == [0.05, 0.1]
    assert (caught.value.kind, caught.value.retry_after_s) == (Kind.CAPACITY, 0.2)


async def test_slow_down_is_waited_out() -> None:
    async with serving(backtests__create=[SLOW, {"backtest": QUEUED}]) as service, client_of(service) as client:
        await client.backtests.create(7, "aa-bb", "run")
        assert len(service.asked) == 2


async def test_retry_after_is_honoured_by_every_call() -> None:
    late = Page(b"", 429, {"Retry-After": "0.3"})
    async with serving(authenticate=[late, {}], lean__versions__read={"versions": []}) as service, client_of(service) as client:
        await asyncio.gather(client.authenticate(), _later(client.versions, service))
        refused, *others = service.times
        assert min(others) - refused >= 0.29
        assert client.stats.penalties == 1


async def _later(ask: Callable[[], Awaitable[object]], service: Service) -> None:
    async with asyncio.timeout(20):
        while not service.asked:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    await ask()


async def test_a_wait_that_would_outlast_the_call_is_told_instead() -> None:
    late = Page(b"", 429, {"Retry-After": "120"})
    async with serving(authenticate=late) as service, client_of(service) as client:
        for _ in range(2):
            with pytest.raises(QcError) as caught:
                await client.authenticate()
            assert caught.value.kind is Kind.RATE_LIMIT
            assert caught.value.retry_after_s == pytest.approx(120, abs=1)
        assert len(service.asked) == 1  # the second was not sent at all


async def test_whoever_liquidates_does_not_wait_for_the_peace_of_others() -> None:
    late = Page(b"", 429, {"Retry-After": "120"})
    async with serving(authenticate=late, live__update__liquidate={}) as service, client_of(service) as client:
        with pytest.raises(QcError):
            await client.authenticate()
        async with asyncio.timeout(20):
            await client.live.liquidate(7)
        assert len(service.bodies("live/update/liquidate")) == 1


async def test_the_service_never_sees_more_than_was_agreed_in_any_window() -> None:
    limits = replace(QUICK, requests=20, window_s=0.5, burst=4, concurrent=8)
    async with serving(authenticate={}) as service, client_of(service, limits) as client:
        await asyncio.gather(*(client.authenticate() for _ in range(40)))
        times = sorted(service.times)
    assert len(times) == 40
    # 10 % for the way to the service, which is not always equally long
    assert all(last - first >= 0.45 for first, last in zip(times, times[20:], strict=False))
    assert times[-1] - times[0] >= 1.0
    assert client.stats.waited_s > 0


async def test_a_call_without_a_turn_in_time_says_that_nothing_was_sent() -> None:
    limits = replace(QUICK, requests=3, window_s=60, burst=1, call_s=0.2)
    async with serving(authenticate={}) as service, client_of(service, limits) as client:
        await client.authenticate()
        with pytest.raises(QcError, match="nothing was sent") as caught:
            await client.authenticate()
        assert (caught.value.kind, caught.value.may_have_happened) == (Kind.RATE_LIMIT, False)
        assert len(service.asked) == 1


async def test_calls_beyond_the_queue_are_turned_away_at_once_and_counted() -> None:
    limits = replace(QUICK, requests=3, window_s=60, burst=1, call_s=0.3, waiting=2)
    async with serving(authenticate={}) as service, client_of(service, limits) as client:
        await client.authenticate()
        ends = await asyncio.gather(*(client.authenticate() for _ in range(5)), return_exceptions=True)
        assert sum("wait for the request budget already" in str(end) for end in ends) == 3
        assert (client.stats.turned_away, client.stats.waiting, len(service.asked)) == (3, 0, 1)


async def test_stop_and_liquidate_overtake_those_that_wait() -> None:
    limits = replace(QUICK, requests=11, window_s=1, burst=1, concurrent=1)
    async with serving(authenticate={}, live__update__stop={}) as service, client_of(service, limits) as client:
        await client.authenticate()
        waiting = [asyncio.ensure_future(client.authenticate()) for _ in range(5)]
        await asyncio.sleep(0)
        await client.live.stop(7)
        assert [name for name, _ in service.asked].index("live/update/stop") <= 2
        await asyncio.gather(*waiting)


async def test_no_more_than_two_calls_are_under_way() -> None:
    under_way, most = 0, 0

    async def count(_: dict[str, Any]) -> dict[str, Any]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return {}

    async with serving(authenticate=count) as service, client_of(service) as client:
        await asyncio.gather(*(client.authenticate() for _ in range(10)))
    assert most == 2


async def test_pauses_double_and_a_random_part_is_left_out() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    limits = replace(QUICK, pause_s=0.2, longest_pause_s=0.5, tries=5)
    async with serving(authenticate=Page(b"", 500)) as service:
        for draw in (0.0, 1.0):
            async with client_of(service, limits, sleep=sleep, draw=lambda draw=draw: draw) as client:
                with pytest.raises(QcError):
                    await client.authenticate()
    assert pauses == pytest.approx([0.2, 0.4, 0.5, 0.5, 0.1, 0.2, 0.25, 0.25])


async def test_a_service_that_is_not_there_was_not_asked_so_that_a_backtest_may_be_tried_again() -> None:
    async with serving() as service:
        gone = client_of(service)
    async with gone as client:
        with pytest.raises(QcError, match="check the network") as caught:
            await client.backtests.create(7, "aa-bb", "run")
        assert (caught.value.kind, caught.value.may_have_happened) == (Kind.TRANSPORT, False)
        assert client.stats.requests == QUICK.tries
        with pytest.raises(QcError):
            await client.live.deploy(PLAN)
        assert client.stats.requests == QUICK.tries + 1


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    released = asyncio.Event()

    async def hang(_: dict[str, Any]) -> dict[str, Any]:
        await released.wait()
        return {}

    async with serving(authenticate=hang, lean__versions__read={"versions": []}) as service, client_of(service) as client:
        calls = [asyncio.ensure_future(client.authenticate()) for _ in range(4)]
        async with asyncio.timeout(20):
            while len(service.asked) < 2:
                await asyncio.sleep(0.005)
        for call in calls:
            call.cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        await client.versions()  # both lanes are free again
        released.set()


async def test_a_redirect_is_not_followed_with_credentials() -> None:
    async with serving(authenticate=Page(b"", 302, {"Location": "/api/v2/elsewhere"}), elsewhere={}) as service:
        async with client_of(service) as client:
            with pytest.raises(QcError, match="HTTP 302") as caught:
                await client.authenticate()
        assert caught.value.kind is Kind.UNREADABLE
        assert service.bodies("elsewhere") == []


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    limits = replace(QUICK, largest_answer=1_000)
    async with serving(authenticate=Page(b"{" + b" " * 5_000_000)) as service, client_of(service, limits) as client:
        with pytest.raises(QcError, match="longer than 1000 bytes") as caught:
            await client.authenticate()
        assert (caught.value.kind, len(service.asked)) == (Kind.UNREADABLE, 1)


async def test_every_request_is_signed_posted_as_json_and_has_no_cookies() -> None:
    answer = Page(b'{"success":true}', headers={"Set-Cookie": "session=1; Path=/"})
    async with serving(authenticate=answer) as service, client_of(service) as client:
        await client.authenticate()
        await client.authenticate()
        for headers in service.headers:
            assert {"Authorization", "Timestamp", "User-Agent"} <= set(headers)
            assert headers["Content-Type"] == "application/json"
            assert "Cookie" not in headers


async def test_the_insights_of_a_service_in_trouble_are_not_an_empty_list() -> None:
    broken: list[Any] = [
        {},
        {"insights": None},
        {"insights": None, "length": 3},
        {"insights": "none"},
        {"insights": [{"id": None}]},
    ]
    for answer in broken:
        async with serving(live__insights__read=answer) as service, client_of(service) as client:
            with pytest.raises(QcError) as caught:
                await client.live.insights_page(7, 0, 100)
            assert (caught.value.kind, caught.value.transient, len(service.asked)) == (Kind.UNREADABLE, False, 1)


async def test_one_bad_row_is_left_out_and_counted() -> None:
    rows = [INSIGHT, {"id": None}, None, {**INSIGHT, "id": "two"}]
    async with serving(live__insights__read={"insights": rows, "length": 4}) as service, client_of(service) as client:
        page = await client.live.insights_page(7, 0, 100)
        assert [insight.id for insight in page.rows] == [INSIGHT["id"], "two"]
        assert (page.skipped, page.length, client.stats.bad_rows) == (2, 4, 1)


async def test_a_client_that_is_not_open_says_so() -> None:
    async with serving(authenticate={}) as service:
        client = client_of(service)
        with pytest.raises(RuntimeError, match="within async with"):
            await client.authenticate()


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "http://www.example.org/api", "https://user:secret@example.org", "https://", "nowhere", ""]
)
def test_a_base_url_that_cannot_be_or_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|https"):
        Client("1", "x", base_url=url)


def test_the_network_next_door_needs_no_encryption() -> None:
    for url in ("http://localhost:1/", "http://127.0.0.1:1", "http://quantconnect:80", "https://example.org/api/v2/"):
        assert checked_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "fields", [{"requests": 0}, {"burst": 30}, {"jitter": 1.5}, {"call_s": 0}, {"concurrent": -1}, {"largest_answer": 0}]
)
def test_limits_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"limits\.{next(iter(fields))}"):
        Limits(**fields)


def test_the_default_budget_is_thirty_a_minute() -> None:
    limits = Limits()
    assert (limits.requests, limits.window_s, limits.burst, limits.concurrent) == (30, 60.0, 5, 2)
