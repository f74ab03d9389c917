"""Settings and monitoring in a real browser: changes with their history, channels, secrets, tokens, errors, the theme."""

from __future__ import annotations

import json
from collections.abc import Iterator
from queue import Queue

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.web.ear import ear
from tests.web.house import House, house

SCRIPT = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def heard() -> Iterator[tuple[int, Queue[bytes]]]:
    with ear() as told:
        yield told


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, heard: tuple[int, Queue[bytes]]) -> Iterator[House]:
    channels = {"hook": {"url_secret": "HOOK_URL", "severity": "critical"}}
    with house(
        tmp_path_factory.mktemp("settings"),
        ARBITER_NOTIFICATIONS__CHANNELS=json.dumps(channels),
        ARBITER_SECRET_HOOK_URL=f"json://127.0.0.1:{heard[0]}/",
    ) as running:
        running.decided(1)
        yield running


def edit(page: Page, key: str, value: str, note: str = "") -> None:
    row = page.locator(f"#rows tr[data-key='{key}']")
    row.get_by_text("Change", exact=True).click()
    row.locator("[name=value]").fill(value)
    row.get_by_label("Why, for the history").fill(note)
    row.get_by_role("button", name="Keep").click()


def test_a_setting_is_changed_through_the_overlay_and_left_to_the_files_again(watched: Watched) -> None:
    page = watched.go("/settings?section=risk")
    edit(page, "risk.max_daily_loss", "0.03", SCRIPT)
    row = page.locator("#rows tr[data-key='risk.max_daily_loss']")
    expect(row).to_contain_text("next start: 0.03")
    expect(page.locator("#pending")).to_contain_text("risk.max_daily_loss")
    first = page.locator("#changes tbody tr").first
    expect(first).to_contain_text("web:owner")
    expect(first).to_contain_text("0.05")
    expect(first).to_contain_text(SCRIPT)
    assert "owned" not in page.title()
    if row.locator("details[open]").count() == 0:
        row.get_by_text("Change", exact=True).click()
    row.get_by_role("button", name="As the files say").click()
    expect(row).not_to_contain_text("next start")
    expect(first).to_contain_text("unset")


def test_a_value_that_no_start_would_take_says_why_and_changes_nothing(watched: Watched, demo: House) -> None:
    watched.allow(422, "/settings/risk.max_drawdown")
    page = watched.go("/settings?section=risk")
    edit(page, "risk.max_drawdown", "a lot")
    row = page.locator("#rows tr[data-key='risk.max_drawdown']")
    expect(row.get_by_role("alert")).to_contain_text("must be a number")
    assert not [each for each in demo.ask("/settings")["pending"] if each["key"] == "risk.max_drawdown"]


def test_a_page_that_is_out_of_date_overwrites_nothing(watched: Watched, demo: House) -> None:
    watched.allow(412, "/settings/risk.max_open_orders")
    page = watched.go("/settings?section=risk")
    with demo.client() as other:
        other.put("/api/v1/settings/risk.max_open_orders", json={"value": 11}).raise_for_status()
    edit(page, "risk.max_open_orders", "12")
    row = page.locator("#rows tr[data-key='risk.max_open_orders']")
    expect(row.get_by_role("alert")).to_contain_text("Changed meanwhile")


def test_what_is_dangerous_is_read_only_and_says_why(watched: Watched) -> None:
    page = watched.go("/settings?section=web")
    row = page.locator("#rows tr[data-key='web.port']")
    expect(row).to_contain_text("who can reach the bot")
    expect(row.get_by_text("Change", exact=True)).to_have_count(0)


