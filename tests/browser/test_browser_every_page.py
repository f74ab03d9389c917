"""Every page and every tab of it, light and dark, wide and narrow: whole, quiet, readable by everybody, and light to load.

With `ARBITER_SCREENSHOTS` set to a folder, what was seen is kept there as pictures for the documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Error, Page, Request, ViewportSize

from bot.web.pages.render import NAVIGATION
from tests.browser.conftest import Watched
from tests.web.house import House

_FIRST_LOAD_BYTES = 150_000
_SERIOUS = frozenset({"serious", "critical"})
_WIDE = ViewportSize(width=1366, height=900)
_NARROW = ViewportSize(width=390, height=844)
_SETTLED = """
() => document.readyState === "complete" && !document.querySelector("[aria-busy=true]")
  && [...document.querySelectorAll("[data-chart]")].every((part) =>
       part.closest("details:not([open])") || part.dataset.drawn || part.querySelector(".panel-error"))
"""
_WIDER = """
() => {
  const root = document.documentElement, wide = root.clientWidth;
  if (root.scrollWidth <= wide) return [];
  const inside = (one) => one.parentElement?.closest(".scroll, .plot, dialog:not([open])");
  return [...document.querySelectorAll("main *, header *, footer *")]
    .filter((one) => one.getBoundingClientRect().right > wide + 1 && !inside(one))
    .slice(0, 5).map((one) => `${one.tagName}.${one.className} ${Math.round(one.getBoundingClientRect().right)}`);
}
"""
_FOCUS = """
() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  return { tag: `${one.tagName}#${one.id}.${one.className}`, name: (one.textContent || one.id).trim().slice(0, 40),
           drawn: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
           seen: box.width > 0 && box.right > 0 && box.bottom > 0 };
}
"""
_STAYS = """
() => new Promise((done) => {
  const part = document.querySelector("#verdicts");
  part.querySelector("a").focus();
  part.addEventListener("swapped", () => done(part.contains(document.activeElement)), { once: true });
  setTimeout(() => done("nothing came"), 45000);
})
"""
Theme = Literal["light", "dark"]
PAGES = [(address, key) for address, _, key in NAVIGATION]
addresses = pytest.mark.parametrize(("address", "name"), PAGES, ids=[key for _, key in PAGES])


@dataclass
class Size:
    """A window in which every page is looked at, and what it fetched."""

    seen: Watched
    fetched: list[Request] = field(default_factory=list)

    @property
    def page(self) -> Page:
        return self.seen.page

    def fetch(self, request: Request) -> None:
        self.fetched.append(request)


def _sized(chromium: Browser, demo: House, key: Path, viewport: ViewportSize, *, touch: bool) -> Iterator[Size]:
    context = chromium.new_context(
        storage_state=key,
        viewport=viewport,
        color_scheme="light",
        reduced_motion="reduce",
        bypass_csp=True,
        has_touch=touch,
        is_mobile=touch,
    )
    size = Size(Watched(context, demo))
    size.page.on("requestfinished", size.fetch)
    yield size
    context.close()


@pytest.fixture(scope="module")
def wide(chromium: Browser, demo: House, key: Path) -> Iterator[Size]:
    """A desk."""
    yield from _sized(chromium, demo, key, _WIDE, touch=False)


@pytest.fixture(scope="module")
def narrow(chromium: Browser, demo: House, key: Path) -> Iterator[Size]:
    """A phone."""
    yield from _sized(chromium, demo, key, _NARROW, touch=True)


def _open(size: Size, address: str) -> Page:
    """The page, once all that it asks for is there."""
    size.seen.faults.clear()
    page = size.seen.go(address)
    page.wait_for_function(_SETTLED, timeout=30_000)
    return page


def _tabs(page: Page, address: str) -> list[str]:
    """The page itself, which is its first tab, and the other tabs that it leads to."""
    others = "main .tabs a[href*='tab=']:not([aria-current])"
    links = page.eval_on_selector_all(others, "links => links.map((one) => one.getAttribute('href'))")
    return [address, *dict.fromkeys(link for link in links if re.fullmatch(r"[^?]*\?tab=[a-z-]+", link))]


def _label(address: str, name: str) -> str:
    return name if "tab=" not in address else f"{name}-{address.rpartition('=')[2]}"


def _kept(page: Page, name: str, theme: Theme) -> None:
    folder = os.environ.get("ARBITER_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}-{theme}.png", full_page=True, animations="disabled")


def _faults(page: Page, theme: Theme) -> list[str]:
    """What axe finds serious, as lines that name the rule, the element and why."""
    found = Axe().run(page).response["violations"]
    return [
        f"{theme}: {each['id']}: {node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for each in found
        if each["impact"] in _SERIOUS
        for node in each["nodes"][:3]
    ]


def _whole(page: Page, badge: str = "SIMULATED") -> None:
    assert page.locator("h1").count() == 1
    assert badge in page.title()
    assert page.locator(".world").inner_text() == badge
    assert page.locator("main").count() == 1


@addresses
def test_a_page_is_whole_quiet_and_readable_by_everybody(wide: Size, address: str, name: str) -> None:
    page = _open(wide, address)
    faults: list[str] = []
    for tab in _tabs(page, address):
        page = _open(wide, tab)
        _whole(page)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.wait_for_function(_SETTLED, timeout=30_000)
            faults += [f"{tab}: {fault}" for fault in _faults(page, theme)]
            _kept(page, _label(tab, name), theme)
        page.emulate_media(color_scheme="light")
        faults += [f"{tab}: {fault}" for fault in wide.seen.faults]
    assert not faults, "\n".join(faults)


@addresses
def test_a_page_fits_a_phone(narrow: Size, address: str, name: str) -> None:
    page = _open(narrow, address)
    faults: list[str] = []
    for tab in _tabs(page, address):
        page = _open(narrow, tab)
        _whole(page)
        wider = page.evaluate(_WIDER)
        faults += [f"{tab}: wider than the screen: {each}" for each in wider]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth") and not wider:
            faults.append(f"{tab}: the document scrolls sideways")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.wait_for_function(_SETTLED, timeout=30_000)
            if tab == address:
                faults += [f"{tab}: {fault}" for fault in _faults(page, theme)]
            _kept(page, f"{_label(tab, name)}-phone", theme)
        page.emulate_media(color_scheme="light")
        faults += [f"{tab}: {fault}" for fault in narrow.seen.faults]
    assert not faults, "\n".join(faults)


@addresses
def test_a_page_is_reached_and_left_by_keyboard(wide: Size, address: str, name: str) -> None:
    del name
    page = _open(wide, address)
    page.keyboard.press("Tab")
    first = page.evaluate(_FOCUS)
    assert first["name"] == "Skip to the content"
    assert first["seen"]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(8):
        page.keyboard.press("Tab")
        stop = page.evaluate(_FOCUS)
        if stop["tag"].startswith("BODY"):
            break  # past the last
        assert stop["drawn"], stop
        assert stop["seen"], stop


def test_who_reads_by_keyboard_stays_in_place_when_a_part_is_read_afresh(wide: Size) -> None:
    assert _open(wide, "/").evaluate(_STAYS) is True


@addresses
def test_a_first_visit_is_light(chromium: Browser, demo: House, key: Path, address: str, name: str) -> None:
    del name
    context = chromium.new_context(storage_state=key, viewport=_WIDE)
    try:
        size = Size(Watched(context, demo))
        size.page.on("requestfinished", size.fetch)
        _open(size, address)
        weights = {request.url: _weight(request) for request in list(size.fetched) if "plotly.min.js" not in request.url}
    finally:
        context.close()
    assert sum(weights.values()) <= _FIRST_LOAD_BYTES, sorted(weights.items(), key=lambda each: -each[1])[:5]


def _weight(request: Request) -> int:
    """Bytes over the wire, headers and all."""
    try:
        sizes = request.sizes()
    except Error:
        return 0
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]
