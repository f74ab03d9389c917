"""Who may ask, what is remembered, and how the simulator is steered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from simulators.llm.faults import Mode
from simulators.llm.gate import Terms
from simulators.llm.records import Records
from simulators.llm.server import LlmSimulator
from simulators.llm.tokens import PrefixCache, cut, estimate
from tests.simulators.llm_clients import Clients, service


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with service() as running:
        yield running


async def admin(clients: Clients, method: str, path: str, body: Any = None) -> httpx2.Response:
    return await clients.http.request(method, f"{clients.simulator.root}/admin/{path}", json=body)


async def test_a_wrong_key_is_refused_and_shown_nowhere(clients: Clients) -> None:
    with pytest.raises(openai.AuthenticationError) as told:
        await clients.gpt.with_options(api_key="sk-very-wrong").responses.create(model="demo", input="hello")
    assert "very-wrong" not in str(told.value)
    with pytest.raises(anthropic.AuthenticationError):
        await clients.claude.with_options(api_key="sk-very-wrong").messages.create(
            model="demo", max_tokens=10, messages=[{"role": "user", "content": "hello"}]
        )
    await clients.decide("responses", "hello")
    shown = (await admin(clients, "GET", "requests")).text
    assert "very-wrong" not in shown
    assert clients.simulator.key not in shown
    assert [record.status for record in clients.simulator.requests()] == [401, 401, 200]


async def test_an_old_style_key_header_is_taken(clients: Clients) -> None:
    body = {"model": "demo", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"x-api-key": clients.simulator.key, "anthropic-version": "2023-06-01"}
    answer = await clients.http.post(f"{clients.simulator.url}/messages", json=body, headers=headers)
    assert answer.status_code == 200


async def test_each_key_has_its_own_rate_which_comes_back_with_time() -> None:
    now = [1_000.0]
    async with service(Terms(keys=("a", "b"), per_minute=2), clock=lambda: now[0]) as clients:
        for _ in range(2):
            await clients.decide("responses", "hello")
        now[0] += 20
        with pytest.raises(openai.RateLimitError) as told:
            await clients.decide("chat", "hello")
        assert told.value.response.headers["retry-after"] == "40"
        assert told.value.response.headers["x-ratelimit-remaining-requests"] == "0"
        await clients.gpt.with_options(api_key="b").responses.create(model="demo", input="hello")
        now[0] += 40
        await clients.decide("messages", "hello")


async def test_a_quota_is_used_up_by_tokens() -> None:
    async with service(Terms(quota=10)) as clients:
        await clients.decide("responses", "hello")
        with pytest.raises(openai.RateLimitError) as told:
            await clients.decide("responses", "hello")
        assert told.value.code == "insufficient_quota"
        with pytest.raises(anthropic._exceptions.PaymentRequiredError):
            await clients.decide("messages", "hello")


async def test_the_rendered_prompt_can_be_read_and_the_counts_add_up(clients: Clients) -> None:
    await clients.decide("responses", "needle one")
    await clients.decide("messages", "needle two")
    found = (await admin(clients, "GET", "requests?last=1")).json()["requests"]
    assert found[0]["body"]["messages"][0]["content"] == "needle two"
    assert found[0]["headers"]["Authorization"] == "[redacted]"
    assert found[0]["request_id"].startswith("req_")
    counts = (await admin(clients, "GET", "counts")).json()
    assert counts["dialects"] == {"responses": 1, "messages": 1}
    assert counts["statuses"] == {"200": 2}
    assert counts["ended"] == {"answered": 2}
    assert counts["tokens"]["input"] == sum(one.usage["input"] for one in clients.simulator.requests() if one.usage)
    assert (await admin(clients, "GET", "requests?last=x")).status_code == 400


async def test_faults_are_switched_over_http(clients: Clients) -> None:
    wanted = [{"mode": "429", "retry_after": 3600, "count": 1}, {"mode": "bad_json", "dialect": "chat"}]
    answer = await admin(clients, "POST", "faults", wanted)
    assert answer.json()["active"] == ["429 count=1 retry_after=3600 (1 left)", "bad_json dialect='chat' (for ever)"]
    with pytest.raises(openai.RateLimitError):
        await clients.decide("responses", "hello")
    assert "oops" in await clients.decide("chat", "hello")
    assert (await admin(clients, "GET", "faults")).json()["counts"] == {"429": 1, "bad_json": 1}
    assert (await admin(clients, "DELETE", "faults")).json()["active"] == []
    assert "oops" not in await clients.decide("chat", "hello")


@pytest.mark.parametrize(
    "body", [{"mode": "no such"}, {}, {"mode": "429", "typo": 1}, {"mode": "drip", "seconds": -1}, [{"mode": "hang", "count": 0}]]
)
async def test_a_fault_that_is_none_is_refused(clients: Clients, body: Any) -> None:
    assert (await admin(clients, "POST", "faults", body)).status_code == 400
    assert (await admin(clients, "GET", "faults")).json()["active"] == []


async def test_latency_is_set_over_http_and_in_process(clients: Clients) -> None:
    assert (await admin(clients, "POST", "latency", {"seconds": 0.1})).status_code == 200
    clock = asyncio.get_running_loop().time
    began = clock()
    await clients.decide("responses", "hello")
    assert clock() - began >= 0.1
    assert (await admin(clients, "POST", "latency", {"seconds": -1})).status_code == 400
    clients.simulator.delay(0)
    clients.simulator.inject(Mode.OK)
    assert await clients.decide("responses", "hello")


async def test_what_is_too_large_or_no_json_is_refused(clients: Clients) -> None:
    url, headers = f"{clients.simulator.url}/responses", {"Authorization": f"Bearer {clients.simulator.key}"}
    assert (await clients.http.post(url, content=b"x" * (9 << 20), headers=headers)).status_code == 413
    for content in (b"{", b"[]", b"", b'"text"'):
        assert (await clients.http.post(url, content=content, headers=headers)).status_code == 400
    assert clients.simulator.counts()["events"] == {}


async def test_two_runs_with_one_seed_answer_alike_to_the_id() -> None:
    async def run() -> tuple[str, str]:
        async with service(seed=5, clock=lambda: 1_000.0) as clients:
            reply = await clients.gpt.responses.create(model="gpt-6-luna", input="hello")
            return reply.id, reply.to_json()

    assert await run() == await run()


def test_records_are_bounded_by_number_and_by_size() -> None:
    records = Records(most=3, most_bytes=100)
    for number in range(10):
        records.close(records.open(number, "/v1/responses", {}, b"x" * 40, "key"), "answered")
    assert [len(one.body) for one in records.last()] == [40, 40]
    assert records.dropped == 8
    records.open(0, "/", {}, b"x" * 500, "")
    assert [len(one.body) for one in records.last()] == [500]


def test_counts_of_models_are_bounded() -> None:
    records = Records()
    for number in range(1_000):
        record = records.open(0, "/", {}, b"", "")
        record.model = f"model-{number}"
        records.close(record, "answered")
    assert len(records.counts["models"]) <= 201


def test_the_cache_of_beginnings_is_bounded_and_belongs_to_its_owner() -> None:
    cache = PrefixCache()
    text = "".join(f"{number:08d}" for number in range(1_500_000))
    assert cache.touch("a", text) == 0
    assert len(cache) == 20_000
    assert cache.touch("a", "y" * 2_000) == 0
    assert cache.touch("a", "y" * 2_000 + "z") == 1_536
    assert cache.touch("b", "y" * 2_000) == 0


def test_the_estimate_is_that_of_its_documentation() -> None:
    assert estimate("") == 0
    assert estimate("1234567") == 3
    assert estimate("extraordinary") == 2
    assert estimate('{"a":1}\n\n') == 8
    assert cut("one two three", 2) == "one two"
    assert cut("one", 5) == "one"
    assert cut("one", 0) == ""


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind(clients: Clients) -> None:
    port = int(clients.simulator.root.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="address already in use"):
        await LlmSimulator(port=port).__aenter__()
