"""A real browser before a real control room. Everything is for one module, since the driver's loop must not outlive it.

`visit(page, path)` goes to a page, and every page watches for what must never be: an error on the console, a request to another
host, an answer that is a defect.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, expect, sync_playwright

from tests.web.house import House, house

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
expect.set_options(timeout=20_000)  # two browsers, two bots and their control rooms share two cores


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The machine's Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A demonstration that has begun to trade."""
    with house(tmp_path_factory.mktemp("demo")) as running:
        running.decided(3)
        yield running


@pytest.fixture(scope="module")
def key(chromium: Browser, demo: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a browser that went in by the one-time link."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(demo.fresh_link())
    kept = tmp_path_factory.mktemp("browser") / "state.json"
    context.storage_state(path=kept)
    context.close()
    return kept


class Watched:
    """A page and what was wrong on it. Expected refusals are named by `allow`: a status and a part of the address."""

    def __init__(self, context: BrowserContext, house: House) -> None:
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self._house = house
        self._allowed: list[tuple[int, str]] = []
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.page.on("response", self._response)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))

    def go(self, path: str) -> Page:
        """Go to a page of the control room."""
        self.page.goto(self._house.url + path)
        return self.page

    def allow(self, status: int, part: str) -> None:
        """Expect this answer from an address that contains `part`."""
        self._allowed.append((status, part))

    def _console(self, message: ConsoleMessage) -> None:
        refused = "Failed to load resource" in message.text  # the answer itself is looked at in `_response`
        if message.type in {"error", "warning"} and not refused:
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != urlsplit(self._house.url).netloc:
            self.faults.append(f"foreign host: {request.url}")

    def _response(self, response: Response) -> None:
        expected = any(response.status == status and part in response.url for status, part in self._allowed)
        if response.status >= 400 and not expected:
            self.faults.append(f"{response.status} {response.url}")


@pytest.fixture
def watched(chromium: Browser, demo: House, key: Path) -> Iterator[Watched]:
    """A desktop-sized light page; the test fails at its end if anything was wrong on it."""
    context = chromium.new_context(storage_state=key, viewport={"width": 1366, "height": 900}, color_scheme="light")
    seen = Watched(context, demo)
    yield seen
    context.close()
    assert seen.faults == []
