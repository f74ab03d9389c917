"""A browser in bad circumstances: answers that are lost, plain HTTP from another machine, a bot that was started again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

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
