"""Chat in a real browser: an answer comes as it is said, and what is proposed happens when a person confirms it, not before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.app.bot_process import eventually
from tests.browser.conftest import Watched
from tests.web.house import House, house

SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A demonstration whose models may be asked often."""
    with house(tmp_path_factory.mktemp("chat"), ARBITER_LLM__BUDGET__CALLS_PER_MINUTE="5000") as running:
        running.decided(1)
        yield running


def begun(watched: Watched) -> Page:
    page = watched.go("/chat")
    page.get_by_role("button", name="New conversation").click()
    page.wait_for_url("**/chat?session=*")
    return page


def ask(page: Page, question: str) -> None:
    """Ask, and wait until the whole answer is kept."""
    before = page.locator("#talk article.assistant").count()
    page.get_by_label("Your question").fill(question)
    page.get_by_label("Your question").press("Enter")
    expect(page.locator("#talk article.assistant")).to_have_count(before + 1, timeout=30_000)


def test_a_question_is_answered_and_stays_text(watched: Watched) -> None:
    page, said = begun(watched), []

    def heard(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", heard)
    ask(page, f"What do I hold and what did it cost? {SCRIPT} **bold**")
    expect(page.locator("#talk article.user")).to_contain_text(SCRIPT)
    expect(page.locator("#talk article.assistant .prose")).not_to_be_empty()
    page.get_by_text("Looked at").first.click()
    expect(page.locator("#talk details[open] code").first).to_be_visible()
    assert page.locator("#talk img").count() == 0
    assert said == []


def test_enter_twice_asks_once(watched: Watched) -> None:
    page, asked = begun(watched), []
    page.on(
        "request", lambda request: asked.append(request.url) if request.method == "POST" and "/messages" in request.url else None
    )
    field = page.get_by_label("Your question")
    field.fill("What do I hold?")
    field.press("Enter")
    field.press("Enter")
    expect(page.locator("#talk article.assistant")).to_have_count(1, timeout=30_000)
    assert len(asked) == 1


def test_a_proposal_waits_for_two_words_and_is_then_carried_out(watched: Watched, demo: House) -> None:
    page = begun(watched)
    ask(page, "Please propose: pause llm:claude")
    card = page.locator("#talk .proposal")
    expect(card).to_contain_text("PAUSE the source llm:claude")
    page.reload()  # what waits can still be confirmed
    assert demo.ask("/status")["sources"]["llm:claude"] == "on"
    watched.allow(428, "/confirm")
    card.get_by_role("button", name="Confirm…").click()
    dialog = page.locator("#confirm")
    expect(dialog.locator(".text")).to_contain_text("PAUSE the source llm:claude")
    dialog.get_by_role("button", name="No").click()
    assert demo.ask("/status")["sources"]["llm:claude"] == "on"
    card.get_by_role("button", name="Confirm…").click()
    dialog.get_by_role("button", name="Yes, do it").click()
    expect(page.locator("#confirmed")).to_contain_text("Done:", timeout=20_000)
    eventually(lambda: demo.ask("/status")["sources"]["llm:claude"] == "paused", "the source is paused")
    expect(card.locator(".badge")).to_have_text("done")
    expect(card.get_by_role("button")).to_have_count(0)


def test_what_was_said_is_found_again_and_fits_a_phone(watched: Watched) -> None:
    page = begun(watched)
    ask(page, "How is the zebra crossing of ETH?")
    page.set_viewport_size({"width": 390, "height": 800})
    page.get_by_label("Search").fill("ZEBRA")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("link", name="How is the zebra crossing of ETH?").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
