"""Markets, sources and the journal in a real browser."""

from __future__ import annotations

import csv
import io

from playwright.sync_api import expect

from tests.browser.conftest import Watched
from tests.web.house import House


def test_candles_are_drawn_with_what_was_decided_on_them(watched: Watched) -> None:
    page = watched.go("/markets")
    expect(page.locator("[data-chart] .plot svg").first).to_be_visible(timeout=20_000)
    page.get_by_text("As a table").first.click()
    expect(page.locator("[data-chart] table tbody tr").first).to_be_visible()


def test_every_mind_is_held_against_the_arbiter(watched: Watched, demo: House) -> None:
    known = {score["source"] for score in demo.ask("/performance")["scores"]}
    page = watched.go("/sources")
    shown = set(page.locator("#board tbody tr td:first-child a").all_inner_texts())
    assert known
    assert known <= shown
    expect(page.locator("[data-chart] .plot svg").first).to_be_visible(timeout=20_000)


def test_a_source_is_paused_and_heard_again(watched: Watched, demo: House) -> None:
    page = watched.go("/sources")
    row = page.locator('#live tr[data-key="rules:sma-cross"]')
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_text("paused", exact=True)).to_be_visible()
    assert demo.ask("/status")["sources"]["rules:sma-cross"] == "paused"
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_role("button", name="Pause")).to_be_visible()
    assert demo.ask("/status")["sources"]["rules:sma-cross"] == "on"


def test_a_threshold_is_changed_and_refused_where_it_is_none(watched: Watched, demo: House) -> None:
    page = watched.go("/sources")
    row = page.locator('#live tr[data-key="rules:rsi-reversion"]')
    row.get_by_label("Threshold of rules:rsi-reversion").fill("0.35")
    row.get_by_role("button", name="Set").click()
    expect(page.locator(".toasts")).to_contain_text("from there on")
    found = next(each for each in demo.ask("/sources")["sources"] if each["name"] == "rules:rsi-reversion")
    assert found["threshold"] == 0.35


def test_orders_are_told_state_by_state_and_exported(watched: Watched, demo: House) -> None:
    page = watched.go("/journal?tab=orders")
    page.locator("#rows tbody tr a[data-drawer]").first.click()
    expect(page.locator("#drawer").get_by_role("heading", name="States")).to_be_visible()
    with demo.client() as client:
        rows = list(csv.DictReader(io.StringIO(client.get("/api/v1/export/orders.csv").text)))
        ids = {each["id"] for each in client.get("/api/v1/export/orders.json").json()}
    assert rows
    assert {row["id"] for row in rows} <= ids


def test_a_report_is_built_beside_the_pages(watched: Watched) -> None:
    page = watched.go("/journal?tab=runs")
    page.get_by_role("button", name="Build").first.click()
    expect(page.locator(".toasts")).to_contain_text("being built")
    link = page.locator("#reports").get_by_role("link", name="Download")
    expect(link.first).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        link.first.click()
    assert download.value.suggested_filename.startswith("report-")
