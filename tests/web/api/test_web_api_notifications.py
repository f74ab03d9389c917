"""Notifications over the API: a test is a real message to a real server, and its log tells what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from queue import Queue

import httpx2
import pytest

from bot.web.security.principal import Scope
from tests.web.ear import ear
from tests.web.house import House, house

API = "/api/v1"


@pytest.fixture(scope="module")
def heard() -> Iterator[tuple[int, Queue[bytes]]]:
    with ear() as told:
        yield told


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, heard: tuple[int, Queue[bytes]]) -> Iterator[House]:
    channels = {
        "hook": {"url_secret": "HOOK_URL", "severity": "critical"},
        "nobody": {"url_secret": "NO_SUCH_URL"},
    }
    with house(
        tmp_path_factory.mktemp("notify"),
        ARBITER_NOTIFICATIONS__CHANNELS=json.dumps(channels),
        ARBITER_SECRET_HOOK_URL=f"json://127.0.0.1:{heard[0]}/in?+x-key=canary-51ce",
    ) as running:
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client() as one:
        yield one


def test_a_test_arrives_and_the_log_and_the_channel_say_so(client: httpx2.Client, heard: tuple[int, Queue[bytes]]) -> None:
    done = client.post(f"{API}/notifications/channels/hook/test")
    assert done.status_code == 200, done.text
    assert done.json()["delivered"] is True
    arrived = json.loads(heard[1].get(timeout=10))
    assert "SIMULATED" in arrived["title"]
    newest = client.get(f"{API}/notifications/log", params={"channel": "hook", "limit": 1}).json()["items"][0]
    assert (newest["outcome"], newest["channel"]) == ("delivered", "hook")
    row = next(each for each in client.get(f"{API}/notifications/channels").json()["channels"] if each["channel"] == "hook")
    assert row["last"]["outcome"] == "delivered"
    assert "canary-51ce" not in client.get(f"{API}/notifications/channels").text


def test_a_channel_without_its_secret_says_why_it_is_silent(client: httpx2.Client) -> None:
    row = next(each for each in client.get(f"{API}/notifications/channels").json()["channels"] if each["channel"] == "nobody")
    assert row["state"] == "off"
    assert "NO_SUCH_URL" in row["why"]
    answer = client.post(f"{API}/notifications/channels/nobody/test")
    assert answer.status_code == 409
    assert "NO_SUCH_URL" in answer.json()["detail"]


def test_the_log_goes_on_page_after_page(client: httpx2.Client) -> None:
    for _ in range(3):
        client.post(f"{API}/notifications/channels/hook/test")
    first = client.get(f"{API}/notifications/log", params={"limit": 2, "channel": "hook"}).json()
    second = client.get(f"{API}/notifications/log", params={"limit": 2, "channel": "hook", "after": first["next"]}).json()
    assert not {each["id"] for each in first["items"]} & {each["id"] for each in second["items"]}


@pytest.mark.parametrize("name", ["unknown", "..%2F..%2Fhook", "%3Cscript%3E", "HOOK", "x" * 300])
def test_a_channel_that_is_none_is_refused(client: httpx2.Client, name: str) -> None:
    assert client.post(f"{API}/notifications/channels/{name}/test").status_code in {404, 422}


def test_a_reader_sends_nothing(demo: House) -> None:
    with demo.client(Scope.READ) as reader:
        assert reader.post(f"{API}/notifications/channels/hook/test").status_code == 403
        assert reader.get(f"{API}/notifications/log", params={"after": "not a cursor"}).status_code == 400
        said = reader.get("/api/v1/openapi.json").json()["paths"]["/api/v1/notifications/log"]["get"]["parameters"]
        (most,) = [each["schema"]["maximum"] for each in said if each["name"] == "limit"]
        assert reader.get(f"{API}/notifications/log", params={"limit": most}).status_code == 200
        assert reader.get(f"{API}/notifications/log", params={"limit": most + 1}).status_code == 422
