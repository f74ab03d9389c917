"""QuantConnect in a real browser: a backtest from its form to its charts and lesson, algorithms, signals, a masked key."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watched
from tests.web.house import House

CANARY = "qc-canary-2b6e81d4c0f7-Tr9K"
SLOW_MS = 90_000
TABS = ("status", "algorithms", "signals", "backtest", "compare", "memory", "configuration")


def fill_form(page: Page) -> None:
    """A short backtest of a rule that the bot trades by too."""
    last = date.fromisoformat(page.locator("#backtest-form [name='config.end']").input_value())
    page.fill("#backtest-form [name='config.start']", str(last - timedelta(days=20)))
    page.select_option("#backtest-form [name='config.strategy.kind']", "sma-cross")
    page.get_by_text("Parameters, size, stops and fees").click()
    page.fill("#backtest-form [name='config.strategy.params']", '{"fast": 5, "slow": 20}')


@pytest.mark.timeout(300)  # a cloud takes its time, also a simulated one
def test_a_backtest_goes_from_its_form_to_its_charts_and_into_the_memory(watched: Watched) -> None:
    page = watched.go("/quantconnect?tab=backtest")
    fill_form(page)
    page.get_by_role("button", name="Run, and learn from it").click()
    expect(page.locator("#run progress")).to_be_visible()
    run = page.locator("#run")
    expect(run.get_by_role("heading", name="sma-cross BTC/USDT")).to_be_visible(timeout=SLOW_MS)
    expect(run.locator("[data-chart] .plot svg").first).to_be_visible(timeout=30_000)
    expect(run.locator(".tile", has_text="Sharpe")).to_be_visible()
    expect(run.get_by_text("What it taught")).to_be_visible()
    expect(page.locator("#saved tbody tr")).to_have_count(1, timeout=20_000)

    page.locator("#saved a").first.click()
    expect(page.locator("#shown [data-chart] .plot svg").first).to_be_visible(timeout=30_000)

    page = watched.go("/quantconnect?tab=memory&symbol=BTC/USDT&strategy=simulated/rules:sma-cross")
    learnt = page.locator("#memory tr[data-key='simulated/rules:sma-cross-BTC/USDT-1h']")
    expect(learnt).to_contain_text("%")
    expect(page.locator("#memory [data-chart] .plot svg").first).to_be_visible(timeout=30_000)
    expect(page.locator("#memory")).to_contain_text("from a backtest")


def test_a_key_that_was_set_is_shown_by_its_mask_alone(watched: Watched, demo: House) -> None:
    page = watched.go("/quantconnect?tab=configuration")
    page.fill("#secrets-form [name='secrets.api_token']", CANARY)
    page.get_by_role("button", name="Seal").click()
    expect(page.locator("#masked-api-token")).to_contain_text(CANARY[-4:])
    assert CANARY not in page.content()
    assert page.locator("#secrets-form [name='secrets.api_token']").input_value() == ""
    watched.allow(428, "/quantconnect/config")
    page.get_by_role("button", name="Forget all of it").click()
    expect(page.locator("#confirm .text")).to_contain_text("QUANTCONNECT_API_TOKEN")
    page.locator("#confirm").get_by_role("button", name="Yes").click()
    expect(page.locator("#masked-api-token")).to_have_count(0)
    assert not demo.ask("/quantconnect/config")["secrets"]["api_token"]["set"]


def test_an_algorithm_opens_beside_the_list_with_all_that_it_did(watched: Watched) -> None:
    page = watched.go("/quantconnect?tab=algorithms")
    page.get_by_role("link", name="momentum").click()
    drawer = page.locator("#drawer")
    expect(drawer.locator("[data-chart] .plot svg").first).to_be_visible(timeout=40_000)
    for part in ("Holdings", "Insights", "Newest orders", "What the bot made of it"):
        expect(drawer.get_by_role("heading", name=part)).to_be_visible()


def test_an_algorithm_goes_on_when_the_person_says_no(watched: Watched, demo: House) -> None:
    watched.allow(428, "/stop")
    page = watched.go("/quantconnect?tab=algorithms")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#confirm .text")).to_contain_text("What it holds stays held")
    page.locator("#confirm").get_by_role("button", name="No").click()
    expect(page.locator("#confirm")).to_be_hidden()
    assert demo.ask("/quantconnect/algorithms", fresh=True)["algorithms"][0]["active"]


def test_signals_are_shown_as_held_and_as_decided_on_and_asked_for_now(watched: Watched) -> None:
    page = watched.go("/quantconnect?tab=signals")
    expect(page.locator("#decided tbody tr").first).to_be_visible(timeout=40_000)
    page.get_by_role("button", name="Have the sources ask now").click()
    expect(page.locator("#fetched")).to_contain_text("insights:20010001", timeout=30_000)
    expect(page.locator("#held tbody tr").first).to_be_visible(timeout=30_000)
    page.locator("#held [data-drawer^='/ui/quantconnect/signals/']").first.click()
    expect(page.locator("#drawer")).to_contain_text("As the service holds it", timeout=30_000)


def test_the_connection_is_tested_from_the_page(watched: Watched) -> None:
    page = watched.go("/quantconnect")
    expect(page.locator("#qc-status")).to_contain_text("quantconnect:momentum")
    page.get_by_role("button", name="Test now").click()
    expect(page.locator("#tested")).to_contain_text("Everything is well", timeout=30_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_tab_is_wider_than_a_phone(chromium: Browser, demo: House, key: str, scheme: str) -> None:
    context = chromium.new_context(
        storage_state=key, viewport={"width": 390, "height": 844}, color_scheme="dark" if scheme == "dark" else "light"
    )
    seen = Watched(context, demo)
    for tab in TABS:
        page = seen.go(f"/quantconnect?tab={tab}")
        expect(page.locator(".tabs [aria-current]")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
    context.close()
    assert seen.faults == []
