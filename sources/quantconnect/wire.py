"""One attempt at a request: bytes out, bytes in; a failure of the network is a `QcError` that says whether anything was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import orjson

from sources.quantconnect.envelope import Reply
from sources.quantconnect.errors import Kind, QcError, cleaned
from sources.quantconnect.limits import Limits

BASE_URL = "https://www.quantconnect.com/api/v2"

if TYPE_CHECKING:
    import aiohttp

_AGENT = "arbiter"
_KEEPALIVE_S = 15.0
_JSON = {"Content-Type": "application/json"}

Form = Callable[[], "aiohttp.FormData"]
"""Makes a multipart body: aiohttp's can be sent once only, so that every attempt needs another."""


class Wire:
    """One aiohttp session between `async with` and its end. POST only, which aiohttp never repeats by itself."""

    def __init__(self, base_url: str, limits: Limits) -> None:
        self._base = checked_url(base_url)
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp  # noqa: PLC0415 - heavy

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _AGENT},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, endpoint: str, headers: Mapping[str, str], body: Mapping[str, Any], form: Form | None = None) -> Reply:
        """Ask an endpoint. A redirect is not followed: the interface has none, and a signed request belongs to one host."""
        if form is not None:
            return await self._ask("POST", endpoint, f"{self._base}/{endpoint}", form(), headers)
        return await self._ask("POST", endpoint, f"{self._base}/{endpoint}", orjson.dumps(body), {**headers, **_JSON})

    async def get(self, url: str) -> Reply:
        """Fetch a URL that the service gave, without credentials: it may be anybody's host."""
        return await self._ask("GET", "download", checked_url(url), None, {}, follow=True)

    async def _ask(
        self, method: str, endpoint: str, url: str, data: Any, headers: Mapping[str, str], *, follow: bool = False
    ) -> Reply:
        if self._session is None:
            message = "the client is not open: use it within async with"
            raise RuntimeError(message)
        import aiohttp  # noqa: PLC0415 - heavy

        cause: Exception
        sent = True
        try:
            async with self._session.request(method, url, data=data, headers=headers, allow_redirects=follow) as response:
                return Reply(response.status, response.headers, await self._read(endpoint, response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            sent, cause = False, error
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            cause = error
        reason = f"{type(cause).__name__}: {cleaned(str(cause))}" if str(cause) else type(cause).__name__
        raise QcError(Kind.TRANSPORT, endpoint, reason, may_have_happened=sent) from cause

    async def _read(self, endpoint: str, response: aiohttp.ClientResponse) -> bytes:
        """The whole body; one beyond the limit is left where it is."""
        most, chunks, size = self._limits.largest_answer, [], 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > most:
                response.close()
                reason = f"the answer is longer than {most} bytes"
                raise QcError(Kind.UNREADABLE, endpoint, reason, status=response.status, may_have_happened=True, transient=False)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def checked_url(url: str) -> str:
    """A URL to send to, without a slash at its end; `ValueError` for others, and for a token's way in the clear."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        message = f"not a URL of http or https with a host: {cleaned(url)!r}"
        raise ValueError(message)
    if parts.scheme == "http" and "." in parts.hostname and not parts.hostname.startswith("127."):  # a name without a dot is near
        message = f"{cleaned(url)!r} goes through the network unencrypted: use https"
        raise ValueError(message)
    return url.strip().rstrip("/")
