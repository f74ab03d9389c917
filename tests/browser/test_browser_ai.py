"""AI trading in a real browser: prompts are previewed and compared, keys are masked, costs are drawn, a decision is tried."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import Watched
from tests.web.house import House, house

SECRET = "sk-canary-browser-2b7c41d09e-W3pQ"
SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A demonstration whose models may be asked often."""
    with house(tmp_path_factory.mktemp("ai"), ARBITER_LLM__BUDGET__CALLS_PER_MINUTE="5000") as running:
        running.decided(3)
        yield running


def quiet(page: Page) -> list[str]:
    """What a script that ran would have said; to be empty."""
    said: list[str] = []

    def heard(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", heard)
    return said


def agree(watched: Watched, page: Page, part: str) -> str:
    """Say yes in the second step; what it said would be done."""
    watched.allow(428, part)
    dialog = page.locator("#confirm")
    expect(dialog).to_be_visible()
    text = dialog.locator(".text").inner_text()
    dialog.get_by_role("button", name="Yes, do it").click()
    return text


def test_a_prompt_is_previewed_while_typing_saved_compared_and_put_in_use(watched: Watched) -> None:
    watched.allow(428, "/activate")
    page = watched.go("/ai?tab=prompts&name=decide")
    said = quiet(page)
    preview = page.locator("#preview")
    expect(preview).to_contain_text("tokens", timeout=15_000)
    expect(preview.locator("tbody tr").first).to_contain_text("claude-haiku")
    body = page.locator("#body")
    whole = body.input_value()
    body.fill("{{ nowhere }}")
    expect(preview).to_contain_text("It cannot be saved like this", timeout=15_000)
    body.fill(whole.replace("How to decide:", "Be brief.\nHow to decide:"))
    expect(preview.locator("pre").first).to_contain_text("Be brief.", timeout=15_000)
    page.locator("input[name=note]").fill(SCRIPT)
    page.get_by_role("button", name="Save as a new version").click()
    page.wait_for_url("**version=1")
    versions = page.locator("section", has=page.get_by_role("heading", name="Versions"))
    expect(versions.locator("tr[data-key=v1]")).to_contain_text(SCRIPT)
    page.get_by_role("link", name="What changed").first.click()
    expect(page.locator(".diff ins")).to_have_text(re.compile(r"\+ Be brief\."))
    expect(page.locator(".diff del")).to_have_count(0)
    versions.get_by_role("button", name="Use…").click()
    assert "version 1" in agree(watched, page, "/activate")
    expect(page.locator("tr[data-key=v1] .badge.good")).to_have_text("in use")
    assert said == []


def test_what_somebody_saved_meanwhile_is_not_written_over(watched: Watched, demo: House) -> None:
    page = watched.go("/ai?tab=prompts&name=decide")
    with demo.client() as other:
        text = other.get("/api/v1/ai/llm/prompts/decide").json()["body"] + " "
        assert other.put("/api/v1/ai/llm/prompts/decide", json={"body": text, "note": "meanwhile"}).status_code == 200
    watched.allow(412, "/prompts/decide")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator("#editor [role=alert]")).to_contain_text("Changed meanwhile")


def test_of_a_key_only_the_last_four_are_ever_seen(watched: Watched) -> None:
    watched.allow(428, "/providers/gemini/key")
    page = watched.go("/ai?tab=providers")
    row = page.locator("#keys tr[data-key=gemini]")
    expect(row).to_contain_text("not set")
    row.get_by_label("New key of gemini").fill(SECRET)
    row.get_by_role("button", name="Seal").click()
    expect(page.locator("#keys tr[data-key=gemini] .mask")).to_contain_text(SECRET[-4:])
    assert SECRET not in page.content()
    assert page.locator("#key-gemini").input_value() == ""
    page.reload()
    expect(page.locator("#keys tr[data-key=gemini] .mask")).to_contain_text(SECRET[-4:])
    assert SECRET not in page.content()
    page.locator("#keys tr[data-key=gemini]").get_by_role("button", name="Forget…").click()
    assert "GEMINI_API_KEY" in agree(watched, page, "/providers/gemini/key")
    expect(page.locator("#keys tr[data-key=gemini]")).to_contain_text("not set")


def test_keys_are_checked_and_those_that_are_asked_show_how_they_do(watched: Watched) -> None:
    watched.allow(428, "/providers/gemini/key")
    page = watched.go("/ai?tab=providers")
    page.get_by_role("button", name="Check the keys").click()
    expect(page.locator("#tested tbody tr").first).to_contain_text("good", timeout=20_000)
    expect(page.locator("#performance tr[data-key^=anthropic]")).to_contain_text("available")


def test_costs_are_drawn_against_the_budget(watched: Watched) -> None:
    page = watched.go("/ai?tab=costs")
    for name in ("costs-by-day", "costs-by-month", "cost-pnl"):
        expect(page.locator(f"[data-chart*={name}] .plot svg").first).to_be_visible(timeout=20_000)
    expect(page.locator("#spent [role=meter]")).to_have_count(2)
    expect(page.locator("#tables")).to_contain_text("claude-haiku")


def test_a_decision_is_tried_and_sent_only_after_a_second_word(watched: Watched) -> None:
    watched.allow(428, "/signals/send")
    page = watched.go("/ai?tab=test")
    page.get_by_role("button", name="Try it: a dry run").click()
    result = page.locator("#decided")
    expect(result).to_contain_text("the desk was told nothing", timeout=20_000)
    result.get_by_text("What it was told").first.click()
    expect(result.locator("details[open] pre").first).to_be_visible()
    page.get_by_role("button", name="Ask and send to the desk…").click()
    assert "llm:claude" in agree(watched, page, "/signals/send")
    expect(result).not_to_contain_text("the desk was told nothing", timeout=20_000)


def test_a_question_opens_beside_the_page_with_all_that_was_said(watched: Watched) -> None:
    page = watched.go("/ai")
    page.locator("#questions a[data-drawer]", has_text="BTC/USDT").first.click()
    drawer = page.locator("#drawer")
    expect(drawer.get_by_role("heading", level=2)).to_contain_text("llm:claude")
    drawer.get_by_text("Raw answer").first.click()
    expect(drawer.locator("pre").first).to_be_visible()


def test_what_is_learnt_is_told_with_its_curve(watched: Watched, demo: House) -> None:
    page = watched.go("/ai?tab=learning")
    first = page.locator("#learnt section.card", has=page.get_by_text("Calibration curve")).first
    for _ in range(60):
        if first.count():
            break
        page.wait_for_timeout(500)  # the page is asked again until something was closed
        page.reload()
    first.get_by_text("Calibration curve").click()
    expect(first.locator(".plot svg").first).to_be_visible(timeout=20_000)


def test_symbols_are_analysed_and_an_idea_is_written_down(watched: Watched) -> None:
    page = watched.go("/analysis")
    page.get_by_role("button", name="Analyse").click()
    expect(page.locator("section.analysis")).to_have_count(2, timeout=30_000)
    expect(page.locator("section.analysis .plot svg").first).to_be_visible(timeout=20_000)
    page = watched.go("/analysis?tab=ideas")
    said = quiet(page)
    page.locator("textarea[name=sentence]").fill(f"Buy strength while it is calm {SCRIPT}")
    page.get_by_role("button", name="Write it down").click()
    expect(page.locator("#idea")).to_contain_text("Protection", timeout=20_000)
    expect(page.get_by_role("button", name="Keep it, switched off")).to_be_visible()
    assert said == []
