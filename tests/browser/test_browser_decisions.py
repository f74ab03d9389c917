"""Decisions in a real browser: found by filters that stay in the address, and told in full beside the table."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Watched
from tests.web.house import House


def test_a_decision_is_told_in_full_beside_the_table(watched: Watched) -> None:
    page = watched.go("/decisions")
    page.locator("#decisions tbody tr a[data-drawer]").first.click()
    drawer = page.locator("#drawer")
    for part in ("Why it was proposed", "What became of it", "What it asked for", "Orders and fills", "Outcome", "What it saw"):
        expect(drawer.get_by_role("heading", name=part)).to_be_visible()
    drawer.get_by_role("button", name="Close").click()
    expect(drawer).to_be_hidden()


def test_filters_narrow_the_table_and_stay_in_the_address(watched: Watched, demo: House) -> None:
    source = demo.ask("/decisions", limit=1)["items"][0]["source"]
    page = watched.go("/decisions")
    page.get_by_label("Source").select_option(source)
    page.wait_for_url(re.compile(r"source="))
    sources = page.locator("#decisions tbody tr td:nth-child(2)").all_inner_texts()
    assert sources
    assert all(text.startswith(source) for text in sources)


def test_an_opinion_about_a_decision_is_kept(watched: Watched, demo: House) -> None:
    found = demo.ask("/decisions", limit=1)["items"][0]["id"]
    page = watched.go(f"/decisions?id={found}")
    page.get_by_label("Note (optional)").fill("<img src=x onerror=alert(1)> well seen")
    page.get_by_role("button", name="Useful").click()
    expect(page.locator(".done")).to_have_text(re.compile("kept"))


def test_the_page_works_with_the_keyboard_alone(watched: Watched) -> None:
    page = watched.go("/decisions")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    link = page.locator("#decisions tbody tr a[data-drawer]").first
    link.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#drawer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
