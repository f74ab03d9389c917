"""Requests as they are written, byte by byte where it matters, and what every refusal has to look like."""

from __future__ import annotations

import asyncio
import http.client
import re
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson

from bot.web.security.middleware import HEADERS
from bot.web.security.principal import Scope
from bot.web.security.store import AccessStore
from tests.web.house import House

HOUR_MS = 3_600_000
_CSRF = re.compile(r'<meta name="csrf" content="([0-9a-f]+)">')


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers in lower case, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


def ask(house: House, method: str, target: str, *, body: bytes = b"", **headers: str) -> Answer:
    """What is answered to exactly this target: nothing about it is tidied up on the way. Who is too fast waits, as told."""
    while True:
        answer = ask_once(house, method, target, body=body, **headers)
        if answer.status != 429 or answer.headers["retry-after"] != "1":
            return answer
        time.sleep(0.1)


def ask_once(house: House, method: str, target: str, *, body: bytes = b"", **headers: str) -> Answer:
    """What is answered, whatever it is."""
    connection = http.client.HTTPConnection(urlsplit(house.url).netloc, timeout=40)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body or method not in {"GET", "HEAD"}:
            given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **given}
        connection.putrequest(method, target, skip_host="host" in given)
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def bearer(value: str) -> str:
    """The header of a token."""
    return f"Bearer {value}"


def refused(answer: Answer, *statuses: int) -> None:
    """It is one of these refusals, as a problem document, with everything that tells a browser what it must not do."""
    assert answer.status in statuses, (answer.status, answer.body[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.document["status"] == answer.status
    assert answer.document["title"]
    missing = {name for name, value in HEADERS.items() if answer.headers.get(name.lower()) != value}
    assert not missing


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is in: its cookie, and what its pages carry."""

    cookie: str
    csrf: str


def session(house: House) -> Session:
    """Go in by a one-time link, as a browser does."""
    with httpx2.Client(base_url=house.url, follow_redirects=True, timeout=40.0) as browser:
        page = browser.get(house.fresh_link())
        found = _CSRF.search(page.text)
        assert found is not None
        return Session("; ".join(f"{name}={value}" for name, value in browser.cookies.items()), found[1])


def another_token(house: House, scope: Scope, *, lasting: int = HOUR_MS, ago: int = 0) -> str:
    """A token for itself, so that its limits are its own; made so long ago (ms)."""

    def then() -> int:
        return time.time_ns() // 1_000_000 - ago

    async def made() -> str:
        store = await AccessStore.open(house.data, then)
        try:
            return (await store.new_token(f"test-{secrets.token_hex(6)}", scope, then() + lasting)).value
        finally:
            await store.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(made())).result(30)
