"""One request for a feed: https to hosts of the list only, a few redirects, a megabyte, some seconds, and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

from sources.news.settings import NewsSettingsError, check_url

if TYPE_CHECKING:
    import aiohttp

LARGEST = 1 << 20  # bytes of an answer, unpacked
_REDIRECTS = 3
_MOVED = frozenset({301, 302, 303, 307, 308})
_VALIDATOR = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,199}")
_ACCEPT = "application/rss+xml, application/atom+xml, application/json;q=0.9, application/xml;q=0.8, */*;q=0.1"


class FetchError(Exception):
    """Nothing came that could be read. `retry_after_s` is how long the server wants to be left alone."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer; `body` None where nothing has changed. The validators go into the next request."""

    body: bytes | None
    etag: str = ""
    modified: str = ""


class Fetcher:
    """An aiohttp session between `async with` and its end. It sends no cookies and no credentials."""

    def __init__(self, allowed: frozenset[str], *, deadline_s: float = 15.0, largest: int = LARGEST) -> None:
        self._allowed = allowed
        self._deadline_s = deadline_s
        self._largest = largest
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp  # noqa: PLC0415 - heavy

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=8),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "arbiter", "Accept": _ACCEPT},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def fetch(self, url: str, etag: str = "", modified: str = "") -> Fetched:
        """What is there now, or `FetchError`; within the deadline, redirects included."""
        import aiohttp  # noqa: PLC0415 - heavy

        asked = {"If-None-Match": etag, "If-Modified-Since": modified}
        headers = {name: value for name, value in asked.items() if value}
        try:
            async with asyncio.timeout(self._deadline_s):
                for _ in range(_REDIRECTS + 1):
                    answer = await self._once(url, headers)
                    if isinstance(answer, Fetched):
                        return answer
                    url = answer
        except TimeoutError as error:
            reason = f"no whole answer within {self._deadline_s:g} s"
            raise FetchError(reason) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(type(error).__name__) from error  # its text may quote the server
        reason = f"more than {_REDIRECTS} redirects"
        raise FetchError(reason)

    async def _once(self, url: str, headers: Mapping[str, str]) -> Fetched | str:
        """An answer, or where it is to be had instead."""
        self._check(url)
        if self._session is None:
            message = "the fetcher is not open: use it within async with"
            raise RuntimeError(message)
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            if response.status in _MOVED:
                return urljoin(url, response.headers.get("Location", ""))
            if response.status == 304:
                return Fetched(None, headers.get("If-None-Match", ""), headers.get("If-Modified-Since", ""))
            if response.status != 200:
                reason = f"status {response.status}"
                raise FetchError(reason, _seconds(response.headers.get("Retry-After", "")))
            body = await self._read(response)
            return Fetched(body, _validator(response.headers.get("ETag")), _validator(response.headers.get("Last-Modified")))

    def _check(self, url: str) -> None:
        try:
            check_url(url)
        except NewsSettingsError as error:
            reason = "it redirects to where nothing is fetched from"
            raise FetchError(reason) from error
        host = (urlsplit(url).hostname or "").lower()
        if host not in self._allowed:
            reason = "it redirects to a host that is not on the list; add it to hosts if it belongs to the feed"
            raise FetchError(reason)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > self._largest:
                response.close()
                reason = f"longer than {self._largest} bytes"
                raise FetchError(reason)
            chunks.append(chunk)
        return b"".join(chunks)


def _validator(value: str | None) -> str:
    """A validator as it may be sent back: short and plain, or none."""
    return value if value is not None and _VALIDATOR.fullmatch(value) else ""


def _seconds(value: str) -> float | None:
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None