def test_a_source_is_switched_off_for_the_next_start_and_its_threshold_at_once(watched: Watched, demo: House) -> None:
    page = watched.go("/settings")
    row = page.locator("#source-files tr[data-key='rules:demo']")
    row.get_by_role("button", name="Switch off").click()
    expect(row.get_by_role("button", name="Switch on")).to_be_visible()
    row.get_by_label("Least confidence").fill("0.4")
    row.get_by_role("button", name="Set").click()
    expect(row.get_by_label("Least confidence")).to_have_value("0.4")
    known = {each["name"]: each for each in demo.ask("/sources")["sources"]}
    assert known["rules:demo"]["threshold"] == 0.4
    files = {each["name"]: each for each in demo.ask("/settings")["sources"]}
    assert files["rules:demo"]["enabled"] is False


def test_a_notification_is_tried_and_its_outcome_is_shown(watched: Watched, heard: tuple[int, Queue[bytes]]) -> None:
    page = watched.go("/settings")
    row = page.locator("#channels tr[data-key='hook']")
    row.get_by_role("button", name="Send a test").click()
    assert "hook works" in json.loads(heard[1].get(timeout=15))["message"]
    expect(row).to_contain_text("delivered")
    watched.go("/monitoring")
    expect(page.locator("#told tbody tr").first).to_contain_text("Test message")


def test_a_secret_is_sealed_and_only_its_mask_is_shown(watched: Watched) -> None:
    value = "canary-from-a-browser-55e1"
    page = watched.go("/settings")
    page.get_by_text("Set a secret").click()
    form = page.locator("#new-secret form")
    form.get_by_label("Name").fill("OKX_API_KEY")
    form.get_by_label("Value").fill(value)
    form.get_by_role("button", name="Seal").click()
    row = page.locator("#vault tr[data-key='OKX_API_KEY']")
    expect(row).to_contain_text(value[-4:])
    assert value not in page.content()
    expect(form.get_by_label("Value")).to_have_value("")
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_a_token_is_made_shown_once_used_and_revoked(watched: Watched, demo: House) -> None:
    page = watched.go("/settings")
    form = page.locator("#new-token")
    form.get_by_label("Name").fill("machine")
    form.get_by_role("button", name="Make a token").click()
    shown = form.locator("[data-result]")
    page.wait_for_function("() => document.querySelector('#new-token [data-result]').textContent.startsWith('arb_')")
    value = shown.inner_text()
    row = page.locator("#tokens tr", has_text="machine")
    expect(row).to_contain_text("active")
    with httpx2.Client(base_url=demo.url, headers={"Authorization": f"Bearer {value}"}, timeout=20.0) as machine:
        assert machine.get("/api/v1/status").status_code == 200
        assert machine.post("/api/v1/risk/kill", json={"reason": "no"}).status_code == 403
        watched.go("/settings")
        assert value not in page.content()
        row.get_by_role("button", name="Revoke").click()
        expect(row).to_contain_text("revoked")
        assert machine.get("/api/v1/status").status_code == 401


def test_the_theme_is_chosen_and_stays(watched: Watched) -> None:
    page = watched.go("/settings")
    page.get_by_label("Theme of this browser").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    watched.go("/monitoring")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_monitoring_shows_the_parts_and_draws_its_charts(watched: Watched) -> None:
    watched.allow(503, "/ui/charts/latencies")  # without a port for the bot's own listener there are no histograms
    page = watched.go("/monitoring")
    expect(page.locator("#components")).to_contain_text("journal")
    expect(page.locator("#latencies")).to_contain_text("the desk handles an event")
    expect(page.locator("[data-chart^='/ui/charts/feed-ages'] .plot svg").first).to_be_visible(timeout=20_000)


def test_a_phone_shows_both_pages_without_scrolling_sideways(watched: Watched) -> None:
    watched.allow(503, "/ui/charts/latencies")
    watched.page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/settings", "/monitoring"):
        page = watched.go(path)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path


def test_signing_out_everywhere_ends_this_session_too(watched: Watched) -> None:
    watched.allow(401, "/ui/")  # what the page asks for between the end of its session and the login
    page = watched.go("/settings")
    page.get_by_role("button", name="Sign out everywhere").click()
    page.wait_for_url("**/login*")
    page.goto(f"{page.url.split('/login')[0]}/settings")
    assert "/login" in page.url
