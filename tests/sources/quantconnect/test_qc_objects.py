"""The object store and exports: downloads that are whole, and those that are not."""

from __future__ import annotations

import asyncio
import io
import zipfile
from typing import Any

import orjson
import pytest

from sources.quantconnect.client_objects import unzipped
from sources.quantconnect.errors import Kind, QcError
from tests.sources.quantconnect.qc_service import Page, Script, client_of, no, serving

ORG = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return packed.getvalue()


async def test_objects_come_as_a_zip_without_credentials() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with serving(download=Page(zipped(signals__latest=b'{"a":1}'))) as service, client_of(service, sleep=sleep) as client:
        jobs: list[Any] = [{"jobId": "77aa", "url": None}, {"jobId": "77aa", "url": ""}, {"url": f"{service.url}/download"}]
        service.answers["object/get"] = jobs
        assert await client.objects.get(ORG, ["/signals/latest"]) == {"/signals/latest": b'{"a":1}'}
        bodies = service.bodies("object/get")
        assert bodies == [{"organizationId": ORG, "keys": ["/signals/latest"]}] + [{"organizationId": ORG, "jobId": "77aa"}] * 2
        assert slept == [3.0, 3.0]
        assert "Authorization" not in service.headers[-1]
        assert "Timestamp" not in service.headers[-1]


async def test_a_small_object_is_read_from_its_preview_and_a_large_one_is_not() -> None:
    small = {"metadata": {"key": "k", "size": 7, "preview": '{"a":1}'}}
    async with serving(object__properties=small) as service, client_of(service) as client:
        assert await client.objects.text(ORG, "k") == '{"a":1}'
        assert len(service.asked) == 1
    large = {"metadata": {"key": "k", "size": 700, "preview": '{"a":1}'}}
    async with serving(object__properties=large, download=Page(zipped(k=b"whole"))) as service, client_of(service) as client:
        service.answers["object/get"] = {"url": f"{service.url}/download"}
        assert await client.objects.text(ORG, "k") == "whole"
        with pytest.raises(QcError, match="not in the download"):
            await client.objects.text(ORG, "other")


@pytest.mark.parametrize("packed", [b"", b"<html></html>", zipped(k=b"x" * 100)[:-30]], ids=["nothing", "a page", "half of one"])
async def test_a_download_that_is_no_zip_is_unreadable(packed: bytes) -> None:
    async with serving(download=Page(packed)) as service, client_of(service) as client:
        service.answers["object/get"] = {"url": f"{service.url}/download"}
        with pytest.raises(QcError, match="cannot be unpacked") as caught:
            await client.objects.get(ORG, ["k"])
        assert caught.value.kind is Kind.UNREADABLE


def test_a_zip_that_unpacks_to_more_than_the_limit_is_left() -> None:
    with pytest.raises(ValueError, match="more than the limit"):
        unzipped(zipped(a=b"0" * 600, b=b"0" * 600), 1_000)
    assert unzipped(zipped(a=b"0" * 600), 600) == {"a": b"0" * 600}


async def test_a_download_that_never_comes_is_given_up() -> None:
    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    async with serving(object__get={"jobId": "1", "url": None}) as service, client_of(service, sleep=sleep) as client:
        with pytest.raises(QcError, match="no download after 300 s"):
            await client.objects.get(ORG, ["k"])


@pytest.mark.parametrize("wrap", [False, True])
async def test_exports_are_files_or_refusals(wrap: bool) -> None:
    rows = [{"project_id": 7, "insight_id": "x", "direction": "down"}]
    content = orjson.dumps({"insights": rows, "success": True} if wrap else rows)
    answers: dict[str, Script] = {"live__export__insights": [Page(content), no("Invalid argument"), Page(b"<html>")]}
    async with (
        serving(**answers, backtests__export__logs=Page("line 1\nline 2 €\n".encode())) as service,
        client_of(service) as client,
    ):
        (insight,) = await client.live.export_insights("L-1")
        assert (insight.id, insight.project_id) == ("x", 7)
        with pytest.raises(QcError, match="Invalid argument"):
            await client.live.export_insights("L-1")
        with pytest.raises(QcError, match="web page"):
            await client.live.export_insights("L-1")
        assert await client.backtests.export_log(7, "b1") == "line 1\nline 2 €\n"
        service.answers["backtests/export/logs"] = Page(b"")
        with pytest.raises(QcError, match="empty page"):
            await client.backtests.export_log(7, "b1")
        service.answers["backtests/export/logs"] = Page(b"", headers={"Content-Disposition": 'attachment; filename="b1.txt"'})
        assert await client.backtests.export_log(7, "b1") == ""
