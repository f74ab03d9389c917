"""The overview in a real browser: decisions arrive by themselves, charts are drawn, every page says in which world it is."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Watched


def test_every_page_says_that_the_world_is_simulated(watched: Watched) -> None:
    page = watched.go("/")
    expect(page.locator(".world")).to_have_text("SIMULATED")
    assert "SIMULATED" in page.title()


def test_a_decision_arrives_and_wins_without_a_reload(watched: Watched) -> None:
    page = watched.go("/")
    first = page.locator("#verdicts tbody tr").first
    expect(first).to_be_visible()
    before = first.get_attribute("data-key")
    page.wait_for_function(
        "before => document.querySelector('#verdicts tbody tr')?.dataset.key !== before", arg=before, timeout=45_000
    )
    expect(page.locator("#fresh")).to_have_text(re.compile(r"updated \d+ s ago"))


def test_the_equity_is_drawn_and_told_in_words(watched: Watched) -> None:
    page = watched.go("/")
    expect(page.locator("[data-chart] .plot svg").first).to_be_visible(timeout=20_000)
    page.get_by_text("As a table").first.click()
    expect(page.locator("[data-chart] table").first).to_be_visible()


def test_a_page_that_is_not_there_says_so_and_shows_the_way_out(watched: Watched) -> None:
    watched.allow(404, "/nowhere")
    page = watched.go("/nowhere")
    expect(page.get_by_role("heading", name="Not Found")).to_be_visible()
    expect(page.locator("main").get_by_role("link", name="Overview")).to_be_visible()
