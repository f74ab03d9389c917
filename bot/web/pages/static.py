"""The few files that a page loads: our style and script, and plotly's own library from the installed package.

Addresses carry a version, so that a browser keeps them for a year and never shows the last release's.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bot.web.problems import not_found

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_YEAR = "public, max-age=31536000, immutable"


@cache
def _places() -> Mapping[str, Traversable]:
    """Every file that is served, by its name; nothing else can be asked for."""
    own = {file.name: file for file in files("bot.web").joinpath("static").iterdir() if file.name.rpartition(".")[2] in _TYPES}
    return {**own, "plotly.min.js": files("plotly").joinpath("package_data", "plotly.min.js")}


@cache
def _content(name: str) -> tuple[bytes, bytes, str]:
    """A file, the same compressed, and its version."""
    content = _places()[name].read_bytes()
    return content, gzip.compress(content, 9, mtime=0), hashlib.sha256(content).hexdigest()[:12]


@cache
def static_url(name: str) -> str:
    """The address of a file, with its version; `KeyError` if there is no such file."""
    if name == "plotly.min.js":
        import plotly  # noqa: PLC0415 - its version is enough; hashing 5 MB is not needed

        return f"/static/{name}?v={plotly.__version__}"
    return f"/static/{name}?v={_content(name)[2]}"


class Assets:
    """Serves them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a file, compressed if the browser takes that."""
        request = Request(scope, receive)
        await self._answer(request)(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        name = str(request.scope["path"]).rpartition("/")[2]
        if request.method not in {"GET", "HEAD"} or name not in _places() or request.scope["path"] != f"/static/{name}":
            return not_found("no file of this name is served").response()
        plain, packed, version = _content(name)
        headers = {"cache-control": _YEAR, "etag": f'"{version}"', "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == f'"{version}"':
            return Response(status_code=304, headers=headers)
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        if zipped:
            headers["content-encoding"] = "gzip"
        return Response(packed if zipped else plain, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])
