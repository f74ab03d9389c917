"""The HTTP client under the SDKs: our headers and no others, answers of a bounded size, no redirects.

The SDKs read their environment for organizations, projects and headers of one's own; a stray variable there must neither send an
account id to somebody nor replace a key. So each request keeps the headers that are known here, and the key is set last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

_KEPT = frozenset(
    {
        "host",
        "content-type",
        "content-length",
        "transfer-encoding",
        "accept",
        "connection",
        "user-agent",
        "anthropic-version",
    }
)
_FAMILY = "x-stainless-"
_UNPACKING = 8  # an answer that comes packed may unpack to many times its size; so it gets this part of the cap


class ReplyTooLarge(Exception):  # noqa: N818 - it names what the reply is
    """More came than an answer may have; the rest was not read."""


def open_client(key: str, largest: int, *, trust_env: bool, tls: bool = True) -> httpx2.AsyncClient:
    """A client that sends `key` and reads at most `largest` bytes of each answer; `trust_env`: proxies of the environment.

    Without `tls` no certificates are loaded, for plain HTTP on this machine; redirects lead nowhere, so it stays there.
    """
    import httpx2  # noqa: PLC0415 - heavy, and of no use to a bot without LLMs

    class Capped(httpx2.AsyncByteStream):
        """A stream that breaks off where it grows too large."""

        def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
            self._stream = stream
            self._room = most

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in self._stream:
                self._room -= len(piece)
                if self._room < 0:
                    raise ReplyTooLarge
                yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def own_headers(request: httpx2.Request) -> None:
        for name in list(request.headers):
            if name.lower() not in _KEPT and not name.lower().startswith(_FAMILY):
                del request.headers[name]
        request.headers["authorization"] = f"Bearer {key}"
        request.headers["accept-encoding"] = "identity"

    async def cap(response: httpx2.Response) -> None:
        packed = response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}
        stream: Any = response.stream
        response.stream = Capped(stream, largest // _UNPACKING if packed else largest)

    return httpx2.AsyncClient(
        verify=tls, trust_env=trust_env, follow_redirects=False, event_hooks={"request": [own_headers], "response": [cap]}
    )
