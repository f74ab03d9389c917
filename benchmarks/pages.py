"""How quickly pages and lists answer over a long history: 100,000 decisions in SQLite, asked for one after another.

The control room is a process of its own without a bot; a request runs from before it is sent until its last byte is here, over
one kept-alive connection. Lists, with filters too, are read on their first page, in the middle and at the far end.
"""

from __future__ import annotations

import http.client
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import orjson

from benchmarks.history import fill
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import run_loop
from benchmarks.room import control_room, token
from bot.journal.upgrade import upgrade
from bot.web.pages.ai import TABS as AI_TABS
from bot.web.pages.journal import NAMES as JOURNAL_TABS
from bot.web.pages.quantconnect import TABS as QUANTCONNECT_TABS
from bot.web.security.principal import Scope

_DECISIONS = 100_000
_REQUESTS = 60
_LEAST_REQUESTS = 10
PAGES = (
    "/", "/markets", "/decisions", "/decisions?source=llm:claude&symbol=ETH/USDT", "/sources", "/risk", "/chat", "/analysis",
    "/analysis?tab=ideas", "/monitoring", "/settings", "/settings?section=llm", "/docs",
    *(f"/journal?tab={tab}" for tab in JOURNAL_TABS),
    *(f"/ai?tab={tab}" for tab in AI_TABS),
    *(f"/quantconnect?tab={tab}" for tab in QUANTCONNECT_TABS),
)  # fmt: skip
"""Every page, and every part of one that has an address of its own."""

_LISTS = (
    "/decisions?limit=100", "/decisions?source=rules:rsi&fate=denied&limit=100", "/decisions?symbol=SOL/USDT&limit=100",
    "/decisions?fate=expired&limit=100", "/orders?limit=100", "/fills?limit=100", "/verdicts?limit=100", "/lots?limit=100",
    "/overrides?limit=100",
)  # fmt: skip
_PAGE_MS = {50: 15.0, 99: 60.0}
_LIST_MS = 30.0


def pages(effort: Effort, peers: Peers) -> list[Result]:
    """Milliseconds to a page, and to a list at any depth."""
    del peers
    requests = effort.size(_REQUESTS, _LEAST_REQUESTS)
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "arbiter.db"
        url = f"sqlite:///{history}"
        upgrade(url)
        fill(url, min(_DECISIONS, effort.size(5 * _DECISIONS)))  # whole with --quick, and less only in tests
        runs = [run_loop(_measured(history, requests)) for _ in range(effort.runs)]
    found = []
    for share, most in _PAGE_MS.items():
        worst = [_worst(run[0], share) for run in runs]
        found.append(_result(f"page-p{share}", worst, most, runs[0][0], share))
    found.append(_result("list-p99", [_worst(run[1], 99) for run in runs], _LIST_MS, runs[0][1], 99))
    return found


def _result(name: str, figures: Sequence[float], most: float, one: Mapping[str, Sequence[float]], share: int) -> Result:
    detail = {path: round(percentile(times, share / 100) * 1_000, 1) for path, times in one.items()}
    goals = (Goal(most=most),)
    return Result(name, statistics.median(figures), "ms", goals, {}, len(figures), spread_of(figures), detail=detail)


def _worst(times: Mapping[str, Sequence[float]], share: int) -> float:
    """That of the slowest address, in milliseconds."""
    return max(percentile(each, share / 100) for each in times.values()) * 1_000


async def _measured(history: Path, requests: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        shutil.copy(history, data_dir)
        async with control_room(data_dir) as (_, port):
            key = await token(data_dir, Scope.ADMIN)
            asked = _Asker(port, key)
            try:
                return {path: asked.times(path, requests) for path in PAGES}, _depths(asked, requests)
            finally:
                asked.close()


def _depths(asked: _Asker, requests: int) -> dict[str, list[float]]:
    """Every list on its first page, and on pages as far down as there are any."""
    found = {}
    for path in _LISTS:
        address = f"/api/v1{path}"
        found[f"{path} first"] = asked.times(address, requests)
        deep = asked.cursor(address, 40)
        if deep:
            found[f"{path} deep"] = asked.times(f"{address}&after={deep}", requests)
    return found


class _Asker:
    """One connection and a token."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "text/html,application/json", "Accept-Encoding": "gzip"}

    def times(self, path: str, requests: int) -> list[float]:
        """Seconds of each request after the first, which fills caches that stay."""
        self.body(path)
        found = []
        for _ in range(requests):
            began = perf_counter()
            self.body(path)
            found.append(perf_counter() - began)
        return found

    def body(self, path: str) -> bytes:
        """What is answered; anything but 200 ends the measurement."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            message = f"{path} answered {answer.status}: {body[:200]!r}"
            raise RuntimeError(message)
        return body

    def cursor(self, path: str, pages: int) -> str:
        """The cursor so many pages down, or of the last page that has one."""
        after = ""
        for _ in range(pages):
            told = orjson.loads(self.body(f"{path}&limit=500{f'&after={after}' if after else ''}".replace("limit=100&", "")))
            if not told["next"]:
                break
            after = told["next"]
        return after

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
