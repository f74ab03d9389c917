"""The API as somebody who means harm uses it: with a token that may only read, and with JSON that is made to break."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from bot.web.security.principal import Scope
from tests.web.house import House, house

DEEP = "[" * 600 + "]" * 600
BROKEN = {"deep": DEEP, "wide": "1" + "0" * 30, "half": '"\\ud800"'}
JSON = {"Content-Type": "application/json"}
CANARY = "sk-canary-7f3a9c1e5b2d8f60"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client() as one:
        yield one


@pytest.fixture
def reader(demo: House) -> Iterator[httpx2.Client]:
    with demo.client(Scope.READ) as one:
        yield one


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/quantconnect/algorithms/1/command", '{"command": {"a": %s}}'),
        ("/quantconnect/algorithms", '{"project": 1, "brokerage": {"id": "X", "a": %s}}'),
        ("/quantconnect/backtest", '{"config": {"symbol": "BTC/USDT", "strategy": %s}}'),
        ("/ai/strategy/ideas", '{"specification": {"a": %s}}'),
        ("/ai/signals", '{"source": "llm:claude", "symbol": %s}'),
        ("/risk/kill", '{"reason": %s}'),
    ],
)
def test_what_json_allows_and_the_bot_cannot_carry_is_no_defect(client: httpx2.Client, path: str, body: str, kind: str) -> None:
    content = (body % BROKEN[kind]).encode()
    answer = client.post(f"/api/v1{path}", content=content, headers=JSON)
    if answer.status_code == 428:
        answer = client.post(f"/api/v1{path}", content=content, headers={**JSON, "Confirmation": answer.json()["confirmation"]})
    assert answer.status_code in {202, 422}, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/quantconnect/projects?fresh=true",
        "/api/v1/quantconnect/nodes",
        "/api/v1/quantconnect/algorithms?fresh=true",
        "/api/v1/quantconnect/algorithms/1",
        "/api/v1/quantconnect/signals",
        "/api/v1/quantconnect/signals/x",
        "/api/v1/quantconnect/backtests",
        "/api/v1/quantconnect/backtests/1/x",
        "/ui/quantconnect/signals/x",
    ],
)
def test_who_may_only_read_takes_no_job_and_no_call_of_a_service(client: httpx2.Client, reader: httpx2.Client, path: str) -> None:
    def jobs() -> list[str]:
        return [each["id"] for each in client.get("/api/v1/jobs").json()]

    before = jobs()
    assert reader.get(path).status_code in {403, 404}
    assert jobs() == before


def test_a_command_to_a_live_algorithm_is_confirmed_in_its_own_words(client: httpx2.Client) -> None:
    sent = {"command": {"$type": "OrderCommand", "quantity": 7}}
    asked = client.post("/api/v1/quantconnect/algorithms/1/command", json=sent)
    assert asked.status_code == 428
    assert "OrderCommand" in asked.json()["text"]
    other = {"command": {"$type": "OrderCommand", "quantity": 700}}
    headers = {"Confirmation": asked.json()["confirmation"]}
    assert client.post("/api/v1/quantconnect/algorithms/1/command", json=other, headers=headers).status_code == 428


def test_what_an_evaluation_may_spend_is_in_the_question(client: httpx2.Client) -> None:
    asked = client.post("/api/v1/ai/llm/eval", json={"run": "latest", "models": ["gpt"], "spend": "37.5"})
    assert asked.status_code == 428
    assert "37.5 USD" in asked.json()["text"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/secrets/OPENAI_API_KEY", {"value": CANARY}),
        ("/ai/llm/providers/openai/key", {"value": CANARY}),
        ("/quantconnect/config", {"secrets": {"api_token": CANARY}}),
    ],
)
def test_not_even_the_hash_of_a_request_with_a_secret_is_kept(
    demo: House, client: httpx2.Client, path: str, body: object
) -> None:
    answer = client.put(f"/api/v1{path}", json=body, headers={"Idempotency-Key": f"canary-{path}"})
    assert answer.status_code < 500
    assert CANARY not in answer.text
    with closing(sqlite3.connect(demo.data / "web.db")) as database:
        kept = database.execute("SELECT count(*) FROM web_once WHERE name LIKE 'canary-%'").fetchone()
    assert kept == (0,)


def test_whoever_comes_in_by_a_link_is_in_the_audit(demo: House, client: httpx2.Client) -> None:
    with httpx2.Client() as browser:
        assert browser.get(demo.fresh_link()).status_code == 303
    lines = client.get("/api/v1/audit", params={"command": "access.session-begin"}).json()["items"]
    assert lines[0]["actor"] == "web:owner"
    assert lines[0]["after"] == {"by": "link", "address": "127.0.0.1"}


def test_only_who_may_read_is_told_why_the_bot_is_not_ready(demo: House, reader: httpx2.Client) -> None:
    assert "reasons" in reader.get("/readyz").json()
    with httpx2.Client(base_url=demo.url) as stranger:
        assert stranger.get("/readyz").json().keys() == {"status"}
        assert stranger.get("/metrics").status_code == 401
