"""A browser in bad circumstances: answers that are lost, plain HTTP from another machine, a bot that was started again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.bot_process import eventually
from tests.browser.conftest import Watched
from tests.web.house import House, house

# A browser offers it only where the address is https, or this machine's own.
_PLAIN_HTTP = "delete Crypto.prototype.randomUUID"

# A page that hears of another run reads itself anew; this one has not heard yet.
_NOT_TOLD = "window.EventSource = class { addEventListener() {} close() {} }"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One of our own, for trading is stopped in it."""
    with house(tmp_path_factory.mktemp("hostile")) as running:
        running.decided(1)
        yield running


def _reduce(page: Page) -> None:
    page.get_by_role("button", name="Reduce only").click()
    page.locator("#confirm").get_by_role("button", name="Yes, do it").click()


def _reductions(demo: House) -> int:
    """How many there were until now. Its lines are written a moment after the answer, in order: one more, and all are there."""
    before = len(demo.ask("/audit", command="pause")["items"])
    with demo.client() as client:
        assert client.post("/api/v1/sources/rules:demo/pause").status_code == 200
        assert client.post("/api/v1/sources/rules:demo/resume").status_code == 200
    eventually(lambda: len(demo.ask("/audit", command="pause")["items"]) > before, "the audit has it")
    return len(demo.ask("/audit", command="reduce")["items"])


def test_what_nobody_answered_is_repeated_by_hand_and_done_once(watched: Watched, demo: House) -> None:
    page = watched.go("/risk")
    lost: list[int] = []

    def lose(route: Route) -> None:
        if "confirmation" not in route.request.headers or lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort()

    page.route("**/api/v1/risk/reduce", lose)
    watched.allow(428, "/risk/reduce")
    _reduce(page)
    expect(page.get_by_text("it may or may not have been done")).to_be_visible()
    assert lost == [200]
    page.get_by_role("button", name="Reduce only").click()
    expect(page.get_by_text("The state above says what holds now.")).to_be_visible()
    assert _reductions(demo) == 1


def test_trading_is_stopped_from_a_phone_by_plain_http_too(watched: Watched, demo: House) -> None:
    before = _reductions(demo)
    watched.page.add_init_script(_PLAIN_HTTP)
    page = watched.go("/risk")
    assert page.evaluate("crypto.randomUUID === undefined")
    watched.allow(428, "/risk/reduce")
    _reduce(page)
    expect(page.get_by_text("The state above says what holds now.")).to_be_visible()
    assert _reductions(demo) == before + 1


def test_a_page_of_another_run_says_so_and_stops_nothing(watched: Watched, demo: House) -> None:
    before = _reductions(demo)
    watched.page.add_init_script(_NOT_TOLD)
    page = watched.go("/risk")
    page.evaluate("document.body.dataset.run = '20200101-000000-0000'")
    watched.allow(409, "/risk/reduce")
    page.get_by_role("button", name="Reduce only").click()
    expect(page.get_by_text("this page is of another run")).to_be_visible()
    assert _reductions(demo) == before


def test_a_page_that_was_made_without_a_bot_learns_that_one_runs_and_decides_nothing_before(
    watched: Watched, demo: House
) -> None:
    before = _reductions(demo)
    made: list[str] = []

    def without(route: Route) -> None:
        answer = route.fetch()
        text = answer.text() if made else re.sub(r'data-run="[^"]*"', 'data-run=""', answer.text())
        made.append(text)
        route.fulfill(response=answer, body=text)

    watched.page.route("**/risk", without)
    page = watched.go("/risk")
    expect(page.locator("body")).not_to_have_attribute("data-run", "")
    assert len(made) == 2
    page.unroute("**/risk")
    page.add_init_script(_NOT_TOLD)
    page.reload()
    page.evaluate("document.body.dataset.run = ''")
    watched.allow(409, "/risk/reduce")
    page.get_by_role("button", name="Reduce only").click()
    expect(page.get_by_text("this page is of another run")).to_be_visible()
    assert _reductions(demo) == before


def test_one_yes_is_to_one_question_also_when_two_are_asked(watched: Watched, demo: House) -> None:
    before = _reductions(demo)
    page = watched.go("/risk")
    watched.allow(428, "/risk/")
    page.evaluate(
        """async () => {
            const { call } = await import(document.querySelector("script[type=module]").src);
            const both = [call("POST", "/api/v1/risk/kill", { flatten: true }), call("POST", "/api/v1/risk/reduce", {})];
            window.answers = Promise.all(both);
        }"""
    )
    words, asked = page.locator("#confirm .text"), []
    for answer in ("No", "No"):
        expect(page.locator("#confirm")).to_be_visible()
        asked.append(words.inner_text())
        page.locator("#confirm").get_by_role("button", name=answer, exact=True).click()
        if len(asked) == 1:
            expect(words).not_to_have_text(asked[0])
    assert page.evaluate("window.answers") == [None, None]
    assert len(set(asked)) == 2
    assert _reductions(demo) == before
    assert not demo.ask("/audit", command="kill")["items"]


def test_what_is_being_typed_outlives_a_stream_that_came_back(watched: Watched) -> None:
    page = watched.go("/sources")
    field = page.get_by_label("Threshold of rules:demo")
    field.fill("0.85")
    page.context.set_offline(True)
    page.context.set_offline(False)
    with page.expect_response("**/ui/sources/board*", timeout=30_000):
        page.evaluate("dispatchEvent(new Event('pagehide')); document.dispatchEvent(new Event('visibilitychange'))")
    expect(field).to_have_value("0.85")


def test_details_that_could_not_be_had_are_asked_for_again(watched: Watched) -> None:
    page = watched.go("/decisions")
    lost: list[str] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.url)
        route.abort()

    page.route("**/ui/decisions/*", lose)
    page.locator("#decisions tbody tr a[data-drawer]").first.click()
    drawer = page.locator("#drawer")
    expect(drawer.get_by_text("The control room does not answer")).to_be_visible()
    drawer.get_by_role("button", name="Try again").click()
    expect(drawer.get_by_role("heading", name="Why it was proposed")).to_be_visible()
    assert len(lost) == 1
