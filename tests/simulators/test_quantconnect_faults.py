"""Everything that can be made to go wrong with an answer, over the admin plane and by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from simulators.quantconnect.faults import (
    INTERNAL,
    NO_COMPILE,
    NO_DEPLOYMENT,
    NO_SPARE_NODES,
    SLOW_DOWN,
    BadHash,
    Clear,
    ClockSkew,
    Drop,
    NodesBusy,
    Page,
    Quirk,
    RateLimit,
    Refuse,
    Slow,
    Status,
)
from simulators.quantconnect.server import QuantConnectSimulator
from tests.simulators.quantconnect_client import Client


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with QuantConnectSimulator() as running:
        yield running


@pytest.fixture
async def client(simulator: QuantConnectSimulator) -> AsyncIterator[Client]:
    async with Client(simulator) as made:
        yield made


async def raw(client: Client, path: str = "/projects/read") -> tuple[int, str, str]:
    """Status, kind and text of an answer."""
    async with client.http.post(client.simulator.url + path, json={}, headers=client.headers()) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_http_errors_are_empty_a_page_or_an_envelope_and_end_by_themselves(client: Client) -> None:
    simulator = client.simulator
    simulator.inject(Status(500))
    simulator.inject(Status(502, body="html"))
    simulator.inject(Status(429, body="json", retry_after=3))
    simulator.inject(Status(401, path="/auth*"))
    assert (await raw(client))[::2] == (500, "")
    status, kind, text = await raw(client)
    assert (status, kind) == (502, "text/html")
    assert "Bad Gateway" in text
    async with client.http.post(simulator.url + "/projects/read", json={}, headers=client.headers()) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
    assert (await raw(client))[0] == 200
    assert (await raw(client, "/authenticate"))[0] == 401
    assert simulator.counts()["faults"] == {"status": 4}
    assert simulator.counts()["requests"] == {"/projects/read": 4, "/authenticate": 1}


async def test_a_page_with_200_and_an_answer_cut_in_the_middle(client: Client) -> None:
    client.simulator.inject(Page())
    client.simulator.inject(Page(cut=True))
    assert (await raw(client))[:2] == (200, "text/html")
    _, kind, text = await raw(client)
    assert kind == "application/json"
    assert not text.endswith("}")


@pytest.mark.parametrize("text", [NO_SPARE_NODES, SLOW_DOWN, NO_COMPILE, NO_DEPLOYMENT, "Invalid argument", "UserID not valid"])
@pytest.mark.parametrize("under", ["errors", "messages", "Message"])
async def test_every_error_text_can_be_had_under_every_name(client: Client, text: str, under: str) -> None:
    fault = {"fault": "refuse", "text": text, "under": under, "path": "/backtests/create"}
    assert (await client.admin("/faults", **fault))["status"] == 200
    body = await client.post("/backtests/create")
    assert body == {"success": False, under: text if under == "Message" else [text]}
    assert (await client.post("/backtests/create"))["errors"] == ["Invalid argument"]


async def test_the_hash_is_wrong_the_answer_slow_and_the_connection_cut(client: Client) -> None:
    simulator = client.simulator
    simulator.inject(BadHash())
    assert (await client.post("/authenticate"))["errors"][0].startswith("Hash doesn't match")
    simulator.inject(Slow(0.3))
    begun = asyncio.get_running_loop().time()
    await client.good("/authenticate")
    assert asyncio.get_running_loop().time() - begun >= 0.3
    simulator.inject(Drop())
    with pytest.raises(aiohttp.ClientError):
        await client.post("/projects/create", name="lost", language="Py")
    assert (await client.good("/projects/read"))["projects"] == []
    simulator.inject(Drop(after=True))
    with pytest.raises(aiohttp.ClientError):
        await client.post("/projects/create", name="made", language="Py")
    assert [row["name"] for row in (await client.good("/projects/read"))["projects"]] == ["made"]


async def served_ahead(client: Client, path: str = "/projects/read") -> float:
    """How far ahead of ours an answer says that the service's clock is, in seconds."""
    async with client.http.post(client.simulator.url + path, json={}, headers=client.headers()) as answer:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()


async def test_the_date_of_every_answer_is_of_the_service_s_own_clock(client: Client) -> None:
    simulator = client.simulator
    for skew in (0, 8_000, -600):
        simulator.inject(ClockSkew(skew))
        simulator.inject(Status(500, path="/authenticate"))
        for path in ("/projects/read", "/authenticate", "/nowhere"):
            assert await served_ahead(client, path) == pytest.approx(skew, abs=5)


async def test_a_clock_that_is_wrong_and_a_limit_that_is_low(client: Client) -> None:
    simulator = client.simulator
    simulator.inject(ClockSkew(8_000))
    assert (await raw(client))[0] == 401
    simulator.inject(ClockSkew(-600))
    assert (await raw(client))[0] == 401
    simulator.inject(ClockSkew(0))
    simulator.inject(RateLimit(1))
    assert [(await raw(client))[0] for _ in range(2)] == [200, 429]
    simulator.inject(Clear())
    assert (await raw(client))[0] == 200


async def test_the_admin_plane_lists_clears_and_refuses_what_is_no_fault(client: Client) -> None:
    simulator = client.simulator
    assert (await client.admin("/faults", fault="refuse", text=INTERNAL, under="Message", count=3))["status"] == 200
    assert (await client.admin("/faults", fault="quirk", name="capitals", probability=0.5))["status"] == 200
    async with client.http.get(f"{simulator.root}/admin/faults") as answer:
        body = await answer.json()
    assert "Internal Error 21" in body["active"][0]
    assert body["quirks"]["capitals"] == 0.5
    for wrong in ({"fault": "none"}, {"fault": "status", "code": 200}, {"fault": "deleted"}, {"fault": "slow", "seconds": 1e9}):
        found = await client.admin("/faults", **wrong)
        assert found["status"] == 400
        assert found["error"]
    async with client.http.delete(f"{simulator.root}/admin/faults") as answer:
        assert answer.status == 200
    assert (await client.good("/authenticate")) == {"success": True}
    async with client.http.get(f"{simulator.root}/admin/state") as answer:
        state = await answer.json()
    assert "token" not in state["terms"]
    assert state["projects"] == []
    async with client.http.get(f"{simulator.root}/admin/counts") as answer:
        assert (await answer.json())["requests"]["/authenticate"] == 1


async def test_busy_nodes_and_quirks_are_switched_by_hand(client: Client) -> None:
    simulator = client.simulator
    simulator.inject(NodesBusy())
    project = await client.project()
    compile_id = await client.built(project)
    body = {"projectId": project, "compileId": compile_id, "backtestName": "x"}
    assert await client.refused("/backtests/create", **body) == NO_SPARE_NODES
    simulator.inject(Quirk("numbered_maps"))
    await client.good("/projects/update", projectId=project, parameters=[{"key": "a", "value": "1"}])
    row = (await client.good("/projects/read", projectId=project))["projects"][0]
    assert row["parameters"]["0"]["key"] == "a"
    simulator.inject(Refuse("stuck", count=2))
    simulator.inject(Clear())
    row = (await client.good("/projects/read", projectId=project))["projects"][0]
    assert isinstance(row["parameters"], list)
