"""Open tabs without a browser, in a process of their own: `python -m benchmarks.tab PORT PAGE...`, the token on standard input.

Each does as our script does: it loads its page, listens to its doorbell, and fetches again whatever part a bell names, at most
every 250 ms. It builds reports all the while, one after another, until standard input ends; then it says what it fetched.
"""

from __future__ import annotations

import asyncio
import html
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import orjson

_PART = re.compile(r'data-(src|chart)="([^"]+)"([^>]*)')
_BELLS = re.compile(r'data-bells="([^"]*)"')
_THROTTLE = 0.25
_BETWEEN_REPORTS = 0.5
_EVENT = b"event: "


@dataclass(slots=True)
class _Counts:
    parts: int = 0
    refused: int = 0
    bells: int = 0
    reports: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Part:
    """A part of a page. `wanted` is set while it is out of date."""

    address: str
    bells: frozenset[str]
    wanted: asyncio.Event = field(default_factory=asyncio.Event)


def _parts(page: str) -> Iterator[_Part]:
    for kind, shown, rest in _PART.findall(page):
        bells, address = _BELLS.search(rest), html.unescape(shown)
        if kind == "chart":
            address += ("&" if "?" in address else "?") + "theme=light"
        if bells is not None and bells[1]:
            yield _Part(address, frozenset(bells[1].split()))


async def _fresh(session: aiohttp.ClientSession, part: _Part, counts: _Counts) -> None:
    """Keep one part fresh."""
    while True:
        await part.wanted.wait()
        part.wanted.clear()
        async with session.get(part.address) as answer:
            await answer.read()
            counts.parts += 1
            counts.refused += answer.status != 200
            if answer.status != 200 and len(counts.errors) < 3:
                counts.errors.append(f"{answer.status} {part.address}")
        await asyncio.sleep(_THROTTLE)


async def _tab(session: aiohttp.ClientSession, path: str, counts: _Counts, loaded: asyncio.Semaphore) -> None:
    async with session.get(path) as answer:
        answer.raise_for_status()
        parts = list(_parts(await answer.text()))
    async with asyncio.TaskGroup() as group, session.get("/ui/events") as stream:
        stream.raise_for_status()
        for part in parts:
            group.create_task(_fresh(session, part, counts))
        loaded.release()
        async for line in stream.content:
            if line.startswith(_EVENT):
                bell = line.removeprefix(_EVENT).strip().decode()
                counts.bells += 1
                for part in parts:
                    if bell in part.bells or bell == "resync":
                        part.wanted.set()


async def _reports(session: aiohttp.ClientSession, counts: _Counts) -> None:
    """Have a report built whenever none is."""
    while True:
        async with session.post("/api/v1/reports", json={"run": "latest"}) as answer:
            counts.reports += answer.status == 202
        await asyncio.sleep(_BETWEEN_REPORTS)


async def _main(port: int, key: str, paths: list[str]) -> None:
    counts, loaded = _Counts(), asyncio.Semaphore(0)
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/html"}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers, timeout=timeout) as session:
        tasks = [asyncio.create_task(_tab(session, path, counts, loaded)) for path in paths]
        for _ in paths:
            await loaded.acquire()
        tasks.append(asyncio.create_task(_reports(session, counts)))
        print("open", flush=True)
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        async with session.get("/api/v1/reports") as answer:
            states = [each["state"] for each in await answer.json()]
        assert ended in done
    told = {"parts": counts.parts, "refused": counts.refused, "bells": counts.bells, "errors": counts.errors}
    print(orjson.dumps({**told, "reports": counts.reports, "report_states": states}).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.stdin.readline().strip(), sys.argv[2:]))
