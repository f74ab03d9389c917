"""The object store: keys like paths, multipart uploads, and downloads that are jobs."""

from __future__ import annotations

import hashlib
import io
import mimetypes
import zipfile
from dataclasses import dataclass

from aiohttp import web

from simulators.quantconnect.backtests import save
from simulators.quantconnect.transport import Arguments, Refused
from simulators.quantconnect.world import Endpoint, Row, World, zulu

PREVIEW = 1_000
_MAX_JOBS = 200


@dataclass(slots=True)
class _Job:
    keys: list[str]
    polls_left: int


class Objects:
    """Everything under `/object`, and the downloads at `path`. `url` is the server's own, once it is known."""

    path = "/download/objects"

    def __init__(self, world: World) -> None:
        self._world = world
        self._jobs: dict[str, _Job] = {}
        self.url = ""

    def routes(self) -> dict[str, Endpoint]:
        """By path; `/object/set` has its own way."""
        return {
            "/object/get": self._get,
            "/object/properties": self._properties,
            "/object/list": self._list,
            "/object/delete": self._delete,
        }

    def set(self, given: Arguments, content: bytes | None) -> Row:
        """`/object/set`."""
        self._check(given)
        if content is None:
            raise Refused
        if not save(self._world, given.text("key"), content):
            raise Refused("Cannot store the object: the storage quota is exceeded")
        return {}

    def _check(self, given: Arguments) -> None:
        if given.text("organizationId") != self._world.terms.organization:
            raise Refused

    def _get(self, given: Arguments) -> Row:
        self._check(given)
        if given.get("jobId"):
            return self._poll(given.text("jobId"))
        keys = [str(key).strip("/") for key in given.rows("keys")]
        found = [name for name in self._world.objects for key in keys if name == key or name.startswith(f"{key}/")]
        if not found:
            raise Refused("Object not found")
        id_ = self._world.hex()[:16]
        self._jobs[id_] = _Job(found, self._world.terms.object_reads)
        if len(self._jobs) > _MAX_JOBS:
            del self._jobs[next(iter(self._jobs))]
        return {"jobId": id_, "url": None}

    def _poll(self, id_: str) -> Row:
        job = self._jobs.get(id_)
        if job is None:
            raise Refused
        job.polls_left -= 1
        return {"jobId": id_, "url": None if job.polls_left >= 0 else f"{self.url}{self.path}/{id_}.zip"}

    async def download(self, request: web.Request) -> web.Response:
        """The ZIP of a job; whoever has the address may have it."""
        job = self._jobs.get(request.match_info["job"])
        if job is None:
            return web.Response(status=404)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for key in job.keys:
                if key in self._world.objects:
                    packed.writestr(key, self._world.objects[key][0])
        return web.Response(body=archive.getvalue(), content_type="application/zip")

    def _properties(self, given: Arguments) -> Row:
        self._check(given)
        key = given.text("key").strip("/")
        if key not in self._world.objects:
            raise Refused("Object not found")
        content, created, modified = self._world.objects[key]
        return {
            "metadata": {
                "key": key,
                "modified": zulu(modified),
                "created": zulu(created),
                "size": len(content),
                "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
                "mime": _mime(key),
                "preview": content[:PREVIEW].decode(errors="replace"),
            }
        }

    def _list(self, given: Arguments) -> Row:
        self._check(given)
        path = given.text("path", "/").strip("/")
        begin = f"{path}/" if path else ""
        rows: dict[str, Row] = {}
        for key, (content, _, modified) in self._world.objects.items():
            if not key.startswith(begin):
                continue
            name, slash, _ = key[len(begin) :].partition("/")
            size = rows.get(name, {}).get("size", 0) + len(content) if slash else len(content)
            rows[name] = {
                "key": f"/{begin}{name}", "name": name, "modified": zulu(modified),
                "mime": "directory" if slash else _mime(key), "folder": bool(slash), "size": size,
            }  # fmt: skip
        used = sum(len(content) for content, _, _ in self._world.objects.values())
        return {
            "path": path or "/", "objects": list(rows.values()), "page": 1, "totalPages": 1, "objectStorageUsed": used,
            "objectStorageUsedHuman": f"{used} B",
        }  # fmt: skip

    def _delete(self, given: Arguments) -> Row:
        self._check(given)
        key = given.text("key").strip("/")
        found = [name for name in self._world.objects if name == key or name.startswith(f"{key}/")]
        if not found:
            raise Refused("Object not found")
        for name in found:
            del self._world.objects[name]
        return {}


def _mime(key: str) -> str:
    return mimetypes.guess_type(key)[0] or "application/octet-stream"
