"""The object store: small texts by their preview, everything else by a job that packs a ZIP.

The ZIP lies at a URL that the service gives. It is fetched without credentials and unpacked in memory, within a limit, and no
name in it becomes a path.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from sources.quantconnect.calls import Calls, given
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_account import ObjectJob, ObjectListing, ObjectProperties
from sources.quantconnect.transport import Call, Manner

_POLL_S = 3.0
_POLLS = 100


class Objects:
    """`object/*`, of an organization."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def put(self, organization_id: str, key: str, content: bytes) -> None:
        """Store an object, in place of one of that key."""
        import aiohttp  # noqa: PLC0415 - heavy

        def form() -> aiohttp.FormData:
            fields = aiohttp.FormData()
            fields.add_field("organizationId", organization_id)
            fields.add_field("key", key)
            fields.add_field("objectData", content, filename=key.rpartition("/")[2], content_type="application/octet-stream")
            return fields

        await self._calls.transport.call(Call("object/set", manner=Manner.WRITE, form=form))

    async def list(self, organization_id: str, path: str = "/") -> ObjectListing:
        """What lies in a folder."""
        answer = await self._calls.ask("object/list", {"organizationId": organization_id, "path": path})
        return self._calls.shaped("object/list", ObjectListing, answer)

    async def properties(self, organization_id: str, key: str) -> ObjectProperties:
        """What an object is, with the beginning of its text."""
        answer = await self._calls.ask("object/properties", {"organizationId": organization_id, "key": key})
        return self._calls.under("object/properties", answer, "metadata", ObjectProperties, "there is no object of that key")

    async def delete(self, organization_id: str, key: str) -> None:
        """Delete an object, or a folder with all that lies in it."""
        await self._calls.done("object/delete", {"organizationId": organization_id, "key": key})

    async def text(self, organization_id: str, key: str) -> str:
        """An object's text: from its preview where that is the whole, else by a download."""
        found = await self.properties(organization_id, key)
        if found.whole_preview:
            return found.preview
        content = await self.get(organization_id, [key])
        if key not in content:
            raise QcError(Kind.NOT_FOUND, "object/get", "the object is not in the download")
        return content[key].decode(errors="replace")

    async def get(self, organization_id: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Objects by key; those that are not there are missing. Waits up to five minutes for the download."""
        job = await self._job({"organizationId": organization_id, "keys": list(keys)})
        for _ in range(_POLLS):
            if job.url:
                return await self._unpacked(job.url, keys)
            await self._calls.transport.sleep(_POLL_S)
            job = await self._job({"organizationId": organization_id, **given(jobId=job.job_id)})
        raise QcError(Kind.SERVER, "object/get", f"no download after {_POLL_S * _POLLS:g} s")

    async def _job(self, body: Mapping[str, object]) -> ObjectJob:
        answer = await self._calls.ask("object/get", body)
        return self._calls.shaped("object/get", ObjectJob, {**body, **{key: value for key, value in answer.items() if value}})

    async def _unpacked(self, url: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        packed = await self._calls.transport.fetch(url)
        try:
            found = await asyncio.to_thread(unzipped, packed, self._calls.transport.limits.largest_objects)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, ValueError) as error:
            raise QcError(Kind.UNREADABLE, "object/get", f"the download cannot be unpacked: {error}", transient=False) from error
        wanted = {key.strip("/"): key for key in keys}
        return {wanted.get(name.strip("/"), name): content for name, content in found.items()}


def unzipped(packed: bytes, most: int) -> dict[str, bytes]:
    """The files of a ZIP by name; `ValueError` where they come to more than `most` bytes, whatever its directory says."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            with archive.open(entry) as file:
                found[entry.filename] = file.read(most + 1)
            most -= len(found[entry.filename])
            if most < 0:
                message = "it unpacks to more than the limit"
                raise ValueError(message)
    return found
