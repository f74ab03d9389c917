"""Who may ask and how: credentials, the four ways of giving arguments, the envelope, limits, files and the object store."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from simulators.quantconnect.auth import Mismatch, Unauthorized, check, hash_of
from simulators.quantconnect.quirks import Quirks
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from tests.simulators.quantconnect_client import Client, signed


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with QuantConnectSimulator(Terms(user="123", token="secret", compile_reads=2)) as running:
        yield running


@pytest.fixture
async def client(simulator: QuantConnectSimulator) -> AsyncIterator[Client]:
    async with Client(simulator) as made:
        yield made


def test_the_hash_is_that_of_the_reference() -> None:
    assert hash_of("deadbeef", "1700000000") == "0b89e1310492832dfe465f91c5794b31bd794aa58c224155eb30a161c9ac9ba8"
    pair = signed("123456", "deadbeef", 1_700_000_000)
    wanted = "Basic MTIzNDU2OjBiODllMTMxMDQ5MjgzMmRmZTQ2NWY5MWM1Nzk0YjMxYmQ3OTRhYTU4YzIyNDE1NWViMzBhMTYxYzlhYzliYTg="
    assert pair == {"Authorization": wanted, "Timestamp": "1700000000"}
    check(pair, {}, Terms(user="123456", token="deadbeef"), 1_700_000_000.0)


@pytest.mark.parametrize(("age", "good"), [(0, True), (7_200, True), (7_201, False), (-300, True), (-301, False)])
def test_a_header_pair_lives_two_hours_and_may_be_five_minutes_early(age: int, good: bool) -> None:
    terms, now = Terms(), 1_700_010_000
    pair = signed(terms.user, terms.token, now - age)
    if good:
        check(pair, {}, terms, now)
    else:
        with pytest.raises(Unauthorized):
            check(pair, {}, terms, now)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, Unauthorized),
        ({"Authorization": "Basic ????", "Timestamp": "1700000000"}, Unauthorized),
        ({"Authorization": "Bearer abc", "Timestamp": "1700000000"}, Unauthorized),
        (signed("123456", "secret", 1_700_000_000) | {"Timestamp": "soon"}, Unauthorized),
        (signed("123456", "secret", 1_700_000_000) | {"Timestamp": "1700000001"}, Mismatch),
        (signed("123456", "wrong", 1_700_000_000), Mismatch),
        (signed("999", "secret", 1_700_000_000), Mismatch),
    ],
)
def test_credentials_that_are_not_right_are_not_taken(headers: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        check(headers, {}, Terms(), 1_700_000_000.0)


async def test_wrong_credentials_are_answered_with_200_and_missing_ones_with_401(simulator: QuantConnectSimulator) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(simulator.url + "/authenticate", json={}, headers=signed("123", "wrong")) as answer:
            assert answer.status == 200
            body = await answer.json()
            assert body["success"] is False
            assert body["errors"][0].startswith("Hash doesn't match.")
        async with http.post(simulator.url + "/authenticate", json={}, headers=signed("7", "secret")) as answer:
            assert (await answer.json())["errors"][0].startswith("UserID not valid")
        for headers in ({}, signed("123", "secret", time.time() - 8_000)):
            async with http.post(simulator.url + "/authenticate", json={}, headers=headers) as answer:
                assert (answer.status, "www_authenticate" in answer.headers) == (401, True)
        async with http.get(simulator.url + "/authenticate", headers=signed("123", "secret")) as answer:
            assert await answer.json() == {"success": True}
        pair = signed("123", "secret")
        link = {"authorization": pair["Authorization"].removeprefix("Basic "), "timestamp": pair["Timestamp"]}
        async with http.get(simulator.url + "/authenticate", params=link) as answer:
            assert await answer.json() == {"success": True}
        async with http.post(simulator.url + "//authenticate", headers=pair) as answer:
            assert await answer.json() == {"success": True}


async def test_an_unknown_path_is_404_and_the_spellings_of_old_are_unknown(client: Client) -> None:
    for path in ("/nothing", "/live/read/orders", "/live/read/log"):
        async with client.http.post(client.simulator.url + path, json={}, headers=client.headers()) as answer:
            assert answer.status == 404


async def test_arguments_come_by_query_json_and_form(client: Client) -> None:
    project = await client.project("x = 1\n")
    url = client.simulator.url
    async with client.http.get(f"{url}/files/read", params={"projectId": str(project)}, headers=client.headers()) as answer:
        files = (await answer.json())["files"]
    assert [file["name"] for file in files] == ["main.py", "research.ipynb"]
    form = {
        "projectId": str(project),
        "description": "d",
        "parameters[0][key]": "fast",
        "parameters[0][value]": "5",
        "parameters[1][key]": "slow",
        "parameters[1][value]": "20",
        "files[0][name]": "main.py",
        "files[0][content]": "y = [0]\n",
        "libraries[0]": "1",
    }
    async with client.http.post(f"{url}/projects/update", data=form, headers=client.headers()) as answer:
        assert await answer.json() == {"success": True}
    (row,) = (await client.good("/projects/read", projectId=str(project)))["projects"]
    assert [(one["key"], one["value"]) for one in row["parameters"]] == [("fast", "5"), ("slow", "20")]
    assert row["description"] == "d"
    read = await client.good("/files/read", projectId=project, name="main.py")
    assert read["files"][0]["content"] == "y = [0]\n"
    await client.good("/projects/update", projectId=project, parameters=[{"key": "a", "value": 1}])
    async with client.http.post(
        f"{url}/projects/update", data={"projectId": str(project), "parameters": ""}, headers=client.headers()
    ):
        pass
    assert (await client.good("/projects/read", projectId=project))["projects"][0]["parameters"] == []


@pytest.mark.parametrize("body", [b"{bad", b"[1]", b"3"])
async def test_a_body_that_is_no_object_is_an_invalid_argument(client: Client, body: bytes) -> None:
    headers = client.headers() | {"Content-Type": "application/json"}
    async with client.http.post(client.simulator.url + "/projects/read", data=body, headers=headers) as answer:
        assert (answer.status, await answer.json()) == (200, {"success": False, "errors": ["Invalid argument"]})


async def test_projects_are_made_renamed_listed_by_page_and_deleted(client: Client) -> None:
    first = await client.good("/projects/create", name="a/b", language="Py")
    second = await client.good("/projects/create", name="a/b", language="C#")
    assert [made["projects"][0]["name"] for made in (first, second)] == ["a/b", "a/b 1"]
    ids = [made["projects"][0]["projectId"] for made in (first, second)]
    sharp = await client.good("/files/read", projectId=ids[1])
    assert [file["name"] for file in sharp["files"]] == ["Main.cs", "Research.ipynb"]
    page = await client.good("/projects/read", start=1, end=2)
    assert [row["projectId"] for row in page["projects"]] == [ids[1]]
    assert len((await client.good("/projects/read"))["projects"]) == 2
    await client.good("/projects/delete", projectId=ids[0])
    assert await client.refused("/projects/read", projectId=ids[0]) == "Invalid argument"
    assert await client.refused("/projects/read", projectId=-1) == "Invalid argument"
    assert await client.refused("/projects/create", name="x", language="Basic") == "Invalid argument"
    assert await client.refused("/projects/create", name="x", language="Py", organizationId="f" * 32) == "Invalid argument"


async def test_files_are_created_once_updated_when_there_renamed_patched_and_deleted(client: Client) -> None:
    project = await client.project("a = 1\nb = 2\n")
    await client.refused("/files/create", projectId=project, name="main.py", content="")
    await client.refused("/files/update", projectId=project, name="none.py", content="")
    await client.good("/files/create", projectId=project, name="alphas/one.py", content="c = 3\n")
    await client.good("/files/update", projectId=project, name="alphas/one.py", newName="two.py")
    patch = "diff --git a/main.py b/main.py\n--- a/main.py\n+++ b/main.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 5\n"
    await client.good("/files/patch", projectId=project, patch=patch)
    assert (await client.good("/files/read", projectId=project, name="main.py"))["files"][0]["content"] == "a = 1\nb = 5\n"
    await client.refused("/files/patch", projectId=project, patch=patch)
    await client.good("/files/delete", projectId=project, name="two.py")
    await client.refused("/files/delete", projectId=project, name="two.py")
    await client.good("/files/update", projectId=project, name="main.py", content="#" * 32_000)
    words = await client.refused("/files/update", projectId=project, name="main.py", content="#" * 32_001)
    assert words == "File exceeds the maximum size of 32,000 characters."


async def test_a_compile_is_queued_first_and_tells_the_line_of_an_error(client: Client) -> None:
    project = await client.project("from AlgorithmImports import *\nx = self.get_parameter('a', 1)\n")
    made = await client.good("/compile/create", projectId=project)
    assert made["state"] == "InQueue"
    assert made["parameters"] == [{"file": "main.py", "parameters": [{"line": 2, "type": "1 LEAN API parameters detected"}]}]
    assert made["signature"] == made["compileId"].partition("-")[2]
    read = [await client.good("/compile/read", projectId=project, compileId=made["compileId"]) for _ in range(2)]
    assert [one["state"] for one in read] == ["InQueue", "BuildSuccess"]
    assert read[0]["logs"] == []
    assert read[1]["logs"][0].startswith("Build Request Successful for Project ID")
    await client.good("/files/update", projectId=project, name="main.py", content="a = 1\nb = (\n")
    broken = await client.good("/compile/create", projectId=project)
    for _ in range(2):
        found = await client.good("/compile/read", projectId=project, compileId=broken["compileId"])
    assert found["state"] == "BuildError"
    assert found["logs"] == ["main.py: '(' was never closed on line 2"]
    assert await client.refused("/compile/read", projectId=project, compileId="none") == "Compile id not found"
    again = await client.good("/compile/read", projectId=project, compileId=made["compileId"])
    assert again["state"] == "BuildSuccess"  # an old compile stays good


async def test_objects_go_in_by_multipart_and_come_out_as_a_zip(client: Client) -> None:
    organization, url = client.simulator.organization, client.simulator.url
    form = aiohttp.FormData()
    form.add_field("organizationId", organization)
    form.add_field("key", "signals/latest.json")
    form.add_field("objectData", b'{"a": 1}', filename="x", content_type="application/octet-stream")
    async with client.http.post(f"{url}/object/set", data=form, headers=client.headers()) as answer:
        assert await answer.json() == {"success": True}
    top = await client.good("/object/list", organizationId=organization)
    assert [(row["key"], row["folder"], row["mime"]) for row in top["objects"]] == [("/signals", True, "directory")]
    inner = await client.good("/object/list", organizationId=organization, path="/signals")
    assert [(row["name"], row["size"]) for row in inner["objects"]] == [("latest.json", 8)]
    found = await client.good("/object/properties", organizationId=organization, key="signals/latest.json")
    assert (found["metadata"]["preview"], found["metadata"]["mime"]) == ('{"a": 1}', "application/json")
    job = await client.good("/object/get", organizationId=organization, keys=["signals/latest.json"])
    assert job["url"] is None
    polls = [await client.good("/object/get", organizationId=organization, jobId=job["jobId"]) for _ in range(2)]
    assert polls[0]["url"] is None
    async with client.http.get(polls[1]["url"]) as answer:  # without credentials
        archive = zipfile.ZipFile(io.BytesIO(await answer.read()))
    assert archive.namelist() == ["signals/latest.json"]
    assert archive.read("signals/latest.json") == b'{"a": 1}'
    await client.good("/object/delete", organizationId=organization, key="signals")
    await client.refused("/object/properties", organizationId=organization, key="signals/latest.json")
    await client.refused("/object/list", organizationId="other")


async def test_the_account_and_its_surroundings(client: Client) -> None:
    project = await client.project("x = 1\n")
    organization = client.simulator.organization
    assert (await client.good("/account/read"))["organizationId"] == organization
    assert (await client.good("/account/read", organizationId=organization))["card"] is None
    await client.refused("/account/read", organizationId="none")
    assert (await client.good("/organizations/list"))["organizations"][0]["id"] == organization
    assert (await client.good("/lean/versions/read"))["versions"][0]["name"] == "master"
    assert (await client.good("/lean/environments/read"))["environments"]
    nodes = await client.good("/projects/nodes/read", projectId=project)
    assert [one["sku"] for one in nodes["nodes"]["backtest"]] == ["B-MICRO"]
    assert nodes["autoSelectNode"] is True
    chosen = await client.good("/projects/nodes/update", projectId=project, nodes=["BN-01"])
    assert chosen["autoSelectNode"] is False
    await client.refused("/projects/nodes/update", projectId=project, nodes=["XX"])
    assert set(await client.good("/nodes/read", organizationId=organization)) == {"backtest", "research", "live", "success"}


async def test_too_large_a_body_is_413() -> None:
    async with QuantConnectSimulator(Terms(max_body=1_000)) as simulator, Client(simulator) as client:
        large = {"x": "y" * 2_000}
        async with client.http.post(simulator.url + "/projects/read", json=large, headers=client.headers()) as answer:
            status = answer.status
    assert status == 413


async def test_above_the_limit_a_request_is_asked_to_wait() -> None:
    now = 1_700_000_000.0
    async with QuantConnectSimulator(Terms(requests_per_minute=2), clock=lambda: now) as simulator, Client(simulator) as client:
        pair = signed(simulator.user, simulator.token, now)
        seen: list[web.Response | aiohttp.ClientResponse] = []
        for _ in range(3):
            async with client.http.post(simulator.url + "/authenticate", json={}, headers=pair) as answer:
                seen.append(answer)
        assert [answer.status for answer in seen] == [200, 200, 429]
        assert seen[2].headers["Retry-After"] == "60"
        now += 61
        async with client.http.post(simulator.url + "/authenticate", json={}, headers=pair) as answer:
            assert answer.status == 200


BODY: dict[str, Any] = {
    "success": True,
    "backtest": {
        "statistics": {},
        "parameterSet": {},
        "charts": {"a": {"name": "a"}},
        "runtimeStatistics": {"Equity": "$1"},
        "created": "2026-03-02 10:15:00",
        "totalPerformance": {"portfolioStatistics": {"drawdown": 0.0981234}, "tradeStatistics": {"totalNumberOfTrades": 3}},
    },
    "insights": [{"confidence": 0.7, "generatedTime": 5, "symbol": "BTCUSDT 18N"}],
    "orders": [{"symbol": {"value": "BTCUSDT", "id": "BTCUSDT 18N", "permtick": "BTCUSDT"}}],
    "projects": [{"parameters": [{"key": "a"}, {"key": "b"}]}],
}


def test_without_quirks_an_answer_is_as_it_is() -> None:
    assert Quirks(probability={}).apply(BODY) == BODY


def test_each_habit_of_php_is_a_switch() -> None:
    assert Quirks(probability={"empty_lists": 1}).apply(BODY)["backtest"]["statistics"] == []
    figures = Quirks(probability={"text_numbers": 1}).apply(BODY)["backtest"]["totalPerformance"]
    assert figures == {"portfolioStatistics": {"drawdown": "0.0981"}, "tradeStatistics": {"totalNumberOfTrades": 3}}
    insight = Quirks(probability={"text_insights": 1}).apply(BODY)["insights"][0]
    assert insight == {"confidence": "0.7", "generatedTime": 5, "symbol": "BTCUSDT 18N"}
    capital = Quirks(probability={"capitals": 1}).apply(BODY)
    assert capital["backtest"]["RuntimeStatistics"] == {"Equity": "$1"}
    assert capital["orders"][0]["symbol"] == {"Value": "BTCUSDT", "ID": "BTCUSDT 18N", "Permtick": "BTCUSDT"}
    assert Quirks(probability={"nulls": 1}).apply(BODY)["liveResults"] is None
    numbered = Quirks(probability={"numbered_maps": 1}).apply(BODY)
    assert numbered["projects"][0]["parameters"] == {"0": {"key": "a"}, "1": {"key": "b"}}
    assert Quirks(probability={"other_dates": 1}).apply(BODY)["backtest"]["created"] == "2026-03-02T10:15:00Z"
    with pytest.raises(ValueError, match="there are the quirks"):
        Quirks(probability={"none": 1})


def test_habits_are_mixed_by_the_seed() -> None:
    half = dict.fromkeys(("empty_lists", "capitals", "other_dates", "text_insights"), 0.5)
    answers = [[Quirks(seed, dict(half)).apply(BODY) for _ in range(3)] for seed in (1, 1, 2)]
    assert answers[0] == answers[1]
    mixed = Quirks(1, dict(half))
    many = [mixed.apply(BODY)["backtest"]["statistics"] for _ in range(40)]
    assert {} in many
    assert [] in many


async def test_libraries_and_collaborators(client: Client) -> None:
    library = await client.project("VALUE = 1\n", "library")
    project = await client.project("x = 1\n", "user")
    await client.good("/projects/library/create", projectId=project, libraryId=library)
    row = (await client.good("/projects/read", projectId=project))["projects"][0]
    assert [one["libraryName"] for one in row["libraries"]] == ["library"]
    await client.refused("/projects/library/create", projectId=project, libraryId=1)
    await client.good("/projects/library/delete", projectId=project, libraryId=library)
    await client.refused("/projects/library/delete", projectId=project, libraryId=library)
    assert (await client.good("/projects/collaboration/read", projectId=project))["collaborators"][0]["owner"] is True
    await client.good("/projects/collaboration/lock/acquire", projectId=project, codeSourceId="bot")
