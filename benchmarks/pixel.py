"""How soon a person sees it: from a decision until its row is on the page of a real browser, and how soon a page is there.

A browser looks at /decisions while a source decides about four symbols now and then, with quotes in between, as in
`--demo`. The clock starts as the desk says that it has seen the decision, and stops as its row enters the document; both read the
machine's clock. The first page is opened by a browser that has nothing cached, over a history of a few minutes. Needs Chromium.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.latency import Alternating
from benchmarks.made import START
from benchmarks.operated import operated
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import Rig, run_loop
from benchmarks.room import control_room
from bot.core.facts import DecisionSeen, Fact
from bot.core.market import Candle, Quote
from bot.web.security.store import AccessStore

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext

_SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "ADA/USDT")
_DECISIONS = 60
_LEAST_DECISIONS = 5
_QUOTE_SECONDS = 0.02
_PAUSES = (0.2, 1.2)
_SETTLING = 2.0
_PATIENCE_MS = 60_000
_PIXEL_MS = 100.0
_PAGE_SECONDS = 1.0
_PAGE_KB = 150.0
_WATCH = """() => {
  window.seen = {};
  const note = () => {
    const now = performance.timeOrigin + performance.now();
    const rows = document.querySelectorAll('[data-drawer^="/ui/decisions/"]');
    for (const { dataset } of rows) window.seen[dataset.drawer.slice(14)] ??= now;
  };
  note();
  new MutationObserver(note).observe(document.body, { childList: true, subtree: true });
}"""
# The script has filled what the page came without, and nothing is under way. Charts come later, with their library.
_USABLE = "() => document.querySelector('[data-src=\"/ui/state\"] *') && !document.querySelector('[data-src][aria-busy]')"
_LOADED = """() => {
  const all = [performance.getEntriesByType('navigation')[0], ...performance.getEntriesByType('resource')];
  const plain = all.filter((one) => !one.name.includes('plotly'));
  return { bytes: plain.reduce((sum, one) => sum + one.encodedBodySize, 0), requests: plain.length, now: performance.now() };
}"""


def event_to_pixel(effort: Effort, peers: Peers) -> list[Result]:
    """Milliseconds from event to row, seconds until the first page can be used, and its size; nothing without a browser."""
    del peers
    executable = chromium()
    if executable is None:
        return []
    count = effort.size(_DECISIONS, _LEAST_DECISIONS)
    runs = [run_loop(_measured(executable, count)) for _ in range(effort.runs)]
    rows = [percentile(run.rows, 0.5) * 1_000 for run in runs]
    detail = {"decisions": len(runs[0].rows), "p90": round(percentile(runs[0].rows, 0.9) * 1_000, 1)}
    requests = {"requests": runs[0].requests}
    return [
        _result("event-to-pixel", rows, "ms", _PIXEL_MS, detail),
        _result("first-page-usable", [run.usable for run in runs], "s", _PAGE_SECONDS, requests),
        _result("first-page-size", [run.kilobytes for run in runs], "kB", _PAGE_KB, requests),
    ]


def chromium() -> str | None:
    """The machine's browser."""
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


def _result(name: str, figures: Sequence[float], unit: str, most: float, detail: Mapping[str, object]) -> Result:
    goals = (Goal(most=most),)
    return Result(name, statistics.median(figures), unit, goals, {}, len(figures), spread_of(figures), detail=detail)


@dataclass(slots=True)
class _Run:
    """Seconds until rows were there; the first page."""

    rows: list[float] = field(default_factory=list)
    usable: float = 0.0
    kilobytes: float = 0.0
    requests: int = 0


@dataclass(slots=True)
class _Seen:
    """When the desk said of a decision that it has seen it, in seconds of the machine's clock."""

    at: dict[str, float] = field(default_factory=dict)

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, DecisionSeen):
            self.at[fact.decision.id] = time.time()


async def _measured(executable: str, count: int) -> _Run:
    seen, run, chance = _Seen(), _Run(), Random(7)
    source = Alternating(_SYMBOLS)
    async with operated(_SYMBOLS, (source,), seen) as rig, control_room(rig.folder) as (_, port):
        await _decide(rig, 3, chance)
        async with _browser(executable) as browser:
            context = await browser.new_context()
            context.set_default_timeout(_PATIENCE_MS)
            await _enter(context, rig, port)
            await _first_page(await context.new_page(), port, run)
            page = await context.new_page()
            await page.goto(f"http://127.0.0.1:{port}/decisions")
            await page.evaluate(_WATCH)
            await asyncio.sleep(_SETTLING)
            before = set(seen.at)
            await _decide(rig, count, chance)
            await page.wait_for_function("count => Object.keys(window.seen).length >= count", arg=count, timeout=_PATIENCE_MS)
            shown = await page.evaluate("() => window.seen")
            run.rows = [shown[name] / 1_000 - at for name, at in seen.at.items() if name not in before and name in shown]
    return run


async def _decide(rig: Rig, count: int, chance: Random) -> None:
    """So many decisions, with pauses of no pattern and quotes in between."""
    loop = asyncio.get_running_loop()
    for number in range(count):
        due = loop.time() + chance.uniform(*_PAUSES)
        while loop.time() < due:
            _quote(rig, chance.choice(_SYMBOLS))
            await asyncio.sleep(_QUOTE_SECONDS)
        now = rig.clock.now()
        name = _SYMBOLS[number % len(_SYMBOLS)]
        rig.shell.on_candle(Candle(name, "1s", now, now - (now - START) % 1_000, 100.0, 101.0, 99.0, 100.0, 1.0))
    await asyncio.sleep(max(_PAUSES))


def _quote(rig: Rig, name: str) -> None:
    now = rig.clock.now()
    rig.shell.on_quote(Quote.of(name, now, 99.99, 100.01))


@asynccontextmanager
async def _browser(executable: str) -> AsyncIterator[Browser]:
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


async def _enter(context: BrowserContext, rig: Rig, port: int) -> None:
    """By a one-time link, on a page that is closed again: what it cached is not counted as the first page's."""
    access = await AccessStore.open(rig.folder, rig.clock.now)
    try:
        key = await access.issue_link()
    finally:
        await access.close()
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{port}/enter?key={key}")
    await page.close()


async def _first_page(page: Any, port: int, run: _Run) -> None:
    """Until everything that the page shows without charts is there and its script listens."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    await page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
    await page.wait_for_function(_USABLE, timeout=_PATIENCE_MS)
    told = await page.evaluate(_LOADED)
    run.usable, run.kilobytes, run.requests = told["now"] / 1_000, told["bytes"] / 1_000, told["requests"]
    await page.close()
