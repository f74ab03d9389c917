"""Monitoring over the API: the parts, what went wrong and was settled, how long things take; and the audit."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from bot.web.pages.monitoring import histograms
from bot.web.security.principal import Scope
from tests.app.bot_process import eventually
from tests.servers import free_port
from tests.web.house import House, house

API = "/api/v1"
SCRIPT = "<script>alert(2)</script>"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    # A channel where nobody listens: what cannot be delivered is an error to look at.
    with house(
        tmp_path_factory.mktemp("monitoring"),
        ARBITER_NOTIFICATIONS__CHANNELS=json.dumps({"hook": {"url_secret": "HOOK_URL", "severity": "info"}}),
        ARBITER_NOTIFICATIONS__ATTEMPTS="1",
        ARBITER_SECRET_HOOK_URL=f"json://127.0.0.1:{free_port()}/",
        ARBITER_METRICS__PORT=str(free_port()),
    ) as running:
        running.decided(2)
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client() as one:
        yield one


def test_health_is_that_of_the_worst_part_and_readiness_the_bots_own_word(demo: House, client: httpx2.Client) -> None:
    found = demo.ask("/monitoring/health")
    assert found["alive"]
    assert found["components"]["journal"] == "ok"
    states = set(found["components"].values())
    assert found["state"] == ("down" if "down" in states else "degraded" if "degraded" in states else "ok")
    assert found["link"]["up"]
    eventually(lambda: demo.ask("/monitoring/readiness") == {"ready": True, "reasons": []}, "it is ready", 20.0)
    assert client.get("/readyz").status_code == 200
    assert "bot_event_handled_seconds_bucket" in client.get("/metrics").text


def test_latencies_have_percentiles_and_histograms(demo: House, client: httpx2.Client) -> None:
    stages = {each["stage"]: each for each in demo.ask("/monitoring/latencies")["stages"]}
    handled = stages["event_handled"]
    assert handled["n"] > 0
    assert handled["p50_ms"] <= handled["p95_ms"] <= handled["p99_ms"]
    buckets = histograms(client.get("/metrics").text)["event handled"]
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert counts[-1] > 0
    drawn = client.get("/ui/charts/latencies", params={"theme": "dark"}).json()
    assert drawn["figure"]["data"]


def test_an_error_is_counted_settled_with_a_reason_and_audited(demo: House, client: httpx2.Client) -> None:
    def open_ones() -> list[str]:
        return [each["fingerprint"] for each in demo.ask("/monitoring/errors")["errors"]]

    eventually(lambda: bool(open_ones()), "a notification failed", 60.0)
    fingerprint = open_ones()[0]
    trend = demo.ask("/monitoring/errors/trend", fingerprint=fingerprint, hours=3)["hours"]
    assert len(trend) == 3
    assert sum(each["count"] for each in trend) > 0
    done = client.post(f"{API}/monitoring/errors/{fingerprint}/resolve", json={"note": SCRIPT})
    assert done.status_code == 200, done.text
    settled = done.json()["error"]["resolved"]
    assert (settled["note"], settled["author"][:9]) == (SCRIPT, "web:test-")
    page = client.get("/ui/monitoring/errors", params={"state": "all"})
    assert SCRIPT not in page.text
    eventually(
        lambda: "monitor.resolve" in {each["command"] for each in demo.ask("/audit", limit=20)["items"]}, "it is audited", 10.0
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/monitoring/errors/0000000000000000/resolve", 404),
        ("POST", "/monitoring/errors/..%2F..%2Fx/resolve", 404),
        ("POST", "/monitoring/errors/XYZ/resolve", 422),
        ("GET", "/monitoring/errors/trend?fingerprint=0000000000000000", 404),
        ("GET", "/monitoring/errors/trend?hours=0", 422),
        ("GET", "/monitoring/errors?state=some", 422),
        ("GET", "/monitoring/errors?limit=100000", 422),
        ("GET", "/audit?after=zzz", 400),
        ("GET", "/audit?since=-1", 422),
        ("GET", "/audit?limit=0", 422),
        ("GET", "/nowhere", 404),
    ],
)
def test_rubbish_has_its_own_answer(client: httpx2.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, f"{API}{path}")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_the_audit_is_filtered_and_paged(demo: House, client: httpx2.Client) -> None:
    for least in (0.1, 0.2, 0.3):
        assert client.put(f"{API}/sources/rules:demo/threshold", json={"threshold": least}).status_code == 200

    def lines() -> list[str]:
        return [each["command"] for each in demo.ask("/audit", command="desk.set-threshold")["items"]]

    eventually(lambda: len(lines()) >= 3, "it is audited", 10.0)
    first = demo.ask("/audit", command="desk.set-threshold", limit=2)
    second = demo.ask("/audit", command="desk.set-threshold", limit=2, after=first["next"])
    numbers = [each["number"] for each in (*first["items"], *second["items"])]
    assert numbers == sorted(numbers, reverse=True)
    assert demo.ask("/audit", actor="nobody")["items"] == []


def test_the_page_is_complete_without_a_script(client: httpx2.Client) -> None:
    page = client.get("/monitoring", headers={"Accept": "text/html"}).text
    for words in ("event loop", "the desk handles an event", "Language models", "Recorded inputs", "Link to the bot"):
        assert words in page


def test_a_reader_looks_and_settles_nothing(demo: House) -> None:
    with demo.client(Scope.READ) as reader:
        for path in ("components", "latencies", "database", "providers", "errors", "control-room"):
            assert reader.get(f"{API}/monitoring/{path}").status_code == 200
        assert reader.post(f"{API}/monitoring/errors/0000000000000000/resolve").status_code == 403
