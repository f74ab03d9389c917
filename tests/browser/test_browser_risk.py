"""Risk in a real browser: the kill switch is pulled in two steps, entries stop, and trading goes on when it is told to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.app.bot_process import eventually
from tests.browser.conftest import Watched
from tests.web.house import House, house

SCRIPT = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    # Losses in a row must not be what stops the entries here.
    with house(tmp_path_factory.mktemp("risk"), ARBITER_RISK__LOSS_STREAK="null") as running:
        running.decided(3)
        yield running


def newest_order(demo: House) -> str:
    found: list[dict[str, Any]] = demo.ask("/orders", limit=1)["items"]
    return str(found[0]["id"]) if found else ""


def decided(demo: House) -> int:
    status: dict[str, Any] = demo.ask("/status")
    return sum(status["decisions"].values())


def pull(page: Page, name: str, reason: str) -> None:
    """Press a switch, read what would be done, and say yes."""
    page.get_by_label("Reason, kept in the journal").fill(reason)
    page.get_by_role("button", name=name, exact=True).click()
    dialog = page.get_by_role("dialog", name="Are you sure?")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Yes, do it").click()


def test_the_first_step_alone_halts_nothing(watched: Watched, demo: House) -> None:
    watched.allow(428, "/risk/kill")
    page = watched.go("/risk")
    expect(page.locator("#state .big")).to_contain_text("ACTIVE")
    page.get_by_role("button", name="Halt", exact=True).click()
    dialog = page.get_by_role("dialog", name="Are you sure?")
    expect(dialog).to_contain_text("no order is sent any more")
    expect(dialog.get_by_role("button", name="No")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    assert demo.ask("/risk/state")["state"] == "active"


def test_the_kill_switch_stops_entries_everywhere_sees_it_and_resume_trades_again(watched: Watched, demo: House) -> None:
    for what in ("kill", "resume"):
        watched.allow(428, f"/risk/{what}")
    page = watched.go("/risk")
    pull(page, "Halt", SCRIPT)
    expect(page.locator("#state .big")).to_contain_text("HALTED", timeout=10_000)
    expect(page.locator("#state")).to_contain_text(SCRIPT)
    expect(page.locator("#changes tbody tr").first).to_contain_text("halted")
    assert "owned" not in page.title()
    last, seen = newest_order(demo), decided(demo)
    for path in ("/", "/decisions", "/settings", "/monitoring"):
        watched.go(path)
        expect(page.locator("header .badge", has_text="trading halted")).to_be_visible()
    eventually(lambda: decided(demo) >= seen + 3, "minds go on proposing", 60.0)
    assert newest_order(demo) == last
    watched.go("/risk")
    pull(page, "Resume", "all is well")
    expect(page.locator("#state .big")).to_contain_text("ACTIVE", timeout=10_000)
    expect(page.locator("header .badge", has_text="trading active")).to_be_visible()
    eventually(lambda: newest_order(demo) != last, "orders are sent again", 90.0)


def test_a_what_if_is_denied_with_its_reason_and_one_that_is_too_large_is_shrunk(watched: Watched) -> None:
    page = watched.go("/risk")
    form = page.locator("form[data-into='#what-if']")
    form.get_by_label("Size", exact=True).fill("0.01")
    form.get_by_role("button").click()
    answer = page.locator("#what-if")
    expect(answer.locator(".notice.bad")).to_contain_text("Denied")
    expect(answer.locator("table .badge.bad").first).to_have_text("denied")
    form.get_by_label("Size", exact=True).fill("900000")
    form.get_by_role("button").click()
    expect(answer.locator(".notice.good")).to_contain_text("smaller than asked")
    expect(answer.locator("table .badge.warn").first).to_have_text("shrunk")
    form.get_by_label("Size", exact=True).fill(SCRIPT[:39])
    form.get_by_role("button").click()
    expect(answer.get_by_role("alert")).to_contain_text("notional")


def test_a_size_is_recommended_by_the_policy_that_would_be_used(watched: Watched) -> None:
    page = watched.go("/risk")
    page.get_by_role("button", name="Recommend a size").click()
    expect(page.locator("#size .notice.good")).to_contain_text("of equity")
    expect(page.locator("#size table .badge.good")).to_have_text("used")


def test_limits_are_meters_with_numbers_and_their_settings(watched: Watched) -> None:
    page = watched.go("/risk")
    row = page.locator("#limits tr", has_text="risk.max_exposure")
    expect(row.get_by_role("meter")).to_have_attribute("aria-valuenow", re.compile(r"^\d+$"))
    expect(row).to_contain_text("95.00 %")
    page.get_by_text("As a chart").click()
    expect(page.locator("#limits-chart .plot svg").first).to_be_visible(timeout=20_000)


def test_a_phone_shows_the_state_and_the_switch_without_scrolling_sideways(watched: Watched) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 844})
    page = watched.go("/risk")
    expect(page.get_by_role("button", name="Halt", exact=True)).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
